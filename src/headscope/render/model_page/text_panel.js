// The text as tokens: colours show the losses, and bars show the attention of the chosen head.
import { $, element, hasModifier, indexAfterKey, percent, signed } from "./elements.js";
import { attentionAt } from "./heads_view.js";
import { nameOf } from "./state.js";

const LARGEST_LOSS = 6; // nats; larger losses have the same colour
/** Matches a text whose first letter belongs to a right-to-left script. */
const RIGHT_TO_LEFT = /^\P{L}*[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/u;
const EARLIER_SHOWN = 500; // maximum number of tokens before the context that are shown, in grey
const MIRRORED = { ArrowLeft: "ArrowRight", ArrowRight: "ArrowLeft" };

export const panel = { needs: "model", create: (page) => new TextView(page) };

class TextView {
  constructor(page) {
    const { state } = page;
    this.shown = page.shown;
    this.box = $("tokens");
    this.spans = [];
    const choose = (at) => state.change({ at, token: null });
    const position = (event) => event.target.closest?.("[data-at]")?.dataset.at;
    this.box.addEventListener("click", (event) => position(event) && choose(Number(position(event))));
    this.box.addEventListener("pointerover", (event) => position(event) && page.look(Number(position(event))));
    this.box.addEventListener("pointerleave", () => page.look(state.at));
    this.box.addEventListener("keydown", (event) => {
      if (hasModifier(event)) return;
      const first = this.start;
      const key = this.box.dir === "rtl" ? (MIRRORED[event.key] ?? event.key) : event.key;
      const next = indexAfterKey(key, this.at - first, this.spans.length - first);
      if (next === null) return;
      event.preventDefault();
      this.at = first + next; // another key may be pressed before the page is redrawn
      choose(this.at);
    });
  }

  update({ answer, drawn, inContext, state }, changed) {
    if (changed.has("text")) this.#draw(drawn.ids, answer);
    this.#choose(inContext(state.at));
  }

  #draw(ids, { start, losses, intactLosses }) {
    this.start = start;
    this.box.dir = RIGHT_TO_LEFT.test(ids.map((id) => this.shown[id]).join("")) ? "rtl" : "ltr";
    this.spans = []; // a sparse array: `forEach` skips tokens that are not shown
    for (let at = Math.max(0, start - EARLIER_SHOWN); at < ids.length; at++)
      this.spans[at] = this.#span(ids[at], at, start, losses[at - start - 1], intactLosses[at - start - 1]);
    const lines = [];
    this.spans.forEach((span, at) => {
      lines.push(span);
      if (this.shown[ids[at]].endsWith("↵")) lines.push(element("br"));
    });
    this.box.replaceChildren(...lines);
    $("earlier").hidden = start === 0;
    $("earlier").textContent =
      `The context has the last ${ids.length - start} of ${ids.length} tokens. ` +
      "The model does not see the earlier tokens, which are grey.";
  }

  #span(id, at, start, loss, intactLoss) {
    const change = loss === intactLoss ? "" : ` (${signed(loss - intactLoss, 2)})`;
    const known = loss === undefined ? "" : `, loss ${loss.toFixed(2)} nats${change}`;
    const title = `position ${at}${known}`;
    const names = { id: `token-${at}`, "data-at": at, role: "option", title, "aria-label": `${this.shown[id]}, ${title}` };
    const span = element("span", names, element("bdi", {}, this.shown[id]));
    if (at < start) {
      span.classList.add("out-of-context");
      span.removeAttribute("data-at");
      span.setAttribute("aria-disabled", "true");
    }
    if (loss !== undefined) span.style.setProperty("--loss", Math.min(1, loss / LARGEST_LOSS));
    return span;
  }

  /** Marks the chosen position and scrolls it into view. */
  #choose(at) {
    this.at = at;
    this.spans.forEach((span, i) => span.setAttribute("aria-selected", i === at));
    this.box.setAttribute("aria-activedescendant", `token-${at}`);
    const span = this.spans[at];
    const { scrollTop: top, clientHeight: height } = this.box; // `scrollIntoView` would also scroll the page
    if (span.offsetTop < top || span.offsetTop + span.offsetHeight > top + height)
      this.box.scrollTop = span.offsetTop - height / 2;
  }

  /** Draws bars for the attention of the chosen head "from" or "to" a position. */
  look({ answer, drawn, sizes, state }, at) {
    if (!sizes.heads) return;
    const { layer, head, direction } = state;
    const n = drawn.ids.length - answer.start;
    const weights = attentionAt(answer.maps, n, layer * sizes.heads + head, at - answer.start, direction);
    this.spans.forEach((span, i) => {
      span.style.setProperty("--look", Math.sqrt(weights[i - this.start] ?? 0));
      span.classList.toggle("pointed", i === at);
    });
    const best = weights.indexOf(Math.max(...weights));
    const target = this.spans[best + this.start];
    const heading = `${nameOf(layer, head)}: attention ${direction} position ${at}`;
    const opposite = direction === "from" ? "to" : "from";
    const share = percent(weights[best]);
    const strongest = `most ${opposite} position ${best + this.start}, ${target.textContent}, ${share}`;
    $("looks").textContent = `${heading}, ${strongest}`;
  }
}
