/** One file on the page: its state, its buttons, its transcript once it is asked for. */

import { line } from "./captions.js";
import { make } from "./elements.js";
import { exportButtons } from "./export.js";
import { render } from "./words.js";

let count = 0; // so that every card has names of its own for the parts that others refer to

export class FileCard {
  #name;
  #read;
  #transcript = null; // a promise of it, from when it was first asked for
  #buttons;

  /**
   * `on` has a function for each thing that can be done: `cancel`, `retry`, `remove`, and
   * `read`, which promises the transcript.
   */
  constructor(name, on) {
    count += 1;
    this.#name = name;
    this.#read = on.read;
    this.element = make("li", "file");
    this.element.tabIndex = -1;
    this.title = make("h2", "name", name);
    this.title.id = `file-${count}`;
    this.element.setAttribute("aria-labelledby", this.title.id);
    this.status = make("p", "quiet");
    this.progress = make("progress");
    this.progress.setAttribute("aria-label", `Progress of ${name}`);
    this.reason = make("p", "failure");
    this.text = make("div", "transcript");
    this.text.id = `text-${count}`;
    this.text.tabIndex = 0;
    this.text.setAttribute("role", "region");
    this.text.setAttribute("aria-label", `Transcript of ${name}`);
    this.#buttons = {
      read: this.#button("Transcript", "act", () => this.open(this.text.hidden)),
      cancel: this.#button("Cancel", "act", on.cancel),
      retry: this.#button("Try again", "act", on.retry),
      remove: this.#button("Delete", "act", on.remove),
    };
    this.#buttons.read.setAttribute("aria-controls", this.text.id);
    this.tools = make("div", "tools");
    const stem = name.replace(/\.[^.]+$/, "");
    this.tools.append(exportButtons(() => stem, () => this.#load(), name));
    const head = make("header");
    head.append(this.title, this.status, ...Object.values(this.#buttons));
    this.element.append(head, this.progress, this.reason, this.text, this.tools);
    this.open(false);
  }

  show({ name, text, part, reason = "", can }) {
    const focused = document.activeElement;
    this.element.dataset.state = name;
    if (this.status.textContent !== text) this.status.textContent = text;
    this.progress.hidden = part === undefined;
    if (part == null) this.progress.removeAttribute("value");
    else this.progress.value = part;
    this.reason.hidden = !reason;
    this.reason.textContent = reason;
    for (const [action, button] of Object.entries(this.#buttons)) {
      button.hidden = !can.includes(action);
    }
    this.tools.hidden = !can.includes("read");
    if (this.tools.hidden) this.open(false);
    // A button that goes away must not take the keyboard's place on the page with it.
    if (this.element.contains(focused) && focused.closest("[hidden]")) this.element.focus();
  }

  async open(isOpen = true) {
    this.text.hidden = !isOpen;
    this.#buttons.read.setAttribute("aria-expanded", String(isOpen));
    if (!isOpen || this.text.childElementCount) return;
    const transcript = await this.#load();
    if (transcript && !this.text.childElementCount) this.text.append(...rows(transcript));
  }

  complain(message) {
    this.reason.hidden = false;
    this.reason.textContent = message;
  }

  /** Null where it cannot be had, which is then said, and can be tried again. */
  #load() {
    this.#transcript ??= this.#read().catch((error) => {
      this.#transcript = null;
      this.complain(error.message);
      return null;
    });
    return this.#transcript;
  }

  #button(label, className, onClick) {
    const button = make("button", className, label);
    button.type = "button";
    button.setAttribute("aria-label", `${label}: ${this.#name}`);
    button.addEventListener("click", onClick);
    return button;
  }
}

function rows({ segments }) {
  if (!segments.length) return [make("p", "quiet", "No speech was heard.")];
  return segments.map((segment) => {
    const row = line("final", segment.start);
    row.lastChild.append(render(segment.text.trim(), segment.words));
    return row;
  });
}
