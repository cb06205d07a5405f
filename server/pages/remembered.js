/** This browser's own uploads: the ids of their jobs, and what the server does not know. */

const PREFIX = "stentor.file.";

/** `{id, name, size, added}` of each, the newest first; `added` grows from file to file. */
export function remembered() {
  const keys = attempt(() => Object.keys(localStorage)) ?? [];
  const own = keys.filter((key) => key.startsWith(PREFIX));
  return own.map((key) => read(key, localStorage.getItem(key))).filter(Boolean).sort(
    (one, other) => other.added - one.added,
  );
}

/** An entry for each, so that two tabs never write the same one. */
export function remember({ id, name, size, added }) {
  attempt(() => localStorage.setItem(PREFIX + id, JSON.stringify({ name, size, added })));
}

export function forget(id) {
  attempt(() => localStorage.removeItem(PREFIX + id));
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

function read(key, value) {
  const { name, size, added } = attempt(() => JSON.parse(value)) ?? {};
  return typeof name === "string" ? { id: key.slice(PREFIX.length), name, size, added } : null;
}

// Storage can be forbidden altogether; then what is remembered lasts as long as the page.
function attempt(work) {
  try {
    return work();
  } catch {
    return null;
  }
}
