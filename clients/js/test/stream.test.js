/** With a real server: STENTOR_URL, and STENTOR_PCM, a file of 16 kHz mono samples that say STENTOR_TEXT. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { sendFile, Stream } from "../src/index.js";
import { Proxy } from "./proxy.js";

const { STENTOR_URL: server, STENTOR_PCM: path, STENTOR_TEXT: text } = process.env;
const options = { skip: server ? false : "needs a server: STENTOR_URL", timeout: 30000 };
const FRAME_SAMPLES = 480;

const silence = (seconds) => new Int16Array(16000 * seconds);
const speech = () => {
  const { buffer, byteOffset, length } = readFileSync(path);
  return new Int16Array(buffer.slice(byteOffset, byteOffset + length));
};

function open(given = {}, url = server) {
  const stream = new Stream(new URL("/v1/stream", url), { backoff: { firstMs: 50 }, ...given });
  const heard = [];
  const types = ["ready", "partial", "final", "marker", "error", "done", "state", "restarted", "resumed", "closed"];
  for (const type of types) stream.on(type, (event) => heard.push({ type, ...event }));
  const of = (type) => heard.filter((event) => event.type === type);
  const next = (type) => new Promise((resolve) => stream.on(type, resolve));
  return { stream, of, next, texts: () => of("final").map((event) => event.text).join(" ") };
}

/** At the pace of speech; `at(seconds)` is called before each frame. */
async function speak(stream, samples, at = () => {}) {
  const began = performance.now();
  for (let start = 0; start < samples.length; start += FRAME_SAMPLES) {
    at(start / 16000);
    stream.audio(samples.subarray(start, start + FRAME_SAMPLES));
    await sleep(began + ((start + FRAME_SAMPLES) / 16) - performance.now());
  }
}

for (const framing of ["json", "msgpack"]) {
  test(`a recording in ${framing}`, options, async () => {
    const { stream, of, next, texts } = open({ framing, start: { language: "en" } });
    const ended = next("closed");
    await speak(stream, speech());
    const account = await stream.stop();
    assert.equal(texts(), text);
    assert.equal(account.received, speech().length);
    assert.ok(of("partial").length > 0);
    assert.ok(of("partial").every((event) => text.startsWith(event.stable.trim())));
    assert.ok(of("partial").every((event) => event.behind_ms >= 0 && event.behind_ms < 5000));
    const { code, done, error } = await ended;
    assert.deepEqual([code, done, error], [1000, true, null]);
    assert.deepEqual(of("state").map(({ state }) => state), ["open", "stopping", "closed"]);
  });
}

test("a file goes as fast as the server takes it", options, async () => {
  const { stream, texts } = open();
  const parts = [];
  const account = await sendFile(stream, { pcm: speech(), sampleRate: 16000 }, (part) => parts.push(part));
  assert.equal(texts(), text);
  assert.equal(account.received, speech().length);
  assert.equal(parts.at(-1), 1);
});

test("a marker is answered after what came before it", options, async () => {
  const { stream, of, next, texts } = open();
  stream.audio(speech().slice(0, 16000));
  stream.finalize();
  const answered = next("marker");
  stream.marker("here");
  assert.equal((await answered).id, "here");
  assert.equal(of("final").length, 1);
  assert.ok(text.startsWith(texts().replace(/[.]$/, "")));
  stream.close();
});

test("what is configured holds from then on", options, async () => {
  const { stream, of, next } = open();
  await next("ready");
  stream.configure({ partials: false });
  const refused = next("error");
  stream.configure({ task: "sing" });
  const error = await refused;
  assert.deepEqual([error.code, error.fatal], ["bad_message", false]);
  await sendFile(stream, { pcm: speech(), sampleRate: 16000 });
  assert.deepEqual(of("partial"), []);
});

test("a server that refuses is not asked again", options, async () => {
  const { stream, of, next } = open({ start: { language: "klingon" } });
  const { error, opened } = await next("closed");
  assert.equal(opened, false);
  assert.equal(error.field, "language");
  assert.equal(of("error").length, 1);
  await assert.rejects(stream.stop(), /language/);
});

test("a server that is not there is said to be", options, async () => {
  const gone = await Proxy.to(server);
  gone.close();
  const { next } = open({}, gone.url);
  assert.equal((await next("closed")).opened, false);
});

test("no token is said to be the reason", options, async () => {
  const token = async () => {
    throw new Error("log in first");
  };
  const { next } = open({ token });
  assert.equal((await next("closed")).reason, "log in first");
});

test("without resumption another session goes on after a cut, and no word is lost", options, async () => {
  const proxy = await Proxy.to(server);
  const { stream, of, texts } = open({}, proxy.url);
  const said = [...speech(), ...silence(1)];
  await speak(stream, new Int16Array([...said, ...said]), (seconds) => {
    if (Math.abs(seconds - said.length / 16000 - 0.6) < 0.02) proxy.cut();
    if (Math.abs(seconds - said.length / 16000 - 1.2) < 0.02) proxy.mend();
  });
  await stream.stop();
  proxy.close();
  assert.equal(texts(), `${text} ${text}`);
  assert.ok(of("final")[1].utterance > of("final")[0].utterance);
  assert.ok(of("final")[1].start > said.length / 16000);
  const [{ at, lost_seconds: lost }, ...more] = of("restarted");
  assert.ok(at >= of("final")[0].end && at < of("final")[1].start);
  assert.equal(lost, 0);
  assert.deepEqual(more, []);
});

test("a connection that stays away is given up", options, async () => {
  const proxy = await Proxy.to(server);
  const { stream, next } = open({ reconnectSeconds: 0.5 }, proxy.url);
  await next("ready");
  proxy.cut();
  const { opened, done } = await next("closed");
  assert.deepEqual([opened, done], [true, false]);
  await assert.rejects(stream.stop());
  proxy.close();
});

test("no more audio is kept than was agreed", options, async () => {
  const proxy = await Proxy.to(server);
  const { stream, next } = open({ keepSeconds: 2 }, proxy.url);
  await next("ready");
  const lost = new Promise((resolve) => {
    stream.on("state", ({ state }) => state === "reconnecting" && resolve());
  });
  proxy.cut();
  await lost;
  const closed = next("closed");
  for (let i = 0; i < 30; i += 1) stream.audio(silence(0.1));
  assert.match((await closed).reason, /2 s of audio wait/);
  proxy.close();
});

test("what is unknown is refused with what is allowed", () => {
  const made = (given) => () => new Stream("ws://127.0.0.1:1/", given);
  assert.throws(made({ framing: "xml" }), /framing must be json, msgpack, got xml/);
  assert.throws(made({ start: { encoding: "mp3" } }), /start.encoding must be pcm_s16le/);
});
