import assert from "node:assert/strict";
import { test } from "node:test";

import { pack, unpack } from "../src/msgpack.js";

const hex = (bytes) => Buffer.from(bytes).toString("hex");

test("bytes are those of the specification", () => {
  assert.equal(hex(pack({ type: "stop" })), "81a474797065a473746f70");
  assert.equal(hex(pack([0, 127, -1, -32, true, false, null])), "97007fffe0c3c2c0");
  assert.equal(hex(pack(48000)), "d20000bb80");
  assert.equal(hex(pack(0.5)), "cb3fe0000000000000");
  assert.equal(hex(pack(new Uint8Array([1, 2]))), "c4020102");
  assert.equal(hex(pack(new Int16Array([1]).buffer)), "c4020100");
});

const VALUES = {
  numbers: [0, -33, 255, 256, 65536, -(2 ** 31), 2 ** 31, 2 ** 53 - 1, -(2 ** 53) + 1, 1e300, -0.25],
  "strings of every length": ["", "é", "x".repeat(31), "x".repeat(32), "x".repeat(300), "日".repeat(30000)],
  "long arrays": Array.from({ length: 70000 }, (_, i) => i),
  "long maps": Object.fromEntries(Array.from({ length: 70000 }, (_, i) => [`k${i}`, i])),
  "nested maps": { a: { b: [{ c: null }] } },
};

for (const [name, value] of Object.entries(VALUES)) {
  test(`${name} come back`, () => assert.deepEqual(unpack(pack(value)), value));
}

for (const length of [0, 255, 256, 65535, 65536]) {
  test(`binary of ${length} bytes comes back`, () => {
    const bytes = new Uint8Array(length).fill(7);
    assert.deepEqual(unpack(pack(bytes)), bytes);
  });
}

test("what packers of other languages choose is understood", () => {
  const read = (text) => unpack(Buffer.from(text, "hex"));
  assert.equal(read("ccff"), 255);
  assert.equal(read("cdffff"), 65535);
  assert.equal(read("ceffffffff"), 4294967295);
  assert.equal(read("cf0000000100000000"), 2 ** 32);
  assert.equal(read("d080"), -128);
  assert.equal(read("d18000"), -32768);
  assert.equal(read("ca3f000000"), 0.5);
});

for (const [name, text] of [
  ["cut off", "a474"],
  ["two values", "c0c0"],
  ["an extension", "d40000"],
]) {
  test(`${name} is refused`, () => {
    assert.throws(() => unpack(Buffer.from(text, "hex")), RangeError);
  });
}
