/** How far a session is settled: what lies before is in a final, or was not heard as speech. */

const LEAD_SECONDS = 0.3; // before speech, for those who look for its beginning
const LATE_SECONDS = 3; // that the beginning of speech may be told after its audio was heard
const PACE = 2; // that a server hears at least what it has taken, beside that of speech

export class Settled {
  #channels;
  #heard = 0; // seconds
  #at;

  /** `now` is in seconds, as all that follows. */
  constructor(channels, now) {
    this.#channels = Array.from({ length: channels }, () => ({ open: [], until: 0 }));
    this.#at = now;
  }

  /** In seconds of the session. An utterance is open from its start to its final. */
  note({ type, channel, at, end }) {
    const place = this.#channels[channel ?? 0];
    if (!place) return;
    if (type === "speech_started") place.open.push(at);
    if (type !== "final") return;
    place.open = place.open.filter((start) => start >= end);
    place.until = Math.max(place.until, end);
  }

  /** Where each channel's last final has ended. */
  get answered() {
    return this.#channels.map(({ until }) => until);
  }

  /** The server has so many seconds: of a file those are many more than it has heard. */
  take(taken, now) {
    this.#heard = Math.min(taken, this.#heard + PACE * (now - this.#at));
    this.#at = now;
  }

  get seconds() {
    const each = this.#channels.map(({ open, until }) =>
      Math.max(until, open.length ? Math.min(...open) - LEAD_SECONDS : this.#heard - LATE_SECONDS),
    );
    return Math.min(...each);
  }
}
