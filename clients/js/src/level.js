/** How loud a frame is, and a strip of bars that shows it, the newest on the right. */

const FLOOR_DB = 54;
const BAR_PX = 3;
const GAP_PX = 2;
const SPOKEN_EVERY = 16; // frames between two values for assistive technology

/** A peak, 0 to 1 of full scale, as 0 to 1 of what can be heard: 54 dB. */
export function levelOf(peak) {
  const db = 20 * Math.log10(Math.max(peak, 1e-6));
  return Math.max(0, Math.min(1, 1 + db / FLOOR_DB));
}

/** On a canvas, in the canvas's own text colour. */
export class LevelMeter {
  #canvas;
  #levels = [];
  #count = 0;
  #drawn = true;

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.#draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  push(peak) {
    const level = levelOf(peak);
    this.#levels.push(level);
    const most = Math.ceil(this.#canvas.clientWidth / (BAR_PX + GAP_PX)) + 1;
    if (this.#levels.length > most) this.#levels.splice(0, this.#levels.length - most);
    if (this.#count % SPOKEN_EVERY === 0) {
      this.#canvas.setAttribute("aria-valuenow", String(Math.round(level * 100)));
    }
    this.#count += 1;
    this.#schedule();
  }

  clear() {
    this.#levels = [];
    this.#canvas.setAttribute("aria-valuenow", "0");
    this.#schedule();
  }

  #schedule() {
    if (!this.#drawn) return;
    this.#drawn = false;
    requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#drawn = true;
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const scale = window.devicePixelRatio || 1;
    this.#canvas.width = Math.round(width * scale);
    this.#canvas.height = Math.round(height * scale);
    const context = this.#canvas.getContext("2d");
    context.scale(scale, scale);
    context.fillStyle = getComputedStyle(this.#canvas).color;
    this.#levels.toReversed().forEach((level, age) => {
      const tall = Math.max(2, level * height);
      const left = width - BAR_PX - age * (BAR_PX + GAP_PX);
      context.globalAlpha = Math.max(0.12, 1 - age / this.#levels.length) * (level ? 1 : 0.4);
      context.beginPath();
      context.roundRect(left, (height - tall) / 2, BAR_PX, tall, BAR_PX / 2);
      context.fill();
    });
  }
}
