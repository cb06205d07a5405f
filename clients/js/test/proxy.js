/** A way to the server that can be cut. */

import { once } from "node:events";
import { connect, createServer } from "node:net";

export class Proxy {
  #server;
  #sockets = new Set();
  #isCut = false;

  static async to(url) {
    const { hostname, port } = new URL(url);
    const proxy = new Proxy();
    proxy.#server = createServer((near) => proxy.#join(near, connect(Number(port), hostname)));
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    proxy.url = `http://127.0.0.1:${proxy.#server.address().port}`;
    return proxy;
  }

  #join(near, far) {
    for (const [one, other] of [
      [near, far],
      [far, near],
    ]) {
      this.#sockets.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
      one.pipe(other);
    }
    if (this.#isCut) this.#destroy();
  }

  #destroy() {
    for (const socket of this.#sockets) socket.resetAndDestroy();
    this.#sockets.clear();
  }

  /** Nothing arrives any more, and nobody is told; new connections are as good as ever. */
  silence() {
    for (const socket of this.#sockets) {
      socket.unpipe();
      socket.resume();
    }
  }

  /** Open connections are reset, and no other comes about. */
  cut() {
    this.#isCut = true;
    this.#destroy();
  }

  mend() {
    this.#isCut = false;
  }

  close() {
    this.cut();
    this.#server.close();
  }
}
