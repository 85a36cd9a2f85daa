// Computes beside the page, so that the page never waits. It answers one question at a time, in their order.
//
// Shapes: n positions in the context, H heads, V vocabulary, L layers.
import { filled, unpack } from "./unpack.js";
import { FixedContextPass } from "./fixed_context.js";
import { attribute, logitLens, losses, normWeighted, rollout, weights } from "./inside.js";
import { probabilities } from "./numbers.js";
import { Pass } from "./transformer.js";
import { contextStart, draw } from "./writing.js";

let whole = null; // the text inside the model as it is
let cut = null; // the same without the heads that are switched off
let means = null; // what each head puts out on average, (L, H D); null where no text was kept

/** Each head that is off, and what takes its place: its mean output, or nothing. */
function replaced(off, by) {
  const { width: C, heads: H } = whole.model.sizes;
  return new Map(off.map(([layer, head]) => [`${layer},${head}`, instead(layer, head, by, C / H)]));
}

const kept = new Map(); // one array for each replacement: a pass tells by identity whether something has changed

function instead(layer, head, by, D) {
  const name = `${layer},${head},${by}`;
  if (!kept.has(name)) {
    const from = (layer * whole.model.sizes.heads + head) * D;
    kept.set(name, by === "mean" && means ? means.slice(from, from + D) : new Float32Array(D));
  }
  return kept.get(name);
}

/** Reads the context of a text with and without the heads; returns the pass without, and where its context begins. */
function read({ ids, off, by }) {
  const start = contextStart(ids.length, whole.model.sizes.context);
  const context = ids.slice(start);
  whole.read(context);
  if (!off.length) return { pass: whole, start };
  cut ??= new Pass(whole.model);
  cut.read(context, replaced(off, by));
  return { pass: cut, start };
}

/** All maps of a pass as bytes, (L, H, n, n). */
function maps(pass) {
  if (!pass.bytes) return new Uint8Array(0);
  const { context: T, heads: H, layers: L } = pass.model.sizes;
  const n = pass.ids.length;
  const all = new Uint8Array(L * H * n * n);
  for (let l = 0; l < L; l++) {
    for (let row = 0; row < H * n; row++) {
      const [h, i] = [Math.floor(row / n), row % n];
      const from = (h * T + i) * T;
      all.set(pass.bytes[l].subarray(from, from + i + 1), ((l * H + h) * n + i) * n);
    }
  }
  return all;
}

const views = { weights, normWeighted, rollout: (pass, layer) => rollout(pass, layer) };

const answers = {
  /** Unpacks the model. */
  async start({ model, packed }) {
    const buffer = await unpack(packed);
    const described = filled(model, buffer);
    means = described.means ?? null;
    whole = described.kind === "transformer" ? new Pass(described) : new FixedContextPass(described);
    return {};
  },

  /** Losses of a text with and without the heads, and all maps without them. */
  text(asked) {
    const began = performance.now();
    const { pass, start } = read(asked);
    return { start, losses: losses(pass), wholeLosses: losses(whole), maps: maps(pass), ms: performance.now() - began };
  },

  /** What may come next at a position of the context, with and without; the lens, and contributions to a token. */
  position(asked) {
    const { pass } = read(asked);
    const V = pass.model.sizes.vocabulary;
    const at = Math.min(asked.at, pass.ids.length - 1);
    const next = probabilities(pass.logits, at * V, V);
    const token = asked.token ?? next.indexOf(Math.max(...next));
    return {
      next,
      wholeNext: probabilities(whole.logits, at * V, V),
      token,
      lens: pass.stream ? logitLens(pass, at) : [],
      contributions: pass.stream ? attribute(pass, at, token) : null,
    };
  },

  /** One map, (n, n). */
  map(asked) {
    return { map: views[asked.view](read(asked).pass, asked.layer, asked.head) };
  },

  /** The next token of a text. */
  next(asked) {
    const { pass } = read(asked);
    const V = pass.model.sizes.vocabulary;
    const last = (pass.ids.length - 1) * V;
    return { id: draw(pass.logits.subarray(last, last + V), asked.temperature, asked.topK, asked.u) };
  },

  /** The logits of the context, (n, V). */
  logits(asked) {
    const { pass, start } = read(asked);
    return { start, logits: pass.logits.slice(0, pass.ids.length * pass.model.sizes.vocabulary) };
  },
};

let turn = Promise.resolve(); // a question waits for the one before it

onmessage = ({ data: { number, question, asked } }) => {
  turn = turn.then(async () => {
    try {
      postMessage({ number, answer: await answers[question](asked) });
    } catch (error) {
      postMessage({ number, error: String(error) });
    }
  });
};
