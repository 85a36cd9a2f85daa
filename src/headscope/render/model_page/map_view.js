// One map, large: a pixel a weight, enlarged by the browser, so that a long context scrolls as smoothly as a short one.
import { drawBytes, onScheme, ramp, toBytes } from "./colours.js";
import { element, modified, stepped } from "./elements.js";

const LEGIBLE = 7; // pixels of a cell beside which a label can be read
const LARGEST = 48; // pixels of a cell

export class MapView {
  /**
   * @param box - where it goes.
   * @param choose - called with the query that was clicked.
   */
  constructor(box, choose = () => {}) {
    this.canvas = element("canvas", { "aria-hidden": "true", width: 1, height: 1 });
    this.rows = element("canvas", { className: "beside", "aria-hidden": "true" });
    this.columns = element("canvas", { className: "above", "aria-hidden": "true" });
    this.line = element("i", { className: "line" });
    this.cell = element("i", { className: "cell" });
    this.area = element("div", { className: "area" }, this.canvas, this.line, this.cell);
    this.scroll = element("div", { className: "map", tabIndex: 0, role: "group" }, this.columns, this.rows, this.area);
    this.out = element("p", { className: "readout", "aria-live": "polite" });
    box.append(this.scroll, this.out);
    this.area.addEventListener("pointermove", (event) => this.#point(...this.#under(event)));
    this.area.addEventListener("pointerleave", () => this.#point(...this.kept));
    this.area.addEventListener("click", (event) => {
      this.kept = this.#under(event);
      choose(this.kept[0]);
    });
    this.scroll.addEventListener("keydown", (event) => this.#key(event, choose));
    new ResizeObserver(() => this.#lay()).observe(box);
    onScheme(() => this.#redraw());
    this.kept = [0, 0];
    this.n = 0;
  }

  /**
   * @param map - weights or lengths (n, n).
   * @param labels - n tokens.
   * @param largest - the value of the darkest colour.
   * @param said - what the map is, for who cannot see it.
   */
  draw(map, n, labels, largest, said) {
    Object.assign(this, { map, n, labels, largest, said });
    this.bytes = toBytes(map, largest);
    this.kept = this.kept.map((x) => Math.min(x, n - 1));
    this.chosen = undefined; // so that the new map's row is looked at again
    this.scroll.setAttribute("aria-label", `${said}; arrow keys move from cell to cell`);
    this.#redraw();
  }

  #redraw() {
    if (!this.n) return;
    drawBytes(this.canvas, this.bytes, 0, this.n, ramp());
    this.#lay();
  }

  /** Sizes: as large as the room allows, labels beside cells that are large enough. */
  #lay() {
    if (!this.n) return;
    const room = this.scroll.parentElement.clientWidth - 2;
    const longest = Math.max(...this.labels.map((label) => [...label].length));
    const margin = Math.min(110, 14 + 7 * longest);
    const side = Math.min(room, 620);
    let size = Math.min(LARGEST, Math.floor((side - margin) / this.n));
    const labelled = size >= LEGIBLE;
    if (!labelled) size = Math.max(2, Math.floor(side / this.n));
    this.size = size;
    const [width, left] = [size * this.n, labelled ? margin : 0];
    this.area.style.cssText = `width:${width}px;height:${width}px`;
    this.scroll.style.gridTemplateColumns = `${left}px ${width}px`;
    this.#labels(labelled, margin, width);
    this.#point(...this.kept);
    if (this.chosen !== undefined) this.choose(this.chosen);
  }

  #labels(labelled, margin, width) {
    for (const [canvas, across] of [
      [this.rows, false],
      [this.columns, true],
    ]) {
      const ratio = devicePixelRatio;
      const [w, h] = labelled ? (across ? [width, margin] : [margin, width]) : [0, 0];
      Object.assign(canvas, { width: w * ratio, height: h * ratio });
      canvas.style.cssText = `width:${w}px;height:${h}px`;
      if (!labelled) continue;
      const pen = canvas.getContext("2d");
      pen.scale(ratio, ratio);
      pen.fillStyle = getComputedStyle(this.scroll).color;
      pen.font = `${Math.min(13, this.size + 2.5)}px system-ui, sans-serif`;
      pen.textBaseline = "middle";
      pen.textAlign = "right";
      this.labels.forEach((label, k) => {
        const place = (k + 0.5) * this.size;
        pen.save();
        if (across) {
          pen.translate(place, margin - 4);
          pen.rotate(Math.PI / 2);
        } else {
          pen.translate(margin - 4, place);
        }
        const turned = across && [...label].length === 1; // a single character stands upright
        if (turned) {
          pen.rotate(-Math.PI / 2);
          pen.textAlign = "center";
          pen.fillText(label, 0, -6);
        } else {
          pen.fillText(label, 0, 0, margin - 6);
        }
        pen.restore();
      });
    }
  }

  #under(event) {
    const { left, top } = this.area.getBoundingClientRect();
    const place = (x) => Math.max(0, Math.min(this.n - 1, Math.floor(x / this.size)));
    return [place(event.clientY - top), place(event.clientX - left)];
  }

  #key(event, choose) {
    if (modified(event)) return;
    const [i, j] = this.kept;
    const down = stepped({ ArrowUp: "ArrowLeft", ArrowDown: "ArrowRight" }[event.key] ?? "", i, this.n);
    const right = stepped(
      { ArrowLeft: "ArrowLeft", ArrowRight: "ArrowRight", Home: "Home" }[event.key] ?? "",
      j,
      this.n,
    );
    if (event.key === "Enter") choose(i);
    if (down === null && right === null) return;
    event.preventDefault();
    this.kept = [down ?? i, Math.min(right ?? j, down ?? i)];
    this.#point(...this.kept);
  }

  /** Shows the number of a cell. */
  #point(i, j) {
    if (!this.n) return;
    this.cell.style.cssText = `left:${j * this.size}px;top:${i * this.size}px;width:${this.size}px;height:${this.size}px`;
    const value = this.map[i * this.n + j];
    const seen = j > i ? "comes later and cannot be seen" : value.toFixed(4);
    this.out.replaceChildren(
      "from ",
      element("bdi", {}, this.labels[i]),
      ` (${i}) to `,
      element("bdi", {}, this.labels[j]),
      ` (${j}): ${seen}`,
    );
  }

  /** Marks the row of the chosen position, and where it looks most. */
  choose(i) {
    if (i !== this.chosen && i >= 0 && i < this.n) {
      const row = this.map.subarray(i * this.n, i * this.n + i + 1);
      this.kept = [i, row.indexOf(Math.max(...row))];
      this.#point(...this.kept);
    }
    this.chosen = i;
    this.line.hidden = !(i >= 0 && i < this.n);
    this.line.style.cssText = `top:${i * this.size}px;height:${this.size}px`;
  }
}
