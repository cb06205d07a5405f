import assert from "node:assert/strict";
import { test } from "node:test";

import { Settled } from "../src/settled.js";

const started = (at, channel = 0) => ({ type: "speech_started", channel, at });
const final = (end, channel = 0) => ({ type: "final", channel, end });

test("silence is settled, but for what may still be told to be speech", () => {
  assert.equal(new Settled(1).seconds(10), 7);
});

test("an utterance is open until its final", () => {
  const settled = new Settled(1);
  settled.note(started(3));
  assert.equal(settled.seconds(10), 2.7);
  settled.note({ type: "speech_ended", channel: 0, at: 5 });
  assert.equal(settled.seconds(10), 2.7);
  settled.note(final(5));
  assert.equal(settled.seconds(5.5), 5);
});

test("an utterance may begin before the final of the one before", () => {
  const settled = new Settled(1);
  settled.note(started(3));
  settled.note(started(6));
  settled.note(final(5));
  assert.equal(settled.seconds(10), 5.7);
});

test("a warning does not stand for the final that comes after it", () => {
  const settled = new Settled(1);
  settled.note(started(3));
  settled.note({ type: "warning", code: "untranscribed", channel: 0, start: 3, end: 5 });
  assert.equal(settled.seconds(20), 2.7);
});

test("the channel that is furthest behind counts", () => {
  const settled = new Settled(2);
  settled.note(started(3, 1));
  settled.note(final(8, 0));
  assert.equal(settled.seconds(10), 2.7);
});
