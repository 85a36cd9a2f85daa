// The probabilities of the next token at the chosen position.
import { $, element, percent, signed } from "./elements.js";

const ROWS = 10;

export const panel = {
  needs: "model",
  create: (page) => ({
    async update({ drawn, position, shown }, changed) {
      if (!changed.has("position")) return;
      const ids = drawn.ids;
      const found = await position();
      draw(found, page, drawn.off.length + drawn.predicted.length > 0);
      const token = element("bdi", { className: "token" }, shown[ids[found.at]]);
      $("next-at").replaceChildren(`after position ${found.at}, `, token);
    },
  }),
};

/** Draws the table. If heads are changed, it includes the change of every probability. */
function draw(found, page, isChanged) {
  const focused = document.activeElement?.dataset?.token; // the row of this token keeps the focus
  const order = found.next
    .map((p, id) => [p, id])
    .sort((a, b) => b[0] - a[0] || a[1] - b[1])
    .map(([, id]) => id);
  const ids = order.slice(0, ROWS);
  for (const id of [found.actual, found.token]) if (id !== undefined && !ids.includes(id)) ids.push(id);
  $("next-rows").replaceChildren(...ids.map((id) => row(id, found, page, isChanged)));
  $("next-change").hidden = !isChanged;
  if (focused !== undefined) document.querySelector(`#next-rows [data-token="${focused}"]`)?.focus();
}

function row(id, { next, intactNext, token, actual }, { shown, state }, isChanged) {
  const choose = element(
    "button",
    { type: "button", className: "token", "aria-pressed": id === token, "data-token": id },
    element("bdi", {}, shown[id]),
  );
  const comesNext = id === actual ? ", the next token of the text" : "";
  choose.setAttribute("aria-label", `${shown[id]}, ${percent(next[id])}${comesNext}: show the contributions to its logit`);
  choose.addEventListener("click", () => state.change({ token: id }));
  const bar = element("i", { className: "bar" });
  bar.style.width = `${100 * next[id]}%`;
  const track = element("div", { className: "track" }, bar);
  const cells = [
    element("th", { scope: "row" }, choose),
    element("td", { className: "bars" }, track),
    element("td", { className: "n" }, percent(next[id])),
  ];
  if (isChanged) {
    const before = element("i", { className: "before" });
    before.style.left = `${100 * intactNext[id]}%`;
    track.append(before);
    cells.push(element("td", { className: "n" }, signed(100 * (next[id] - intactNext[id]), 1)));
  }
  return element("tr", { className: id === actual ? "actual" : "" }, ...cells);
}
