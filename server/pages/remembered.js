/** This browser's own uploads: the ids of their jobs, and what the server does not know. */

import { drop, keep, keys, recall } from "./storage.js";

const PREFIX = "stentor.file.";

/** `{id, name, size, added}` of each, the newest first; `added` grows from file to file. */
export function remembered() {
  const own = keys().filter((key) => key.startsWith(PREFIX));
  return own.map((key) => read(key, recall(key))).filter(Boolean).sort(
    (one, other) => other.added - one.added,
  );
}

/** An entry for each, so that two tabs never write the same one. */
export function remember({ id, name, size, added }) {
  keep(PREFIX + id, JSON.stringify({ name, size, added }));
}

export function forget(id) {
  drop(PREFIX + id);
}

/** Tells what other tabs remember and forget. */
export function watchOthers({ onAdded, onForgotten }) {
  addEventListener("storage", ({ key, newValue }) => {
    if (!key?.startsWith(PREFIX)) return;
    const known = newValue && read(key, newValue);
    if (known) onAdded(known);
    else onForgotten(key.slice(PREFIX.length));
  });
}

/** Null for what we have not written. */
function read(key, value) {
  try {
    const { name, size, added } = JSON.parse(value);
    return typeof name === "string" ? { id: key.slice(PREFIX.length), name, size, added } : null;
  } catch {
    return null;
  }
}
