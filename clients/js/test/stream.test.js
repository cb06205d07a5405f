import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { sendFile, Stream } from "../src/index.js";
import { Proxy } from "./proxy.js";
import { open, options, server, speak, speech, text } from "./rig.js";

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

test("nothing is told after a stream was closed", options, async () => {
  const { stream, of, next } = open();
  await next("ready");
  stream.audio(speech());
  stream.finalize();
  stream.close();
  await assert.rejects(stream.stop());
  await sleep(300);
  assert.deepEqual(of("final"), []);
  assert.equal(of("closed").length, 1);
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

test("what is unknown is refused with what is allowed", () => {
  const made = (given) => () => new Stream("ws://127.0.0.1:1/", given);
  assert.throws(made({ framing: "xml" }), /framing must be json, msgpack, got xml/);
  assert.throws(made({ start: { encoding: "mp3" } }), /start.encoding must be pcm_s16le/);
});
