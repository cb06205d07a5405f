/** The server's jobs, docs/jobs.md; what goes wrong comes in the user's words. */

import { access, Declined } from "./access.js";
import { errorText } from "./notices.js";

const IDS_AT_ONCE = 50; // so that an address stays short

/** The server cannot be reached, is not ready or asked too often: in a while it may be otherwise. */
export class Unreachable extends Error {}

/** The server says no. `status` is that of HTTP. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The jobs with these ids, by id; those that the server does not know are left out. */
export async function look(ids) {
  const found = new Map();
  for (let at = 0; at < ids.length; at += IDS_AT_ONCE) {
    const some = ids.slice(at, at + IDS_AT_ONCE);
    const { jobs } = await ask("GET", `v1/jobs?ids=${some.join(",")}`);
    for (const job of jobs) found.set(job.id, job);
  }
  return found;
}

/** Whether the server takes jobs just now. */
export function isThere() {
  const said = ask("GET", "v1/jobs?limit=1");
  return said.then(() => true, (error) => !(error instanceof Unreachable));
}

export const cancel = (id) => ask("POST", `v1/jobs/${id}/cancel`);
export const retry = (id) => ask("POST", `v1/jobs/${id}/retry`);
export const transcript = (id) => ask("GET", `v1/jobs/${id}/transcript`);

/** It is gone afterwards, whoever deleted it. */
export async function remove(id) {
  await ask("DELETE", `v1/jobs/${id}`).catch((error) => {
    if (error.status !== 404) throw error;
  });
}

async function ask(method, path) {
  const answer = await access.fetch(path, { method }).catch((error) => {
    throw error instanceof Declined ? error : new Unreachable("The server cannot be reached.");
  });
  const body = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (!answer.ok) throw refusal(answer.status, body);
  return body;
}

/** An answer that is none, as an error. */
export function refusal(status, body) {
  const said = body?.error ? errorText(body.error) : `The server answered with ${status}.`;
  // 502 and 504 come from what stands before a server that is away; 429 is said for a minute.
  return [429, 502, 503, 504].includes(status) ? new Unreachable(said) : new Refused(status, said);
}
