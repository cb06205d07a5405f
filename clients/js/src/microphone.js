/** The microphone as frames of mono pcm_s16le at the device's own sample rate. */

const SAMPLE_RATES = [8000, 96000]; // what the server takes, from and to
const FRAME_MS = 40;
const LATENCY_SECONDS = 0.03; // less wakes the browser more often, for nothing that anybody sees
const FLUSH_MS_MAX = 500;

// Speech models hear better what the browser has not cleaned; level alone is worth fixing.
const CONSTRAINTS = { echoCancellation: false, noiseSuppression: false, autoGainControl: true };

/** Says in the user's words why there is no microphone; `code` says it to programs. */
export class MicrophoneError extends Error {
  constructor(code, message, options) {
    super(message, options);
    this.name = "MicrophoneError";
    this.code = code;
  }
}

export class Microphone {
  #context;
  #media;
  #node;
  #onFrame = null;
  #onTrouble;
  #trouble = ""; // as it was told last
  #flushed = null;

  /**
   * Asks for the permission. `constraints` are those of `getUserMedia` for audio, `frameMs` is 20
   * to 40, `workletURL` is for bundlers that move files. `onTrouble({text, over})` is called when
   * the device goes silent later, for good where `over`, and with no text when it is heard again.
   * Throws MicrophoneError.
   */
  static async open({ constraints = {}, frameMs = FRAME_MS, workletURL, onTrouble = () => {} } = {}) {
    if (!(frameMs >= 20 && frameMs <= 40)) {
      throw new RangeError(`frameMs must be 20 to 40, got ${frameMs}`);
    }
    if (!globalThis.navigator?.mediaDevices?.getUserMedia) throw unavailable();
    let media;
    try {
      const audio = { ...CONSTRAINTS, ...constraints };
      media = await navigator.mediaDevices.getUserMedia({ audio });
    } catch (error) {
      throw explained(error);
    }
    const microphone = new Microphone();
    microphone.#onTrouble = onTrouble;
    try {
      const worklet = workletURL ?? new URL("capture-worklet.js", import.meta.url);
      await microphone.#attach(media, worklet, frameMs);
    } catch (error) {
      await microphone.stop();
      const message = `The microphone cannot be read: ${error.message}`;
      throw new MicrophoneError("failed", message, { cause: error });
    }
    return microphone;
  }

  get sampleRate() {
    return this.#context.sampleRate;
  }

  /** While muted, frames go on and are silent: the recording keeps its time. */
  get muted() {
    return this.#tracks.some(({ enabled }) => !enabled);
  }

  set muted(muted) {
    for (const track of this.#tracks) track.enabled = !muted;
  }

  get #tracks() {
    return this.#media?.getAudioTracks() ?? [];
  }

  async #attach(media, worklet, frameMs) {
    this.#media = media;
    // At another rate than the device's, browsers resample, or refuse. Some do not tell it.
    const { sampleRate } = this.#tracks[0].getSettings();
    this.#context = new AudioContext({ latencyHint: LATENCY_SECONDS, sampleRate });
    const bounded = Math.min(Math.max(this.sampleRate, SAMPLE_RATES[0]), SAMPLE_RATES[1]);
    if (bounded !== this.sampleRate) {
      await this.#context.close();
      this.#context = new AudioContext({ sampleRate: bounded });
    }
    await this.#context.audioWorklet.addModule(worklet);
    await this.#context.resume();
    this.#node = new AudioWorkletNode(this.#context, "stentor-capture", {
      outputChannelCount: [1],
      processorOptions: { frameMs },
    });
    this.#node.port.onmessage = ({ data }) => this.#deliver(data);
    this.#watch();
  }

  #watch() {
    const [track] = this.#tracks;
    for (const type of ["ended", "mute", "unmute"]) {
      track.addEventListener(type, () => this.#look(track));
    }
    this.#context.addEventListener("statechange", () => this.#look(track));
    document.addEventListener("visibilitychange", this.#wake);
  }

  #look(track) {
    if (!this.#media) return; // it was stopped
    const text = troubleOf(track, this.#context);
    if (text === this.#trouble) return;
    this.#trouble = text;
    this.#onTrouble({ text, over: track.readyState === "ended" });
  }

  #wake = () => {
    if (!document.hidden && this.#context.state !== "closed") this.#context.resume();
  };

  /** From now on every frame goes to `onFrame({pcm, peak})`: an ArrayBuffer, and 0 to 1. */
  begin(onFrame) {
    this.#onFrame = onFrame;
    this.#context.createMediaStreamSource(this.#media).connect(this.#node);
    // Its output is silent, but some browsers run only what leads to the loudspeaker.
    this.#node.connect(this.#context.destination);
  }

  #deliver({ pcm, peak, last }) {
    if (pcm.byteLength) this.#onFrame?.({ pcm, peak });
    if (last) this.#flushed?.();
  }

  /** Resolves when the last, shorter frame has been handed over and the device is free. */
  async stop() {
    const media = this.#media;
    if (!media) return;
    this.#media = null;
    document.removeEventListener("visibilitychange", this.#wake);
    if (this.#onFrame && this.#context.state === "running") {
      await new Promise((resolve) => {
        this.#flushed = resolve;
        setTimeout(resolve, FLUSH_MS_MAX);
        this.#node.port.postMessage("flush");
      });
    }
    this.#onFrame = null;
    for (const track of media.getTracks()) track.stop();
    if (this.#context && this.#context.state !== "closed") await this.#context.close();
  }
}

function troubleOf(track, context) {
  if (track.readyState === "ended") return "The microphone was disconnected.";
  if (track.muted) return "The system has muted the microphone.";
  if (context.state === "running") return "";
  return "The browser has paused the microphone. Come back to this page to go on.";
}

function unavailable() {
  if (globalThis.isSecureContext) {
    return new MicrophoneError("unsupported", "This browser gives web pages no microphone.");
  }
  const where = globalThis.location ? `, and this one is at ${location.origin}` : "";
  return new MicrophoneError(
    "insecure",
    `Browsers give the microphone only to pages opened over https:// or on localhost${where}.`,
  );
}

function explained(error) {
  const [code, message] = {
    NotAllowedError: [
      "refused",
      "The microphone was refused. Allow it for this page in the browser's address bar " +
        "(or in the system's privacy settings), then start again.",
    ],
    NotFoundError: ["missing", "No microphone was found. Connect one, then start again."],
    NotReadableError: [
      "busy",
      "The microphone is in use by another program, or the system does not release it.",
    ],
  }[error.name] ?? ["failed", `The microphone cannot be opened: ${error.message || error.name}`];
  return new MicrophoneError(code, message, { cause: error });
}
