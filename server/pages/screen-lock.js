/** Keeps the screen on: a phone that darkens it stops the page, and with it the recording. */

export class ScreenLock {
  #lock = null;
  #isWanted = false;
  #isAsking = false;

  constructor() {
    // The browser takes it away from a page that is hidden.
    document.addEventListener("visibilitychange", () => this.#follow());
  }

  want(isWanted) {
    this.#isWanted = isWanted;
    this.#follow();
  }

  async #follow() {
    if (this.#isAsking) return;
    if (!this.#isWanted) {
      this.#lock?.release();
      this.#lock = null;
    } else if (!this.#lock && !document.hidden && "wakeLock" in navigator) {
      this.#isAsking = true;
      const lock = await navigator.wakeLock.request("screen").catch(() => null);
      this.#isAsking = false;
      this.#lock = lock;
      lock?.addEventListener("release", () => {
        if (this.#lock === lock) this.#lock = null;
      });
      if (!this.#isWanted) this.#follow(); // not any longer
    }
  }
}
