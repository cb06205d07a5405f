/** Who listens to what. */

export class Listeners {
  #of = new Map();

  /** Returns a function that ends it. */
  on(type, listener) {
    if (!this.#of.has(type)) this.#of.set(type, new Set());
    this.#of.get(type).add(listener);
    return () => this.#of.get(type).delete(listener);
  }

  /** One that throws is told of as any error that nobody catches, and nothing else stops for it. */
  tell(type, event) {
    for (const listener of [...(this.#of.get(type) ?? [])]) {
      try {
        listener(event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
