/** One WebSocket: messages in their framing, and its end told once, also if the network is dead. */

const ANSWER_MS_MAX = 10000; // from the beginning to the server's first message

export class Connection {
  #socket;
  #framing;
  #handlers;
  #timer = null;
  #silenceMs = 0;
  #heardAt = 0;

  /**
   * `handlers` has `opened()`, `message(event)` and `closed({code, reason})`, which is called once
   * unless `abandon` was.
   */
  constructor(url, framing, handlers, WebSocket) {
    this.#framing = framing;
    this.#handlers = handlers;
    this.#socket = new WebSocket(url, [framing.subprotocol]);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => this.#handlers?.opened();
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    this.#socket.onclose = ({ code, reason }) => this.#end({ code, reason });
    // In browsers `close` follows at once, always with this code; node's own sockets may leave it out.
    this.#socket.onerror = () => this.#end({ code: 1006, reason: "" });
    this.expect(ANSWER_MS_MAX);
  }

  /** The connection is dead when nothing has come for so long; 0 is for ever. */
  expect(silenceMs) {
    clearInterval(this.#timer);
    this.#silenceMs = silenceMs;
    this.#heardAt = performance.now();
    if (silenceMs) this.#timer = setInterval(() => this.#listen(), silenceMs / 5);
  }

  /** Bytes that the network has not taken yet. */
  get waitingBytes() {
    return this.#socket.bufferedAmount;
  }

  control(message) {
    this.#send(this.#framing.control(message));
  }

  audio(pcm) {
    this.#send(this.#framing.audio(pcm));
  }

  /** Ends the session, too: docs/protocol.md. */
  close() {
    this.#socket.close(1000);
  }

  /** Nothing is heard of it any more; the session is not ended. */
  abandon() {
    clearInterval(this.#timer);
    this.#handlers = null;
    // Of the codes a page may send, one that does not end the session.
    this.#socket.close(4000);
  }

  #send(data) {
    this.#listen(); // timers of a page in the background come late, its microphone does not
    if (this.#socket.readyState === 1) this.#socket.send(data);
  }

  #receive(data) {
    this.#heardAt = performance.now();
    const event = understood(this.#framing, data);
    if (event) this.#handlers?.message(event);
    else this.#giveUp("what the server says cannot be understood");
  }

  #listen() {
    if (!this.#silenceMs || performance.now() - this.#heardAt < this.#silenceMs) return;
    this.#giveUp("nothing was heard from the server");
  }

  #giveUp(reason) {
    const handlers = this.#handlers;
    this.abandon();
    handlers?.closed({ code: 1006, reason });
  }

  #end(why) {
    clearInterval(this.#timer);
    const handlers = this.#handlers;
    this.#handlers = null;
    handlers?.closed(why);
  }
}

/** Null for what is no event. */
function understood(framing, data) {
  try {
    const event = framing.read(data);
    return typeof event?.type === "string" ? event : null;
  } catch {
    return null;
  }
}
