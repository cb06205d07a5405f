// What users of AssemblyAI's Node SDK do. The argument and the output are as in assemblyai_program.py.

import { createReadStream, readFileSync } from "node:fs";
import { AssemblyAI } from "assemblyai";

const given = JSON.parse(process.argv[2]);
const client = new AssemblyAI({ baseUrl: `${given.url}/`, apiKey: "a key" });
const polling = { pollingInterval: 100 };

const seen = (t) => ({
  id: t.id,
  status: t.status,
  text: t.text,
  error: t.error,
  words: t.words?.map((word) => [word.text, word.start, word.end]) ?? [],
  duration: t.audio_duration,
  confidence: t.confidence,
  model: t.speech_model_used,
});
const transcribe = (params) => client.transcripts.transcribe(params, polling);
const refused = async (work) => {
  try {
    await work();
  } catch (error) {
    return error.message;
  }
  return null;
};

const steps = {
  by_file: async () => seen(await transcribe({ audio: given.hello })),
  by_bytes: async () => seen(await transcribe({ audio: readFileSync(given.hello) })),
  by_stream: async () => seen(await transcribe({ audio: createReadStream(given.hello) })),
  by_url: async () => seen(await transcribe({ audio: given.speech })),

  with_options: async () => {
    const transcript = await transcribe({
      audio: given.desk,
      speech_models: ["universal-3-pro", "universal-2"],
      speech_model: null,
      language_code: "en_uk",
      punctuate: false,
      format_text: false,
      disfluencies: true,
      filter_profanity: true,
      custom_spelling: [{ from: ["password"], to: "Passwort" }],
      keyterms_prompt: ["office"],
      audio_start_from: 0,
      audio_end_at: 3400,
      speech_threshold: 0.1,
      auto_chapters: false,
      redact_pii_sub: null,
    });
    return {
      ...seen(transcript),
      language: transcript.language_code,
      warnings: transcript.metadata.warnings,
    };
  },

  channels: async () => {
    const transcript = await transcribe({ audio: given.stereo, multichannel: true });
    return transcript.utterances.map((u) => [u.channel, u.speaker, u.text, u.words.length]);
  },

  exports: async () => {
    const { id, text } = await transcribe({ audio: given.desk });
    const { sentences } = await client.transcripts.sentences(id);
    const { paragraphs } = await client.transcripts.paragraphs(id);
    const { matches } = await client.transcripts.wordSearch(id, ["my", "the bill"]);
    return {
      text,
      srt: await client.transcripts.subtitles(id, "srt", 30),
      vtt: await client.transcripts.subtitles(id, "vtt"),
      sentences: sentences.map((s) => s.text),
      paragraphs: paragraphs.map((p) => p.text),
      found: matches.map((m) => [m.text, m.count, m.indexes]),
    };
  },

  listing: async () => {
    const made = [];
    for (let i = 0; i < 3; i++) made.push((await transcribe({ audio: given.hello })).id);
    const first = await client.transcripts.list({ limit: 2, status: undefined });
    const second = await client.transcripts.list(first.page_details.prev_url);
    const deleted = await client.transcripts.delete(made[0]);
    const again = await client.transcripts.get(made[0]);
    return {
      made,
      first: first.transcripts.map((item) => item.id),
      second: second.transcripts.map((item) => item.id),
      deleted: [deleted.text, again.text, again.audio_url, again.status],
      dated: first.transcripts.every((item) => item.completed >= item.created),
    };
  },

  webhook: async () => {
    const transcript = await transcribe({
      audio: given.hello,
      webhook_url: given.hook,
      webhook_auth_header_name: "X-My-Key",
      webhook_auth_header_value: "secret",
    });
    let found = transcript;
    for (let i = 0; i < 100 && !found.webhook_status_code; i++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      found = await client.transcripts.get(transcript.id);
    }
    return [found.id, found.webhook_status_code, found.webhook_auth];
  },

  failures: async () => ({
    download: seen(await transcribe({ audio: `${given.url}/nothing.wav` })),
    "not audio": seen(await transcribe({ audio: Buffer.from("no recording".repeat(100)) })),
    speakers: await refused(() => transcribe({ audio: given.hello, speaker_labels: true })),
    chapters: await refused(() => transcribe({ audio: given.hello, auto_chapters: true })),
    language: await refused(() => transcribe({ audio: given.hello, language_code: "tlh" })),
    id: await refused(() => client.transcripts.get("nonsense")),
    limit: await refused(() => client.transcripts.list({ limit: 1000 })),
  }),
};

const results = {};
for (const [name, step] of Object.entries(steps)) {
  try {
    results[name] = await step();
  } catch (error) {
    results[name] = { failed: String(error.stack) };
  }
}
process.stdout.write(JSON.stringify(results));
