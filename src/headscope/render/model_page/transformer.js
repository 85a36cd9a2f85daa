// The transformer: a text inside it, position by position, with everything that can be looked at kept.
//
// Shapes: T positions of the context, n of them in use, C width, H heads, D = C / H, F width of a feed-forward,
// V vocabulary, L layers.
import { dot, layerNorm, product, softmax } from "./numbers.js";
import { curves } from "./curves.js";

/** A weight as one byte: its square root, because small weights matter too. Colours go by the root as well. */
export const asByte = (weight) => Math.round(Math.sqrt(weight) * 255);

/**
 * One text inside a model. What a position holds depends on the positions before it alone: so a text that begins like
 * the last one is computed from where it differs. That makes this the cache for writing, too.
 */
export class Pass {
  /** @param model - the description of `headscope/portable/description.py`; tensors as Float32Arrays. */
  constructor(model) {
    const { context: T, width: C, heads: H, layers: L, vocabulary: V } = model.sizes;
    const F = Math.max(...model.layers.map((layer) => layer.feedforward.width));
    const matrix = (width) => new Float32Array(T * width);
    this.model = model;
    this.ids = [];
    this.off = new Map();
    this.stream = Array.from({ length: L + 1 }, () => matrix(C)); // (T, C) before each layer and after the last
    this.queries = Array.from({ length: L }, () => matrix(C)); // (T, C) each, heads side by side
    this.keys = Array.from({ length: L }, () => matrix(C));
    this.values = Array.from({ length: L }, () => matrix(C));
    this.mixed = Array.from({ length: L }, () => matrix(C)); // outputs of the heads before the output projection
    this.forward = Array.from({ length: L }, () => matrix(C)); // what each feed-forward adds
    this.bytes = Array.from({ length: L }, () => new Uint8Array(H * T * T)); // maps, see `asByte`
    this.logits = matrix(V);
    this.scratch = {
      normed: matrix(C),
      wide: matrix(3 * C),
      between: matrix(F),
      gate: matrix(F),
      row: new Float64Array(T),
    };
  }

  /**
   * Reads a text.
   *
   * @param ids - at most T.
   * @param off - a Map from "layer,head" to what takes the place of that head's output: D numbers.
   */
  read(ids, off = new Map()) {
    const { layers: L, vocabulary: V, width: C } = this.model.sizes;
    const n = ids.length;
    const changed = [...new Set([...off.keys(), ...this.off.keys()])].filter(
      (head) => off.get(head) !== this.off.get(head),
    );
    const anew = Math.min(L, ...changed.map((head) => Number(head.split(",")[0]))); // layers from here on see other heads
    let same = 0;
    while (same < n && same < this.ids.length && ids[same] === this.ids[same]) same++;
    this.ids = [...ids];
    this.off = new Map(off);
    for (let t = same; t < n; t++) this.#embed(t);
    for (let layer = 0; layer < L; layer++) this.#layer(layer, layer < anew ? same : 0, n);
    const from = anew < L ? 0 : same;
    this.#norm(this.model.norm, this.stream[L], from, n);
    product(this.scratch.normed, this.model.head.weight, this.model.head.bias, this.logits, from, n, C, V);
  }

