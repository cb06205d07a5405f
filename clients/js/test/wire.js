/** Sockets whose server is the test: for what a real one does rarely, or never. */

export class Wire {
  sockets = [];

  /** For a Stream. `heard(message, socket)` is called with every message, `opened` at first. */
  constructor(heard = () => {}) {
    const { sockets } = this;
    this.WebSocket = class {
      readyState = 0;
      bufferedAmount = 0;
      said = [];

      constructor(url) {
        this.url = url;
        sockets.push(this);
        queueMicrotask(() => {
          this.readyState = 1;
          this.onopen();
        });
      }

      send(data) {
        const message = typeof data === "string" ? JSON.parse(data) : { type: "audio", audio: data };
        this.said.push(message);
        heard(message, this);
      }

      tell(...events) {
        for (const event of events) this.onmessage({ data: JSON.stringify(event) });
      }

      close(code = 1006) {
        if (this.readyState === 3) return;
        this.readyState = 3;
        queueMicrotask(() => this.onclose({ code, reason: "" }));
      }
    };
  }

  get last() {
    return this.sockets.at(-1);
  }
}

/** A session that can be resumed. */
export const ready = (number = 1) => ({
  type: "ready",
  session: `session ${number}`,
  resume: { token: "token", grace_seconds: 30, ack_seconds: 1 },
});

export const fatal = (code) => ({ type: "error", code, message: code, fatal: true });
export const done = { type: "done", account: { received: 0 }, channels: [] };
