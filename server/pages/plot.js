/** A few lines over the last minutes, with their newest values in words. */

import { make } from "./elements.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 300;
const HEIGHT = 72;

export class Plot {
  #seconds;
  #format;
  #lines;
  #rows = []; // {at, values}: the oldest first
  #ceiling;

  /**
   * `names` are those of the lines; `format` writes a value; `seconds` is how far back they go.
   */
  constructor(title, names, { format, seconds }) {
    this.#seconds = seconds;
    this.#format = format;
    this.element = make("figure", "plot");
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    const values = make("dl");
    this.#lines = names.map((name, number) => {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("class", `line-${number + 1}`);
      svg.append(path);
      const value = make("dd", "", "–");
      const pair = make("div", `line-${number + 1}`);
      pair.append(make("dt", "", name), value);
      values.append(pair);
      return { path, value };
    });
    this.#ceiling = make("p", "ceiling");
    this.#ceiling.setAttribute("aria-hidden", "true");
    const caption = make("figcaption");
    caption.append(make("h2", "", title), values);
    this.element.append(caption, this.#ceiling, svg);
  }

  /** `at` in seconds of any clock; a value that is null leaves a gap. */
  push(at, values) {
    this.#rows.push({ at, values });
    while (this.#rows[0].at < at - this.#seconds) this.#rows.shift();
    const most = ceiling(Math.max(...this.#rows.flatMap((row) => row.values.map(Number))));
    this.#ceiling.textContent = this.#format(most);
    this.#lines.forEach(({ path, value }, number) => {
      value.textContent = values[number] == null ? "–" : this.#format(values[number]);
      path.setAttribute("d", this.#trace(number, at, most));
    });
  }

  #trace(number, now, most) {
    let pen = "M";
    const steps = this.#rows.map(({ at, values }) => {
      const value = values[number];
      if (value == null) {
        pen = "M";
        return "";
      }
      const x = WIDTH * (1 - (now - at) / this.#seconds);
      const y = HEIGHT - 2 - (HEIGHT - 4) * (value / most);
      const step = `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
      pen = "L";
      return step;
    });
    return steps.join("");
  }
}

/** The next number of the form 1, 2 or 5 times a power of ten. */
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((bound) => bound >= value);
}
