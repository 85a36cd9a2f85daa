// All heads as thumbnails, with their roles, a strip for the chosen position, and a switch each.
import { drawBytes, css, onScheme, ramp } from "./colours.js";
import { element, modified, percent, stepped } from "./elements.js";
import { nameOf } from "./state.js";

const THUMBNAIL = 128; // pixels of a side

export class HeadsView {
  /**
   * @param box - where they go.
   * @param sizes - layers and heads.
   * @param pick - called with the layer and head that was picked.
   * @param toggle - called with one to switch off or on; null: there are no switches.
   */
  constructor(box, sizes, pick, toggle) {
    this.sizes = sizes;
    this.cards = [];
    for (let layer = 0; layer < sizes.layers; layer++) {
      const row = element("div", { className: "layer", role: "group", "aria-label": `layer ${layer}` });
      row.append(element("span", { className: "layer-name" }, `layer ${layer}`));
      const cells = element("div", { className: "cards" });
      for (let head = 0; head < sizes.heads; head++) cells.append(this.#card(layer, head, pick, toggle));
      row.append(cells);
      box.append(row);
    }
    box.addEventListener("keydown", (event) => {
      const from = this.cards.findIndex((card) => card.button === event.target);
      if (from < 0 || modified(event)) return;
      if (event.key === "o" && toggle) toggle(this.cards[from].layer, this.cards[from].head);
      const next = stepped(event.key, from, this.cards.length, sizes.heads);
      if (next === null) return;
      event.preventDefault();
      pick(this.cards[next].layer, this.cards[next].head);
      this.cards[next].button.focus();
    });
    onScheme(() => this.#redraw());
  }

  #card(layer, head, pick, toggle) {
    const name = nameOf(layer, head);
    const canvas = element("canvas", { "aria-hidden": "true", width: 1, height: 1 });
    const strip = element("canvas", { className: "strip", "aria-hidden": "true", width: 1, height: 1 });
    const button = element("button", { type: "button", className: "pick" }, canvas, strip);
    const role = element("span", { className: "role" });
    const top = element("span", { className: "top" });
    const card = { layer, head, name, canvas, strip, button, role, top };
    button.addEventListener("click", () => pick(layer, head));
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

  /** Shows maps as bytes (L, H, n, n). */
  draw(maps, n) {
    Object.assign(this, { maps, n, last: null });
    this.#redraw();
  }

  #redraw() {
    if (!this.maps) return;
    const colours = ramp();
    this.cards.forEach((card, i) => drawBytes(card.canvas, this.maps, i * this.n * this.n, this.n, colours, THUMBNAIL));
    if (this.last) this.look(...this.last);
  }

  /** Says which head has which role, (L, H) texts; a question mark is behind one that is not confirmed. */
  name(roles) {
    for (const card of this.cards) {
      const said = roles[card.layer]?.[card.head] ?? "";
      card.role.textContent = said || "no role";
      card.role.classList.toggle("none", !said);
      card.role.title = said.endsWith("?") ? "its scores say so, but the loss hardly needs it" : "";
      card.button.setAttribute("aria-label", `${card.name}, ${said || "no role"}: show it large`);
    }
  }

  /** Marks the head that is large, and those that are off. */
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

  /** The weights of a head from position `at` of the context, or to it. */
  weights(layer, head, at, direction) {
    const { maps, n } = this;
    const from = (layer * this.sizes.heads + head) * n * n;
    const byte = (k) =>
      direction === "from" ? (k <= at ? maps[from + at * n + k] : 0) : k >= at ? maps[from + k * n + at] : 0;
    return Array.from({ length: n }, (_, k) => (byte(k) / 255) ** 2);
  }

  /** Shows, under each map, where its head looks from a position, or who looks at it there. */
  look(at, direction, labels) {
    this.last = [at, direction, labels];
    const colours = ramp();
    for (const card of this.cards) {
      const weights = this.weights(card.layer, card.head, at, direction);
      card.strip.width = this.n;
      const pen = card.strip.getContext("2d");
      weights.forEach((weight, k) => {
        pen.fillStyle = css(colours[Math.round(Math.sqrt(weight) * 255)]);
        pen.fillRect(k, 0, 1, 1);
      });
      const best = weights.indexOf(Math.max(...weights));
      card.top.replaceChildren(
        direction === "from" ? "→ " : "← ",
        element("bdi", {}, labels[best] ?? ""),
        ` ${percent(weights[best])}`,
      );
    }
  }
}
