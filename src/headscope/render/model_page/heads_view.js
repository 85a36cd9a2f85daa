// Every head as a thumbnail with its role, its attention from one position, and a switch.
import { css, drawBytes, onSchemeChange, ramp } from "./colours.js";
import { element, hasModifier, indexAfterKey, percent } from "./elements.js";
import { nameOf } from "./state.js";

const THUMBNAIL = 128; // the largest side in pixels

/** The attention of one head "from" or "to" position `at` of the context, (n). `maps` has bytes (heads, n, n). */
export function attentionAt(maps, n, head, at, direction) {
  const byte = (k) => (direction === "from" ? maps[(head * n + at) * n + k] : maps[(head * n + k) * n + at]);
  const isMasked = (k) => (direction === "from" ? k > at : k < at);
  return Array.from({ length: n }, (_, k) => (isMasked(k) ? 0 : (byte(k) / 255) ** 2));
}

export class HeadsView {
  /**
   * @param box - the element that gets the heads.
   * @param sizes - number of `layers` and `heads`.
   * @param state - the chosen head.
   * @param hasSwitches - whether each head can be switched off.
   */
  constructor(box, sizes, state, hasSwitches) {
    this.sizes = sizes;
    this.cards = [];
    const toggle = hasSwitches ? (layer, head) => state.toggle(layer, head) : null;
    for (let layer = 0; layer < sizes.layers; layer++) {
      const row = element("div", { className: "layer", role: "group", "aria-label": `layer ${layer}` });
      row.append(element("span", { className: "layer-name" }, `layer ${layer}`));
      const cells = element("div", { className: "cards" });
      for (let head = 0; head < sizes.heads; head++) cells.append(this.#card(layer, head, state, toggle));
      row.append(cells);
      box.append(row);
    }
    box.addEventListener("keydown", (event) => {
      const from = this.cards.findIndex((card) => card.button === event.target);
      if (from < 0 || hasModifier(event)) return;
      if (event.key === "o") toggle?.(this.cards[from].layer, this.cards[from].head);
      const next = indexAfterKey(event.key, from, this.cards.length, sizes.heads);
      if (next === null) return;
      event.preventDefault();
      const { layer, head, button } = this.cards[next];
      state.change({ layer, head });
      button.focus();
    });
    onSchemeChange(() => this.#redraw());
  }

  #card(layer, head, state, toggle) {
    const name = nameOf(layer, head);
    const canvas = element("canvas", { "aria-hidden": "true", width: 1, height: 1 });
    const strip = element("canvas", { className: "strip", "aria-hidden": "true", width: 1, height: 1 });
    const button = element("button", { type: "button", className: "pick" }, canvas, strip);
    const role = element("span", { className: "role" });
    const top = element("span", { className: "top" });
    const card = { layer, head, name, canvas, strip, button, role, top };
    button.addEventListener("click", () => state.change({ layer, head }));
    card.box = element("div", { className: "head" }, button);
    if (toggle) {
      card.input = element("input", { type: "checkbox", checked: true, role: "switch", "aria-label": `${name} is on` });
      card.input.addEventListener("change", () => toggle(layer, head));
      card.box.append(element("label", {}, card.input, element("b", {}, name)));
    } else {
      card.box.append(element("b", {}, name));
    }
    card.box.append(role, top);
    this.cards.push(card);
    return card.box;
  }

  /** Shows attention maps as bytes (L, H, n, n). */
  draw(maps, n) {
    Object.assign(this, { maps, n, lastLook: null });
    this.#redraw();
  }

  #redraw() {
    if (!this.maps) return;
    const colours = ramp();
    this.cards.forEach((card, i) => drawBytes(card.canvas, this.maps, i * this.n * this.n, this.n, colours, THUMBNAIL));
    if (this.lastLook) this.look(...this.lastLook);
  }

  /** Shows the roles (L, H) of the heads; a question mark follows a role that is not confirmed. */
  showRoles(roles) {
    for (const card of this.cards) {
      const role = roles[card.layer]?.[card.head] || "no role";
      card.role.textContent = role;
      card.role.classList.toggle("none", role === "no role");
      card.role.title = role.endsWith("?") ? "The scores suggest this role, but the loss hardly depends on the head." : "";
      card.button.setAttribute("aria-label", `${card.name}, ${role}: show it large`);
    }
  }

  /** Marks the chosen head, and the heads that are off. */
  mark(state) {
    for (const card of this.cards) {
      const chosen = card.layer === state.layer && card.head === state.head;
      card.button.setAttribute("aria-pressed", chosen);
      card.button.tabIndex = chosen ? 0 : -1;
      if (!card.input) continue;
      card.input.checked = !state.isOff(card.layer, card.head);
      card.box.classList.toggle("off", !card.input.checked);
    }
  }

  /** Shows, below each map, the head's attention "from" or "to" a position of the context. */
  look(at, direction, labels) {
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
