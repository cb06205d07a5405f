/** How far a session is settled: what lies before is in a final, or was not heard as speech. */

const LEAD_SECONDS = 0.3; // before speech, for those who look for its beginning
const LATE_SECONDS = 3; // that the beginning of speech may be told after its audio was heard
const PACE = 2; // of speech, at which a server at least hears what it has

export class Settled {
  #base;
  #rate;
  #channels; // in seconds of the session, as what is heard
  #heard = 0;
  #at = performance.now();

  /** The session begins with the sample `base` of the recording. */
  constructor({ channels, rate }, base = 0) {
    this.#base = base;
    this.#rate = rate;
    this.#channels = Array.from({ length: channels }, () => ({ open: [], until: 0 }));
  }

  /** An event of the session. An utterance is open from its start to its final. */
  note({ type, channel, at, end }) {
    const place = this.#channels[channel ?? 0];
    if (!place) return;
    if (type === "speech_started") place.open.push(at);
    if (type !== "final") return;
    place.open = place.open.filter((start) => start >= end);
    place.until = Math.max(place.until, end);
  }

  /** The server has what lies before this sample: of a file that is far more than it has heard. */
  take(sample) {
    const now = performance.now();
    const heard = this.#heard + (PACE * (now - this.#at)) / 1000;
    this.#heard = Math.min((sample - this.#base) / this.#rate, heard);
    this.#at = now;
  }

  /** What lies before this sample of the recording is settled. */
  get sample() {
    const each = this.#channels.map(({ open, until }) =>
      Math.max(until, open.length ? Math.min(...open) - LEAD_SECONDS : this.#heard - LATE_SECONDS),
    );
    return this.#place(Math.min(...each));
  }

  /** Up to which sample of the recording each channel's finals go. */
  get answered() {
    return this.#channels.map(({ until }) => this.#place(until));
  }

  #place(seconds) {
    return this.#base + Math.max(0, Math.round(seconds * this.#rate));
  }
}
