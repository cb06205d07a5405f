/** Asks again and again, for as long as there is something to ask. */

export class Watch {
  #ask;
  #timer = null;
  #isAsking = false;
  #isWanted = false;

  /** `ask` returns the milliseconds until it is to be called again, or null. */
  constructor(ask) {
    this.#ask = ask;
  }

  /** Ask now, or as soon as the answer is there that is being waited for. */
  async now() {
    clearTimeout(this.#timer);
    this.#isWanted = true;
    if (this.#isAsking) return;
    this.#isAsking = true;
    let pause = null;
    while (this.#isWanted) {
      this.#isWanted = false;
      pause = await this.#ask();
    }
    this.#isAsking = false;
    if (pause !== null) this.#timer = setTimeout(() => this.now(), pause);
  }
}
