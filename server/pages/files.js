/** The queue of files: one at a time goes to the server, the others wait their turn. */

import { line } from "./captions.js";
import { clock } from "./clock.js";
import { exportButtons } from "./export.js";
import { transcribe } from "./upload.js";
import { render } from "./words.js";

export class Files {
  #list;
  #language;
  #onChange;
  #waiting = [];
  #running = null;

  constructor({ list, language, onChange }) {
    this.#list = list;
    this.#language = language;
    this.#onChange = onChange;
  }

  /** How many are not finished. */
  get pending() {
    return this.#waiting.length + (this.#running ? 1 : 0);
  }

  add(files) {
    for (const file of files) {
      const card = new FileCard(file, {
        leave: (left) => this.#leave(left),
        again: (failed) => this.#enqueue(failed),
      });
      this.#list.append(card.element);
      this.#enqueue(card);
    }
  }

  #enqueue(card) {
    card.wait();
    this.#waiting.push(card);
    this.#pump();
  }

  #leave(card) {
    this.#waiting = this.#waiting.filter((other) => other !== card);
    this.#onChange();
  }

  async #pump() {
    this.#onChange();
    if (this.#running || !this.#waiting.length) return;
    this.#running = this.#waiting.shift();
    await this.#running.run(this.#language.value);
    this.#running = null;
    this.#pump();
  }
}

/** One file on the page: its state, its transcript as it grows, what can be done with it. */
class FileCard {
  #file;
  #on;
  #abort = null;
  #transcript = null;
  #segments = [];

  constructor(file, on) {
    this.#file = file;
    this.#on = on;
    this.element = make("article", "file");
    this.title = make("h2", "name", file.name);
    this.status = make("p", "quiet");
    this.progress = make("progress");
    this.progress.setAttribute("aria-label", `Progress of ${file.name}`);
    this.error = make("p", "failure");
    this.error.setAttribute("role", "alert");
    this.text = make("div", "transcript");
    this.text.setAttribute("aria-label", `Transcript of ${file.name}`);
    this.retry = make("button", "act", "Try again");
    this.remove = make("button", "dismiss", "✕");
    this.tools = make("div", "tools");
    this.#build();
  }

  #build() {
    const head = make("header");
    this.retry.type = this.remove.type = "button";
    this.retry.addEventListener("click", () => this.#on.again(this));
    this.remove.setAttribute("aria-label", `Remove ${this.#file.name}`);
    this.remove.addEventListener("click", () => this.#discard());
    head.append(this.title, this.status, this.retry, this.remove);
    const stem = this.#file.name.replace(/\.[^.]+$/, "");
    this.tools.append(exportButtons(() => stem, () => this.#read()));
    this.element.append(head, this.progress, this.error, this.text, this.tools);
  }

  wait() {
    this.#enter("waiting", `${size(this.#file.size)} · waiting`);
  }

  async run(language) {
    this.#abort = new AbortController();
    this.#segments = [];
    this.#transcript = null;
    this.text.replaceChildren();
    this.progress.removeAttribute("value");
    this.#enter("running", `${size(this.#file.size)} · uploading`);
    const on = {
      progress: (data) => this.#advance(data),
      segment: (data) => this.#append(data),
    };
    try {
      this.#finish(await transcribe(this.#file, language, on, this.#abort.signal));
    } catch (error) {
      if (error.name === "AbortError") return;
      this.error.textContent = error.message;
      this.#enter("failed", "Failed");
    }
  }

  #advance({ seconds, duration }) {
    if (duration) {
      this.progress.max = duration;
      this.progress.value = Math.min(seconds, duration);
    }
    const of = duration ? ` of ${clock(duration)}` : "";
    this.#enter("running", `Transcribing · ${clock(seconds)}${of}`);
  }

  #append(segment) {
    this.#segments.push(segment);
    const row = line("final", segment.start);
    row.lastChild.append(render(segment.text.trim(), segment.words));
    this.text.append(row);
    this.text.tabIndex = 0;
    this.text.scrollTop = this.text.scrollHeight;
  }

  #finish(transcript) {
    this.#transcript = transcript;
    if (!this.#segments.length) transcript.segments?.forEach((segment) => this.#append(segment));
    if (!this.#segments.length) this.text.append(make("p", "quiet", "No speech was heard."));
    this.text.scrollTop = 0;
    const words = transcript.text?.split(/\s+/).filter(Boolean).length ?? 0;
    const length = transcript.duration == null ? "" : `${clock(transcript.duration)} · `;
    this.#enter("done", `${length}${words} ${words === 1 ? "word" : "words"}`);
    document.querySelector("#announcer").textContent = `${this.#file.name} is transcribed.`;
  }

  #read() {
    if (this.#transcript) return { ...this.#transcript, segments: this.#segments };
    const text = this.#segments.map((segment) => segment.text.trim()).join(" ");
    return { text, language: null, duration: null, segments: this.#segments };
  }

  #discard() {
    this.#abort?.abort();
    this.element.remove();
    this.#on.leave(this);
  }

  #enter(state, text) {
    this.element.dataset.state = state;
    this.status.textContent = text;
    this.progress.hidden = state !== "running";
    this.error.hidden = state !== "failed";
    this.retry.hidden = state !== "failed";
    this.tools.hidden = !this.#segments.length || state === "waiting";
  }
}

function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function size(bytes) {
  if (bytes < 1e6) return `${Math.max(1, Math.round(bytes / 1e3))} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}
