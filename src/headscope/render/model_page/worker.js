// The worker runs the model in the background, so that the page stays responsive. It answers one request at a time, in
// the order in which requests arrive.
//
// Shapes: n positions in the context, H heads, D width of a head, V vocabulary size, L layers.
import { attentionPattern, attribute, logitLens, losses, normWeighted, rollout } from "./analysis.js";
import { FixedContextPass } from "./fixed_context.js";
import { probabilities } from "./numbers.js";
import { Prediction } from "./rules.js";
import { contextStart, draw } from "./sampling.js";
import { Pass } from "./transformer.js";
import { unpack, withArrays } from "./unpack.js";

let intact = null; // the forward pass with all heads
let changed = null; // the forward pass in which heads are off, or predicted by their descriptions
let means = null; // the mean output of each head, (L, H D); null if the checkpoint has no texts
let predictions = new Map(); // from "layer,head" to the `Prediction` of the head's description, if it has one

const replacements = new Map(); // `Pass` compares replacements by identity, so each one is created only once

const keyOf = ([layer, head]) => `${layer},${head}`;

/** Replaces the output of a head with its mean, except at position 0, or with zeros at all positions; for `Pass`. */
function replacement([layer, head], by) {
  const { width: C, heads: H } = intact.model.sizes;
  const D = C / H;
  const name = `${layer},${head},${by}`;
  if (!replacements.has(name)) {
    const from = (layer * H + head) * D;
    const mean = by === "mean" && means?.slice(from, from + D);
    replacements.set(name, mean ? { output: mean, from: 1 } : { output: new Float32Array(D), from: 0 });
  }
  return replacements.get(name);
}

/** The prediction of a head's description for a text. */
function prediction(head, context) {
  const found = predictions.get(keyOf(head));
  found.read(context);
  return found;
}

/**
 * Runs the model on the context of a text, unchanged and with the changes to its heads. Returns the changed pass.
 *
 * `off` lists the heads whose output is replaced, and `predicted` those whose attention pattern is replaced by the one
 * that their description predicts, as [layer, head].
 */
function read({ ids, off, by, predicted = [] }) {
  const start = contextStart(ids.length, intact.model.sizes.context);
  const context = ids.slice(start);
  intact.read(context);
  if (!off.length && !predicted.length) return { pass: intact, start, context };
  changed ??= new Pass(intact.model);
  const outputs = off.map((head) => [keyOf(head), replacement(head, by)]);
  const maps = predicted.map((head) => [keyOf(head), prediction(head, context)]);
  changed.read(context, new Map([...outputs, ...maps]));
  return { pass: changed, start, context };
}

/** All attention patterns of a pass as bytes, (L, H, n, n). */
function patterns(pass) {
  if (!pass.patterns) return new Uint8Array(0);
  const { context: T, heads: H, layers: L } = pass.model.sizes;
  const n = pass.ids.length;
  const all = new Uint8Array(L * H * n * n);
  for (let l = 0; l < L; l++) {
    for (let row = 0; row < H * n; row++) {
      const [h, i] = [Math.floor(row / n), row % n];
      const from = (h * T + i) * T;
      all.set(pass.patterns[l].subarray(from, from + i + 1), ((l * H + h) * n + i) * n);
    }
  }
  return all;
}

const views = { weights: attentionPattern, normWeighted, rollout };

const answers = {
  /** Unpacks the model and the rules of its heads, and creates its forward pass. */
  async start({ model, descriptions, packed }) {
    const buffer = await unpack(packed);
    const unpacked = withArrays(model, buffer);
    if (descriptions) {
      const { shared, heads } = withArrays(descriptions, buffer);
      predictions = new Map(heads.map(({ layer, head, rule }) => [keyOf([layer, head]), new Prediction(rule, shared)]));
    }
    means = unpacked.means ?? null;
    intact = unpacked.kind === "transformer" ? new Pass(unpacked) : new FixedContextPass(unpacked);
    return {};
  },

  /** The losses and attention maps with the changes to heads, the losses of the unchanged model, and the time in ms. */
  text(parameters) {
    const began = performance.now();
    const { pass, start } = read(parameters);
    const answer = { start, losses: losses(pass), intactLosses: losses(intact), maps: patterns(pass) };
    return { ...answer, ms: performance.now() - began };
  },

  /** Next-token probabilities at a position with and without the changes to heads, the logit lens, contributions. */
  position(parameters) {
    const { pass } = read(parameters);
    const V = pass.model.sizes.vocabulary;
    const at = Math.min(parameters.at, pass.ids.length - 1);
    const next = probabilities(pass.logits, at * V, V);
    const token = parameters.token ?? next.indexOf(Math.max(...next));
    return {
      next,
      intactNext: probabilities(intact.logits, at * V, V),
      token,
      lens: pass.resid ? logitLens(pass, at) : [],
      contributions: pass.resid ? attribute(pass, at, token) : null,
    };
  },

  /** The map of a head in one view, (n, n). */
  map(parameters) {
    return { map: views[parameters.view](read(parameters).pass, parameters.layer, parameters.head) };
  },

  /** The map that the description of a head predicts for the context, (n, n). */
  predictedMap(parameters) {
    return { map: prediction([parameters.layer, parameters.head], read(parameters).context).map() };
  },

  /** Draws the next token of a text. */
  next(parameters) {
    const { pass } = read(parameters);
    const V = pass.model.sizes.vocabulary;
    const last = (pass.ids.length - 1) * V;
    const { temperature, topK, u } = parameters;
    return { id: draw(pass.logits.subarray(last, last + V), temperature, topK, u) };
  },

  /** The logits at all positions of the context, (n, V). */
  logits(parameters) {
    const { pass, start } = read(parameters);
    return { start, logits: pass.logits.slice(0, pass.ids.length * pass.model.sizes.vocabulary) };
  },
};

let previous = Promise.resolve(); // settles when the previous request has been answered

onmessage = ({ data: { number, name, parameters } }) => {
  previous = previous.then(async () => {
    try {
      postMessage({ number, answer: await answers[name](parameters) });
    } catch (error) {
      postMessage({ number, error: String(error) });
    }
  });
};
