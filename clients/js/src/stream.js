/**
 * One recording, over as many connections and sessions as it takes: docs/protocol.md, "Resuming".
 *
 * Every message is kept until the server has taken it, and audio until a final ends after it. When
 * a connection is lost another one resumes the session. Where there is no session any more, because
 * the server was started anew or the grace time is over, another session begins with the audio that
 * is in no final yet; its times and utterances are counted on from those before. A final that the
 * server had to cut off is told only where no other session says it whole.
 */

import { Connection } from "./connection.js";
import { CutOff } from "./cut-off.js";
import { isGone, isPassing } from "./endings.js";
import { FRAMINGS } from "./framing.js";
import { Listeners } from "./listeners.js";
import { Outbox } from "./outbox.js";
import { Patience } from "./patience.js";
import { Settled } from "./settled.js";
import { choose, Start } from "./start.js";
import { Timeline } from "./timeline.js";
import { inTime } from "./token.js";

const ROOM_SECONDS = 20; // of audio that a file is ahead of the server
const ROOM_PART = 0.5; // of what may be kept
const ROOM_BYTES = 1 << 18;
const ROOM_MS = 20;
const ACKS_MISSED_MAX = 5;
const SPEAKING_MS = 5000; // since audio came last

export class Stream {
  // Of the recording
  #url;
  #token;
  #framing;
  #WebSocket;
  #keepSeconds;
  #start;
  #outbox;
  #timeline = new Timeline();
  #cutOff = new CutOff();
  #listeners = new Listeners();
  #state = "connecting";
  #finished; // a promise of the account, and how it is kept
  #keep;
  #breakOff;
  #spokenAt = -Infinity; // when the last audio was given to us
  #opened = false;
  // Of the session
  #session = null; // {id, token, ackSeconds} once the server has said so
  #isBegun = false;
  #seq = 0;
  #settled;
  #restarted = null; // what is told once it has begun
  // Of the connection
  #connection = null;
  #isAccepted = false; // it may be sent audio
  #error = null; // the fatal one that the server has told
  #isDone = false;
  // While there is none
  #patience;
  #timer = null;

  /**
   * `start` has the fields of the protocol's. `token` promises a temporary token from the page's own
   * backend, for each connection anew. `framing` is "json" or "msgpack". No more than `keepSeconds` of
   * audio are kept; a lost connection is given up after `reconnectSeconds`. Throws a RangeError.
   */
  constructor(url, options = {}) {
    const { start = {}, token = null, framing = "json", backoff = {} } = options;
    const { keepSeconds = 60, reconnectSeconds = 60, WebSocket = globalThis.WebSocket } = options;
    choose("framing", framing, FRAMINGS);
    this.#url = new URL(url, globalThis.document?.baseURI);
    this.#url.protocol = this.#url.protocol.replace(/^http/, "ws");
    this.#token = token;
    this.#framing = FRAMINGS[framing];
    this.#WebSocket = WebSocket;
    this.#keepSeconds = keepSeconds;
    this.#start = new Start(start);
    this.#outbox = new Outbox(this.#start);
    this.#settled = new Settled(this.#start);
    this.#patience = new Patience(backoff, reconnectSeconds);
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
    return this.#outbox.end / this.#start.rate;
  }

