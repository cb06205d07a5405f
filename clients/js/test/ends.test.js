import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { sendFile, Stream } from "../src/index.js";
import { done, fatal, ready, Wire } from "./wire.js";

const TYPES = ["ready", "final", "marker", "error", "done", "state", "restarted", "resumed", "closed"];
const SECOND = new Int16Array(16000);

/** A stream over a wire, and what it has told. */
function open(wire, given = {}) {
  const backoff = { firstMs: 20, mostMs: 20 };
  const stream = new Stream("ws://server/", { WebSocket: wire.WebSocket, backoff, ...given });
  const told = [];
  for (const type of TYPES) stream.on(type, (event) => told.push({ type, ...event }));
  const of = (type) => told.filter((event) => event.type === type);
  return { stream, told, of };
}

async function until(condition) {
  for (let i = 0; i < 400 && !condition(); i += 1) await sleep(5);
  assert.ok(condition());
}

const final = (text, end, seq, reason = "silence") =>
  ({ type: "final", utterance: 1, channel: 0, start: 0.3, end, text, reason, seq });

/** Answers every `start`, with another session each time. */
function obliging() {
  let count = 0;
  return new Wire(({ type }, socket) => {
    if (type === "start") socket.tell(ready((count += 1)));
  });
}

/** The connection is lost, and there is another one. */
async function followed(wire, stream) {
  const count = wire.sockets.length;
  wire.last.close();
  await until(() => wire.sockets.length > count && stream.state === "open");
}

/** No connection is made any more. */
function gone(wire) {
  const onopen = { set() {}, get: () => function () { this.close(); } };
  Object.defineProperty(wire.WebSocket.prototype, "onopen", onopen);
  wire.last.close();
}

/** A server that has forgotten the session, and another. */
async function startedAnew(wire, stream) {
  wire.last.tell(fatal("unknown_session"));
  await followed(wire, stream);
}

/** Two seconds are spoken when the server is told to stop, in an utterance that began after one. */
async function goingAway(wire) {
  const heard = open(wire, { start: { language: "en" }, reconnectSeconds: 0.3 });
  await until(() => heard.stream.state === "open");
  heard.stream.audio(SECOND);
  heard.stream.audio(SECOND);
  heard.stream.marker("here");
  wire.last.tell(
    { type: "speech_started", channel: 0, at: 1, seq: 1 },
    { type: "ack", messages: 3, samples: 32000 },
    { type: "final", utterance: 1, channel: 0, start: 1, end: 2, text: "My phone numb", reason: "cut_off", seq: 2 },
    { type: "marker", id: "here", at: 2, seq: 3 },
    { type: "ack", messages: 3, samples: 32000 },
    fatal("going_away"),
    { ...done, seq: 4 },
  );
  return heard;
}

/** The same, and another session has begun. */
async function cutOffAndFollowed(wire) {
  const heard = await goingAway(wire);
  await followed(wire, heard.stream);
  return heard;
}

test("what was cut off is said whole by the next session", async () => {
  const wire = obliging();
  const { stream, of } = await cutOffAndFollowed(wire);
  assert.deepEqual([of("final"), of("marker"), of("error"), of("done")], [[], [], [], []]);
  assert.deepEqual(of("restarted"), [{ type: "restarted", at: 0.7, lost_seconds: 0 }]);
  const sent = wire.last.said.map(({ type, audio, id }) => id ?? audio?.byteLength ?? type);
  assert.deepEqual(sent, ["start", 0.3 * 32000, 32000, "here"]);
  stream.close();
});

test("what was cut off is told where no other session begins", async () => {
  const wire = obliging();
  const { told, of } = await goingAway(wire);
  gone(wire);
  await until(() => of("closed").length);
  assert.deepEqual(told.slice(-4).map(({ type }) => type), ["final", "marker", "state", "closed"]);
  assert.equal(of("final")[0].text, "My phone numb");
  assert.deepEqual(of("restarted"), []);
});

test("what was cut off is told where the session that would say it dies as well", async () => {
  const wire = obliging();
  const { of, told } = await cutOffAndFollowed(wire);
  gone(wire);
  await until(() => of("closed").length);
  assert.deepEqual(told.slice(-4).map(({ type }) => type), ["final", "marker", "state", "closed"]);
  assert.deepEqual(of("final").map(({ text }) => text), ["My phone numb"]);
});

test("what was cut off is not told again once another session has said it", async () => {
  const wire = obliging();
  const { stream, of } = await cutOffAndFollowed(wire);
  wire.last.tell(final("My phone number", 1.2, 1), { type: "marker", id: "here", at: 1.3, seq: 2 });
  gone(wire);
  await until(() => of("closed").length);
  assert.deepEqual(of("final").map(({ text }) => text), ["My phone number"]);
  assert.equal(of("marker").length, 1);
});

