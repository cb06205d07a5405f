import assert from "node:assert/strict";
import { test } from "node:test";

import { Settled } from "../src/settled.js";

/** A session that has run for as many seconds as are taken. */
function spoken(seconds, channels = 1) {
  const settled = new Settled(channels, 0);
  settled.take(seconds, seconds);
  return settled;
}

const started = (at, channel = 0) => ({ type: "speech_started", channel, at });
const final = (end, channel = 0) => ({ type: "final", channel, end });

test("silence is settled, but for what may still be told to be speech", () => {
  assert.equal(spoken(10).seconds, 7);
});

test("what a server has of a file it need not have heard", () => {
  const settled = new Settled(1, 0);
  settled.take(20, 0.5);
  assert.equal(settled.seconds, 0);
  settled.take(20, 5);
  assert.equal(settled.seconds, 7);
  settled.take(20, 60);
  assert.equal(settled.seconds, 17);
});

test("an utterance is open until its final", () => {
  const settled = spoken(5.5);
  settled.note(started(3));
  assert.equal(settled.seconds, 2.7);
  settled.note({ type: "speech_ended", channel: 0, at: 5 });
  assert.equal(settled.seconds, 2.7);
  settled.note(final(5));
  assert.equal(settled.seconds, 5);
});

test("an utterance may begin before the final of the one before", () => {
  const settled = spoken(10);
  settled.note(started(3));
  settled.note(started(6));
  settled.note(final(5));
  assert.equal(settled.seconds, 5.7);
});

test("a warning does not stand for the final that comes after it", () => {
  const settled = spoken(10);
  settled.note(started(3));
  settled.note({ type: "warning", code: "untranscribed", channel: 0, start: 3, end: 5 });
  assert.equal(settled.seconds, 2.7);
});

test("the channel that is furthest behind counts", () => {
  const settled = spoken(10, 2);
  settled.note(started(3, 1));
  settled.note(final(8, 0));
  assert.equal(settled.seconds, 2.7);
});

test("each channel is answered up to the end of its last final", () => {
  const settled = spoken(10, 2);
  settled.note(final(8, 0));
  settled.note(final(4, 1));
  settled.note(final(6, 1));
  assert.deepEqual(settled.answered, [8, 6]);
});
