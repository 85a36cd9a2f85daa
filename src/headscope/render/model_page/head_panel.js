// The chosen head: a sentence about its role, its attention map in three views, which can be saved as pictures, and the
// map that its description predicts.
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
    const choose = (i) => state.change({ at: i + this.first, token: null });
    this.map = new MapView($("map"), choose);
    this.predicted = new MapView($("predicted-map"), choose, "predicted ");
    this.map.link(this.predicted);
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
    if (["text", "layer", "head", "at"].some((name) => changed.has(name))) await this.#drawPredicted(page);
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

  async #drawPredicted({ answer, drawn, inContext, descriptionOf, labels, state }) {
    const { layer, head } = state;
    $("predicted").hidden = !descriptionOf(layer, head);
    if ($("predicted").hidden) return;
    const { map } = await request("predictedMap", { ...drawn, layer, head });
    const isUsed = state.positionOf(layer, head) === "predicted";
    const caption =
      `${nameOf(layer, head)}, predicted: the attention that its readable rule computes from the text alone` +
      (isUsed ? ", which now replaces its own attention" : "");
    this.predicted.draw(map, drawn.ids.length - answer.start, labels(), 1, caption);
    this.predicted.choose(inContext(state.at) - answer.start);
    $("predicted-caption").textContent = caption;
  }
}
