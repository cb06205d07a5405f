/** One recording at a time: microphone → stream → captions, and what the user sees of it. */

import { LevelMeter, Microphone, MicrophoneError, Stream } from "../client/index.js";
import { access } from "./access.js";
import { clock } from "./clock.js";
import { errorText } from "./notices.js";
import { ScreenLock } from "./screen-lock.js";

const WAITING_SECONDS_WARN = 3;
const KEEP_SECONDS = 120; // of audio, while the network is away
const SILENT_SECONDS_WARN = 4;
const FINISH_MS_MAX = 60000; // without a word from the server

const STATES = {
  idle: "Ready",
  asking: "Waiting for the microphone…",
  connecting: "Connecting…",
  listening: "Listening",
  reconnecting: "Reconnecting…",
  finishing: "Finishing…",
  finished: "Finished",
  disconnected: "Disconnected",
};

const RUNNING = ["asking", "connecting", "listening", "reconnecting", "finishing"];
const RECORDING = ["connecting", "listening", "reconnecting"];

export class Live {
  #captions;
  #notices;
  #level = new LevelMeter(find("level"));
  #screenLock = new ScreenLock();
  #language;
  #model;
  #onChange;
  #state = "idle";
  // Of the recording that runs, or ran last
  #microphone = null;
  #stream = null;
  #isSilent = true; // no sample but zero so far
  #failed = false; // the server said why it ends
  #cancelled = false;
  #deadline = null;
  #shownSeconds = -1;
  #slowText = null;

  constructor({ captions, notices, language, model, onChange }) {
    this.#captions = captions;
    this.#notices = notices;
    this.#language = language;
    this.#model = model;
    this.#onChange = onChange;
    find("record").addEventListener("click", () => this.#press());
    find("mute").addEventListener("click", () => this.#mute(!this.#microphone.muted));
    language.addEventListener("change", () => {
      if (this.#isRecording) this.#stream.configure({ language: language.value });
    });
  }

  get isRunning() {
    return RUNNING.includes(this.#state);
  }

  get #isRecording() {
    return RECORDING.includes(this.#state);
  }

  async #press() {
    if (this.#state === "connecting") {
      this.#cancelled = true;
      return this.#stream.close();
    }
    if (this.#isRecording) return this.#finish();
    return this.isRunning ? undefined : this.#start();
  }

  async #start() {
    this.#notices.clear("fallback");
    this.#isSilent = true;
    this.#failed = this.#cancelled = false;
    this.#shownSeconds = -1;
    find("lag-partial").textContent = find("lag-final").textContent = "–";
    find("summary").textContent = "";
    this.#enter("asking");
    try {
      await access.token(); // so that a key is asked for before the microphone
      const onTrouble = (trouble) => this.#onTrouble(trouble);
      this.#microphone = await Microphone.open({ onTrouble });
    } catch (error) {
      this.#enter("idle");
      const isMicrophone = error instanceof MicrophoneError;
      const [key, again] = isMicrophone ? ["microphone", null] : ["server", this.#again];
      const hope = error.code === "insecure" ? " Files can be transcribed all the same." : "";
      this.#notices.show(key, "error", error.message + hope, again);
      return;
    }
    this.#enter("connecting");
    this.#mute(false);
    this.#captions.begin();
    this.#open();
    this.#microphone.begin((frame) => this.#feed(frame));
  }

  // Beside this page, also behind a proxy that adds a folder.
  #open() {
    const start = {
      sample_rate: this.#microphone.sampleRate,
      language: this.#language.value,
      word_times: "final",
    };
    const token = () => access.token();
    this.#stream = new Stream("v1/stream", { start, token, keepSeconds: KEEP_SECONDS });
    const handlers = {
      state: ({ state }) => this.#follow(state),
      ready: ({ model }) => this.#model.show(model),
      speech_started: () => this.#hear(true),
      speech_ended: () => this.#hear(false),
      partial: (event) => {
        find("lag-partial").textContent = milliseconds(event.behind_ms);
        this.#captions.partial(event);
      },
      final: (event) => {
        find("lag-final").textContent = milliseconds(event.behind_ms);
        this.#captions.final(event);
        this.#onChange();
        this.#expectMore();
      },
      restarted: (event) => this.#captions.restart(event),
      warning: (event) => this.#warn(event),
      error: (event) => this.#fail(event),
      done: ({ account }) => this.#account(account),
      closed: (event) => this.#onClose(event),
    };
    for (const [type, handle] of Object.entries(handlers)) this.#stream.on(type, handle);
  }

  #follow(state) {
    if (!this.#isRecording) return;
    if (state === "open") this.#enter("listening");
    if (state === "reconnecting") {
      this.#hear(false);
      this.#enter("reconnecting");
    }
  }

  #feed({ pcm, peak }) {
    this.#stream.audio(pcm);
    this.#level.push(peak);
    const seconds = Math.floor(this.#stream.seconds);
    this.#watchSilence(peak);
    if (seconds === this.#shownSeconds) return;
    this.#shownSeconds = seconds;
    find("clock").textContent = clock(seconds);
    this.#watchNetwork();
  }

  #watchSilence(peak) {
    if (peak > 0 && this.#isSilent) {
      this.#isSilent = false;
      this.#notices.drop("silent");
    } else if (this.#isSilent && !this.#microphone.muted) {
      if (Math.abs(this.#stream.seconds - SILENT_SECONDS_WARN) > 0.02) return;
      const text = "The microphone gives complete silence. Is it muted, or the wrong one?";
      this.#notices.show("silent", "warning", text);
    }
  }

  #watchNetwork() {
    const waiting = this.#stream.waitingSeconds;
    const isSlow = waiting > WAITING_SECONDS_WARN;
    document.body.classList.toggle("slow", isSlow);
    find("waiting").hidden = !isSlow;
    find("waiting-seconds").textContent = `${Math.floor(waiting)} s`;
    const fault = this.#state === "reconnecting" ? "is away" : "is slow";
    const text = isSlow ? `The network ${fault}: audio is kept, and sent when it is back.` : null;
    if (text === this.#slowText) return;
    this.#slowText = text;
    if (text) this.#notices.show("network", "warning", text);
    else this.#notices.drop("network");
  }

  #hear(speaking) {
    document.body.classList.toggle("hearing", speaking);
  }

  #mute(muted) {
    this.#microphone.muted = muted;
    find("mute").setAttribute("aria-pressed", String(muted));
    document.body.classList.toggle("muted", muted);
    this.#showState();
  }

  #onTrouble({ text, over }) {
    if (!this.#isRecording) return;
    if (!text) return this.#notices.drop("microphone");
    this.#notices.show("microphone", over ? "error" : "warning", text, over ? this.#again : null);
    return over ? this.#finish() : undefined;
  }

  #warn(event) {
    if (event.code === "untranscribed" && event.start != null) this.#captions.gap(event);
    else this.#notices.show(event.code, "warning", errorText(event));
  }

  #fail(event) {
    this.#notices.show("server", "error", errorText(event), event.fatal ? this.#again : null);
    if (!event.fatal) return;
    this.#failed = true;
    this.#enter("finishing");
    this.#microphone.stop();
    this.#expectMore();
  }

  get #again() {
    return { label: "Start again", run: () => this.isRunning || this.#start() };
  }

  async #finish() {
    this.#enter("finishing");
    this.#hear(false);
    await this.#microphone.stop();
    this.#stream.stop().catch(() => null); // `closed` says it
    this.#expectMore();
  }

