/** How long to wait before the next attempt: twice as long each time, and at random within that. */

export class Backoff {
  #attempts = 0;

  /** In milliseconds: the wait before the second attempt at most, and before any. */
  constructor({ firstMs = 250, mostMs = 5000, random = Math.random } = {}) {
    this.firstMs = firstMs;
    this.mostMs = mostMs;
    this.random = random;
  }

  /** At least half of the bound, so that clients of a server that comes back do not come at once. */
  next() {
    const bound = Math.min(this.mostMs, this.firstMs * 2 ** this.#attempts);
    this.#attempts += 1;
    return bound * (0.5 + this.random() / 2);
  }

  reset() {
    this.#attempts = 0;
  }
}
