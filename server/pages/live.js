/** One recording at a time: microphone → socket → captions, and what the user sees of it. */

import { clock } from "./clock.js";
import { Microphone, MicrophoneError } from "./microphone.js";
import { errorText } from "./notices.js";
import { Stream, streamAddress } from "./stream.js";

const WAITING_SECONDS_WARN = 3;
const WAITING_SECONDS_MAX = 60; // the bound on audio this page keeps in memory
const MUTE_SECONDS_WARN = 4;
const FINISH_MS_MAX = 60000; // without a word from the server

const STATES = {
  idle: "Ready",
  asking: "Waiting for the microphone…",
  connecting: "Connecting…",
  listening: "Listening",
  finishing: "Finishing…",
  finished: "Finished",
  disconnected: "Disconnected",
};

const RUNNING = ["asking", "connecting", "listening", "finishing"];

export class Live {
  #captions;
  #notices;
  #level;
  #language;
  #model;
  #onChange;
  #state = "idle";
  // Of the recording that runs, or ran last
  #microphone = null;
  #stream = null;
  #samples = 0;
  #mute = true; // no sample but zero so far
  #failed = false; // the server said why it ends
  #done = false;
  #cancelled = false;
  #deadline = null;
  #screenLock = null;

  constructor({ captions, notices, level, language, model, onChange }) {
    this.#captions = captions;
    this.#notices = notices;
    this.#level = level;
    this.#language = language;
    this.#model = model;
    this.#onChange = onChange;
    find("record").addEventListener("click", () => this.#press());
    language.addEventListener("change", () => {
      if (this.#state === "listening") this.#stream.configure({ language: language.value });
    });
    document.addEventListener("visibilitychange", () => this.#keepScreenOn());
  }

  get isRunning() {
    return RUNNING.includes(this.#state);
  }

  async #press() {
    if (this.#state === "listening") return this.#finish();
    if (this.#state === "connecting") {
      this.#cancelled = true;
      return this.#stream?.close();
    }
    return this.isRunning ? undefined : this.#start();
  }

  async #start() {
    this.#notices.clear("fallback");
    this.#samples = 0;
    this.#mute = true;
    this.#failed = this.#done = this.#cancelled = false;
    find("lag-partial").textContent = find("lag-final").textContent = "–";
    find("summary").textContent = "";
    this.#enter("asking");
    let address;
    try {
      address = await streamAddress();
    } catch (error) {
      this.#enter("idle");
      this.#notices.show("server", "error", error.message, this.#again);
      return;
    }
    try {
      this.#microphone = await Microphone.open((text, over) => this.#onTrouble(text, over));
    } catch (error) {
      if (!(error instanceof MicrophoneError)) throw error;
      this.#enter("idle");
      this.#notices.show("microphone", "error", error.message);
      return;
    }
    this.#enter("connecting");
    this.#captions.begin();
    const options = {
      sample_rate: this.#microphone.sampleRate,
      language: this.#language.value,
      word_times: "final",
    };
    this.#stream = new Stream(address, options, this.#handlers());
  }

  #handlers() {
    return {
      opened: () => this.#microphone.begin((frame) => this.#feed(frame)),
      ready: ({ model }) => {
        this.#model.show(model);
        this.#enter("listening");
      },
      speech_started: () => this.#hear(true),
      speech_ended: () => this.#hear(false),
      partial: (event) => {
        find("lag-partial").textContent = milliseconds(event.lag_ms);
        this.#captions.partial(event);
      },
      final: (event) => {
        find("lag-final").textContent = milliseconds(event.lag_ms);
        this.#captions.final(event);
        this.#onChange();
        this.#expectMore();
      },
      warning: (event) => this.#warn(event),
      error: (event) => this.#fail(event),
      done: ({ account }) => this.#account(account),
      closed: (event) => this.#onClose(event),
    };
  }

  #feed({ pcm, peak }) {
    this.#stream.audio(pcm);
    this.#samples += pcm.byteLength / 2;
    this.#level.push(peak);
    find("clock").textContent = clock(this.#seconds);
    this.#watchSilence(peak);
    this.#watchNetwork();
  }

  get #seconds() {
    return this.#microphone ? this.#samples / this.#microphone.sampleRate : 0;
  }

  #watchSilence(peak) {
    if (peak > 0 && this.#mute) {
      this.#mute = false;
      this.#notices.drop("mute");
    } else if (this.#mute && Math.abs(this.#seconds - MUTE_SECONDS_WARN) < 0.02) {
      const text = "The microphone gives complete silence. Is it muted, or the wrong one?";
      this.#notices.show("mute", "warning", text);
    }
  }

