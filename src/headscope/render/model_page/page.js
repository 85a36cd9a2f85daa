// The page: what was chosen, what the worker answers, and what is drawn of it.
import { ask, startWorker } from "./ask.js";
import { $, element, told } from "./elements.js";
import { FilmView } from "./film_view.js";
import { HeadsView } from "./heads_view.js";
import { linkWith } from "./link_view.js";
import { sayLoss } from "./loss_view.js";
import { MapView } from "./map_view.js";
import { NextView } from "./next_view.js";
import { png, save, svg } from "./saving.js";
import { State, nameOf } from "./state.js";
import { TextView } from "./text_view.js";
import { tokenizerOf } from "./tokens.js";
import { unpack } from "./unpack.js";
import { writeWith } from "./write_view.js";

const described = JSON.parse($("described").textContent);
const { model, vocabulary, film } = described;
const sizes = model?.sizes ?? { layers: film.shape[0], heads: film.shape[1], context: film.shape[2] };
const frames = film?.frames.length ?? 0;
const tokenizer = tokenizerOf(vocabulary);
const shown = vocabulary.shown;

/** Ids of a text; one without tokens is the opening, as when writing; one begins as all do. Says which tokens the vocabulary lacks. */
function idsOf(text) {
  const { ids, unknown } = tokenizer.encode(text);
  $("unknown").hidden = !unknown.length;
  $("unknown").replaceChildren(
    `Not in the model's vocabulary, and left out: `,
    ...unknown.slice(0, 12).map((token) => element("bdi", { className: "token" }, token)),
  );
  const { start, opening } = vocabulary;
  if (Number.isInteger(start) && ids[0] !== start) return [start, ...ids];
  return ids.length ? ids : [opening];
}

export const state = new State({
  ids: described.text,
  at: described.text.length - 1,
  layer: 0,
  head: 0,
  view: "weights",
  direction: "from",
  off: [],
  by: model?.means ? "mean" : "zero",
  token: null,
  frame: Math.max(0, frames - 1),
  frames,
});

const [needed] = described.heads.filter((head) => head.confirmed).sort((a, b) => b.cost - a.cost);
if (needed) Object.assign(state, { layer: needed.layer, head: needed.head }); // it is what one looks at first

let asked = { ids: [], off: [], by: state.by }; // what is drawn now; the state may be ahead of it
let answer = { start: 0, losses: [], wholeLosses: [], maps: new Uint8Array(0) }; // the worker's, about that
let heads = null;
const text =
  model &&
  new TextView(
    shown,
    (at) => state.change({ at, token: null }),
    (at) => look(at ?? state.at),
  );
const map = model && sizes.heads && new MapView($("map"), (i) => state.change({ at: i + answer.start, token: null }));
const next = model && new NextView(shown, (token) => state.change({ token }));

function readTyped(typed) {
  $("typed").value = typed;
  return idsOf(typed);
}

const link = linkWith(state, sizes, tokenizer, model && readTyped);

/** The labels of the context. */
const labels = () => asked.ids.slice(answer.start).map((id) => shown[id]);

/** A position as far as the context has it. */
const inContext = (at) => Math.max(answer.start, Math.min(at, asked.ids.length - 1));

/** Shows where heads look from a position of the text, or who looks there. */
function look(position) {
  if (!sizes.heads || !asked.ids.length) return;
  const at = inContext(position);
  const place = at - answer.start;
  heads.look(place, state.direction, labels());
  const weights = heads.weights(state.layer, state.head, place, state.direction);
  const name = nameOf(state.layer, state.head);
  text.look(
    weights,
    at,
    state.direction === "from" ? `${name} looks from position ${at}` : `${name} looks at position ${at}`,
  );
}

const SAID = {
  weights: "every row is spread over the columns that it looks at",
  normWeighted: "how much every row takes from its columns, the length of what is moved",
  rollout: "how much of each column is in every row, through all heads up to this layer",
};

/** A maximum that does not fall over a large array. */
const largestOf = (values) => values.reduce((most, x) => Math.max(most, x), 0);

/** Draws one head, large. */
async function drawMap() {
  const { layer, head, view } = state;
  const found = await ask("map", { ...asked, view, layer, head });
  const said = SAID[view];
  const largest = view === "normWeighted" ? largestOf(found.map) : 1;
  const name = view === "rollout" ? `After layer ${layer}` : nameOf(layer, head);
  map.draw(found.map, asked.ids.length - answer.start, labels(), largest, `${name}, ${said}`);
  map.choose(inContext(state.at) - answer.start);
  $("map-said").textContent =
    `${name}: ${said}${view === "normWeighted" ? `; the largest is ${largest.toFixed(2)}` : ""}`;
}

