// What may come next at the chosen position: probabilities, the lens by layer, and who made a token likely.
import { $, element, percent, signed } from "./elements.js";
import { nameOf } from "./state.js";

const ROWS = 10;

export class NextView {
  /**
   * @param shown - a label for each id.
   * @param take - called with the id whose logit is to be taken apart.
   */
  constructor(shown, take) {
    Object.assign(this, { shown, take });
  }

  /**
   * @param found - the worker's answer about the position.
   * @param actual - the id that really comes next in the text, or undefined at its end.
   * @param cut - whether heads are off, so that there are two of every number.
   */
  draw(found, actual, cut) {
    const taken = document.activeElement?.dataset?.token; // the row that has the focus keeps it
    const order = found.next
      .map((p, id) => [p, id])
      .sort((a, b) => b[0] - a[0] || a[1] - b[1])
      .map(([, id]) => id);
    const rows = order.slice(0, ROWS);
    for (const id of [actual, found.token]) if (id !== undefined && !rows.includes(id)) rows.push(id);
    $("next-rows").replaceChildren(...rows.map((id) => this.#row(id, found, actual, cut)));
    $("next-cut").hidden = !cut;
    if (taken !== undefined) document.querySelector(`#next-rows [data-token="${taken}"]`)?.focus();
    if (found.lens.length) this.#lens(found, actual);
    if (found.contributions) this.#contributions(found.contributions, this.shown[found.token]);
  }

  #row(id, { next, wholeNext, token }, actual, cut) {
    const choose = element(
      "button",
      { type: "button", className: "token", "aria-pressed": id === token },
      element("bdi", {}, this.shown[id]),
    );
    choose.dataset.token = id;
    choose.setAttribute(
      "aria-label",
      `${this.shown[id]}, ${percent(next[id])}${id === actual ? ", comes next in the text" : ""}: show who made it likely`,
    );
    choose.addEventListener("click", () => this.take(id));
    const bar = element("i", { className: "bar" });
    bar.style.width = `${100 * next[id]}%`;
    const track = element("div", { className: "track" }, bar);
    if (cut) {
      const before = element("i", { className: "before" });
      before.style.left = `${100 * wholeNext[id]}%`;
      track.append(before);
    }
    const cells = [
      element("th", { scope: "row" }, choose),
      element("td", { className: "bars" }, track),
      element("td", { className: "n" }, percent(next[id])),
    ];
    if (cut) cells.push(element("td", { className: "n" }, `${signed(100 * (next[id] - wholeNext[id]), 1)}`));
    const row = element("tr", {}, ...cells);
    row.classList.toggle("actual", id === actual);
    return row;
  }

  #lens({ lens, token }, actual) {
    const last = lens.length - 1;
    const rows = lens.map((p, layer) => {
      const best = Array.from(p.keys())
        .sort((a, b) => p[b] - p[a])
        .slice(0, 3);
      const guesses = best.map((id) =>
        element("span", { className: "guess" }, element("bdi", {}, this.shown[id]), ` ${percent(p[id])}`),
      );
      guesses.forEach((guess, i) => guess.style.setProperty("--p", p[best[i]]));
      const name = layer === 0 ? "embedding" : `layer ${layer - 1}${layer === last ? ", the end" : ""}`;
      return element(
        "tr",
        {},
        element("th", { scope: "row" }, name),
        element("td", {}, ...guesses),
        element("td", { className: "n" }, percent(p[actual ?? token])),
      );
    });
    $("lens-rows").replaceChildren(...rows);
    $("lens-token").replaceChildren(element("bdi", {}, this.shown[actual ?? token]));
  }

  /** A cell for every head and feed-forward, coloured by what it adds to the logit. */
  #contributions({ heads, feedforward, embedding, position, rest, logit }, shown) {
    const most = Math.max(0.1, ...heads.flat().map(Math.abs), ...feedforward.map(Math.abs));
    const cell = (x, name) => {
      const made = element("td", { className: "n part", title: name }, signed(x, 2));
      made.style.setProperty("--much", Math.min(1, Math.abs(x) / most));
      made.classList.add(x < 0 ? "against" : "for");
      return made;
    };
    const rows = heads.map((row, layer) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, `layer ${layer}`),
        ...row.map((x, head) => cell(x, nameOf(layer, head))),
        cell(feedforward[layer], `layer ${layer} feed-forward`),
      ),
    );
    const header = element(
      "tr",
      {},
      element("td"),
      ...heads[0].map((_, head) => element("th", { scope: "col", className: "n" }, `H${head}`)),
      element("th", { scope: "col", className: "n" }, "feed-fwd"),
    );
    $("parts-rows").replaceChildren(header, ...rows);
    $("parts-token").replaceChildren(element("bdi", {}, shown));
    $("parts-sum").textContent =
      `With ${signed(embedding, 2)} from the token itself, ${signed(position, 2)} from its position and ${signed(rest, 2)} from biases, that is the logit, ${signed(logit, 2)}.`;
  }
}
