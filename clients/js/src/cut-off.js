/**
 * What a server tells of speech that it could not hear to its end: the final, and the markers after
 * it. Another session says it whole; only where none does it is told.
 */

const SHORTER_SECONDS = 1; // that a whole utterance may end before one with the silence after it

export class CutOff {
  #events = [];
  #isOfSession = false; // the present one

  /** Whether it is such an event, and kept. */
  keeps({ type, reason }) {
    if (type === "marker") return this.#isOfSession;
    return type === "final" && reason === "cut_off";
  }

  keep(event) {
    this.#isOfSession = true;
    // Another session, cut off as well, may have heard less of it.
    const isLonger = (kept) => kept.channel === event.channel && kept.end > event.end;
    if (event.type === "final" && this.#events.some(isLonger)) return;
    this.cover(event);
    this.#events.push(event);
  }

  /** Another session has begun. */
  restart() {
    this.#isOfSession = false;
  }

  /** What another session says. */
  cover({ type, channel, end, id }) {
    const isCovered = (kept) =>
      type === "final"
        ? kept.channel === channel && kept.end < end + SHORTER_SECONDS
        : type === "marker" && kept.id === id;
    this.#events = this.#events.filter((kept) => !isCovered(kept));
  }

  /** A session has told all of the recording, or there is no other. Returns what is to be told. */
  end(isWhole) {
    const events = isWhole && !this.#isOfSession ? [] : this.#events;
    this.#events = [];
    return events;
  }
}
