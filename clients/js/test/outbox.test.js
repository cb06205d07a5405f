import assert from "node:assert/strict";
import { test } from "node:test";

import { Outbox } from "../src/outbox.js";
import { Start } from "../src/start.js";

const frame = (samples, value) => new Int16Array(samples).fill(value).buffer;
const mono = new Start({});
const values = (letters) => letters.flatMap(({ audio }) => [...new Int16Array(audio)]);

/** Frames of two samples: 1 1, 2 2, 3 3, … */
function filled(frames) {
  const outbox = new Outbox(mono);
  for (let i = 1; i <= frames; i += 1) outbox.audio(frame(2, i));
  return outbox;
}

test("what the server has is not sent again", () => {
  const outbox = filled(4);
  outbox.take(2);
  assert.deepEqual(values(outbox.untaken), [3, 3, 4, 4]);
  assert.equal(outbox.takenEnd, 4);
});

test("audio that is taken is kept until it is settled", () => {
  const outbox = filled(4);
  outbox.take(3);
  outbox.release(2);
  assert.equal(outbox.start, 2);
  outbox.release(8);
  assert.equal(outbox.start, 6);
});

test("another session begins within a frame", () => {
  const outbox = filled(4);
  outbox.take(3);
  outbox.release(3);
  assert.equal(outbox.restart(3), 3);
  assert.deepEqual(values(outbox.untaken), [2, 3, 3, 4, 4]);
  assert.deepEqual(outbox.untaken.map(({ number }) => number), [1, 2, 3]);
  assert.equal(outbox.takenEnd, 3);
});

test("another session begins with what is left", () => {
  const outbox = filled(4);
  outbox.take(4);
  outbox.release(5);
  assert.equal(outbox.restart(1), 4);
});

test("controls keep their places in another session, but for what its start says", () => {
  const outbox = new Outbox(mono);
  outbox.audio(frame(2, 1));
  outbox.control({ type: "finalize" });
  outbox.audio(frame(2, 2));
  outbox.control({ type: "configure", language: "en" });
  outbox.control({ type: "marker", id: "m" });
  outbox.take(5);
  outbox.restart(1);
  assert.deepEqual(
    outbox.untaken.map(({ control, audio }) => control?.type ?? audio.byteLength),
    [2, "finalize", 4, "marker"],
  );
});

test("a marker that was answered is not asked again", () => {
  const outbox = new Outbox(mono);
  outbox.control({ type: "marker", id: "one" });
  outbox.control({ type: "marker", id: "other" });
  outbox.strike("one");
  assert.deepEqual(outbox.untaken.map(({ number, control }) => [number, control.id]), [[2, "other"]]);
});

test("half a sample is refused", () => {
  const outbox = new Outbox(new Start({ channels: 2 }));
  assert.throws(() => outbox.audio(new ArrayBuffer(6)), /whole samples of 4 bytes, got 6/);
});

test("a channel is silent in another session where it has been answered", () => {
  const outbox = new Outbox(new Start({ encoding: "mulaw", channels: 2 }));
  outbox.audio(new Uint8Array([1, 2, 1, 2]));
  outbox.audio(new Uint8Array([3, 4, 3, 4]));
  outbox.take(2);
  assert.equal(outbox.restart(1, [3, 0]), 1);
  const heard = outbox.untaken.map(({ audio }) => [...new Uint8Array(audio)]);
  assert.deepEqual(heard, [[255, 2], [255, 4, 3, 4]]);
});
