// What a web application's backend does with AssemblyAI's Node SDK, over TLS: transcribe, and make a
// token for the browser. The argument is JSON: `url`, `key`, `wrong`, `audio`. It prints JSON.

import { AssemblyAI } from "assemblyai";

const given = JSON.parse(process.argv[2]);
const client = (apiKey) =>
  new AssemblyAI({ apiKey, baseUrl: given.url, streamingBaseUrl: given.url });
const token = (apiKey) => client(apiKey).streaming.createTemporaryToken({ expires_in_seconds: 60 });

const transcript = await client(given.key).transcripts.transcribe(
  { audio: given.audio },
  { pollingInterval: 100 },
);
const refused = await token(given.wrong).catch((error) => error.message);
const legacy = await client(given.key).realtime.createTemporaryToken({ expires_in: 60 });
const found = { token: await token(given.key), text: transcript.text, refused, legacy };
process.stdout.write(JSON.stringify(found));
