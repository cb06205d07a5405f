/** What sessions are begun with: the fields of `start`, and what was configured since. */

import { SAMPLE_BYTES } from "./samples.js";

const ASKED_MAX = 100;

export class Start {
  #fields;
  #asked = []; // letters of `configure` that the server may still refuse

  /** Throws a RangeError for an encoding that it does not know. */
  constructor({ encoding = "pcm_s16le", sample_rate: rate = 16000, channels = 1, ...others }) {
    choose("start.encoding", encoding, SAMPLE_BYTES);
    this.#fields = { resumable: true, ...others, encoding, sample_rate: rate, channels };
    this.encoding = encoding;
    this.rate = rate;
    this.channels = channels;
    this.sampleBytes = SAMPLE_BYTES[encoding] * channels; // of all channels
  }

  get message() {
    return { type: "start", ...this.#fields };
  }

  configure(letter) {
    this.#asked.push(letter);
    if (this.#asked.length > ASKED_MAX) this.#grant(this.#asked.shift());
  }

  /** What was asked for before this message is not refused any more. */
  settle(number) {
    while (this.#asked[0]?.number < number) this.#grant(this.#asked.shift());
  }

  /**
   * The server does not take this field, as "endpointing.silence_ms": it took nothing of all that was
   * asked for with it. Which that was it does not say, where it was asked for twice: the last.
   */
  refuse(field) {
    const [name] = (field ?? "").split(".");
    const at = this.#asked.findLastIndex(({ control: { type, ...fields } }) =>
      Object.hasOwn(fields, name),
    );
    if (at >= 0) this.#asked.splice(at, 1);
  }

  #grant({ control: { type, ...fields } }) {
    const endpointing = { ...this.#fields.endpointing, ...fields.endpointing };
    this.#fields = { ...this.#fields, ...fields };
    if (fields.endpointing) this.#fields.endpointing = endpointing;
  }
}

/** Throws a RangeError unless `value` is a name in `allowed`. */
export function choose(field, value, allowed) {
  if (!Object.hasOwn(allowed, value)) {
    throw new RangeError(`${field} must be ${Object.keys(allowed).join(", ")}, got ${value}`);
  }
}
