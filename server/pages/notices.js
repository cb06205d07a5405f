/** Messages above the transcript: one for each key, the newest first, few at a time. */

const SHOWN_MAX = 4;

export class Notices {
  #list;
  #shown = new Map();

  constructor(list) {
    this.#list = list;
  }

  /** `level` is error, warning or info; `action` is `{label, run}`. */
  show(key, level, text, action = null) {
    this.drop(key);
    const notice = document.createElement("div");
    notice.className = `notice ${level}`;
    notice.setAttribute("role", level === "info" ? "status" : "alert");
    const words = document.createElement("p");
    words.textContent = text;
    notice.append(words);
    if (action) notice.append(this.#button(action.label, "act", () => this.#run(key, action)));
    notice.append(this.#button("✕", "dismiss", () => this.drop(key), "Dismiss"));
    this.#list.prepend(notice);
    this.#shown.set(key, notice);
    const [oldest] = this.#shown.keys();
    if (this.#shown.size > SHOWN_MAX) this.drop(oldest);
  }

  drop(key) {
    this.#shown.get(key)?.remove();
    this.#shown.delete(key);
  }

  /** Leaves what is true for longer than one recording, as that a small model runs. */
  clear(keep) {
    for (const key of [...this.#shown.keys()]) {
      if (key !== keep) this.drop(key);
    }
  }

  #run(key, action) {
    this.drop(key);
    action.run();
  }

  #button(label, className, onClick, name = null) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = className;
    button.textContent = label;
    if (name) button.setAttribute("aria-label", name);
    button.addEventListener("click", onClick);
    return button;
  }
}

/** A server's error in one sentence or two: what it says, and what it would have taken. */
export function errorText({ message, code, allowed }) {
  const said = message || code || "The server reports an error without a message.";
  if (!allowed || said.includes(String(allowed))) return said;
  const values = Array.isArray(allowed) ? allowed.join(", ") : String(allowed);
  return `${said}${/[.!?]$/.test(said) ? "" : "."} Allowed: ${values}.`;
}
