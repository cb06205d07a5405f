// What a program does with Speechmatics' batch client for JavaScript. The argument is JSON: `url`,
// `key`, `audio`, `fetch`. It prints JSON.

import { openAsBlob } from "node:fs";
import { createSpeechmaticsJWT } from "@speechmatics/auth";
import { BatchClient } from "@speechmatics/batch-client";

const given = JSON.parse(process.argv[2]);
const config = { transcription_config: { language: "en", operating_point: "enhanced" } };
const found = {};
const client = (apiKey) => new BatchClient({ apiKey, apiUrl: given.url, appId: "tests" });

const file = new File([await openAsBlob(given.audio)], "hello.wav");
const own = client(given.key);
const told = await own.transcribe(file, config, "json-v2");
found.words = told.results.map((result) => result.alternatives[0].content);
found.name = told.job.data_name;
found.text = await own.transcribe({ url: given.fetch }, config, "text");
found.listed = (await own.listJobs({ limit: 1 })).jobs.length;
found.features = (await own.getFeatureDiscovery()).batch.transcription[0].languages;
found.deleted = (await own.deleteJob(told.job.id)).job.status;
found.missing = await own.getJob("00000000-0000-4000-8000-000000000000").catch((error) => error.error);
found.rejected = await own
  .createTranscriptionJob(file, { transcription_config: { language: "tlh" } })
  .catch((error) => error.response);

const managementPlatformURL = `${given.url}/v1`;
const mint = (clientRef) =>
  createSpeechmaticsJWT({ type: "batch", apiKey: given.key, clientRef, managementPlatformURL });
const [one, other] = [client(await mint("one")), client(await mint("other"))];
const { id } = await one.createTranscriptionJob(file, config);
found.mine = (await one.getJob(id)).job.id === id;
found.theirs = await other.getJob(id).catch((error) => error.error);
found.counts = [(await one.listJobs()).jobs.length, (await other.listJobs()).jobs.length];
found.all = (await own.listJobs()).jobs.map((job) => job.id).includes(id);
process.stdout.write(JSON.stringify(found));
