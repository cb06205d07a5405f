/** What sessions are begun with: the fields of `start`, and what was configured since. */

import { SAMPLE_BYTES } from "./samples.js";

export class Start {
  #fields;
  #configured = {}; // last
  #before = {}; // all fields, before that

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

  configure(fields) {
    this.#before = this.#fields;
    this.#configured = fields;
    this.#fields = { ...this.#fields, ...fields };
    if (!fields.endpointing) return;
    this.#fields.endpointing = { ...this.#before.endpointing, ...fields.endpointing };
  }

  /** The server does not take this field, as "endpointing.silence_ms": it took nothing of all. */
  refuse(field) {
    const [name] = (field ?? "").split(".");
    if (Object.hasOwn(this.#configured, name)) this.#fields = this.#before;
  }
}

/** Throws a RangeError unless `value` is a name in `allowed`. */
export function choose(field, value, allowed) {
  if (!Object.hasOwn(allowed, value)) {
    throw new RangeError(`${field} must be ${Object.keys(allowed).join(", ")}, got ${value}`);
  }
}
