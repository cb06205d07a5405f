/** What has been said to the server and may have to be said again: audio and controls, in order. */

import { silenced } from "./samples.js";

export class Outbox {
  #letters = []; // {number, start, end, control, audio}: of a control `start` is `end`
  #encoding;
  #channels;
  #sampleBytes; // of one sample of all channels
  #taken = 0; // of this session, the number of the last message the server has

  constructor({ encoding, channels, sampleBytes }) {
    this.#encoding = encoding;
    this.#channels = channels;
    this.#sampleBytes = sampleBytes;
    this.count = 0; // messages of this session
    this.end = 0; // samples of the recording, from its beginning, as are all below
    this.takenEnd = 0; // what the server has
    this.start = 0; // what lies before it is gone
  }

  /** Returns the message. Throws a RangeError unless it holds whole samples. */
  audio(given) {
    const pcm = copied(given);
    const samples = pcm.byteLength / this.#sampleBytes;
    if (!Number.isInteger(samples)) {
      const whole = `whole samples of ${this.#sampleBytes} bytes`;
      throw new RangeError(`audio must be ${whole}, got ${pcm.byteLength} bytes`);
    }
    const start = this.end;
    this.end += samples;
    return this.#add({ start, end: this.end, audio: pcm });
  }

  control(message) {
    return this.#add({ start: this.end, end: this.end, control: message });
  }

  #add(letter) {
    this.count += 1;
    letter.number = this.count;
    this.#letters.push(letter);
    return letter;
  }

  /** Samples that the server is not known to have. */
  get ahead() {
    return this.end - this.takenEnd;
  }

  /** The server has this session's messages up to that one. */
  take(number) {
    this.#taken = Math.max(this.#taken, number);
    const last = this.#letters.findLast((letter) => letter.number <= this.#taken);
    this.takenEnd = Math.max(this.takenEnd, last?.end ?? 0);
  }

  /** Forget what the server has and what lies before this sample. */
  release(sample) {
    const isNeeded = ({ number, end }) => number > this.#taken || end > sample;
    const first = this.#letters.findIndex(isNeeded);
    this.#letters.splice(0, first < 0 ? this.#letters.length : first);
    this.start = this.#letters[0]?.start ?? this.end;
  }

  /** A marker has been answered. */
  strike(id) {
    const at = this.#letters.findIndex(({ control }) => control?.id === id);
    if (at >= 0) this.#letters.splice(at, 1);
  }

  /** The number after that of the last message that the server has. */
  get next() {
    return this.#taken + 1;
  }

  /** What this session still has to be sent. */
  get untaken() {
    return this.#letters.filter(({ number }) => number > this.#taken);
  }

  /**
   * Begins another session with what lies after this sample, or after the first that is left.
   * `answered` says up to which sample a channel needs not be heard again: it is silent there.
   * Returns where it begins.
   */
  restart(sample, answered = []) {
    const from = Math.max(sample, this.start);
    const kept = this.#letters.filter(({ number, control, end }) => {
      if (!control) return end > from;
      // What was configured and taken is part of the new `start`.
      return control.type === "configure" ? number > this.#taken : end >= from;
    });
    this.#letters = [];
    this.count = this.#taken = 0;
    for (const letter of kept) {
      const { control, audio, start, end } = letter;
      const cut = Math.max(0, from - start);
      if (control) this.#add(letter);
      else this.#add({ start: start + cut, end, audio: this.#unanswered(audio, start, cut, answered) });
    }
    this.start = this.takenEnd = from;
    return from;
  }

  /** Audio that begins at `start`, without its first samples and what its channels have told. */
  #unanswered(audio, start, cut, answered) {
    const left = audio.slice(cut * this.#sampleBytes);
    const counts = answered.map((sample) => Math.max(0, sample - start - cut));
    return silenced(left, this.#encoding, this.#channels, counts);
  }
}

/** Whoever has given it may write into it again, long before it is sent for the last time. */
function copied(given) {
  if (!(given?.byteLength >= 0)) {
    throw new RangeError(`audio must be an ArrayBuffer or a typed array, got ${given}`);
  }
  const bytes = ArrayBuffer.isView(given)
    ? new Uint8Array(given.buffer, given.byteOffset, given.byteLength)
    : new Uint8Array(given);
  return bytes.slice().buffer;
}
