// The worker runs the model in the background, so that the page stays responsive. It answers one request at a time, in
// the order in which requests arrive.
//
// Shapes: n positions in the context, H heads, D width of a head, V vocabulary size, L layers.
import { attentionPattern, attribute, logitLens, losses, normWeighted, rollout } from "./analysis.js";
import { FixedContextPass } from "./fixed_context.js";
import { probabilities } from "./numbers.js";
import { contextStart, draw } from "./sampling.js";
import { Pass } from "./transformer.js";
import { unpack, withArrays } from "./unpack.js";

let intact = null; // the forward pass with all heads
let ablated = null; // the forward pass without the heads that are off
let means = null; // the mean output of each head, (L, H D); null if the checkpoint has no texts

const replacements = new Map(); // `Pass` compares replacements by identity, so each one is created only once

/** Replaces the output of a head with its mean, except at position 0, or with zeros at all positions; for `Pass`. */
function replacement(layer, head, by) {
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

/** Runs the model on the context of a text, with and without the heads that are off. Returns the pass without them. */
function read({ ids, off, by }) {
  const start = contextStart(ids.length, intact.model.sizes.context);
  const context = ids.slice(start);
  intact.read(context);
  if (!off.length) return { pass: intact, start };
  ablated ??= new Pass(intact.model);
  ablated.read(context, new Map(off.map(([layer, head]) => [`${layer},${head}`, replacement(layer, head, by)])));
  return { pass: ablated, start };
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
  /** Unpacks the model and creates its forward pass. */
  async start({ model, packed }) {
    const unpacked = withArrays(model, await unpack(packed));
    means = unpacked.means ?? null;
    intact = unpacked.kind === "transformer" ? new Pass(unpacked) : new FixedContextPass(unpacked);
    return {};
  },

  /** The losses and attention maps without the heads that are off, the losses with all heads, and the time in ms. */
  text(parameters) {
    const began = performance.now();
    const { pass, start } = read(parameters);
    const answer = { start, losses: losses(pass), intactLosses: losses(intact), maps: patterns(pass) };
    return { ...answer, ms: performance.now() - began };
  },

  /** Next-token probabilities at a position with and without the heads that are off, the logit lens, contributions. */
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
