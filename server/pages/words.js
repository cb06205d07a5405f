/** A text and its words: where each word stands in the text, and what is known about it. */

const known = new WeakMap();
const CONFIDENCE_LOW = 0.5;

/**
 * Cuts `text` at its words. What stands between them stays as the text has it, so that
 * scripts without spaces need no rule of their own.
 */
export function cut(text, words) {
  const pieces = [];
  let at = 0;
  for (const word of words ?? []) {
    const bare = word.text.trim();
    const found = bare ? text.indexOf(bare, at) : -1;
    if (found < 0) continue;
    pieces.push({ gap: text.slice(at, found), text: bare, word });
    at = found + bare.length;
  }
  return { pieces, rest: text.slice(at) };
}

/** The text as nodes, one span for each word that has times. */
export function render(text, words) {
  const { pieces, rest } = cut(text, words);
  const nodes = document.createDocumentFragment();
  for (const { gap, text: bare, word } of pieces) {
    const span = document.createElement("span");
    span.className = "word";
    span.textContent = bare;
    if (word.confidence != null && word.confidence < CONFIDENCE_LOW) span.classList.add("doubtful");
    known.set(span, word);
    nodes.append(gap, span);
  }
  nodes.append(rest);
  return nodes;
}

function describe({ start, end, confidence }) {
  const facts = [];
  if (start != null && end != null) facts.push(`${start.toFixed(2)} – ${end.toFixed(2)} s`);
  if (confidence != null) facts.push(`${Math.round(confidence * 100)} % sure`);
  return facts.join(" · ");
}

/** Shows a word's times on hover, on tap, and with the arrow keys in a focused transcript. */
export class WordTip {
  #tip;
  #word = null;

  constructor(tip) {
    this.#tip = tip;
    document.addEventListener("pointerover", ({ target }) => this.#point(target));
    document.addEventListener("pointerdown", ({ target }) => this.#point(target));
    document.addEventListener("scroll", () => this.#show(null), true);
    document.addEventListener("keydown", (event) => this.#step(event));
    document.addEventListener("focusout", () => this.#show(null));
  }

  #point(target) {
    const word = known.has(target) ? target : null;
    if (word !== this.#word) this.#show(word);
  }

  #step(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") this.#show(null);
    const transcript = event.target.closest?.(".transcript");
    if (!by || !transcript) return;
    const words = [...transcript.querySelectorAll(".word")];
    const at = words.indexOf(this.#word);
    const next = words[at < 0 && by < 0 ? words.length - 1 : at + by];
    if (!next) return;
    event.preventDefault();
    next.scrollIntoView({ block: "nearest" });
    // Scrolling hides the tip, and says so only after this event.
    requestAnimationFrame(() => requestAnimationFrame(() => this.#show(next)));
  }

  #show(word) {
    this.#word?.classList.remove("shown");
    const text = word ? describe(known.get(word)) : "";
    this.#word = text ? word : null;
    this.#tip.hidden = !text;
    if (!text) return;
    word.classList.add("shown");
    this.#tip.textContent = text;
    const box = word.getBoundingClientRect();
    const room = document.documentElement.clientWidth - this.#tip.offsetWidth - 8;
    const middle = box.left + (box.width - this.#tip.offsetWidth) / 2;
    const above = box.top - this.#tip.offsetHeight - 6;
    this.#tip.style.left = `${Math.max(8, Math.min(room, middle))}px`;
    this.#tip.style.top = `${above > 8 ? above : box.bottom + 6}px`;
  }
}