  /** Seconds of audio that the server is not known to have, beyond those it has not yet told of. */
  get waitingSeconds() {
    const untold = this.#outbox.ahead / this.#start.rate;
    if (!this.#isAccepted) return untold;
    if (!this.#session) return this.#connection.waitingBytes / this.#start.sampleBytes / this.#start.rate;
    return Math.max(0, untold - this.#session.ackSeconds);
  }

  /**
   * Calls `listener` with every event of that type: those of the protocol, `state`, `restarted`,
   * `closed`. Returns a function that ends it.
   */
  on(type, listener) {
    return this.#listeners.on(type, listener);
  }

  // ---- what is said

  /** Samples as `start` announced them: an ArrayBuffer or a typed array, 5 ms to 2 s. */
  audio(samples) {
    if (this.#isEnding) return;
    const letter = this.#outbox.audio(samples);
    this.#spokenAt = performance.now();
    this.#post(letter);
    this.#bound();
  }

  /** Options from now on, as the protocol's `configure`. */
  configure(fields) {
    const letter = this.#say({ ...fields, type: "configure" });
    if (letter) this.#start.configure(letter);
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
    this.#cutOff.end();
    this.#connection?.close();
    this.#close({ code: 1000, reason: "closed by the page" });
  }

  /** Promises that there is room for more of what need not be sent at the pace of speech. */
  async room() {
    while (this.#state !== "closed") {
      const isNear = this.waitingSeconds < ROOM_SECONDS;
      const isKept = this.#outbox.ahead < ROOM_PART * this.#keepSeconds * this.#start.rate;
      if (isNear && isKept && (this.#connection?.waitingBytes ?? 0) < ROOM_BYTES) return;
      await new Promise((resolve) => setTimeout(resolve, ROOM_MS));
    }
  }

  get #isEnding() {
    return ["stopping", "closed"].includes(this.#state);
  }

  get #isAllTaken() {
    return this.#session && this.#state === "stopping" && !this.#outbox.untaken.length;
  }

  #say(message) {
    if (this.#isEnding) return null;
    const letter = this.#outbox.control(message);
    this.#post(letter);
    return letter;
  }

  #post({ number, control, audio }) {
    if (!this.#isAccepted) return;
    if (control) this.#connection.control(control);
    else this.#connection.audio(audio);
    if (!this.#session) this.#take(number); // nobody will ever say so
  }

  #bound() {
    const oldest = this.#outbox.end - this.#keepSeconds * this.#start.rate;
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
      const token = await (this.#token && inTime(this.#token));
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
    try {
      this.#connection = new Connection(url, this.#framing, handlers, this.#WebSocket);
    } catch (error) {
      // Not a network's fault, but the address's: as ws:// in a page that came by https.
      this.#fail({ code: "network", message: error.message });
    }
  }

  #greet() {
    if (this.#session) {
      const { id: session, token } = this.#session;
      this.#connection.control({ type: "resume", session, token, seq: this.#seq });
    } else {
      this.#connection.control(this.#start.message);
    }
  }

  #accept() {
    this.#isAccepted = true;
    this.#opened = this.#isBegun = true;
    this.#patience.accepted();
    this.#connection.expect((this.#session?.ackSeconds ?? 0) * 1000 * ACKS_MISSED_MAX);
    for (const letter of this.#outbox.untaken) this.#post(letter);
    if (!this.#isEnding) this.#enter("open");
  }

  #lose(why) {
    this.#connection = null;
    this.#isAccepted = false;
    if (this.#state === "closed") return;
    const code = this.#error?.code;
    const isWanted = this.#patience.lost() && this.#opened;
    if (!isWanted || (code ? !this.#isPassing(code) : this.#isDone)) {
      this.#close(why);
      return;
    }
    const isThere = this.#session && isGone(code); // the server, though not the session
    if (this.#isBegun && (code || !this.#session)) this.#restart();
    if (!this.#isEnding) this.#enter("reconnecting");
    this.#timer = setTimeout(() => this.#connect(), isThere ? 0 : this.#patience.next());
  }

  #isPassing(code) {
    return isPassing(code, performance.now() - this.#spokenAt < SPEAKING_MS);
  }

  #hurry = () => {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#connect();
  };

  /** The next connection begins another session. */
  #restart() {
    const { sample: wanted, answered } = this.#settled;
    this.#start.settle(this.#outbox.next);
    const base = this.#outbox.restart(wanted, answered);
    this.#session = null;
    this.#seq = 0;
    this.#isBegun = this.#isDone = false;
    this.#timeline.restart(base / this.#start.rate);
    this.#restarted = { at: base / this.#start.rate, lost_seconds: (base - wanted) / this.#start.rate };
  }

  /** It has begun. */
  #renew() {
    this.#settled = new Settled(this.#start, this.#outbox.takenEnd);
    this.#cutOff.restart();
    if (this.#restarted) this.#listeners.tell("restarted", this.#restarted);
    this.#restarted = null;
  }

  // ---- what is heard

  #receive(event) {
    if (this.#state === "closed") return;
    if (event.seq !== undefined && event.type !== "resumed") {
      if (event.seq <= this.#seq) return;
      this.#seq = event.seq;
    }
    if (this.#cutOff.keeps(event)) {
      this.#cutOff.keep(this.#counted(event));
      return;
    }
    switch (event.type) {
      case "ready":
        this.#renew();
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
        this.#start.settle(event.messages);
        break;
      case "marker":
        this.#outbox.strike(event.id);
        break;
      case "error":
        if (event.fatal) this.#error = event;
        else this.#start.refuse(event.field);
        break;
      case "done":
        this.#isDone = true;
        // A server that goes away and has heard all of it is not waited for.
        if (this.#error?.code === "going_away" && this.#isAllTaken) this.#error = null;
        if (!this.#isPassing(this.#error?.code)) this.#tellCutOff(!this.#error);
        break;
      default:
        this.#settled.note(event);
    }
    this.#tell(event);
  }

  #tellCutOff(isWhole = false) {
    for (const event of this.#cutOff.end(isWhole)) this.#listeners.tell(event.type, event);
  }

  #take(messages) {
    this.#outbox.take(messages);
    this.#settled.take(this.#outbox.takenEnd);
    this.#outbox.release(this.#settled.sample);
  }

  /** To those who listen. */
  #tell(event) {
    if (this.#state === "closed") return; // by a listener, meanwhile
    const isMendable = event.type === "error" && this.#opened && this.#isPassing(event.code);
    if (isMendable || (event.type === "done" && this.#isPassing(this.#error?.code))) return;
    const told = this.#counted(event);
    this.#cutOff.cover(told);
    if (told.type === "done" && !this.#error) this.#keep(told.account);
    this.#listeners.tell(told.type, told);
  }

  /** From the beginning of the recording. */
  #counted(event) {
    const told = this.#timeline.counted(event);
    if (told.type === "partial" || told.type === "final") {
      const since = performance.now() - this.#spokenAt;
      told.behind_ms = Math.round(since + (this.seconds - told.end) * 1000);
    }
    return told;
  }

  // ---- states

  #enter(state) {
    if (this.#state === state) return;
    this.#state = state;
    this.#listeners.tell("state", { state });
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
    this.#tellCutOff();
    if (this.#state === "closed") return; // by a listener
    this.#enter("closed");
    this.#breakOff(new Error(this.#error?.message || reason || `closed with ${code}`));
    const [opened, done, error] = [this.#opened, this.#isDone, this.#error];
    this.#listeners.tell("closed", { code, reason, opened, done, error });
  }
}
