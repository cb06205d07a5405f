/** How loud a frame is, and a strip of bars that shows it, the newest on the right. */

const FLOOR_DB = 54;
const BAR_PX = 3;
const GAP_PX = 2;
const FRAMES_A_BAR = 3;
const BARS_MAX = 200; // that wait to be drawn: a page in the background draws nothing
const SPOKEN_EVERY = 16; // frames between two values for assistive technology

const surfaces = new WeakMap(); // of canvases: what is drawn on

/** A peak, 0 to 1 of full scale, as 0 to 1 of what can be heard: 54 dB. */
export function levelOf(peak) {
  const db = 20 * Math.log10(Math.max(peak, 1e-6));
  return Math.max(0, Math.min(1, 1 + db / FLOOR_DB));
}

/** On a canvas, in the text colour that the canvas has while a bar is drawn. */
export class LevelMeter {
  #canvas;
  #surface;
  #context;
  #scale = 1;
  #count = 0;
  #peak = 0;
  #waiting = []; // levels of bars that are not drawn yet

  constructor(canvas) {
    this.#canvas = canvas;
    this.#surface = surfaceOf(canvas);
    this.#context = this.#surface.getContext("2d");
    new ResizeObserver(() => this.clear()).observe(canvas);
  }

  push(peak) {
    this.#peak = Math.max(this.#peak, peak);
    this.#count += 1;
    if (this.#count % SPOKEN_EVERY === 1) this.#speak(levelOf(peak));
    if (this.#count % FRAMES_A_BAR) return;
    this.#waiting.push(levelOf(this.#peak));
    this.#peak = 0;
    if (this.#waiting.length > BARS_MAX) this.#waiting.shift();
    if (!document.hidden) this.#drawWaiting();
  }

  clear() {
    this.#scale = window.devicePixelRatio || 1;
    this.#surface.width = Math.round(this.#canvas.clientWidth * this.#scale);
    this.#surface.height = Math.round(this.#canvas.clientHeight * this.#scale);
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
    const { width, height } = this.#surface;
    if (!width || !height) return;
    const context = this.#context;
    const [bar, step] = [BAR_PX, BAR_PX + GAP_PX].map((px) => Math.round(px * this.#scale));
    context.globalCompositeOperation = "copy";
    context.drawImage(this.#surface, -step, 0);
    context.globalCompositeOperation = "source-over";
    context.fillStyle = getComputedStyle(this.#canvas).color;
    const tall = Math.max(2 * this.#scale, level * height);
    context.beginPath();
    context.roundRect(width - bar, (height - tall) / 2, bar, tall, bar / 2);
    context.fill();
  }
}

/**
 * What is drawn on: it is shown without a frame of the whole page, which costs several times as
 * much as a bar. A canvas gives it away once.
 */
function surfaceOf(canvas) {
  if (!surfaces.has(canvas)) surfaces.set(canvas, transferred(canvas));
  return surfaces.get(canvas);
}

function transferred(canvas) {
  try {
    return canvas.transferControlToOffscreen();
  } catch {
    return canvas; // the browser is too old for it, or somebody has drawn on the canvas
  }
}
