/**
 * One recording, over as many connections and sessions as it takes: docs/protocol.md, "Resuming".
 *
 * Every message is kept until the server has taken it, and audio until a final ends after it. When
 * a connection is lost another one resumes the session. Where there is no session any more, because
 * the server was started anew or the grace time is over, another session begins with the audio that
 * is in no final yet; its times and utterances are counted on from those before.
 */

import { Backoff } from "./backoff.js";
import { Connection } from "./connection.js";
import { FRAMINGS } from "./framing.js";
import { Outbox } from "./outbox.js";
import { Settled } from "./settled.js";
import { counted } from "./timeline.js";
import { inTime } from "./token.js";

const SAMPLE_BYTES = { pcm_s16le: 2, pcm_f32le: 4, mulaw: 1, alaw: 1 };
const ROOM_SECONDS = 20; // of audio that a file is ahead of the server
const ROOM_BYTES = 1 << 18;
const ROOM_MS = 20;
const ACKS_MISSED_MAX = 5;

// Another session begins after these; a server that is full or going away may be back in a while.
const RESTART = ["unknown_session", "session_over", "events_gone"];
const RETRY = ["going_away", "overloaded", "rate_limited", "too_many_streams"];

export class Stream {
  // Of the recording
  #url;
  #token;
  #framing;
  #WebSocket;
  #keepSeconds;
  #reconnectMs;
  #start;
  #rate;
  #bytesPerSecond;
  #outbox;
  #listeners = new Map();
  #state = "connecting";
  #finished; // a promise of the account, and how it is kept
  #keep;
  #breakOff;
  #spokenAt = 0; // when the last audio was given to us
  #opened = false;
  // Of the session
  #session = null; // {id, token, ackSeconds} once the server has said so
  #isBegun = false;
  #seq = 0;
  #settled;
  #base = 0; // samples of the recording before it
  #utterances = 0; // of the sessions before it
  #utterance = 0; // the highest number so far, over all sessions
  // Of the connection
  #connection = null;
  #isAccepted = false; // it may be sent audio
  #error = null; // the fatal one that the server has told
  #isDone = false;
  // While there is none
  #backoff;
  #timer = null;
  #lostAt = null;

