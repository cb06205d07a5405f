import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Proxy } from "./proxy.js";
import { open, options, server, silence, speak, speech, text } from "./rig.js";

/** Speaks the sentence twice over a proxy; `faults` are its methods at seconds into the second. */
async function spoil(faults, given = {}) {
  const proxy = await Proxy.to(server);
  const { stream, of, texts } = open(given, proxy.url);
  const said = [...speech(), ...silence(1)];
  const coming = [...faults];
  await speak(stream, new Int16Array([...said, ...said]), (seconds) => {
    if (coming.length && seconds - said.length / 16000 >= coming[0][0]) proxy[coming.shift()[1]]();
  });
  const account = await stream.stop();
  proxy.close();
  assert.equal(texts(), `${text} ${text}`);
  assert.ok(of("final")[1].utterance > of("final")[0].utterance);
  assert.ok(of("final")[1].start > said.length / 16000);
  return { of, account, samples: 2 * said.length, second: said.length / 16000 };
}

const CUT = [
  [0.6, "cut"],
  [1.2, "mend"],
];
const CUT_TWICE = [...CUT, [1.4, "cut"], [1.8, "mend"]];

// They mostly wait for what is said.
describe("a network that fails", { concurrency: true }, () => {
  for (const framing of ["json", "msgpack"]) {
    test(`a session in ${framing} goes on after two cuts as if there were none`, options, async () => {
      const { of, account, samples } = await spoil(CUT_TWICE, { framing });
      assert.equal(account.received, samples);
      assert.equal(of("resumed").length, 2);
      assert.deepEqual(of("restarted"), []);
      assert.deepEqual(of("error"), []);
    });
  }

  test("a connection on which nothing comes any more is given up for another", options, async () => {
    const { of, account, samples } = await spoil([[0.6, "silence"]]);
    assert.equal(account.received, samples);
    assert.equal(of("resumed").length, 1);
  });

  test("a session is resumed after its end was asked for", options, async () => {
    const proxy = await Proxy.to(server);
    const { stream, of, texts } = open({}, proxy.url);
    await speak(stream, speech());
    proxy.cut();
    const stopped = stream.stop();
    await sleep(300);
    proxy.mend();
    assert.equal((await stopped).received, speech().length);
    proxy.close();
    assert.equal(texts(), text);
    assert.equal(of("resumed").length, 1);
  });

  test("a session that cannot be resumed is followed by another, and no word is lost", options, async () => {
    const { of, second } = await spoil(CUT, { start: { resumable: false } });
    const [{ at, lost_seconds: lost }, ...more] = of("restarted");
    assert.ok(at >= of("final")[0].end && at < second + 0.6);
    assert.deepEqual([lost, more], [0, []]);
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
});
