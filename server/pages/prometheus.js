/** What `/metrics` says: Prometheus' text format, and what is made of its counters. */

/** Samples by name: each is `{labels, value}`. Exemplars and times are not used by the server. */
export function parse(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!match) continue;
    const [, name, given = "", value] = match;
    const labels = Object.fromEntries(
      [...given.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key, text]),
    );
    if (!found.has(name)) found.set(name, []);
    found.get(name).push({ labels, value: Number(value.replace("Inf", "Infinity")) });
  }
  return found;
}

/** The sum of those samples that have all these labels; null where there is none. */
export function total(samples, name, labels = {}) {
  const asked = Object.entries(labels);
  const some = (samples.get(name) ?? []).filter((one) =>
    asked.every(([key, text]) => one.labels[key] === text),
  );
  return some.length ? some.reduce((sum, { value }) => sum + value, 0) : null;
}

/** By how much a counter has grown between two looks; a server that was started anew begins at 0. */
export function increase(before, now, name, labels = {}) {
  const [from, to] = [total(before, name, labels) ?? 0, total(now, name, labels) ?? 0];
  return to < from ? to : to - from;
}

/** The mean of what a histogram saw between two looks; null where it saw nothing. */
export function mean(before, now, name, labels = {}) {
  const count = increase(before, now, `${name}_count`, labels);
  return count ? increase(before, now, `${name}_sum`, labels) / count : null;
}

/**
 * The value below which lies that part (0 to 1) of what a histogram saw between two looks; null
 * where it saw nothing. Even within a bucket, as Prometheus' histogram_quantile has it.
 */
export function quantile(before, now, name, part, labels = {}) {
  const bounds = new Set((now.get(`${name}_bucket`) ?? []).map((one) => one.labels.le));
  const buckets = [...bounds].map((le) => ({
    bound: le === "+Inf" ? Infinity : Number(le),
    count: increase(before, now, `${name}_bucket`, { ...labels, le }),
  }));
  buckets.sort((one, other) => one.bound - other.bound);
  const all = buckets.at(-1)?.count;
  if (!all) return null;
  const rank = part * all;
  const at = buckets.findIndex(({ count }) => count >= rank);
  const { bound, count } = buckets[at];
  const below = at ? buckets[at - 1] : { bound: 0, count: 0 };
  if (bound === Infinity) return below.bound;
  if (count === below.count) return bound;
  return below.bound + (bound - below.bound) * ((rank - below.count) / (count - below.count));
}