  /**
   * `start` has the fields of the protocol's `start`. `token` is a function that promises a
   * temporary token from the page's own backend, for each connection anew. `framing` is "json" or
   * "msgpack". No more than `keepSeconds` of audio are kept, and a lost connection is given up after
   * `reconnectSeconds`. `WebSocket` is for where there is none. Throws a RangeError for what it does
   * not know.
   */
  constructor(url, options = {}) {
    const { start = {}, token = null, framing = "json", backoff = {} } = options;
    const { keepSeconds = 60, reconnectSeconds = 60, WebSocket = globalThis.WebSocket } = options;
    const { encoding = "pcm_s16le", sample_rate: rate = 16000, channels = 1 } = start;
    choose("framing", framing, FRAMINGS);
    choose("start.encoding", encoding, SAMPLE_BYTES);
    this.#url = new URL(url, globalThis.document?.baseURI);
    this.#url.protocol = this.#url.protocol.replace(/^http/, "ws");
    this.#token = token;
    this.#framing = FRAMINGS[framing];
    this.#WebSocket = WebSocket;
    this.#keepSeconds = keepSeconds;
    this.#reconnectMs = reconnectSeconds * 1000;
    this.#start = { resumable: true, ...start, encoding, sample_rate: rate, channels };
    this.#rate = rate;
    this.#bytesPerSecond = SAMPLE_BYTES[encoding] * channels * rate;
    this.#outbox = new Outbox(SAMPLE_BYTES[encoding] * channels);
    this.#settled = new Settled(channels);
    this.#backoff = new Backoff(backoff);
    this.#finished = new Promise((keep, breakOff) => {
      this.#keep = keep;
      this.#breakOff = breakOff;
    });
    this.#finished.catch(() => null); // for those who ask only the event `closed`
    globalThis.addEventListener?.("online", this.#hurry);
    this.#connect();
  }

  /** connecting, open, reconnecting, stopping or closed. */
  get state() {
    return this.#state;
  }

  /** Seconds of audio so far. */
  get seconds() {
    return this.#outbox.end / this.#rate;
  }

  /** Seconds of audio that the server is not known to have, beyond those it has not yet told of. */
  get waitingSeconds() {
    const untold = (this.#outbox.end - this.#outbox.takenEnd) / this.#rate;
    if (!this.#isAccepted) return untold;
    if (!this.#session) return this.#connection.waitingBytes / this.#bytesPerSecond;
    return Math.max(0, untold - this.#session.ackSeconds);
  }

  /**
   * Calls `listener` with every event of that type: those of the protocol, `state`, `restarted`,
   * `closed`. Returns a function that ends it.
   */
  on(type, listener) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
    this.#listeners.get(type).add(listener);
    return () => this.#listeners.get(type).delete(listener);
  }

  // ---- what is said

  /** Samples as `start` announced them: an ArrayBuffer or a typed array, 5 ms to 2 s. */
  audio(samples) {
    if (this.#isEnding) return;
    const pcm = ArrayBuffer.isView(samples)
      ? samples.buffer.slice(samples.byteOffset, samples.byteOffset + samples.byteLength)
      : samples;
    const letter = this.#outbox.audio(pcm);
    this.#spokenAt = performance.now();
    this.#post(letter);
    this.#bound();
  }

  /** Options from now on, as the protocol's `configure`. */
  configure(fields) {
    const { endpointing } = this.#start;
    Object.assign(this.#start, fields);
    if (fields.endpointing) this.#start.endpointing = { ...endpointing, ...fields.endpointing };
    this.#say({ type: "configure", ...fields });
  }

  /** Ends the open utterance. */
  finalize() {
    this.#say({ type: "finalize" });
  }

  /** The event `marker` with this id comes when everything before has been answered. */
  marker(id) {
    this.#say({ type: "marker", id });
  }

  /** No more audio. Promises the account of it once all is transcribed; rejects where it is not. */
  stop() {
    this.#say({ type: "stop" });
    if (!this.#isEnding) this.#enter("stopping");
    return this.#finished;
  }

  /** Gives the recording up. */
  close() {
    this.#connection?.close();
    this.#close({ code: 1000, reason: "closed by the page" });
  }

  /** Promises that there is room for more of what need not be sent at the pace of speech. */
  async room() {
    while (this.#state !== "closed") {
      const bytes = this.#connection?.waitingBytes ?? 0;
      if (this.waitingSeconds < ROOM_SECONDS && bytes < ROOM_BYTES) return;
      await new Promise((resolve) => setTimeout(resolve, ROOM_MS));
    }
  }

  get #isEnding() {
    return ["stopping", "closed"].includes(this.#state);
  }

  #say(message) {
    if (!this.#isEnding) this.#post(this.#outbox.control(message));
  }

  #post({ number, control, audio }) {
    if (!this.#isAccepted) return;
    if (control) this.#connection.control(control);
    else this.#connection.audio(audio);
    if (!this.#session) this.#take(number); // nobody will ever say so
  }

  #bound() {
    const oldest = this.#outbox.end - this.#keepSeconds * this.#rate;
    if (this.#outbox.takenEnd < oldest) {
      const message = `${this.#keepSeconds} s of audio wait to be sent, and no more are kept`;
      this.#fail({ code: "network", message });
    } else if (this.#outbox.start < oldest) {
      this.#outbox.release(oldest);
    }
  }

  // ---- connections

  async #connect() {
    this.#timer = this.#error = null;
    const url = new URL(this.#url);
    try {
      const token = this.#token && (await inTime(this.#token));
      if (token) url.searchParams.set("token", token);
    } catch (error) {
      this.#lose({ code: 1006, reason: error.message });
      return;
    }
    if (this.#state === "closed") return;
    const handlers = {
      opened: () => this.#greet(),
      message: (event) => this.#receive(event),
      closed: (why) => this.#lose(why),
    };
    this.#connection = new Connection(url, this.#framing, handlers, this.#WebSocket);
  }

  #greet() {
    if (this.#session) {
      const { id: session, token } = this.#session;
      this.#connection.control({ type: "resume", session, token, seq: this.#seq });
    } else {
      this.#connection.control({ type: "start", ...this.#start });
    }
  }

  #accept() {
    this.#isAccepted = true;
    this.#opened = this.#isBegun = true;
    this.#lostAt = null;
    this.#backoff.reset();
    this.#connection.expect((this.#session?.ackSeconds ?? 0) * 1000 * ACKS_MISSED_MAX);
    for (const letter of this.#outbox.untaken) this.#post(letter);
    if (!this.#isEnding) this.#enter("open");
  }

  #lose(why) {
    this.#connection = null;
    this.#isAccepted = false;
    if (this.#state === "closed") return;
    const code = this.#error?.code;
    if (this.#isDone && code !== "going_away") {
      this.#close(why);
      return;
    }
    this.#lostAt ??= performance.now();
    if ((code && !isPassing(code)) || !this.#opened || performance.now() - this.#lostAt > this.#reconnectMs) {
      this.#close(why);
      return;
    }
    if (this.#isBegun && (code || !this.#session)) this.#restart();
    if (!this.#isEnding) this.#enter("reconnecting");
    this.#timer = setTimeout(() => this.#connect(), RESTART.includes(code) ? 0 : this.#backoff.next());
  }

  #hurry = () => {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#connect();
  };

  /** The next connection begins another session. */
  #restart() {
    const taken = this.#outbox.takenEnd - this.#base;
    // A server that goes away answers what it has taken.
    const settled = this.#isDone ? taken : this.#settled.seconds(taken / this.#rate) * this.#rate;
    const wanted = this.#base + Math.max(0, Math.round(settled));
    this.#base = this.#outbox.restart(wanted);
    this.#session = null;
    this.#seq = 0;
    this.#isBegun = this.#isDone = false;
    this.#settled = new Settled(this.#start.channels);
    this.#utterances = this.#utterance;
    this.#emit("restarted", {
      at: this.#base / this.#rate,
      lost_seconds: (this.#base - wanted) / this.#rate,
    });
  }

  // ---- what is heard

  #receive(event) {
    if (this.#state === "closed") return;
    if (event.seq !== undefined && event.type !== "resumed") {
      if (event.seq <= this.#seq) return;
      this.#seq = event.seq;
    }
    switch (event.type) {
      case "ready":
        this.#session = event.resume && {
          id: event.session,
          token: event.resume.token,
          ackSeconds: event.resume.ack_seconds,
        };
        this.#accept();
        break;
      case "resumed":
        this.#take(event.messages);
        this.#accept();
        break;
      case "ack":
        this.#take(event.messages);
        break;
      case "marker":
        this.#outbox.strike(event.id);
        break;
      case "error":
        if (event.fatal) this.#error = event;
        break;
      case "done":
        this.#isDone = true;
        // A server that goes away and has heard all of it is not waited for.
        if (this.#state === "stopping" && !this.#outbox.untaken.length) this.#forgive();
        break;
      default:
        this.#settled.note(event);
    }
    this.#tell(event);
  }

  #forgive() {
    if (this.#error?.code === "going_away") this.#error = null;
  }

  #take(messages) {
    this.#outbox.take(messages);
    const taken = (this.#outbox.takenEnd - this.#base) / this.#rate;
    this.#outbox.release(this.#base + this.#settled.seconds(taken) * this.#rate);
  }

  /** To those who listen, counted from the beginning of the recording. */
  #tell(event) {
    const isMendable = event.type === "error" && this.#opened && isPassing(event.code);
    if (isMendable || (event.type === "done" && this.#error?.code === "going_away")) return;
    const told = counted(event, this.#base / this.#rate, this.#utterances);
    if (told.utterance) this.#utterance = Math.max(this.#utterance, told.utterance);
    if (told.type === "partial" || told.type === "final") {
      const since = performance.now() - this.#spokenAt;
      told.behind_ms = Math.round(since + (this.seconds - told.end) * 1000);
    }
    if (told.type === "done" && !this.#error) this.#keep(told.account);
    this.#emit(told.type, told);
  }

  #emit(type, event) {
    for (const listener of this.#listeners.get(type) ?? []) listener(event);
  }

  // ---- states

  #enter(state) {
    if (this.#state === state) return;
    this.#state = state;
    this.#emit("state", { state });
  }

  #fail(error) {
    this.#error = error;
    this.#connection?.abandon();
    this.#close({ code: 1006, reason: error.message });
  }

  #close({ code, reason }) {
    if (this.#state === "closed") return;
    clearTimeout(this.#timer);
    this.#timer = null;
    globalThis.removeEventListener?.("online", this.#hurry);
    this.#connection = null;
    this.#isAccepted = false;
    this.#enter("closed");
    this.#breakOff(new Error(this.#error?.message || reason || `closed with ${code}`));
    const [opened, done, error] = [this.#opened, this.#isDone, this.#error];
    this.#emit("closed", { code, reason, opened, done, error });
  }
}

function isPassing(code) {
  return RESTART.includes(code) || RETRY.includes(code);
}

function choose(field, value, allowed) {
  if (!Object.hasOwn(allowed, value)) {
    throw new RangeError(`${field} must be ${Object.keys(allowed).join(", ")}, got ${value}`);
  }
}