  #embed(t) {
    const C = this.model.sizes.width;
    const token = this.ids[t] * C;
    for (let c = 0; c < C; c++) {
      this.stream[0][t * C + c] =
        this.model.embedding[token + c] + (this.model.table ? this.model.table[t * C + c] : 0);
    }
  }

  #norm(norm, x, from, to) {
    const C = this.model.sizes.width;
    for (let t = from; t < to; t++)
      layerNorm(x, t * C, this.scratch.normed, t * C, C, norm.eps, norm.weight, norm.bias);
  }

  /** Positions `from` to `to` through one layer. */
  #layer(layer, from, to) {
    const C = this.model.sizes.width;
    const parts = this.model.layers[layer];
    const { normed, wide } = this.scratch;
    const before = this.stream[layer];
    const after = this.stream[layer + 1];
    this.#norm(parts.norm1, before, from, to);
    product(normed, parts.qkv, null, wide, from, to, C, 3 * C);
    for (let t = from; t < to; t++) this.#place(layer, t);
    for (let h = 0; h < this.model.sizes.heads; h++) this.#attend(layer, h, from, to);
    product(this.mixed[layer], parts.out, null, normed, from, to, C, C);
    for (let i = from * C; i < to * C; i++) after[i] = before[i] + normed[i];
    this.#norm(parts.norm2, after, from, to);
    this.#feedForward(layer, from, to);
    for (let i = from * C; i < to * C; i++) after[i] += this.forward[layer][i];
  }

  /** Queries, keys and values of a position: to one length where the model does that, then turned. */
  #place(layer, t) {
    const { width: C, heads: H } = this.model.sizes;
    const { qk_norm: norm, cos_sin: cosSin } = this.model.layers[layer];
    const D = C / H;
    const { wide } = this.scratch;
    const kinds = [this.queries[layer], this.keys[layer], this.values[layer]];
    kinds.forEach((kind, which) => kind.set(wide.subarray((3 * t + which) * C, (3 * t + which + 1) * C), t * C));
    for (const kind of kinds.slice(0, 2)) {
      for (let at = t * C; at < (t + 1) * C; at += D) {
        if (norm) layerNorm(kind, at, kind, at, D, norm.eps, null, null);
        if (cosSin) turn(kind, at, cosSin, t * D, D);
      }
    }
  }

  /** The weights of a row of a head, into `row`: softmax of scaled, biased scores with the positions so far. */
  row(layer, h, i, row) {
    const { width: C, heads: H, context: T } = this.model.sizes;
    const { scale, bias } = this.model.layers[layer];
    const D = C / H;
    const query = i * C + h * D;
    for (let j = 0; j <= i; j++) {
      row[j] = scale * dot(this.queries[layer], query, this.keys[layer], j * C + h * D, D);
      if (bias) row[j] += bias[h * T + i - j];
    }
    softmax(row, i + 1);
  }

  #attend(layer, h, from, to) {
    const { width: C, heads: H, context: T } = this.model.sizes;
    const D = C / H;
    const { row } = this.scratch;
    const values = this.values[layer];
    const instead = this.off.get(`${layer},${h}`);
    const sum = new Float64Array(D);
    for (let i = from; i < to; i++) {
      this.row(layer, h, i, row);
      sum.fill(0);
      for (let j = 0; j <= i; j++) {
        const value = j * C + h * D;
        for (let d = 0; d < D; d++) sum[d] += row[j] * values[value + d];
        this.bytes[layer][(h * T + i) * T + j] = asByte(row[j]);
      }
      this.mixed[layer].set(instead ?? sum, i * C + h * D);
    }
  }

  #feedForward(layer, from, to) {
    const C = this.model.sizes.width;
    const { curve, width: F, up, up_bias, gate, down, down_bias } = this.model.layers[layer].feedforward;
    const { normed, between, gate: gated } = this.scratch;
    const bend = curves[curve];
    product(normed, up, up_bias, between, from, to, C, F);
    if (gate) product(normed, gate, null, gated, from, to, C, F);
    for (let i = from * F; i < to * F; i++) between[i] = gate ? bend(gated[i]) * between[i] : bend(between[i]);
    product(between, down, down_bias, this.forward[layer], from, to, F, C);
  }
}

/** Turns pairs of D channels of x, from `i` on, by points on the unit circle (Su et al. 2021, eq. 34). */
function turn(x, i, cosSin, j, D) {
  for (let d = 0; d < D; d += 2) {
    const [a, b, cos, sin] = [x[i + d], x[i + d + 1], cosSin[j + d], cosSin[j + d + 1]];
    x[i + d] = a * cos - b * sin;
    x[i + d + 1] = a * sin + b * cos;
  }
}
