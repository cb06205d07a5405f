import assert from "node:assert/strict";
import { test } from "node:test";

import { Settled } from "../src/settled.js";

const RATE = 10;
const started = (at, channel = 0) => ({ type: "speech_started", channel, at });
const final = (end, channel = 0) => ({ type: "final", channel, end });

/** A session, and what says that so many seconds have been taken, so many after its beginning. */
function begun(t, channels = 1, base = 0) {
  let now = 0;
  t.mock.method(performance, "now", () => now);
  const settled = new Settled({ channels, rate: RATE }, base);
  const take = (seconds, at = seconds) => {
    now = 1000 * at;
    settled.take(base + seconds * RATE);
  };
  return { settled, take };
}

test("silence is settled, but for what may still be told to be speech", (t) => {
  const { settled, take } = begun(t);
  take(10);
  assert.equal(settled.sample, 70);
});

test("what a server has of a file it need not have heard", (t) => {
  const { settled, take } = begun(t);
  const heard = [0.5, 5, 60].map((at) => {
    take(20, at);
    return settled.sample;
  });
  assert.deepEqual(heard, [0, 70, 170]);
});

test("an utterance is open until its final", (t) => {
  const { settled, take } = begun(t);
  settled.note(started(3));
  take(10);
  assert.equal(settled.sample, 27);
  settled.note({ type: "speech_ended", channel: 0, at: 9 });
  assert.equal(settled.sample, 27);
  settled.note(final(9));
  assert.equal(settled.sample, 90);
});

test("an utterance may begin before the final of the one before", (t) => {
  const { settled, take } = begun(t);
  settled.note(started(3));
  settled.note(started(6));
  settled.note(final(5));
  take(10);
  assert.equal(settled.sample, 57);
});

test("a warning does not stand for the final that comes after it", (t) => {
  const { settled, take } = begun(t);
  settled.note(started(3));
  settled.note({ type: "warning", code: "untranscribed", channel: 0, start: 3, end: 5 });
  take(20);
  assert.equal(settled.sample, 27);
});

test("the channel that is furthest behind counts, and each is answered up to its last final", (t) => {
  const { settled, take } = begun(t, 2, 1000);
  settled.note(started(3, 1));
  settled.note(final(8, 0));
  take(10);
  assert.equal(settled.sample, 1027);
  assert.deepEqual(settled.answered, [1080, 1000]);
});
