// One large attention map. The canvas has one pixel per weight and is enlarged by the browser, so that maps of long
// contexts scroll smoothly.
import { axisOf, shorten } from "./axis.js";
import { drawBytes, onSchemeChange, ramp, toBytes } from "./colours.js";
import { element, hasModifier } from "./elements.js";

const LARGEST_SIDE = 620; // of the map with its labels, in pixels
const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -Infinity] };

const clamp = (x, low, high) => Math.max(low, Math.min(high, x));

export class MapView {
  /**
   * @param box - the element to which the map is added.
   * @param onChoose - called with the query position that was clicked.
   * @param prefix - the text before the value below the map.
   */
  constructor(box, onChoose = () => {}, prefix = "") {
    this.prefix = prefix;
    this.linked = []; // maps of the same text that show the cell under this map's pointer, too
    this.canvas = element("canvas", { "aria-hidden": "true", width: 1, height: 1 });
    this.rows = element("canvas", { className: "beside", "aria-hidden": "true" });
    this.columns = element("canvas", { className: "above", "aria-hidden": "true" });
    this.line = element("i", { className: "line" });
    this.frame = element("i", { className: "cell" });
    this.area = element("div", { className: "area" }, this.canvas, this.line, this.frame);
    this.scroll = element("div", { className: "map", tabIndex: 0, role: "group" }, this.columns, this.rows, this.area);
    this.readout = element("p", { className: "readout", "aria-live": "polite" });
    box.append(this.scroll, this.readout);
    this.area.addEventListener("pointermove", (event) => this.#point(...this.#cellUnder(event)));
    this.area.addEventListener("pointerleave", () => {
      for (const map of [this, ...this.linked]) map.#show(...map.cell);
    });
    this.area.addEventListener("click", (event) => {
      this.cell = this.#cellUnder(event);
      onChoose(this.cell[0]);
    });
    this.scroll.addEventListener("keydown", (event) => this.#onKey(event, onChoose));
    new ResizeObserver(() => this.#resize()).observe(box);
    onSchemeChange(() => this.n && this.#redraw());
    this.cell = [0, 0]; // query and key of the chosen cell
    this.n = 0;
  }

  /**
   * @param map - attention weights or norms, (n, n).
   * @param labels - the labels of the n tokens.
   * @param largest - the value with the darkest colour.
   * @param caption - describes the map to screen readers.
   */
  draw(map, n, labels, largest, caption) {
    Object.assign(this, { map, n, labels });
    this.bytes = toBytes(map, largest);
    this.cell = this.cell.map((x) => Math.min(x, n - 1));
    this.chosen = undefined; // so that `choose` selects the largest weight of the new map
    this.scroll.setAttribute("aria-label", `${caption}; arrow keys move from cell to cell`);
    this.#redraw();
  }

  /** Draws the map again. One token has no map to draw, because its only weight is always 1. */
  #redraw() {
    this.scroll.hidden = this.n < 2;
    if (this.n < 2) {
      this.readout.textContent = "The text has one token, which attends only to itself.";
      return;
    }
    drawBytes(this.canvas, this.bytes, 0, this.n, ramp());
    this.#resize();
  }

  /** Makes the map and its labels as large as their box allows. */
  #resize() {
    if (this.n < 2) return;
    const longest = Math.max(...shorten(this.labels).map((label) => [...label].length));
    const side = Math.min(this.scroll.parentElement.clientWidth - 2, LARGEST_SIDE);
    const axis = axisOf(side, this.n, longest);
    this.size = axis.size;
    const width = this.size * this.n;
    this.area.style.cssText = `width:${width}px;height:${width}px`;
    this.scroll.style.gridTemplateColumns = `${axis.margin}px ${width}px`;
    this.#drawLabels(this.rows, [axis.margin, width], axis, false);
    this.#drawLabels(this.columns, [width, axis.margin], axis, true);
    this.#show(...this.cell);
    if (this.chosen !== undefined) this.choose(this.chosen);
  }

  /** Draws the label of every row on its left, or of every column above it. */
  #drawLabels(canvas, [width, height], { size, margin, lane, rows, columns }, above) {
    const { lanes, every, pitch } = above ? columns : rows;
    const font = Math.min(13, above ? pitch + 2 : pitch - 1); // upright characters are higher than wide
    const ratio = devicePixelRatio;
    Object.assign(canvas, { width: width * ratio, height: height * ratio });
    canvas.style.cssText = `width:${width}px;height:${height}px`;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.fillStyle = getComputedStyle(this.scroll).color;
    pen.font = `${font}px system-ui, sans-serif`;
    pen.textBaseline = "middle";
    shorten(this.labels).forEach((label, k) => {
      if (k % every) return;
      const half = font / 3; // of the height of a capital letter
      const middle = Math.max(half, Math.min((k + 0.5) * size, size * this.n - half));
      const edge = margin - 4 - ((k / every) % lanes) * lane;
      pen.save();
      pen.textAlign = "right";
      pen.translate(...(above ? [middle, edge] : [edge, middle]));
      if (above && [...label].length === 1) {
        pen.textAlign = "center"; // a single character stays upright
        pen.fillText(label, 0, -6, pitch);
      } else {
        if (above) pen.rotate(Math.PI / 2);
        pen.fillText(label, 0, 0, lane - 2);
      }
      pen.restore();
    });
  }

  #cellUnder(event) {
    const { left, top } = this.area.getBoundingClientRect();
    const index = (x) => clamp(Math.floor(x / this.size), 0, this.n - 1);
    return [index(event.clientY - top), index(event.clientX - left)];
  }

  #onKey(event, onChoose) {
    if (hasModifier(event)) return;
    const [i, j] = this.cell;
    if (event.key === "Enter") onChoose(i);
    const move = MOVES[event.key];
    if (!move) return;
    event.preventDefault();
    const row = clamp(i + move[0], 0, this.n - 1);
    this.cell = [row, clamp(j + move[1], 0, row)];
    this.#point(...this.cell);
  }

  /** Links two maps of the same text: both show the cell that the user points at in one of them. */
  link(other) {
    this.linked.push(other);
    other.linked.push(this);
  }

  #point(i, j) {
    for (const map of [this, ...this.linked]) map.#show(i, j);
  }

  /** Outlines a cell and shows its value below the map. */
  #show(i, j) {
    if (this.n < 2 || i >= this.n) return; // a linked map may show an older, shorter text
    this.frame.style.cssText = `left:${j * this.size}px;top:${i * this.size}px;width:${this.size}px;height:${this.size}px`;
    const value = j > i ? "masked, because the key comes after the query" : this.map[i * this.n + j].toFixed(4);
    const [query, key] = [i, j].map((k) => element("bdi", {}, this.labels[k]));
    this.readout.replaceChildren(`${this.prefix}from `, query, ` (${i}) to `, key, ` (${j}): ${value}`);
  }

  /** Marks the row of a query and the largest weight in this row. */
  choose(i) {
    const isInside = i >= 0 && i < this.n;
    if (i !== this.chosen && isInside) {
      const row = this.map.subarray(i * this.n, i * this.n + i + 1);
      this.cell = [i, row.indexOf(Math.max(...row))];
      this.#show(...this.cell);
    }
    this.chosen = i;
    this.line.hidden = !isInside;
    this.line.style.cssText = `top:${i * this.size}px;height:${this.size}px`;
  }
}
