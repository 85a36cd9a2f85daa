// The chosen head: a sentence about its role, and its attention map in three views, which can be saved as pictures.
import { $, bindRadios } from "./elements.js";
import { MapView } from "./map_view.js";
import { request } from "./request.js";
import { png, save, svg } from "./saving.js";
import { nameOf } from "./state.js";

export const panel = { needs: "heads", create: (page) => new HeadPanel(page) };

const EXPLANATIONS = {
  weights: "each row shows how one token distributes its attention over the columns",
  normWeighted: "the norm of the vector that the head moves from each column to each row",
  rollout: "how much of each row comes from each column's input, after all layers up to this one",
};

class HeadPanel {
  constructor({ answer, description, state }) {
    this.first = answer.start;
    this.map = new MapView($("map"), (i) => state.change({ at: i + this.first, token: null }));
    bindRadios("view", state);
    const view = () => (state.view === "normWeighted" ? "norm-weighted" : state.view);
    const picture = () => [this.map, `${$("one-name").textContent} (${description.title}), ${view()}`];
    const file = () => `${nameOf(state.layer, state.head)}-${state.view}`;
    $("save-png").addEventListener("click", async () => save(await png(...picture()), `${file()}.png`));
    $("save-svg").addEventListener("click", async () => save(svg(...picture()), `${file()}.svg`));
  }

  async update(page, changed) {
    this.#describe(page);
    if (["text", "layer", "head", "view", "at"].some((name) => changed.has(name))) await this.#draw(page);
  }

  #describe({ description, state }) {
    const name = nameOf(state.layer, state.head);
    const about = description.heads.find(({ layer, head }) => layer === state.layer && head === state.head);
    $("one-name").textContent = about?.role ? `${name}: ${about.role}${about.confirmed ? "" : "?"}` : name;
    $("one-description").textContent =
      about?.sentence ?? "The checkpoint has no text that is long enough to measure what this head does.";
  }

  async #draw({ answer, drawn, inContext, labels, state }) {
    const { layer, head, view } = state;
    const { map } = await request("map", { ...drawn, view, layer, head });
    // not Math.max(...map), because a long context has more weights than a function can have arguments
    const largest = view === "normWeighted" ? map.reduce((max, x) => Math.max(max, x), 0) : 1;
    const name = view === "rollout" ? `After layer ${layer}` : nameOf(layer, head);
    const caption = `${name}: ${EXPLANATIONS[view]}`;
    this.first = answer.start;
    this.map.draw(map, drawn.ids.length - answer.start, labels(), largest, caption);
    this.map.choose(inContext(state.at) - answer.start);
    $("map-caption").textContent = view === "normWeighted" ? `${caption}; the largest is ${largest.toFixed(2)}` : caption;
  }
}
