/** How loud a frame is, and a strip of bars that shows it, the newest on the right. */

const FLOOR_DB = 54;
const BAR_PX = 3;
const GAP_PX = 2;
const FRAMES_A_BAR = 2;
const BARS_MAX = 200; // that wait to be drawn: a page in the background draws nothing
const SPOKEN_EVERY = 16; // frames between two values for assistive technology

/** A peak, 0 to 1 of full scale, as 0 to 1 of what can be heard: 54 dB. */
export function levelOf(peak) {
  const db = 20 * Math.log10(Math.max(peak, 1e-6));
  return Math.max(0, Math.min(1, 1 + db / FLOOR_DB));
}

/** On a canvas, in the text colour that the canvas has while a bar is drawn. */
export class LevelMeter {
  #canvas;
  #context;
  #scale = 1;
  #count = 0;
  #peak = 0;
  #waiting = []; // levels of bars that are not drawn yet

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    new ResizeObserver(() => this.clear()).observe(canvas);
  }

  push(peak) {
    this.#peak = Math.max(this.#peak, peak);
    this.#count += 1;
    if (this.#count % SPOKEN_EVERY === 1) this.#speak(levelOf(peak));
    if (this.#count % FRAMES_A_BAR) return;
    this.#waiting.push(levelOf(this.#peak));
    this.#peak = 0;
    if (this.#waiting.length === 1) requestAnimationFrame(() => this.#drawWaiting());
    if (this.#waiting.length > BARS_MAX) this.#waiting.shift();
  }

  clear() {
    this.#scale = window.devicePixelRatio || 1;
    this.#canvas.width = Math.round(this.#canvas.clientWidth * this.#scale);
    this.#canvas.height = Math.round(this.#canvas.clientHeight * this.#scale);
    this.#speak(0);
  }

  #speak(level) {
    this.#canvas.setAttribute("aria-valuenow", String(Math.round(level * 100)));
  }

  #drawWaiting() {
    for (const level of this.#waiting.splice(0)) this.#draw(level);
  }

  // What is there moves on by a bar: drawing all of it anew costs several times as much.
  #draw(level) {
    const { width, height } = this.#canvas;
    if (!width || !height) return;
    const context = this.#context;
    const [bar, step] = [BAR_PX, BAR_PX + GAP_PX].map((px) => Math.round(px * this.#scale));
    context.globalCompositeOperation = "copy";
    context.drawImage(this.#canvas, -step, 0);
    context.globalCompositeOperation = "source-over";
    context.fillStyle = getComputedStyle(this.#canvas).color;
    const tall = Math.max(2 * this.#scale, level * height);
    context.beginPath();
    context.roundRect(width - bar, (height - tall) / 2, bar, tall, bar / 2);
    context.fill();
  }
}
