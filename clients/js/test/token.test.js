import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";

import { Proxy } from "./proxy.js";
import { open, speak, speech, text } from "./rig.js";

/** A server with keys, and one of them: the page knows neither, but its backend. */
const { STENTOR_KEYED_URL: server, STENTOR_KEY: key } = process.env;
const options = { skip: server ? false : "needs a server with keys: STENTOR_KEYED_URL", timeout: 40000 };

async function begun() {
  const told = [];
  const backend = createServer(async (_, response) => {
    const headers = { authorization: `Bearer ${key}` };
    const answer = await fetch(new URL("/v1/tokens", server), { method: "POST", headers, body: "{}" });
    const { token } = await answer.json();
    told.push(token);
    response.end(token);
  });
  backend.listen(0, "127.0.0.1");
  await once(backend, "listening");
  const url = `http://127.0.0.1:${backend.address().port}/token`;
  const token = async () => (await fetch(url, { method: "POST" })).text();
  return { told, token, close: () => backend.close() };
}

test("each connection has a token of its own from the page's backend", options, async () => {
  const backend = await begun();
  const proxy = await Proxy.to(server);
  const { stream, of, texts } = open({ token: backend.token }, proxy.url);
  const faults = [
    [0.6, "cut"],
    [1.0, "mend"],
  ];
  await speak(stream, speech(), (seconds) => {
    if (faults.length && seconds >= faults[0][0]) proxy[faults.shift()[1]]();
  });
  await stream.stop();
  proxy.close();
  backend.close();
  assert.equal(texts(), text);
  assert.equal(of("resumed").length, 1);
  assert.ok(backend.told.length >= 2);
  assert.equal(new Set(backend.told).size, backend.told.length);
});

test("what is no token opens nothing", options, async () => {
  const { next } = open({ token: async () => "made up" }, server);
  const { opened, error } = await next("closed");
  assert.deepEqual([opened, error.code], [false, "unauthorized"]);
});
