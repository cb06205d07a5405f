/** The queue of this browser's files: sent one after the other, then watched as jobs. */

import { FileCard } from "./file-card.js";
import { stateOf, UNKNOWN, unsent, uploading, WAITING } from "./file-states.js";
import * as jobs from "./jobs.js";
import { forget, remember, remembered, watchOthers } from "./remembered.js";
import { upload } from "./upload.js";
import { Watch } from "./watch.js";

const LOOK_MS = 1000;
const LOOK_HIDDEN_MS = 10000;
const AWAY_MS = 3000; // while the server cannot be reached

export class Files {
  #list;
  #language;
  #notices;
  #onChange;
  #all = []; // as they stand on the page
  #unsent = [];
  #sending = null;
  #watch = new Watch(() => this.#look());
  #isStale = true; // what has ended may have been deleted, too
  #isAway = false;

  constructor({ list, language, notices, onChange }) {
    this.#list = list;
    this.#language = language;
    this.#notices = notices;
    this.#onChange = onChange;
    this.#place(remembered().map((known) => this.#make(known)));
    watchOthers({
      onAdded: (known) => this.#adopt(known),
      onForgotten: (id) => this.#drop(this.#all.find((upload) => upload.id === id)),
    });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.#isStale = true;
      this.#watch.now();
    });
    this.#watch.now();
  }

  /** How many would be lost with the page. */
  get unsent() {
    return this.#unsent.length + (this.#sending ? 1 : 0);
  }

  /** How many have not ended. */
  get pending() {
    return this.#all.filter(({ isOpen }) => isOpen).length;
  }

  add(files) {
    const now = Date.now();
    const language = this.#language.value;
    const added = [...files].map((file, number) => {
      // The first of them is shown first, here and after a reload.
      const known = { name: file.name, size: file.size, added: now + (files.length - number) / 1e4 };
      return Object.assign(this.#make(known), { file, language, isAlone: files.length === 1 });
    });
    this.#place(added);
    for (const one of added) this.#enqueue(one);
  }

  // ---- the list

  #make({ id = null, name, size, added }) {
    const one = { id, name, size, added, isOpen: true };
    one.card = new FileCard(name, {
      cancel: () => this.#attempt(one, () => this.#cancel(one)),
      retry: () => this.#attempt(one, () => this.#retry(one)),
      remove: () => this.#attempt(one, () => this.#remove(one)),
      read: () => jobs.transcript(one.id),
    });
    one.card.show(UNKNOWN);
    return one;
  }

  #place(added) {
    this.#all.unshift(...added);
    this.#list.prepend(...added.map(({ card }) => card.element));
    this.#onChange(this.pending);
  }

  #adopt(known) {
    if (this.#all.some(({ id }) => id === known.id)) return;
    this.#place([this.#make(known)]);
    this.#watch.now();
  }

  #drop(one) {
    if (!this.#all.includes(one)) return;
    const { element } = one.card;
    const next = element.nextElementSibling ?? element.previousElementSibling;
    if (element.contains(document.activeElement)) (next ?? document.querySelector("#picker")).focus();
    element.remove();
    this.#all = this.#all.filter((other) => other !== one);
    if (one.id) forget(one.id);
    this.#onChange(this.pending);
  }

  #show(one, state) {
    const wasOpen = one.isOpen && one.state;
    one.state = state.name;
    one.isOpen = !["done", "failed"].includes(state.name);
    one.card.show(state);
    if (wasOpen && !one.isOpen) {
      this.#announce(`${one.name}: ${[state.text, state.reason].filter(Boolean).join(". ")}`);
      if (state.name === "done" && one.isAlone) one.card.open();
    }
    this.#onChange(this.pending);
  }

  #announce(text) {
    document.querySelector("#announcer").textContent = text;
  }

  // ---- sending

  #enqueue(one) {
    this.#show(one, WAITING);
    this.#unsent.push(one);
    this.#pump();
  }

  async #pump() {
    if (this.#sending || !this.#unsent.length) return;
    const one = this.#unsent.shift();
    this.#sending = one;
    const isOver = await this.#send(one);
    this.#sending = null;
    if (isOver) {
      this.#pump();
    } else {
      this.#unsent.unshift(one);
      setTimeout(() => this.#pump(), AWAY_MS);
    }
  }

  /** Whether nothing is left to be done; false while the server is away. */
  async #send(one) {
    one.abort = new AbortController();
    const onProgress = (part) => this.#show(one, uploading(part, one.size));
    onProgress(0);
    try {
      this.#become(one, await upload(one.file, one.language, onProgress, one.abort.signal));
    } catch (error) {
      // No answer may also be the fault of the file, which may have been deleted.
      const isAway = error instanceof jobs.Unreachable && !(await jobs.isThere());
      if (isAway && !one.abort.signal.aborted) {
        this.#reach(error);
        this.#show(one, WAITING);
        return false;
      }
      this.#show(one, unsent(error.name === "AbortError" ? "Cancelled." : error.message));
    }
    return true;
  }

  /** It is this job from now on. */
  #become(one, job) {
    if (one.id) forget(one.id);
    one.id = job.id;
    remember(one);
    this.#show(one, stateOf(job));
    this.#watch.now();
  }

  // ---- watching

  async #look() {
    const asked = this.#all.filter(({ id, isOpen }) => id && (isOpen || this.#isStale));
    const pairs = asked.map((one) => [one, one.id]);
    if (!pairs.length) return null;
    try {
      const found = await jobs.look(pairs.map(([, id]) => id));
      this.#isStale = false;
      this.#reach(null);
      // What was tried again or deleted meanwhile has another id, or is not there.
      const same = pairs.filter(([one, id]) => one.id === id && this.#all.includes(one));
      for (const [one, id] of same) if (found.has(id)) this.#show(one, stateOf(found.get(id)));
      this.#lose(same.filter(([, id]) => !found.has(id)).map(([one]) => one));
    } catch (error) {
      this.#reach(error);
      return AWAY_MS;
    }
    if (!this.#all.some(({ id, isOpen }) => id && isOpen)) return null;
    return document.hidden ? LOOK_HIDDEN_MS : LOOK_MS;
  }

  /** Says once that something is wrong, and takes it back when `error` is null. */
  #reach(error) {
    if (error && !this.#isAway) {
      const isAway = error instanceof jobs.Unreachable;
      const hope = isAway ? " Your files go on when the server is back." : "";
      this.#notices.show("jobs", "warning", error.message.replace(/[.]?$/, ".") + hope);
    } else if (!error && this.#isAway) {
      this.#notices.drop("jobs");
    }
    this.#isAway = Boolean(error);
  }

  #lose(gone) {
    if (!gone.length) return;
    const what = gone.length === 1 ? `${gone[0].name} is` : `${gone.length} files are`;
    const why = "deleted there, or kept for as long as files are";
    for (const one of gone) this.#drop(one);
    this.#notices.show("gone", "info", `${what} no longer on the server: ${why}.`);
  }

  // ---- what users do

  /** One thing at a time with each file, however often a button is pressed. */
  async #attempt(one, work) {
    if (one.isBusy) return;
    one.isBusy = true;
    await work().catch((error) => one.card.complain(error.message));
    one.isBusy = false;
  }

  async #cancel(one) {
    if (this.#unsent.includes(one)) {
      this.#unsent = this.#unsent.filter((other) => other !== one);
      this.#show(one, unsent("Cancelled."));
    } else if (this.#sending === one) {
      one.abort.abort();
    } else {
      this.#show(one, stateOf(await jobs.cancel(one.id)));
    }
  }

  async #retry(one) {
    const old = one.id;
    if (!old) return this.#enqueue(one);
    try {
      this.#become(one, await jobs.retry(old));
    } catch (error) {
      // The server keeps audio for a day; the page, for as long as it is open.
      if (!one.file || error instanceof jobs.Unreachable) throw error;
      forget(old);
      one.id = null;
      this.#enqueue(one);
    }
    return jobs.remove(old).catch(() => null); // what is left of it ends with its time
  }

  async #remove(one) {
    const question = `Delete ${one.name} and its transcript from the server?`;
    if (one.state === "done" && !confirm(question)) return;
    if (one.id) await jobs.remove(one.id);
    this.#announce(`${one.name} is deleted.`);
    this.#drop(one);
  }
}
