/** For how long, and how often, a connection that was lost is tried again. */

import { Backoff } from "./backoff.js";

const STEADY_MS = 5000; // a connection that lasts so long is not one that breaks each time

export class Patience {
  #backoff;
  #mostMs;
  #acceptedAt = null;
  #lostAt = null;

  constructor(backoff, seconds) {
    this.#backoff = new Backoff(backoff);
    this.#mostMs = seconds * 1000;
  }

  accepted() {
    this.#acceptedAt = performance.now();
    this.#lostAt = null;
  }

  /** Returns whether to try again. */
  lost() {
    const now = performance.now();
    if (this.#acceptedAt !== null && now - this.#acceptedAt > STEADY_MS) this.#backoff.reset();
    this.#acceptedAt = null;
    this.#lostAt ??= now;
    return now - this.#lostAt <= this.#mostMs;
  }

  /** Milliseconds until then. */
  next() {
    return this.#backoff.next();
  }
}