test("what is cut off twice is told once, with all that was heard of it", async () => {
  const wire = obliging();
  const { stream, of } = await cutOffAndFollowed(wire);
  const marker = { type: "marker", id: "here", at: 0.6, seq: 2 };
  wire.last.tell(final("My", 0.6, 1, "cut_off"), marker, fatal("going_away"), { ...done, seq: 3 });
  gone(wire);
  await until(() => of("closed").length);
  assert.deepEqual(of("final").map(({ text }) => text), ["My phone numb"]);
  assert.equal(of("marker").length, 1);
});

test("what was cut off is not told where another session has heard it all and no word", async () => {
  const wire = obliging();
  const { stream, of } = await cutOffAndFollowed(wire);
  stream.stop();
  wire.last.tell({ type: "marker", id: "here", at: 1.3, seq: 1 }, { ...done, seq: 2 });
  wire.last.close(1000);
  await until(() => of("closed").length);
  assert.deepEqual([of("final").length, of("marker").length], [0, 1]);
});

test("what was cut off comes before the end of a recording that an error ends", async () => {
  const wire = obliging();
  const { stream, told } = open(wire);
  await until(() => stream.state === "open");
  wire.last.tell(
    fatal("unauthorized"),
    { type: "final", utterance: 1, channel: 0, start: 0, end: 1, text: "a", reason: "cut_off", seq: 1 },
    { ...done, seq: 2 },
  );
  wire.last.close();
  await until(() => stream.state === "closed");
  const types = told.map(({ type }) => type).filter((type) => type !== "state");
  assert.deepEqual(types, ["ready", "error", "final", "done", "closed"]);
});

test("nothing more is told of what the page has given up", async () => {
  const { stream, of } = await goingAway(obliging());
  stream.close();
  assert.deepEqual(of("final"), []);
});

test("a session that is as long as may be is followed by another while somebody speaks", async () => {
  const wire = obliging();
  const { stream, of } = open(wire);
  await until(() => stream.state === "open");
  stream.audio(SECOND);
  wire.last.tell(fatal("timed_out"), { ...done, seq: 1 });
  await followed(wire, stream);
  assert.deepEqual(of("error"), []);
  stream.close();
});

test("a session in which nobody speaks any more ends with its time", async () => {
  const wire = obliging();
  const { stream, of } = open(wire);
  await until(() => stream.state === "open");
  wire.last.tell(fatal("timed_out"), { ...done, seq: 1 });
  wire.last.close();
  await until(() => of("closed").length);
  assert.equal(of("closed")[0].error.code, "timed_out");
});

const refused = (field) => ({ type: "error", code: "bad_message", message: field, field, fatal: false });

test("what the server does not take is not asked for again", async () => {
  const wire = obliging();
  const { stream } = open(wire, { start: { language: "en" } });
  await until(() => stream.state === "open");
  stream.configure({ partials: false });
  stream.configure({ task: "sing", keep_stable: false });
  stream.configure({ prompt: 5 });
  stream.configure({ endpointing: { silence_ms: 900 } });
  wire.last.tell(refused("task"), refused("prompt"), { type: "ack", messages: 4, samples: 0 });
  await startedAnew(wire, stream);
  const [start, ...more] = wire.last.said;
  const { type, resumable, encoding, sample_rate: rate, channels, ...options } = start;
  assert.deepEqual(options, { language: "en", partials: false, endpointing: { silence_ms: 900 } });
  assert.deepEqual(more, []);
  stream.close();
});

test("what is configured before a session has begun is not part of its start", async () => {
  const wire = obliging();
  const { stream, of } = open(wire);
  stream.configure({ prompt: 5 });
  await until(() => stream.state === "open");
  wire.last.tell(refused("prompt"));
  assert.deepEqual(wire.last.said.map(({ type, prompt }) => [type, prompt]), [["start", undefined], ["configure", 5]]);
  assert.equal(of("error").length, 1);
  assert.equal(stream.state, "open");
  stream.close();
});

test("what was configured and not taken is asked of another session", async () => {
  const wire = obliging();
  const { stream } = open(wire);
  await until(() => stream.state === "open");
  stream.configure({ language: "en" });
  await startedAnew(wire, stream);
  const said = () => wire.last.said.map(({ type, language }) => [type, language]);
  assert.deepEqual(said(), [["start", undefined], ["configure", "en"]]);
  wire.last.tell({ type: "ack", messages: 1, samples: 0 });
  await startedAnew(wire, stream);
  assert.deepEqual(said(), [["start", "en"]]);
  stream.close();
});

test("a server that goes away and keeps no sessions need not have heard what was sent", async () => {
  const wire = new Wire(({ type }, socket) => {
    if (type === "start") socket.tell({ ...ready(), resume: null });
  });
  const { stream } = open(wire);
  await until(() => stream.state === "open");
  stream.audio(SECOND);
  stream.stop().catch(() => null);
  wire.last.tell(fatal("going_away"), done);
  wire.last.close();
  await until(() => wire.sockets.length === 2 && wire.last.said.length === 3);
  assert.deepEqual(wire.last.said.map(({ type }) => type), ["start", "audio", "stop"]);
  stream.close();
});

