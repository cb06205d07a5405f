// What users of AssemblyAI's Node SDK do with live audio. The argument is JSON: `socket` (wss://…),
// `url` (https://…), `pcm` (a path, 16 kHz mono 16-bit). It prints JSON: by name, what each found.
import { readFile } from "node:fs/promises";
import { AssemblyAI } from "assemblyai";

const given = JSON.parse(process.argv[2]);
const pcm = await readFile(given.pcm);
const client = new AssemblyAI({
  apiKey: "any", baseUrl: given.url, streamingBaseUrl: given.url, syncBaseUrl: given.url,
});
const rest = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

async function speak(transcriber, milliseconds) {
  const size = 32 * milliseconds;
  for (let at = 0; at < pcm.length; at += size) {
    transcriber.sendAudio(pcm.subarray(at, at + size));
    await rest(milliseconds / 1000);
  }
}

async function streaming() {
  const transcriber = client.streaming.transcriber({
    websocketBaseUrl: given.socket + "/v3/ws", sampleRate: 16_000, formatTurns: true,
    keytermsPrompt: ["password"], endOfTurnConfidenceThreshold: 0.5, minTurnSilence: 200,
    maxTurnSilence: 600, languageCodes: ["en"], inactivityTimeout: 60, sessionHeartbeat: false,
  });
  const found = { turns: [], errors: [], starts: 0 };
  transcriber.on("turn", (turn) => found.turns.push(turn));
  transcriber.on("speechStarted", () => (found.starts += 1));
  transcriber.on("error", (error) => found.errors.push(error.message));
  found.begin = await transcriber.connect();
  transcriber.updateConfiguration({ max_turn_silence: 500 });
  transcriber.keepAlive();
  await speak(transcriber, 50);
  found.early = found.turns.length;
  transcriber.forceEndpoint();
  await transcriber.close();
  return found;
}

async function refused() {
  const transcriber = client.streaming.transcriber({
    websocketBaseUrl: given.socket + "/v3/ws", sampleRate: 16_000, speakerLabels: true,
    maxConnectionRetries: 0,
  });
  try {
    await transcriber.connect();
  } catch (error) {
    return { message: error.message, code: error.code };
  }
}

async function realtime() {
  const transcriber = client.realtime.transcriber({
    realtimeUrl: given.socket + "/v2/realtime/ws", sampleRate: 16_000, wordBoost: ["password"],
    endUtteranceSilenceThreshold: 500,
  });
  const found = { partials: [], finals: [], errors: [] };
  transcriber.on("transcript.partial", ({ text }) => found.partials.push(text));
  transcriber.on("transcript.final", ({ text, created }) =>
    found.finals.push([text, created.getFullYear()]));
  transcriber.on("session_information", (told) => (found.seconds = told.audio_duration_seconds));
  transcriber.on("error", (error) => found.errors.push(error.message));
  found.begin = await transcriber.connect();
  await speak(transcriber, 100);
  found.early = found.partials.length;
  transcriber.forceEndUtterance();
  await transcriber.close();
  return found;
}

async function synchronous() {
  const warm = await client.sync.warm();
  const config = { sample_rate: 16_000, channels: 1, timestamps: true };
  const { text, words } = await client.sync.transcribe(new Uint8Array(pcm), config);
  return { warm, text, words: words.length };
}

const found = {};
for (const step of [streaming, refused, realtime, synchronous]) {
  try {
    found[step.name] = await step();
  } catch (error) {
    found[step.name] = { failed: String(error.stack) };
  }
}
console.log(JSON.stringify(found));
