/** One file to the server, which answers with its job. */

import { access, Declined } from "./access.js";
import { refusal, Unreachable } from "./jobs.js";

/**
 * Calls `onProgress` with the part that has been sent, 0 to 1. Throws Unreachable, Refused, or
 * an AbortError once `signal` says so. `fetch` cannot tell how much has been sent.
 */
export async function upload(file, language, onProgress, signal) {
  const key = await access.goodKey().catch((error) => {
    throw error instanceof Declined ? error : new Unreachable("The server cannot be reached.");
  });
  signal.throwIfAborted();
  const form = new FormData();
  if (language !== "auto") form.append("language", language);
  form.append("file", file, file.name);
  const request = new XMLHttpRequest();
  request.open("POST", new URL("v1/jobs", document.baseURI));
  if (key) request.setRequestHeader("Authorization", `Bearer ${key}`);
  request.responseType = "json";
  request.upload.addEventListener("progress", ({ loaded, total }) => onProgress(loaded / total));
  signal.addEventListener("abort", () => request.abort());
  return new Promise((resolve, reject) => {
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    request.onerror = () => {
      const why = "the server cannot be reached, or the file cannot be read";
      reject(new Unreachable(`It could not be sent: ${why}.`));
    };
    request.onload = () => {
      if (request.status === 201) resolve(request.response);
      else reject(refusal(request.status, request.response));
    };
    request.send(form);
  });
}
