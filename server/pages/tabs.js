/** Two tabs: a click or the arrow keys choose, and only the chosen one is in the tab order. */

export class Tabs {
  #tabs;

  constructor(list) {
    this.#tabs = [...list.querySelectorAll("[role=tab]")];
    for (const tab of this.#tabs) tab.addEventListener("click", () => this.choose(tab.id));
    list.addEventListener("keydown", (event) => this.#step(event));
  }

  choose(id) {
    for (const tab of this.#tabs) {
      const chosen = tab.id === id;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !chosen;
    }
  }

  #step(event) {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    const at = this.#tabs.indexOf(event.target);
    const by = event.key === "ArrowRight" ? 1 : this.#tabs.length - 1;
    const next = this.#tabs[(at + by) % this.#tabs.length];
    this.choose(next.id);
    next.focus();
  }
}
