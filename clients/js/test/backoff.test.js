import assert from "node:assert/strict";
import { test } from "node:test";

import { Backoff } from "../src/backoff.js";

const four = (backoff) => [1, 2, 3, 4].map(() => backoff.next());

test("the wait doubles up to its bound", () => {
  const backoff = new Backoff({ firstMs: 100, mostMs: 500, random: () => 1 });
  assert.deepEqual(four(backoff), [100, 200, 400, 500]);
  backoff.reset();
  assert.equal(backoff.next(), 100);
});

test("chance takes half of it at most", () => {
  const backoff = new Backoff({ firstMs: 100, mostMs: 500, random: () => 0 });
  assert.deepEqual(four(backoff), [50, 100, 200, 250]);
});