test("what cannot be understood ends the connection, not the recording", async () => {
  const wire = obliging();
  const { stream } = open(wire);
  await until(() => stream.state === "open");
  for (const gibberish of ["<html>", "null", "[]", '{"type": 1}']) {
    const count = wire.sockets.length;
    wire.last.onmessage({ data: gibberish });
    await until(() => wire.sockets.length === count + 1);
    await until(() => wire.last.said.length > 0);
    assert.equal(wire.last.said[0].type, "resume");
    wire.last.tell({ type: "resumed", session: "session 1", seq: 0, messages: 0, samples: 0 });
    assert.equal(stream.state, "open");
  }
  stream.close();
});

test("a server that knows no session at all is not asked at once again and again", async () => {
  const wire = obliging();
  const { stream, of } = open(wire, { reconnectSeconds: 0.2 });
  await until(() => stream.state === "open");
  wire.last.close();
  wire.WebSocket.prototype.send = function () {
    this.tell(fatal("session_over"));
    this.close();
  };
  await until(() => of("closed").length);
  assert.ok(wire.sockets.length < 25, `${wire.sockets.length} connections`);
});

test("a file whose stream breaks off is not said to have been sent", async () => {
  const wire = new Wire((_, socket) => {
    socket.tell(fatal("unauthorized"));
    socket.close();
  });
  const { stream } = open(wire);
  const parts = [0];
  const sound = { pcm: new Int16Array(60 * 16000), sampleRate: 16000 };
  await assert.rejects(sendFile(stream, sound, (part) => parts.push(part)), /unauthorized/);
  assert.ok(parts.at(-1) < 1);
});

test("a file waits for a server that tells of it late, however little is kept", async (t) => {
  let messages = 0;
  const wire = new Wire(({ type }, socket) => {
    if (type === "start") socket.tell(ready());
    else messages += 1;
    if (type === "stop") socket.tell({ ...done, seq: 1 });
    if (type === "stop") socket.close(1000);
  });
  const { stream } = open(wire, { keepSeconds: 4 });
  const telling = setInterval(() => wire.last.tell({ type: "ack", messages, samples: null }), 30);
  t.after(() => clearInterval(telling));
  await sendFile(stream, { pcm: new Int16Array(40 * 16000), sampleRate: 16000 });
  assert.equal(stream.seconds, 40);
});

test("an address that browsers refuse is said to be the reason", async () => {
  class Refusing {
    constructor() {
      throw new DOMException("not from a page that came by https", "SecurityError");
    }
  }
  const { stream, of } = open({ WebSocket: Refusing });
  await assert.rejects(stream.stop(), /came by https/);
  assert.equal(of("closed")[0].reason, "not from a page that came by https");
});

test("a listener that throws stops nobody else", async (t) => {
  const thrown = [];
  const wire = obliging();
  const { stream, of } = open(wire);
  stream.on("state", () => {
    throw new Error("mine");
  });
  const queue = globalThis.queueMicrotask;
  t.mock.method(globalThis, "queueMicrotask", (task) =>
    queue(() => {
      try {
        task();
      } catch (error) {
        thrown.push(error.message);
      }
    }),
  );
  await until(() => stream.state === "open");
  wire.last.close();
  await until(() => wire.sockets.length === 2);
  stream.close();
  await until(() => thrown.length === 3);
  assert.deepEqual(new Set(thrown), new Set(["mine"]));
  assert.equal(of("closed").length, 1);
});

test("a dead connection is noticed by who speaks where timers do not come", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const wire = obliging();
  const { stream } = open(wire);
  await until(() => stream.state === "open");
  t.mock.method(performance, "now", () => 1e9);
  stream.audio(SECOND);
  assert.equal(stream.state, "reconnecting");
  stream.close();
});

test("what one channel was told of is not told again because another is behind", async () => {
  const wire = obliging();
  const { stream, of } = open(wire, { start: { channels: 2 } });
  await until(() => stream.state === "open");
  const both = new Int16Array(2 * 16000).map((_, at) => 1 + (at % 2));
  for (let second = 0; second < 10; second += 1) stream.audio(both);
  wire.last.tell(
    { type: "speech_started", channel: 1, at: 3, seq: 1 },
    { type: "ack", messages: 10, samples: 160000 },
    { type: "final", utterance: 1, channel: 0, start: 4, end: 8, text: "told", reason: "silence", seq: 2 },
  );
  await startedAnew(wire, stream);
  const again = wire.last.said.flatMap(({ audio }) => (audio ? [...new Int16Array(audio)] : []));
  const seconds = (value) => again.filter((sample) => sample === value).length / 16000;
  assert.deepEqual([seconds(1), seconds(2)], [2, 7.3]);
  assert.equal(of("restarted")[0].at, 2.7);
  stream.close();
});

test("a file that is ahead of what the server has heard is sent again from there", async () => {
  const wire = obliging();
  const { stream, of } = open(wire);
  await until(() => stream.state === "open");
  for (let second = 0; second < 20; second += 1) stream.audio(SECOND);
  wire.last.tell({ type: "ack", messages: 20, samples: 320000 });
  await startedAnew(wire, stream);
  assert.deepEqual(of("restarted"), [{ type: "restarted", at: 0, lost_seconds: 0 }]);
  stream.close();
});
