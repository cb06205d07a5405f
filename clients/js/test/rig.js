/** What tests with a real server share: the server, a sentence, and a stream that keeps what it hears. */

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { Stream } from "../src/index.js";

/** STENTOR_PCM names a file of 16 kHz mono samples that say STENTOR_TEXT. */
export const { STENTOR_URL: server, STENTOR_PCM: path, STENTOR_TEXT: text } = process.env;
export const options = { skip: server ? false : "needs a server: STENTOR_URL", timeout: 40000 };

const FRAME_SAMPLES = 480;

export const silence = (seconds) => new Int16Array(16000 * seconds);
export const speech = () => {
  const { buffer, byteOffset, length } = readFileSync(path);
  return new Int16Array(buffer.slice(byteOffset, byteOffset + length));
};

export function open(given = {}, url = server) {
  const stream = new Stream(new URL("/v1/stream", url), { backoff: { firstMs: 50, mostMs: 100 }, ...given });
  const heard = [];
  const types = ["ready", "partial", "final", "marker", "error", "done", "state", "restarted", "resumed", "closed"];
  for (const type of types) stream.on(type, (event) => heard.push({ type, ...event }));
  const of = (type) => heard.filter((event) => event.type === type);
  const next = (type) => new Promise((resolve) => stream.on(type, resolve));
  return { stream, of, next, texts: () => of("final").map((event) => event.text).join(" ") };
}

/** At the pace of speech; `at(seconds)` is called before each frame. */
export async function speak(stream, samples, at = () => {}) {
  const began = performance.now();
  for (let start = 0; start < samples.length; start += FRAME_SAMPLES) {
    at(start / 16000);
    stream.audio(samples.subarray(start, start + FRAME_SAMPLES));
    await sleep(began + ((start + FRAME_SAMPLES) / 16) - performance.now());
  }
}
