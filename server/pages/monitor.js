/** How the server is doing: a few plots of what `/metrics` says, made in this page. */

import { Access, Declined } from "./access.js";
import { make } from "./elements.js";
import { Notices } from "./notices.js";
import { Plot } from "./plot.js";
import { increase, mean, parse, quantile, total } from "./prometheus.js";
import { Watch } from "./watch.js";

const LOOK_MS = 2000;
const AWAY_MS = 5000;
const SHOWN_SECONDS = 300;
const WINDOW_SECONDS = 20; // over which means and percentiles are taken

const live = { lane: "live" };
const file = { lane: "file" };
const PERCENTILES = ["median", "95 %", "99 %"];

const count = (value) => String(Math.round(value * 10) / 10);
const time = (seconds) =>
  seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${Math.round(seconds * 10) / 10} s`;
const share = (value) => `${Math.round(value * 100)} %`;

/** The lag percentiles and waits of one kind, between two looks. */
const percentiles = (name) => (before, now) =>
  [0.5, 0.95, 0.99].map((part) => quantile(before, now, name, part));
const waits = (before, now) =>
  ["partial", "final", "file"].map((kind) =>
    quantile(before, now, "stentor_queue_wait_seconds", 0.95, { kind }),
  );
const sizes = (before, now) => [
  ...["partial", "final", "file"].map((kind) =>
    mean(before, now, "stentor_batch_requests", { kind }),
  ),
  mean(before, now, "stentor_vad_batch_streams"),
];

/** Title, lines, how a value is written, and the values of two looks and the seconds between. */
const PLOTS = [
  ["Streams", ["live", "files"], count, (_, now) => [
    total(now, "stentor_streams", live),
    total(now, "stentor_streams", file),
  ]],
  ["Capacity left", ["live streams"], count, (_, now) => [total(now, "stentor_streams_left")]],
  ["Lag of partials", PERCENTILES, time, percentiles("stentor_partial_lag_seconds")],
  ["Lag of finals", PERCENTILES, time, percentiles("stentor_final_lag_seconds")],
  ["Waiting in the queue, 95 %", ["partials", "finals", "files"], time, waits],
  ["Requests in the queue", ["live", "files"], count, (_, now) => {
    const [all, files] = [{}, { kind: "file" }].map((labels) =>
      total(now, "stentor_queue_requests", labels),
    );
    return [all - files, files];
  }],
  ["Requests in a batch, mean", ["partials", "finals", "files", "VAD"], count, sizes],
  ["Processor", ["cores"], count, (before, now, seconds) => [
    increase(before, now, "process_cpu_seconds_total") / seconds,
  ]],
];

const FACTS = [
  ["Audio", "stentor_audio_seconds_total", (value) => `${(value / 3600).toFixed(2)} h`],
  ["Streams refused", "stentor_streams_refused_total", count],
  ["Speech dropped", "stentor_dropped_samples_total", (value) => time(value / 16000)],
  ["Requests failed", "stentor_decode_failures_total", count],
  ["Decoding, of real time", "stentor_real_time_factor", share],
  ["Memory", "process_resident_memory_bytes", (value) => `${Math.round(value / 1e6)} MB`],
];

const access = new Access("metrics");
const notices = new Notices(document.querySelector("#notices"));
const state = document.querySelector("#state");
const looks = []; // {at, samples}: the oldest first
const plots = PLOTS.map(([title, names, format, values]) => {
  const plot = new Plot(title, names, { format, seconds: SHOWN_SECONDS });
  document.querySelector("#plots").append(plot.element);
  return { plot, values };
});
const watch = new Watch(look);
watch.now();

async function look() {
  let text;
  try {
    const answer = await access.fetch("metrics");
    text = await answer.text();
    if (!answer.ok) throw new Error(`The server answered with ${answer.status}.`);
  } catch (error) {
    tell(error);
    return error instanceof Declined ? null : AWAY_MS;
  }
  notices.drop("metrics");
  state.textContent = "Live";
  show(performance.now() / 1000, parse(text));
  return LOOK_MS;
}

function tell(error) {
  if (state.textContent === "Away") return;
  state.textContent = "Away";
  const isDeclined = error instanceof Declined;
  // Of a network that fails browsers say only that it did.
  const text = error instanceof TypeError ? "The server cannot be reached." : error.message;
  const again = isDeclined ? { label: "Enter a key", run: () => watch.now() } : null;
  if (isDeclined) state.textContent = "Locked";
  notices.show("metrics", "error", text, again);
}

function show(at, samples) {
  looks.push({ at, samples });
  while (looks.length > 2 && looks[1].at <= at - WINDOW_SECONDS) looks.shift();
  const [before] = looks;
  for (const { plot, values } of plots) {
    const seconds = at - before.at;
    plot.push(at, seconds ? values(before.samples, samples, seconds) : []);
  }
  for (const [name, metric, format] of FACTS) fact(name, format(total(samples, metric) ?? 0));
}

function fact(name, text) {
  const list = document.querySelector("#facts");
  let value = list.querySelector(`[data-name="${name}"]`);
  if (!value) {
    value = make("dd");
    value.dataset.name = name;
    const pair = make("div");
    pair.append(make("dt", "", name), value);
    list.append(pair);
  }
  value.textContent = text;
}
