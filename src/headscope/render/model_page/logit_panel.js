// The contributions of every head and every feed-forward layer to the logit of one token.
import { $, element, signed } from "./elements.js";
import { nameOf } from "./state.js";

export const panel = {
  needs: "heads",
  create: () => ({
    async update({ position, shown }, changed) {
      if (!changed.has("position")) return;
      const { contributions, token } = await position();
      draw(contributions, shown[token]);
    },
  }),
};

function draw({ heads, feedforward, embedding, position, rest, logit }, label) {
  const largest = Math.max(0.1, ...heads.flat().map(Math.abs), ...feedforward.map(Math.abs));
  const cell = (x, name) => {
    const made = element("td", { className: `n part ${x < 0 ? "against" : "for"}`, title: name }, signed(x, 2));
    made.style.setProperty("--much", Math.min(1, Math.abs(x) / largest));
    return made;
  };
  const rows = heads.map((row, layer) => {
    const cells = row.map((x, head) => cell(x, nameOf(layer, head)));
    cells.push(cell(feedforward[layer], `layer ${layer} feed-forward`));
    return element("tr", {}, element("th", { scope: "row" }, `layer ${layer}`), ...cells);
  });
  const columns = [...heads[0].map((_, head) => `H${head}`), "feed-fwd"];
  const header = columns.map((name) => element("th", { scope: "col", className: "n" }, name));
  $("parts-rows").replaceChildren(element("tr", {}, element("td"), ...header), ...rows);
  $("parts-token").replaceChildren(element("bdi", {}, label));
  $("parts-sum").textContent =
    `The token embedding at this position adds ${signed(embedding, 2)}, the position vector ${signed(position, 2)} ` +
    `and the biases ${signed(rest, 2)}. All contributions add up to the logit, ${signed(logit, 2)}.`;
}