function drawHead() {
  const about = described.heads.find(({ layer, head }) => layer === state.layer && head === state.head);
  const name = nameOf(state.layer, state.head);
  $("one-name").textContent = about?.role ? `${name}: ${about.role}${about.confirmed ? "" : "?"}` : name;
  $("one-said").textContent = about?.sentence ?? "No text was kept that is long enough to find out what this head does.";
  heads.mark(state);
}

async function drawPosition() {
  const at = inContext(state.at);
  const found = await ask("position", { ...asked, at: at - answer.start, token: state.token });
  next.draw({ ...found, next: Array.from(found.next) }, asked.ids[at + 1], asked.off.length > 0);
  $("next-at").replaceChildren(
    "after position ",
    String(at),
    ", ",
    element("bdi", { className: "token" }, shown[asked.ids[at]]),
  );
}

/** Asks for whatever the changed values alter, and draws it. */
async function refresh(names) {
  const anew = ["ids", "off", "by"].some((name) => names.has(name));
  if (anew) {
    const { ids, off, by } = state;
    const found = await ask("text", { ids, off, by });
    asked = { ids, off, by };
    answer = found;
    if (state.ids === ids) state.at = inContext(state.at);
    text.draw(ids, answer.start, answer.losses, answer.wholeLosses);
    sayLoss(answer.losses, answer.wholeLosses, off, vocabulary.unit);
    if (heads) heads.draw(answer.maps, ids.length - answer.start);
  }
  text.choose(inContext(state.at));
  if (heads) {
    drawHead();
    $("all-on").disabled = state.off.length === 0;
    if (anew || ["layer", "head", "view", "at"].some((name) => names.has(name))) await drawMap();
  }
  look(state.at);
  if (anew || names.has("at") || names.has("token")) await drawPosition();
}

const OLD = "A current browser can unpack this page; this one cannot";

// One refresh at a time: what changes meanwhile is drawn together afterwards.
let changed = new Set();
let drawing = null;

function changedNow(names) {
  for (const name of names) changed.add(name);
  drawing ??= draw();
}

async function draw() {
  try {
    await ready;
    while (changed.size) {
      const names = changed;
      changed = new Set();
      await told(refresh(names), "What is shown is not up to date");
      $("loading").hidden = true;
    }
    link.remember();
  } finally {
    drawing = null;
  }
}

/** Resolves once all that was chosen is drawn. */
export async function settled() {
  await ready;
  while (drawing) await drawing;
}

function listen() {
  $("typed").addEventListener("input", () => {
    const ids = idsOf($("typed").value);
    state.change({ ids, at: ids.length - 1, token: null });
  });
  writeWith(state, tokenizer, vocabulary.end, settled);
  for (const name of ["view", "direction", "by"]) {
    for (const input of document.querySelectorAll(`input[name=${name}]`)) {
      input.addEventListener("change", () => state.change({ [name]: input.value }));
      state.watch(() => (input.checked = input.value === state[name]));
    }
  }
  $("all-on").addEventListener("click", () => state.change({ off: [] }));
  const picture = () => [
    map,
    `${$("one-name").textContent} (${described.title}), ${state.view === "normWeighted" ? "norm-weighted" : state.view}`,
  ];
  const file = () => `${nameOf(state.layer, state.head)}-${state.view}`;
  $("save-png").addEventListener("click", async () => save(await png(...picture()), `${file()}.png`));
  $("save-svg").addEventListener("click", async () => save(await svg(...picture()), `${file()}.svg`));
}

/** Shows what there is: a page may have no model, no heads, or no training to show. */
async function begin() {
  for (const part of document.querySelectorAll("[data-needs]")) {
    const there = {
      model,
      heads: model && sizes.heads,
      film: frames,
      means: model?.means,
      one: frames === 1,
      two: frames > 1,
    };
    part.hidden = !part.dataset.needs.split(" ").every((need) => there[need]);
  }
  if (frames) new FilmView(film, new Uint8Array(await told(unpack($("film").textContent), OLD)), state, shown);
  if (!model) {
    link.recall();
    return;
  }
  if (sizes.heads) {
    heads = new HeadsView(
      $("heads"),
      sizes,
      (layer, head) => state.change({ layer, head }),
      (layer, head) => state.toggle(layer, head),
    );
    const roles = Array.from({ length: sizes.layers }, () => []);
    for (const { layer, head, role, confirmed } of described.heads)
      roles[layer][head] = role && role + (confirmed ? "" : "?");
    heads.name(roles);
  }
  $("typed").value = tokenizer.decode(state.ids);
  document.body.classList.toggle("characters", vocabulary.unit === "character");
  listen();
  state.watch(changedNow);
  startWorker($("worker").textContent);
  await told(ask("start", { model, packed: $("weights").textContent }), OLD);
  $("loading").hidden = true;
  link.recall();
  changedNow(["ids"]);
}

export const ready = begin();
