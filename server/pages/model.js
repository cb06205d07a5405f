/** Which model is running, in the page's corner; loudly when it is only the fallback. */

export class ModelBadge {
  #details = document.querySelector("#model");
  #notices;

  constructor(notices) {
    this.#notices = notices;
    document.addEventListener("click", ({ target }) => {
      if (!this.#details.contains(target)) this.#details.open = false;
    });
    this.#details.addEventListener("keydown", ({ key }) => {
      if (key === "Escape") this.#details.open = false;
    });
  }

  /** What the server says before anybody speaks; a recording's `ready` says it again. */
  async ask() {
    const answer = await fetch(new URL("readyz", document.baseURI)).catch(() => null);
    const facts = await answer?.json().catch(() => null);
    if (facts?.model?.name) this.show(facts.model);
  }

  show(model) {
    const where = model.device ? ` · ${model.device.toUpperCase()}` : "";
    document.querySelector("#model-name").textContent = `${model.name}${where}`;
    this.#details.hidden = false;
    this.#details.classList.toggle("fallback", Boolean(model.fallback));
    const facts = [
      ["Model", model.name],
      ["Backend", model.backend],
      ["Device", model.device],
      ["Precision", model.compute_type],
      ["Chosen because", model.why],
    ];
    document.querySelector("#model-facts").replaceChildren(
      ...facts.filter(([, value]) => value).flatMap(([name, value]) => pair(name, value)),
    );
    if (!model.fallback) return;
    const why = model.why ? ` (${model.why.replace(/[.]$/, "")})` : "";
    this.#notices.show(
      "fallback",
      "warning",
      `This server runs its small built-in model, ${model.name}${why}: English only, and it ` +
        "misses many words. Give the server a Whisper model for real use.",
    );
  }
}

function pair(name, value) {
  const term = document.createElement("dt");
  const text = document.createElement("dd");
  term.textContent = name;
  text.textContent = value;
  return [term, text];
}
