// The forward pass of the transformer on one text, with all intermediate values that the page shows.
//
// Shapes: T context size, n positions of the text, C width of the residual stream, H heads, D = C / H, F width of a
// feed-forward layer, V vocabulary size, L layers.
import { activations } from "./activations.js";
import { dot, layerNorm, product, softmax } from "./numbers.js";

/** Stores the square root of a weight in one byte. The square root keeps differences between small weights. */
const toByte = (weight) => Math.round(Math.sqrt(weight) * 255);

/**
 * The values of a model on one text. No position depends on later positions. Therefore, `read` starts at the first token
 * that differs from the previous text, and generation reuses the stored keys and values.
 */
export class Pass {
  /** @param model - the description from `headscope/portable/description.py`, with tensors as Float32Arrays. */
  constructor(model) {
    const { context: T, width: C, heads: H, layers: L, vocabulary: V } = model.sizes;
    const F = Math.max(...model.layers.map((layer) => layer.feedforward.width));
    const matrix = (width) => new Float32Array(T * width);
    const perLayer = (make) => Array.from({ length: L }, make);
    this.model = model;
    this.ids = [];
    this.replacements = new Map();
    this.resid = [...perLayer(() => matrix(C)), matrix(C)]; // (T, C) before each layer and after the last
    this.queries = perLayer(() => matrix(C)); // (T, C), the D channels of each head next to each other
    this.keys = perLayer(() => matrix(C));
    this.values = perLayer(() => matrix(C));
    this.z = perLayer(() => matrix(C)); // head outputs before the output projection
    this.feedforward = perLayer(() => matrix(C)); // outputs of the feed-forward layers
    this.patterns = perLayer(() => new Uint8Array(H * T * T)); // attention patterns, see `toByte`
    this.logits = matrix(V);
    this.buffers = {
      normed: matrix(C),
      qkv: matrix(3 * C),
      hidden: matrix(F),
      gate: matrix(F),
      row: new Float64Array(T),
    };
  }

  /**
   * Computes all values for a text.
   *
   * @param ids - at most T token ids.
   * @param replacements - a Map from "layer,head" to what replaces a part of this head: a `Prediction`, which replaces
   *     its attention pattern, or an object with `output`, the D numbers that replace its output, and `from`, the first
   *     position where they replace it.
   */
  read(ids, replacements = new Map()) {
    const { layers: L, vocabulary: V, width: C } = this.model.sizes;
    const n = ids.length;
    const before = this.replacements;
    const heads = [...replacements.keys(), ...before.keys()];
    const changed = heads.filter((head) => replacements.get(head) !== before.get(head));
    const firstChanged = Math.min(L, ...changed.map((head) => Number(head.split(",")[0]))); // a layer; L if no head changed
    let same = 0;
    while (same < n && same < this.ids.length && ids[same] === this.ids[same]) same++;
    this.ids = [...ids];
    this.replacements = new Map(replacements);
    for (let t = same; t < n; t++) this.#embed(t);
    for (let layer = 0; layer < L; layer++) this.#layer(layer, layer < firstChanged ? same : 0, n);
    const from = firstChanged < L ? 0 : same;
    this.#norm(this.model.norm, this.resid[L], from, n);
    const { weight, bias } = this.model.head;
    product(this.buffers.normed, weight, bias, this.logits, from, n, C, V);
  }

  #embed(t) {
    const { embedding, table, sizes } = this.model;
    const C = sizes.width;
    for (let c = 0; c < C; c++)
      this.resid[0][t * C + c] = embedding[this.ids[t] * C + c] + (table ? table[t * C + c] : 0);
  }

  #norm(norm, x, from, to) {
    const C = this.model.sizes.width;
    for (let t = from; t < to; t++)
      layerNorm(x, t * C, this.buffers.normed, t * C, C, norm.eps, norm.weight, norm.bias);
  }

  /** Computes positions `from` to `to` (exclusive) of one layer. */
  #layer(layer, from, to) {
    const C = this.model.sizes.width;
    const parts = this.model.layers[layer];
    const { normed, qkv } = this.buffers;
    const [before, after] = [this.resid[layer], this.resid[layer + 1]];
    this.#norm(parts.norm1, before, from, to);
    product(normed, parts.qkv, null, qkv, from, to, C, 3 * C);
    for (let t = from; t < to; t++) this.#prepare(layer, t);
    for (let h = 0; h < this.model.sizes.heads; h++) this.#attend(layer, h, from, to);
    product(this.z[layer], parts.out, null, normed, from, to, C, C);
    for (let i = from * C; i < to * C; i++) after[i] = before[i] + normed[i];
    this.#norm(parts.norm2, after, from, to);
    this.#feedForward(layer, from, to);
    for (let i = from * C; i < to * C; i++) after[i] += this.feedforward[layer][i];
  }

  /** Stores the query, key and value of a position. Normalises and rotates queries and keys if the model does. */
  #prepare(layer, t) {
    const { width: C, heads: H } = this.model.sizes;
    const { qk_norm: norm, cos_sin: cosSin } = this.model.layers[layer];
    const D = C / H;
    const { qkv } = this.buffers;
    const kinds = [this.queries[layer], this.keys[layer], this.values[layer]];
    kinds.forEach((kind, which) => kind.set(qkv.subarray((3 * t + which) * C, (3 * t + which + 1) * C), t * C));
    for (const kind of kinds.slice(0, 2)) {
      for (let at = t * C; at < (t + 1) * C; at += D) {
        if (norm) layerNorm(kind, at, kind, at, D, norm.eps, null, null);
        if (cosSin) rotate(kind, at, cosSin, t * D, D);
      }
    }
  }

  /** Writes the head's own attention weights of query `i` into `row`: the softmax of the scaled and biased scores. */
  attentionRow(layer, h, i, row) {
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
    const { row } = this.buffers;
    const values = this.values[layer];
    const replacement = this.replacements.get(`${layer},${h}`);
    const sum = new Float64Array(D);
    for (let i = from; i < to; i++) {
      this.attentionRow(layer, h, i, row);
      for (let j = 0; j <= i; j++) this.patterns[layer][(h * T + i) * T + j] = toByte(row[j]);
      replacement?.attentionRow?.(i, row);
      sum.fill(0);
      for (let j = 0; j <= i; j++) {
        const value = j * C + h * D;
        for (let d = 0; d < D; d++) sum[d] += row[j] * values[value + d];
      }
      this.z[layer].set(i >= replacement?.from ? replacement.output : sum, i * C + h * D);
    }
  }

  #feedForward(layer, from, to) {
    const C = this.model.sizes.width;
    const { curve, width: F, up, up_bias, gate, down, down_bias } = this.model.layers[layer].feedforward;
    const { normed, hidden, gate: gates } = this.buffers;
    const activation = activations[curve];
    product(normed, up, up_bias, hidden, from, to, C, F);
    if (gate) product(normed, gate, null, gates, from, to, C, F);
    for (let i = from * F; i < to * F; i++)
      hidden[i] = gate ? activation(gates[i]) * hidden[i] : activation(hidden[i]);
    product(hidden, down, down_bias, this.feedforward[layer], from, to, F, C);
  }
}

/** Rotates pairs of the D channels of x that start at index `i` by the angles in `cosSin` (Su et al. 2021, eq. 34). */
function rotate(x, i, cosSin, j, D) {
  for (let d = 0; d < D; d += 2) {
    const [a, b, cos, sin] = [x[i + d], x[i + d + 1], cosSin[j + d], cosSin[j + d + 1]];
    x[i + d] = a * cos - b * sin;
    x[i + d + 1] = a * sin + b * cos;
  }
}
