// The text as tokens: its losses as colour, and where the chosen head looks as bars.
import { $, element, modified, percent, signed, stepped } from "./elements.js";

/** A loss of 6 nats or more has the full colour. */
const MOST = 6;

/** Whether the first letter of a text is written from right to left. */
const RIGHT_TO_LEFT = /^\P{L}*[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/u;
const GREY = 500; // forgotten tokens that are still shown
const MIRRORED = { ArrowLeft: "ArrowRight", ArrowRight: "ArrowLeft" };

export class TextView {
  /**
   * @param shown - a label for each id.
   * @param choose - called with the position that was chosen.
   * @param hover - called with the position under the pointer, or null.
   */
  constructor(shown, choose, hover) {
    this.shown = shown;
    this.box = $("tokens");
    this.spans = [];
    const position = (event) => event.target.closest?.("[data-at]")?.dataset.at;
    this.box.addEventListener("click", (event) => position(event) && choose(Number(position(event))));
    this.box.addEventListener("pointerover", (event) => position(event) && hover(Number(position(event))));
    this.box.addEventListener("pointerleave", () => hover(null));
    this.box.addEventListener("keydown", (event) => {
      if (modified(event)) return;
      const first = this.start;
      const key = this.box.dir === "rtl" ? (MIRRORED[event.key] ?? event.key) : event.key;
      const next = stepped(key, this.at - first, this.spans.length - first);
      if (next === null) return;
      event.preventDefault();
      this.at = first + next; // the next key may come before all is drawn
      choose(this.at);
    });
  }

  /**
   * Shows a text.
   *
   * @param start - where the context begins.
   * @param losses - of each token of the context but its first.
   * @param before - the same with every head.
   */
  draw(ids, start, losses, before) {
    this.start = start;
    this.box.dir = RIGHT_TO_LEFT.test(ids.map((id) => this.shown[id]).join("")) ? "rtl" : "ltr";
    this.spans = []; // with holes: `forEach` skips what is no longer shown
    for (let at = Math.max(0, start - GREY); at < ids.length; at++)
      this.spans[at] = this.#span(ids[at], at, start, losses[at - start - 1], before[at - start - 1]);
    const lines = [];
    this.spans.forEach((span, at) => {
      lines.push(span);
      if (this.shown[ids[at]].endsWith("↵")) lines.push(element("br"));
    });
    this.box.replaceChildren(...lines);
    $("earlier").hidden = start === 0;
    $("earlier").textContent =
      `The context holds ${ids.length - start} of ${ids.length} tokens: the earlier ones, in grey, are forgotten.`;
  }

  #span(id, at, start, loss, before) {
    const change = loss === before ? "" : ` (${signed(loss - before, 2)})`;
    const known = loss === undefined ? "" : `, loss ${loss.toFixed(2)} nats${change}`;
    const span = element(
      "span",
      { role: "option", id: `token-${at}`, "data-at": at },
      element("bdi", {}, this.shown[id]),
    );
    span.setAttribute("aria-label", `${this.shown[id]}, position ${at}${known}`);
    span.title = `position ${at}${known}`;
    if (at < start) {
      span.classList.add("forgotten");
      span.removeAttribute("data-at");
      span.setAttribute("aria-disabled", "true");
    }
    if (loss !== undefined) span.style.setProperty("--loss", Math.min(1, loss / MOST));
    return span;
  }

  /** Marks the chosen position. */
  choose(at) {
    this.at = at;
    this.spans.forEach((span, place) => span.setAttribute("aria-selected", place === at));
    this.box.setAttribute("aria-activedescendant", `token-${at}`);
    const span = this.spans[at];
    const { scrollTop: top, clientHeight: height } = this.box; // the box scrolls, and never the page
    if (span.offsetTop < top || span.offsetTop + span.offsetHeight > top + height)
      this.box.scrollTop = span.offsetTop - height / 2;
  }

  /** Shows weights, one for each position of the context, as bars; `where` says what they are. */
  look(weights, at, where) {
    this.spans.forEach((span, place) => {
      const weight = weights[place - this.start] ?? 0;
      span.style.setProperty("--look", Math.sqrt(weight));
      span.classList.toggle("pointed", place === at);
    });
    const best = weights.indexOf(Math.max(...weights));
    const target = this.spans[best + this.start];
    $("looks").textContent =
      weights.length && target
        ? `${where}: most at position ${best + this.start}, ${target.textContent}, ${percent(weights[best])}`
        : "";
  }
}
