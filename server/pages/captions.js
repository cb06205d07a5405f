/** The transcript on the page: partials that come and go, finals that stay. */

import { clock } from "./clock.js";
import { make } from "./elements.js";
import { render } from "./words.js";

const NEAR_BOTTOM_PX = 80;
const BLINK_MS = 550; // that a caret is there, and that it is not

export class Captions {
  #finals = document.querySelector("#finals");
  #partials = document.querySelector("#partials");
  #empty = document.querySelector("#empty");
  #scroll = document.querySelector("#scroll");
  #latest = document.querySelector("#latest");
  #open = new Map(); // the row of each utterance that is not final yet
  #blinking = null;
  #following = true;
  #segments = [];
  #language = null;
  #offset = 0; // seconds of the recordings before this one, so that times only grow

  constructor() {
    this.#scroll.addEventListener("scroll", () => this.#look());
    this.#latest.addEventListener("click", () => this.#follow(true));
    new ResizeObserver(() => this.#follow()).observe(this.#scroll);
  }

  /** What export sees: all finals of this page, in the shape of a file's transcript. */
  get transcript() {
    const languages = this.#segments.map(({ language }) => language).filter(Boolean);
    return {
      text: this.#segments.map(({ text }) => text).join(" "),
      language: languages.at(-1) ?? null,
      duration: this.#segments.at(-1)?.end ?? 0,
      segments: this.#segments,
    };
  }

  get isEmpty() {
    return this.#segments.length === 0;
  }

  /** A new recording goes on below the finals of those before it. */
  begin() {
    this.#dropPartials();
    this.#empty.hidden = true;
    if (this.#segments.length) {
      const time = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
      this.#finals.append(make("p", "break", `New recording, ${time}`));
    }
    this.#follow(true);
  }

  /** The recording is over after `seconds` of audio. */
  end(seconds) {
    this.#offset += seconds;
    // Words without a final stay readable; they are no part of what is exported.
    for (const row of this.#open.values()) row.classList.add("unfinished");
    this.#blink(false);
    if (this.#finals.childElementCount + this.#open.size === 0) this.#empty.hidden = false;
  }

  /** What is not final comes anew; what was lost is said. */
  restart({ at, lost_seconds: lost }) {
    this.#dropPartials();
    if (lost) this.gap({ start: at - lost, end: at });
  }

  clear() {
    this.#dropPartials();
    this.#finals.replaceChildren();
    this.#segments = [];
    this.#language = null;
    this.#offset = 0;
    this.#empty.hidden = false;
  }

  partial(event) {
    const key = `${event.channel}/${event.utterance}`;
    const settled = event.text.startsWith(event.stable ?? "") ? (event.stable ?? "") : "";
    let row = this.#open.get(key);
    if (!row) {
      row = line("partial", this.#offset + event.start);
      row.lastChild.append(make("span", "stable"), make("span", "unstable"));
      this.#open.set(key, row);
      this.#partials.append(row);
      this.#blink();
    }
    const [stable, unstable] = row.lastChild.childNodes;
    if (stable.textContent !== settled) stable.textContent = settled;
    unstable.textContent = event.text.slice(settled.length);
    this.#follow();
  }

  final(event) {
    const key = `${event.channel}/${event.utterance}`;
    this.#open.get(key)?.remove();
    this.#open.delete(key);
    this.#blink();
    if (!event.text.trim()) return;
    const segment = this.#keep(event);
    const row = line("final", segment.start);
    row.lastChild.append(render(segment.text, segment.words));
    if (segment.language && segment.language !== this.#language) {
      row.firstChild.append(make("span", "code", segment.language));
      this.#language = segment.language;
    }
    this.#finals.append(row);
    this.#follow();
  }

  /** The place of speech that the server heard and could not transcribe. */
  gap({ start, end }) {
    const from = clock(this.#offset + start);
    this.#finals.append(make("p", "gap", `${from} – ${clock(this.#offset + end)} not transcribed`));
    this.#follow();
  }

  #keep({ start, end, text, words, language }) {
    const later = (seconds) => (seconds == null ? seconds : round(seconds + this.#offset));
    const segment = {
      start: later(start),
      end: later(end),
      text: text.trim(),
      language,
      words: (words ?? []).map((word) => ({
        text: word.text,
        start: later(word.start),
        end: later(word.end),
        confidence: word.confidence,
      })),
    };
    this.#segments.push(segment);
    return segment;
  }

  #dropPartials() {
    this.#partials.replaceChildren();
    this.#open.clear();
    this.#blink();
  }

  // By a timer: an animation, though of two steps, has every frame drawn anew.
  #blink(isOn = this.#open.size > 0) {
    if (isOn === (this.#blinking !== null)) return;
    clearInterval(this.#blinking);
    const blink = () => this.#partials.classList.toggle("caret-off");
    this.#blinking = isOn ? setInterval(blink, BLINK_MS) : null;
    this.#partials.classList.remove("caret-off");
  }

  #look() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroll;
    this.#following = scrollHeight - scrollTop - clientHeight < NEAR_BOTTOM_PX;
    this.#latest.hidden = this.#following;
  }

  // Somebody who reads further up is left there.
  #follow(always = false) {
    if (always) this.#following = true;
    if (this.#following) this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#latest.hidden = this.#following;
  }
}

/** A row of a transcript: its time, which is no part of what is read aloud, and its text. */
export function line(className, start) {
  const row = make("p", className);
  const time = make("span", "time", clock(start));
  time.setAttribute("aria-hidden", "true");
  row.append(time, make("span", "text"));
  return row;
}

// Sums of decimal seconds are not decimal: 1.1 + 2.2 should be exported as 3.3.
function round(seconds) {
  return Math.round(seconds * 1000) / 1000;
}