  #watchNetwork() {
    const waiting = this.#stream.waitingSeconds;
    document.body.classList.toggle("slow", waiting > WAITING_SECONDS_WARN);
    if (waiting > WAITING_SECONDS_MAX) {
      const text = `The network took no audio for ${WAITING_SECONDS_MAX} s, so the recording ends.`;
      this.#failed = true;
      this.#notices.show("network", "error", text, this.#again);
      this.#stream.close();
      this.#over();
    } else if (waiting > WAITING_SECONDS_WARN) {
      const text = `The network is slow: ${Math.floor(waiting)} s of audio wait to be sent.`;
      if (this.#slowText !== text) this.#notices.show("network", "warning", text);
      this.#slowText = text;
    } else if (this.#slowText) {
      this.#slowText = null;
      this.#notices.drop("network");
    }
  }

  #slowText = null;

  #hear(speaking) {
    document.body.classList.toggle("hearing", speaking);
  }

  #onTrouble(text, over) {
    if (this.#state !== "listening" && this.#state !== "connecting") return;
    this.#notices.show("microphone", over ? "error" : "warning", text, over ? this.#again : null);
    if (over) this.#finish();
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
    this.#stream.stop();
    this.#expectMore();
  }

  // After `stop` the server transcribes the rest, which may take it a while, but not for ever.
  #expectMore() {
    clearTimeout(this.#deadline);
    if (this.#state !== "finishing") return;
    this.#deadline = setTimeout(() => this.#stream.close(), FINISH_MS_MAX);
  }

  #account({ received, transcribed, silence, dropped, sample_rate: rate }) {
    this.#done = true;
    const seconds = (samples) => `${(samples / rate).toFixed(1)} s`;
    find("summary").textContent =
      `${seconds(received)} received · ${seconds(transcribed)} speech · ${seconds(silence)} silence`;
    if (!dropped) return;
    const text =
      `${seconds(dropped)} of speech could not be transcribed: of ${seconds(received)} received, ` +
      `${seconds(transcribed)} were transcribed and ${seconds(silence)} were silence.`;
    this.#notices.show("account", "warning", text);
  }

  #onClose({ code, reason, opened }) {
    this.#over();
    if (this.#done || this.#failed) {
      this.#enter(this.#failed ? "disconnected" : "finished");
      return;
    }
    this.#enter(this.#cancelled ? "idle" : "disconnected");
    if (this.#cancelled) return;
    const kept = this.#captions.isEmpty ? "" : " What was final is kept; the last words may be lost.";
    const why = reason ? ` (${code}: ${reason})` : ` (${code})`;
    const text = opened
      ? `The connection to the server was lost${why}.${kept}`
      : "The server cannot be reached. Is it running?";
    this.#notices.show("server", "error", text, this.#again);
  }

  #over() {
    clearTimeout(this.#deadline);
    this.#hear(false);
    this.#captions.end(this.#seconds);
    this.#samples = 0;
    this.#level.clear();
    this.#microphone.stop();
    document.body.classList.remove("slow");
    this.#slowText = null;
  }

  #enter(state) {
    this.#state = state;
    document.body.dataset.state = state;
    find("state").textContent = STATES[state];
    find("record-label").textContent = this.isRunning ? "Stop" : "Start";
    find("record").disabled = state === "asking" || state === "finishing";
    document.title = state === "listening" ? "● Stentor" : "Stentor";
    if (state === "asking") find("clock").textContent = "";
    this.#keepScreenOn();
    this.#onChange();
  }

  // A phone that darkens its screen stops the page, and with it the recording.
  async #keepScreenOn() {
    if (this.#state !== "listening") {
      await this.#screenLock?.release();
      this.#screenLock = null;
    } else if (!document.hidden && "wakeLock" in navigator) {
      this.#screenLock = await navigator.wakeLock.request("screen").catch(() => null);
    }
  }
}

function find(id) {
  return document.getElementById(id);
}

function milliseconds(value) {
  return value == null ? "–" : `${Math.round(value)} ms`;
}
