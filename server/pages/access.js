/** The key of a server that wants one: the user is asked for it once, and this browser keeps it. */

import { keep, recall } from "./storage.js";

const PLACE = "stentor-key";
const TOKEN_SECONDS = 600; // the browser may still have to ask for the microphone
const AWAY = "The server cannot be reached.";

export class Declined extends Error {
  constructor() {
    super("This server wants a key.");
  }
}

export class Access {
  #role;
  #place;
  #refusals;
  #isNeeded = null; // a promise: whether the server has keys
  #question = null; // a promise, while the user is being asked
  #hasDeclined = false;

  /** A key of another role than usual is kept beside the usual one, which is tried first. */
  constructor(role = null) {
    this.#role = role;
    this.#place = role ? `${PLACE}-${role}` : PLACE;
    this.#refusals = role ? [401, 403] : [401];
  }

  /** `fetch` with the key. The user is asked for another one where the server does not take it. */
  async fetch(path, options = {}) {
    for (;;) {
      const key = await this.#known();
      const headers = new Headers(options.headers);
      if (key) headers.set("Authorization", `Bearer ${key}`);
      const answer = await fetch(new URL(path, document.baseURI), { ...options, headers });
      if (!this.#refusals.includes(answer.status)) return answer;
      this.#isNeeded = Promise.resolve(true);
      await this.#demand(key);
    }
  }

  /**
   * A token with which a WebSocket can be opened, which can have no header; null where the server
   * has no keys. Throws an Error in the user's words.
   */
  async token() {
    if (!(await this.#known())) return null;
    const answer = await this.fetch("v1/tokens", {
      method: "POST",
      body: JSON.stringify({ expires_in_seconds: TOKEN_SECONDS }),
    }).catch((error) => {
      throw error instanceof Declined ? error : new Error(AWAY);
    });
    const body = await answer.json().catch(() => null);
    if (!answer.ok) throw new Error(body?.error?.message ?? `${answer.status} ${answer.statusText}`);
    return body.token;
  }

  /** A key that the server takes, for what cannot ask by itself; null where it needs none. */
  async goodKey() {
    if (await this.#known()) await this.fetch("v1/jobs?limit=1");
    return this.#known();
  }

  async #known() {
    this.#isNeeded ??= fetch(new URL("readyz", document.baseURI))
      .then((answer) => answer.json())
      .then(({ needs_key: needed }) => Boolean(needed))
      .catch(() => {
        this.#isNeeded = null; // to be asked again
        return false;
      });
    if (!(await this.#isNeeded)) return null;
    if (!this.#kept) await this.#demand(null);
    return this.#kept;
  }

  get #kept() {
    return recall(this.#place) ?? recall(PLACE);
  }

  /** Returns once there is another key than `used`. Throws Declined. */
  async #demand(used) {
    if (this.#kept !== used) return;
    // What goes on in the background does not ask again and again.
    if (this.#hasDeclined && !navigator.userActivation?.isActive) throw new Declined();
    this.#question ??= dialog(this.#why(used)).finally(() => (this.#question = null));
    const key = await this.#question;
    this.#hasDeclined = !key;
    if (!key) throw new Declined();
    keep(this.#place, key);
  }

  #why(used) {
    if (this.#role) return `It must have the role ${this.#role}. This browser keeps it.`;
    return used === null
      ? "Whoever runs it can give you one. This browser keeps it until you clear its data."
      : "The one that this browser has kept is not taken any longer.";
  }
}

/** What the user enters; null when he does not. */
function dialog(why) {
  const box = document.createElement("dialog");
  box.className = "key";
  box.innerHTML = `
    <form method="dialog">
      <h2>This server wants a key</h2>
      <p class="quiet"></p>
      <label>Key <input type="password" name="key" autocomplete="current-password" required></label>
      <menu><button type="button" class="act">Cancel</button><button class="act" value="given">Use it</button></menu>
    </form>`;
  box.querySelector("p").textContent = why;
  box.querySelector("button[type=button]").addEventListener("click", () => box.close());
  document.body.append(box);
  box.showModal();
  return new Promise((resolve) => {
    const input = box.querySelector("input");
    box.addEventListener("close", () => {
      box.remove();
      resolve(box.returnValue === "given" ? input.value.trim() : null);
    });
  });
}

/** Of those who speak and transcribe. */
export const access = new Access();
