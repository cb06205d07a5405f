import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";

import { Outbox } from "../src/outbox.js";
import { Patience } from "../src/patience.js";
import { Start } from "../src/start.js";
import { Timeline } from "../src/timeline.js";
import { inTime } from "../src/token.js";

test("a server that breaks each connection soon is waited for longer each time", (t) => {
  let now = 0;
  t.mock.method(performance, "now", () => now);
  const patience = new Patience({ firstMs: 100, mostMs: 1000, random: () => 1 }, 60);
  const waits = [100, 100, 6000].map((lasted) => {
    patience.accepted();
    now += lasted;
    assert.ok(patience.lost());
    return patience.next();
  });
  assert.deepEqual(waits, [100, 200, 100]);
});

test("a connection that stays away is given up after its time", (t) => {
  let now = 0;
  t.mock.method(performance, "now", () => now);
  const patience = new Patience({}, 60);
  patience.accepted();
  const tried = [1000, 30000, 40000].map((passed) => {
    now += passed;
    return patience.lost();
  });
  assert.deepEqual(tried, [true, true, false]);
});

test("times and utterances are counted on from session to session", () => {
  const timeline = new Timeline();
  const word = { text: "a", start: 1.1, end: 1.2 };
  timeline.counted({ type: "partial", utterance: 2 });
  timeline.restart(2.2);
  const told = timeline.counted({ type: "final", utterance: 1, start: 1.1, end: 1.2, words: [word] });
  assert.deepEqual([told.utterance, told.start, told.end], [3, 3.3, 3.4]);
  assert.deepEqual(told.words, [{ text: "a", start: 3.3, end: 3.4 }]);
});

test("audio is kept as it was, whatever its owner does with it", () => {
  const outbox = new Outbox(new Start({}));
  const samples = new Int16Array([1, 2]);
  outbox.audio(samples.buffer);
  outbox.audio(samples.subarray(1));
  outbox.audio(new Int16Array(new SharedArrayBuffer(4)));
  samples.fill(9);
  const kept = outbox.untaken.map(({ audio }) => [...new Int16Array(audio)]);
  assert.deepEqual(kept, [[1, 2], [2], [0, 0]]);
  assert.ok(outbox.untaken.every(({ audio }) => audio instanceof ArrayBuffer));
});

test("what is no audio is refused", () => {
  for (const wrong of ["text", [1, 2], undefined]) {
    const outbox = new Outbox(new Start({}));
    assert.throws(() => outbox.audio(wrong), /must be an ArrayBuffer or a typed array/);
  }
});

test("a token that cannot even be asked for leaves no timer behind", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const ask = () => {
    throw new Error("log in first");
  };
  await assert.rejects(inTime(ask), /log in first/);
  t.mock.timers.tick(20000);
  await turn(); // a rejection that nobody handles would fail the test
});
