/** The microphone as frames of pcm_s16le at the device's own sample rate. */

const SAMPLE_RATE_MAX = 96000; // what the server takes
const FLUSH_MS_MAX = 500;

/** Says in the user's words why there is no microphone. */
export class MicrophoneError extends Error {}

export class Microphone {
  #context;
  #media;
  #node;
  #onFrame = null;
  #flushed = null;

  /** Asks for the permission; `onTrouble(text)` is called when the device goes silent later. */
  static async open(onTrouble) {
    if (!navigator.mediaDevices?.getUserMedia) throw new MicrophoneError(unavailable());
    let media;
    try {
      // Speech models hear better what the browser has not cleaned; level alone is worth fixing.
      const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: true };
      media = await navigator.mediaDevices.getUserMedia({ audio });
    } catch (error) {
      throw new MicrophoneError(explain(error), { cause: error });
    }
    const microphone = new Microphone();
    try {
      await microphone.#attach(media, onTrouble);
    } catch (error) {
      await microphone.stop();
      throw new MicrophoneError(`The microphone cannot be read: ${error.message}`, {
        cause: error,
      });
    }
    return microphone;
  }

  get sampleRate() {
    return this.#context.sampleRate;
  }

  async #attach(media, onTrouble) {
    this.#media = media;
    this.#context = new AudioContext({ latencyHint: "interactive" });
    if (this.#context.sampleRate > SAMPLE_RATE_MAX) {
      await this.#context.close();
      this.#context = new AudioContext({ sampleRate: SAMPLE_RATE_MAX });
    }
    await this.#context.audioWorklet.addModule(new URL("capture-worklet.js", import.meta.url));
    await this.#context.resume();
    this.#node = new AudioWorkletNode(this.#context, "capture", { outputChannelCount: [1] });
    this.#node.port.onmessage = ({ data }) => this.#deliver(data);
    this.#watch(onTrouble);
  }

  #watch(onTrouble) {
    const [track] = this.#media.getAudioTracks();
    track.addEventListener("ended", () => onTrouble("The microphone was disconnected.", true));
    track.addEventListener("mute", () => onTrouble("The system has muted the microphone.", false));
    this.#context.addEventListener("statechange", () => {
      if (["suspended", "interrupted"].includes(this.#context.state)) {
        onTrouble("The browser has paused the microphone. Come back to this page to go on.", false);
      }
    });
    document.addEventListener("visibilitychange", this.#wake);
  }

  #wake = () => {
    if (!document.hidden && this.#context.state !== "closed") this.#context.resume();
  };

  /** From now on every frame goes to `onFrame({pcm, peak})`. */
  begin(onFrame) {
    this.#onFrame = onFrame;
    this.#context.createMediaStreamSource(this.#media).connect(this.#node);
    // Its output is silent, but some browsers run only what leads to the loudspeaker.
    this.#node.connect(this.#context.destination);
  }

  #deliver(frame) {
    if (frame.pcm.byteLength) this.#onFrame?.(frame);
    if (frame.last) this.#flushed?.();
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

function unavailable() {
  if (window.isSecureContext) return "This browser gives web pages no microphone.";
  return (
    "Browsers give the microphone only to pages opened over https:// or on localhost, and this " +
    `one is at ${location.origin}. Files can be transcribed all the same.`
  );
}

function explain(error) {
  switch (error.name) {
    case "NotAllowedError":
      return (
        "The microphone was refused. Allow it for this page in the browser's address bar " +
        "(or in the system's privacy settings), then start again."
      );
    case "NotFoundError":
      return "No microphone was found. Connect one, then start again.";
    case "NotReadableError":
      return "The microphone is in use by another program, or the system does not release it.";
    default:
      return `The microphone cannot be opened: ${error.message || error.name}`;
  }
}