  // After `stop` the server transcribes the rest, which may take it a while, but not for ever.
  #expectMore() {
    clearTimeout(this.#deadline);
    if (this.#state !== "finishing") return;
    this.#deadline = setTimeout(() => this.#stream.close(), FINISH_MS_MAX);
  }

  #account({ received, transcribed, silence, dropped, sample_rate: rate }) {
    const seconds = (samples) => `${(samples / rate).toFixed(1)} s`;
    find("summary").textContent =
      `${seconds(received)} received · ${seconds(transcribed)} speech · ${seconds(silence)} silence`;
    if (!dropped) return;
    const text =
      `${seconds(dropped)} of speech could not be transcribed: of ${seconds(received)} received, ` +
      `${seconds(transcribed)} were transcribed and ${seconds(silence)} were silence.`;
    this.#notices.show("account", "warning", text);
  }

  #onClose({ code, reason, opened, done, error }) {
    this.#over();
    if (this.#cancelled) return this.#enter("idle");
    if (this.#failed || !done) this.#enter("disconnected");
    else this.#enter("finished");
    if (this.#failed || done) return undefined;
    const kept = this.#captions.isEmpty ? "" : " What was final is kept; the last words may be lost.";
    const why = error ? `: ${errorText(error)}.` : reason ? `: ${reason}.` : ` (${code}).`;
    const away = reason || "The server cannot be reached. Is it running?";
    const text = opened ? `The connection to the server was lost${why}${kept}` : away;
    return this.#notices.show("server", "error", text, this.#again);
  }

  #over() {
    clearTimeout(this.#deadline);
    this.#hear(false);
    this.#captions.end(this.#stream.seconds);
    this.#level.clear();
    this.#microphone.stop();
    this.#slowText = null;
    this.#notices.drop("network");
    find("waiting").hidden = true;
    document.body.classList.remove("slow");
  }

  #enter(state) {
    this.#state = state;
    document.body.dataset.state = state;
    document.body.classList.toggle("recording", this.#isRecording);
    find("record-label").textContent = this.isRunning ? "Stop" : "Start";
    find("record").disabled = state === "asking" || state === "finishing";
    find("mute").hidden = !this.#isRecording;
    document.title = state === "listening" ? "● Stentor" : "Stentor";
    if (state === "asking") find("clock").textContent = "";
    this.#showState();
    this.#screenLock.want(this.#isRecording);
    this.#onChange();
  }

  #showState() {
    const isMuted = this.#state === "listening" && this.#microphone.muted;
    const text = isMuted ? "Muted" : STATES[this.#state];
    if (find("state").textContent !== text) find("state").textContent = text;
  }
}

function find(id) {
  return document.getElementById(id);
}

function milliseconds(value) {
  return value == null ? "–" : `${Math.round(value)} ms`;
}
