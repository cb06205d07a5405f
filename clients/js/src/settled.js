/** How far a session is settled: what lies before is in a final, or was not heard as speech. */

const LEAD_SECONDS = 0.3; // before speech, for those who look for its beginning
const LATE_SECONDS = 3; // that the beginning of speech may be told after its audio was taken

export class Settled {
  #channels;

  constructor(channels) {
    this.#channels = Array.from({ length: channels }, () => ({ open: [], until: 0 }));
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

  /** When the server has `taken` so many seconds. */
  seconds(taken) {
    const each = this.#channels.map(({ open, until }) =>
      Math.max(until, open.length ? Math.min(...open) - LEAD_SECONDS : taken - LATE_SECONDS),
    );
    return Math.min(...each);
  }
}
