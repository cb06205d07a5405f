/** One file to the server; its transcript comes back as server-sent events. */

import { errorText } from "./notices.js";

/**
 * Calls `on.progress`, `on.segment` as they come and returns the whole transcript.
 * Throws an Error in the user's words.
 */
export async function transcribe(file, language, on, signal) {
  const form = new FormData();
  form.append("file", file, file.name);
  if (language !== "auto") form.append("language", language);
  const answer = await fetch(new URL("v1/transcribe", document.baseURI), {
    method: "POST",
    body: form,
    headers: { Accept: "text/event-stream" },
    signal,
  }).catch((error) => {
    throw error.name === "AbortError" ? error : new Error("The server cannot be reached.");
  });
  if (!answer.ok) throw new Error(await refusal(answer));
  for await (const { name, data } of events(answer.body)) {
    if (name === "done") return data;
    if (name === "error") throw new Error(errorText(data));
    on[name]?.(data);
  }
  throw new Error("The connection was lost before the transcript was complete.");
}

async function refusal(answer) {
  const body = await answer.json().catch(() => null);
  if (body?.error) return errorText(body.error);
  return `The server refused the file: ${answer.status} ${answer.statusText}`.trim();
}

/** The events of a body, https://html.spec.whatwg.org/multipage/server-sent-events.html */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read().catch((error) => {
      if (error.name === "AbortError") throw error;
      return { done: true };
    });
    if (done) return;
    const blocks = (rest + value).split(/\r\n\r\n|\n\n|\r\r/);
    rest = blocks.pop();
    for (const block of blocks) {
      const event = parse(block);
      if (event) yield event;
    }
  }
}

function parse(block) {
  let name = "message";
  const data = [];
  for (const row of block.split(/\r\n|\n|\r/)) {
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(row);
    if (field === "event") name = value;
    if (field === "data") data.push(value);
  }
  return data.length ? { name, data: JSON.parse(data.join("\n")) } : null;
}
