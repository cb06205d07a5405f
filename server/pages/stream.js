/** The socket client: `start`, then audio, then `stop`; events come back by their type. */

import { token } from "./access.js";

export class Stream {
  #socket;
  #handlers;
  #bytesPerSecond;
  #opened = false;

  /**
   * `handlers` has a function for each event type it wants, and `opened()` and
   * `closed({code, reason, opened})`.
   */
  constructor(url, start, handlers) {
    this.#handlers = handlers;
    this.#bytesPerSecond = start.sample_rate * 2;
    this.#socket = new WebSocket(url);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => {
      this.#opened = true;
      this.#send({ type: "start", encoding: "pcm_s16le", channels: 1, ...start });
      handlers.opened();
    };
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    this.#socket.onclose = ({ code, reason }) =>
      handlers.closed({ code, reason, opened: this.#opened });
  }

  /** Seconds of audio that the network has not taken yet. */
  get waitingSeconds() {
    return this.#socket.bufferedAmount / this.#bytesPerSecond;
  }

  audio(pcm) {
    if (this.#isOpen) this.#socket.send(pcm);
  }

  configure(fields) {
    this.#send({ type: "configure", ...fields });
  }

  stop() {
    this.#send({ type: "stop" });
  }

  close() {
    this.#socket.close(1000);
  }

  get #isOpen() {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  #send(message) {
    if (this.#isOpen) this.#socket.send(JSON.stringify(message));
  }

  #receive(data) {
    const event = JSON.parse(data);
    this.#handlers[event.type]?.(event);
  }
}

/**
 * The address of the endpoint beside this page, also behind a proxy that adds a folder, with what
 * it takes to be let in. Throws an Error in the user's words.
 */
export async function streamAddress() {
  const url = new URL("v1/stream", document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const admission = await token();
  if (admission) url.searchParams.set("token", admission);
  return url;
}
