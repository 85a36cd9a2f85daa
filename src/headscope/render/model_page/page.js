// The page: reads the description, starts the worker, and updates the panels after every change of the state.
//
// A panel is a module that exports an object `panel`. `panel.needs` lists the names in `available` that it requires,
// and `panel.create(page)` returns a view. To add a panel, add the name of its module to PANELS in
// `headscope/render/model_page.py`. A panel creates its own elements or uses elements of `model.html`.
//
// A view has two optional methods. `update(page, changed)` redraws the view after a change. `changed` is a Set with the
// names of the changed values in the state. It also has "text" if the worker has computed the text again, and
// "position" if `page.position()` has a new answer. `look(page, at)` shows the attention from or to position `at`.
// It needs no new answer from the worker.
import { $, element, reportFailure, visible } from "./elements.js";
import { linkWith } from "./link.js";
import { request, startWorker } from "./request.js";
import { State } from "./state.js";
import { tokenizerOf } from "./tokens.js";

const MOST_SHOWN = 12; // unknown tokens

const description = JSON.parse($("described").textContent);
const { model, vocabulary, film, descriptions } = description;
const frames = film?.frames.length ?? 0; // `film`: the attention maps recorded during training, or null
const sizes = model?.sizes ?? { layers: film.shape[0], heads: film.shape[1], context: film.shape[2] };
const available = {
  model,
  heads: model && sizes.heads,
  descriptions, // what each head does, with a rule that can replace its attention; null if it was not measured
  film: frames,
  means: model?.means,
  oneFrame: frames === 1,
  severalFrames: frames > 1,
};

export const state = new State({
  ids: description.text,
  at: description.text.length - 1,
  layer: 0,
  head: 0,
  view: "weights",
  direction: "from",
  off: [],
  predicted: [],
  by: model?.means ? "mean" : "zero",
  token: null,
  frame: Math.max(0, frames - 1),
  frames,
});

/** Values and functions for the panels. */
const page = {
  description,
  model,
  vocabulary,
  sizes,
  state,
  shown: vocabulary.shown, // the label of each id
  tokenizer: tokenizerOf(vocabulary),
  drawn: { ids: [], off: [], predicted: [], by: state.by }, // the values that the page shows now; `state` may be newer
  answer: { start: 0, losses: [], intactLosses: [], maps: new Uint8Array(0) }, // the worker's answer for `drawn`

  /** The description of a head; undefined if it has none. */
  descriptionOf: (l, h) => descriptions?.heads.find(({ layer, head }) => layer === l && head === h),

  /** The labels of the tokens in the context. */
  labels: () => page.drawn.ids.slice(page.answer.start).map((id) => page.shown[id]),

  /** Limits a position of the text to the positions in the context. */
  inContext: (at) => Math.max(page.answer.start, Math.min(at, page.drawn.ids.length - 1)),

  /** Shows the attention from or to a position. */
  look(at) {
    if (page.drawn.ids.length) for (const view of views) view.look?.(page, page.inContext(at));
  },

  /** The worker's answer for the chosen position, requested once for all panels. */
  position: () => (position ??= requestPosition()),

  idsOf,
  settled,
};

let views = [];
let link = null;
let position = null; // a promise, null after a change

/** The ids of a text, at least one. Explains which tokens are ignored, and what the model reads if none is left. */
function idsOf(text) {
  const { ids, unknown } = page.tokenizer.encode(text);
  const { start, opening } = vocabulary;
  const label = (text) => element("bdi", { className: "token" }, text);
  $("unknown").hidden = !unknown.length;
  const named = unknown.slice(0, MOST_SHOWN).map((token) => label(visible(token)));
  $("unknown").replaceChildren("Not in the model's vocabulary, and therefore ignored: ", ...named);
  $("opening").hidden = ids.length > 0;
  const why = "The text has no token of the model's vocabulary. The model therefore reads ";
  $("opening").replaceChildren(why, label(page.shown[start ?? opening]), ", as it does without a prompt.");
  if (Number.isInteger(start) && ids[0] !== start) return [start, ...ids];
  return ids.length ? ids : [opening];
}

async function requestPosition() {
  const at = page.inContext(state.at);
  const parameters = { ...page.drawn, at: at - page.answer.start, token: state.token };
  const found = await request("position", parameters);
  return { ...found, at, next: Array.from(found.next), actual: parameters.ids[at + 1] };
}

/** Requests new answers if the changed values affect them, then updates the panels. */
async function refresh(changed) {
  if (["ids", "off", "predicted", "by"].some((name) => changed.has(name))) {
    const { ids, off, predicted, by } = state;
    page.answer = await request("text", { ids, off, predicted, by });
    page.drawn = { ids, off, predicted, by };
    changed.add("text");
    if (state.ids === ids) state.at = page.inContext(state.at);
  }
  if (["text", "at", "token"].some((name) => changed.has(name))) {
    position = null;
    changed.add("position");
  }
  for (const view of views) await view.update?.(page, changed);
  page.look(state.at);
}

// Only one refresh runs at a time. Changes during a refresh are drawn together by the next one.
let pending = new Set();
let drawing = null;

function markChanged(names) {
  for (const name of names) pending.add(name);
  drawing ??= draw();
}

async function draw() {
  try {
    await ready;
    while (pending.size) {
      const changed = pending;
      pending = new Set();
      await reportFailure(refresh(changed), "The page could not be updated");
      $("loading").hidden = true;
    }
    link.saveSoon();
  } finally {
    drawing = null;
  }
}

let ready = null;

/** Creates the panels and starts the worker. */
export function start(panels) {
  ready = setUp(panels);
}

/** Returns a promise that resolves when the page shows the current state. */
export async function settled() {
  await ready;
  while (drawing) await drawing;
}

/** Shows the available parts of the page: the model, its heads or the recorded maps may be missing. */
async function setUp(panels) {
  const isAvailable = (needs) => needs.split(" ").every((name) => available[name]);
  for (const part of document.querySelectorAll("[data-needs]")) part.hidden = !isAvailable(part.dataset.needs);
  const [costliest] = description.heads.filter((head) => head.confirmed).sort((a, b) => b.cost - a.cost);
  // the head that is chosen at first: without it, the loss rises most
  if (costliest) Object.assign(state, { layer: costliest.layer, head: costliest.head });
  link = linkWith(page, model && page.tokenizer.canSplit ? typeText : null);
  for (const panel of panels) if (isAvailable(panel.needs)) views.push((await panel.create(page)) ?? {});
  if (model) {
    document.body.classList.toggle("characters", vocabulary.unit === "character");
    state.watch(markChanged);
    startWorker($("worker").textContent);
    const started = request("start", { model, descriptions, packed: $("weights").textContent });
    await reportFailure(started, "This browser cannot unpack the page; use a current version");
    $("loading").hidden = true;
  }
  link.restore();
  if (model) markChanged(["ids"]);
}

function typeText(text) {
  $("typed").value = text;
  return idsOf($("typed").value); // the box converts the ends of lines
}
