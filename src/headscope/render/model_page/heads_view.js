// For every head: a thumbnail of its map, its role, its attention from or to one position, and a switch.
import { css, drawBytes, onSchemeChange, ramp } from "./colours.js";
import { element, hasModifier, indexAfterKey, percent } from "./elements.js";
import { headSwitch } from "./head_switch.js";
import { nameOf } from "./state.js";

const THUMBNAIL = 128; // maximum side in pixels
const KEYS = { o: "off", d: "predicted" }; // the positions to which keys set the switch of a head

/** The attention weights (n) of a head "from" or "to" position `at` of the context. `maps` has bytes (heads, n, n). */
export function attentionAt(maps, n, head, at, direction) {
  const byte = (k) => (direction === "from" ? maps[(head * n + at) * n + k] : maps[(head * n + k) * n + at]);
  const isMasked = (k) => (direction === "from" ? k > at : k < at);
  return Array.from({ length: n }, (_, k) => (isMasked(k) ? 0 : (byte(k) / 255) ** 2));
}

export class HeadsView {
  /**
   * @param box - the element to which the heads are added.
   * @param sizes - the numbers of `layers` and of `heads` per layer.
   * @param state - holds the chosen head and the positions of the switches.
   * @param positionsOf - a function of layer and head that returns the positions of the head's switch; null if the
   *     heads have no switches.
   */
  constructor(box, sizes, state, positionsOf) {
    this.sizes = sizes;
    this.cards = [];
    for (let layer = 0; layer < sizes.layers; layer++) {
      const row = element("div", { className: "layer", role: "group", "aria-label": `layer ${layer}` });
      row.append(element("span", { className: "layer-name" }, `layer ${layer}`));
      const cells = element("div", { className: "cards" });
      for (let head = 0; head < sizes.heads; head++) cells.append(this.#card(layer, head, state, positionsOf?.(layer, head)));
      row.append(cells);
      box.append(row);
    }
    box.addEventListener("keydown", (event) => {
      const from = this.cards.findIndex((card) => card.button === event.target);
      if (from < 0 || hasModifier(event)) return;
      const { layer, head, positions } = this.cards[from];
      if (positions?.includes(KEYS[event.key])) state.toggle(layer, head, KEYS[event.key]);
      const next = indexAfterKey(event.key, from, this.cards.length, sizes.heads);
      if (next === null) return;
      event.preventDefault();
      state.change({ layer: this.cards[next].layer, head: this.cards[next].head });
      this.cards[next].button.focus();
    });
    onSchemeChange(() => this.#redraw());
  }

  #card(layer, head, state, positions) {
    const name = nameOf(layer, head);
    const canvas = element("canvas", { "aria-hidden": "true", width: 1, height: 1 });
    const strip = element("canvas", { className: "strip", "aria-hidden": "true", width: 1, height: 1 });
    const button = element("button", { type: "button", className: "pick" }, canvas, strip);
    const role = element("span", { className: "role" });
    const top = element("span", { className: "top" });
    const card = { layer, head, name, canvas, strip, button, role, top, positions };
    button.addEventListener("click", () => state.change({ layer, head }));
    card.box = element("div", { className: "head" }, button);
    if (positions) card.switch = headSwitch(name, positions, (position) => state.setSwitch(layer, head, position));
    card.box.append(card.switch?.element ?? element("b", {}, name));
    card.box.append(role, top);
    this.cards.push(card);
    return card.box;
  }

  /** Draws attention maps, given as bytes (L, H, n, n). One token has no maps, because its only weight is always 1. */
  draw(maps, n) {
    Object.assign(this, { maps: n > 1 ? maps : null, n, lastLook: null });
    if (!this.maps) this.#clear();
    this.#redraw();
  }

  #clear() {
    for (const { canvas, strip, top } of this.cards) {
      canvas.width = canvas.height = strip.width = 1; // a new width empties a canvas
      top.textContent = "";
    }
  }

  #redraw() {
    if (!this.maps) return;
    const colours = ramp();
    this.cards.forEach((card, i) => drawBytes(card.canvas, this.maps, i * this.n * this.n, this.n, colours, THUMBNAIL));
    if (this.lastLook) this.look(...this.lastLook);
  }

  /** Shows the role of each head, (L, H). Unconfirmed roles end with a question mark. */
  showRoles(roles) {
    for (const card of this.cards) {
      const role = roles[card.layer]?.[card.head] || "no role";
      card.role.textContent = role;
      card.role.classList.toggle("none", role === "no role");
      const doubt = "The scores suggest this role, but it is not confirmed that the loss rises without the head.";
      card.role.title = role.endsWith("?") ? doubt : "";
      card.button.setAttribute("aria-label", `${card.name}, ${role}: show a large map`);
    }
  }

  /** Marks the chosen head, and shows the positions of the switches. */
  mark(state) {
    for (const card of this.cards) {
      const chosen = card.layer === state.layer && card.head === state.head;
      card.button.setAttribute("aria-pressed", chosen);
      card.button.tabIndex = chosen ? 0 : -1;
      if (!card.switch) continue;
      const position = state.positionOf(card.layer, card.head);
      card.switch.show(position);
      for (const name of ["off", "predicted"]) card.box.classList.toggle(name, position === name);
    }
  }

  /** Draws the strip below each map: the head's attention "from" or "to" a position of the context. */
  look(at, direction, labels) {
    if (!this.maps) return;
    this.lastLook = [at, direction, labels];
    const colours = ramp();
    this.cards.forEach((card, i) => {
      const weights = attentionAt(this.maps, this.n, i, at, direction);
      card.strip.width = this.n;
      const pen = card.strip.getContext("2d");
      weights.forEach((weight, k) => {
        pen.fillStyle = css(colours[Math.round(Math.sqrt(weight) * 255)]);
        pen.fillRect(k, 0, 1, 1);
      });
      const best = weights.indexOf(Math.max(...weights));
      const label = element("bdi", {}, labels[best] ?? "");
      card.top.replaceChildren(direction === "from" ? "→ " : "← ", label, ` ${percent(weights[best])}`);
    });
  }
}
