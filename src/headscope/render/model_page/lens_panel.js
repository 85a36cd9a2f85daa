// The logit lens: the most likely next tokens at the chosen position, after the embedding and after each layer.
import { $, element, percent } from "./elements.js";

const GUESSES = 3; // tokens shown per layer

export const panel = {
  needs: "heads",
  create: () => ({
    async update({ position, shown }, changed) {
      if (changed.has("position")) draw(await position(), shown);
    },
  }),
};

function draw({ lens, token, actual }, shown) {
  const target = actual ?? token;
  const rows = lens.map((p, depth) => {
    const best = Array.from(p.keys())
      .sort((a, b) => p[b] - p[a])
      .slice(0, GUESSES);
    const guesses = best.map((id) => {
      const guess = element("span", { className: "guess" }, element("bdi", {}, shown[id]), ` ${percent(p[id])}`);
      guess.style.setProperty("--p", p[id]);
      return guess;
    });
    const name = depth === 0 ? "embedding" : `layer ${depth - 1}${depth === lens.length - 1 ? " (last)" : ""}`;
    const cells = [element("td", {}, ...guesses), element("td", { className: "n" }, percent(p[target]))];
    return element("tr", {}, element("th", { scope: "row" }, name), ...cells);
  });
  $("lens-rows").replaceChildren(...rows);
  $("lens-token").replaceChildren(element("bdi", {}, shown[target]));
}
