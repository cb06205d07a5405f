// What users of Speechmatics' JavaScript client do with live audio. The argument is JSON: `url`
// (ws://…/v2), `wav` and `pcm` (paths, 16 kHz mono 16-bit). It prints JSON: by name, what each found.
import { readFile } from "node:fs/promises";
import { RealtimeClient } from "@speechmatics/real-time-client";

const given = JSON.parse(process.argv[2]);
const [wav, pcm] = await Promise.all([readFile(given.wav), readFile(given.pcm)]);
const raw = { type: "raw", encoding: "pcm_s16le", sample_rate: 16_000 };
const rest = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

function client() {
  const found = new RealtimeClient({ url: given.url, appId: "tests", enableLegacy: true });
  const heard = [];
  found.addEventListener("receiveMessage", ({ data }) => heard.push(data));
  return [found, heard];
}

const text = (heard) =>
  heard.filter((m) => m.message === "AddTranscript").map((m) => m.metadata.transcript).join("");
const count = (heard, name) => heard.filter((m) => m.message === name).length;

async function file() {
  const [rt, heard] = client();
  const started = await rt.start("a key", { transcription_config: { language: "en" } });
  for (let at = 0; at < wav.length; at += 4096) rt.sendAudio(wav.subarray(at, at + 4096));
  await rt.stopRecognition();
  return { started: started.message, text: text(heard), added: count(heard, "AudioAdded") };
}

async function live() {
  const [rt, heard] = client();
  await rt.start("a key", {
    audio_format: raw,
    transcription_config: {
      language: "en", model: "enhanced", enable_partials: true, max_delay: 0.7,
      max_delay_mode: "fixed", conversation_config: { end_of_utterance_silence_trigger: 0.4 },
    },
  });
  rt.setRecognitionConfig({ max_delay: 1.5, enable_partials: true });
  for (let at = 0; at < pcm.length; at += 3200) {
    rt.sendAudio(pcm.subarray(at, at + 3200));
    await rest(0.1);
  }
  const early = text(heard);
  rt.forceEndOfUtterance();
  const speakers = await rt.getSpeakers({ final: true });
  await rt.stopRecognition();
  return {
    early, text: text(heard), speakers: speakers.speakers,
    partials: count(heard, "AddPartialTranscript"), ends: count(heard, "EndOfUtterance"),
    forced: heard.filter((m) => m.forced).map((m) => m.message), last: heard.at(-1).message,
  };
}

async function refused() {
  const [rt, heard] = client();
  try {
    await rt.start("a key", { transcription_config: { language: "xx" } });
  } catch (error) {
    return { error: error.message, reason: heard[0].reason };
  }
}

const found = {};
for (const step of [file, live, refused]) {
  found[step.name] = await step().catch((error) => ({ failed: String(error.stack ?? error) }));
}
console.log(JSON.stringify(found));
process.exit(0);
