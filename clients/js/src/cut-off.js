/**
 * What a server tells of speech that it could not hear to its end: the final, and the markers after
 * it. Another session says it whole; only where there is none it is told.
 */

export class CutOff {
  #events = [];

  /** Whether it is such an event, and kept. */
  keeps(event) {
    const isFinal = event.type === "final" && event.reason === "cut_off";
    return isFinal || (event.type === "marker" && this.#events.length > 0);
  }

  keep(event) {
    this.#events.push(event);
  }

  /** What was kept, for the last time. */
  drain() {
    const events = this.#events;
    this.#events = [];
    return events;
  }
}
