/** What is known of a file → what is said of it, and what can be done. */

import { clock } from "./clock.js";
import { errorText } from "./notices.js";

/**
 * A state has `name`, `text`, `can` (cancel, retry, remove, read), and maybe `part` (0 to 1, or
 * null while it is not known) and `reason`.
 */
export const UNKNOWN = { name: "unknown", text: "Asking the server", can: ["remove"] };
export const WAITING = { name: "waiting", text: "Waiting to be sent", can: ["cancel"] };

export function uploading(part, bytes) {
  const text = `Uploading · ${Math.floor(part * 100)} % of ${size(bytes)}`;
  return { name: "uploading", text, part, can: ["cancel"] };
}

export function unsent(reason) {
  return { name: "failed", text: "Not sent", reason, can: ["retry", "remove"] };
}

/** Of a job as the server describes it. */
export function stateOf(job) {
  const reason = job.held ? `Held up: ${job.held}.` : "";
  switch (job.status) {
    case "queued":
      return { name: "queued", text: queued(job), reason, can: ["cancel"] };
    case "processing":
      return { name: "processing", ...processing(job), reason, can: ["cancel"] };
    case "completed": {
      const { duration } = job.media;
      const text = duration == null ? "Done" : `Done · ${clock(duration)}`;
      return { name: "done", text, can: ["read", "remove"] };
    }
    default:
      return failed(job.error);
  }
}

function queued({ ahead, throttled }) {
  const place = ahead ? `${ahead} before it` : "next";
  return `Queued · ${place}${throttled ? " · throttled: all places are taken" : ""}`;
}

function processing({ progress }) {
  if (!progress) return { text: "Preparing", part: null };
  const { seconds, duration } = progress;
  if (!duration) return { text: `Transcribing · ${clock(seconds)}`, part: null };
  const text = `Transcribing · ${clock(Math.min(seconds, duration))} of ${clock(duration)}`;
  return { text, part: Math.min(seconds / duration, 1) };
}

function failed(error) {
  const can = ["retry", "remove"];
  if (error.code === "cancelled") return { name: "failed", text: "Cancelled", can };
  const detail = error.detail ? ` (${error.detail})` : "";
  return { name: "failed", text: "Failed", reason: errorText(error) + detail, can };
}

function size(bytes) {
  if (bytes < 1e6) return `${Math.max(1, Math.round(bytes / 1e3))} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}
