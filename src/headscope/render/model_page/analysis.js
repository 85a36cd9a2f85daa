// Measurements of the model on a text. `headscope.heads` has a function with the same result for each of them.
//
// Shapes: n positions, C width of the residual stream, H heads, D = C / H, V vocabulary size, L layers.
import { dot, layerNorm, probabilities, product } from "./numbers.js";

/** The attention pattern of a head, (n, n), with one row per query. */
export function attentionPattern(pass, layer, head) {
  const n = pass.ids.length;
  const map = new Float32Array(n * n);
  const row = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    pass.attentionRow(layer, head, i, row);
    map.set(row.subarray(0, i + 1), i * n);
  }
  return map;
}

/** The norms of the vectors A[i, j] v_j W_O that a head moves from key j to query i (Kobayashi et al. 2020), (n, n). */
export function normWeighted(pass, layer, head) {
  const { width: C, heads: H } = pass.model.sizes;
  const n = pass.ids.length;
  const D = C / H;
  const { out } = pass.model.layers[layer]; // (C, H D)
  const norms = new Float64Array(n);
  for (let j = 0; j < n; j++) {
    let square = 0;
    for (let c = 0; c < C; c++) square += dot(pass.values[layer], j * C + head * D, out, c * C + head * D, D) ** 2;
    norms[j] = Math.sqrt(square);
  }
  return attentionPattern(pass, layer, head).map((weight, at) => weight * norms[at % n]);
}

/** Attention rollout (Abnar & Zuidema 2020): the share of each input position in each position after a layer, (n, n). */
export function rollout(pass, layer) {
  const n = pass.ids.length;
  let shares = meanWithResidual(pass, 0);
  for (let l = 1; l <= layer; l++) {
    const mean = meanWithResidual(pass, l);
    const next = new Float32Array(n * n);
    const row = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      row.fill(0);
      for (let k = 0; k <= i; k++) {
        const part = mean[i * n + k];
        for (let j = 0; j <= k; j++) row[j] += part * shares[k * n + j];
      }
      next.set(row, i * n);
    }
    shares = next;
  }
  return shares;
}

/** (A + I) / 2, (n, n), where A is the mean pattern over heads, and I represents the residual connection. */
function meanWithResidual(pass, layer) {
  const H = pass.model.sizes.heads;
  const n = pass.ids.length;
  const sum = new Float32Array(n * n);
  for (let h = 0; h < H; h++) attentionPattern(pass, layer, h).forEach((weight, at) => (sum[at] += weight / H));
  for (let i = 0; i < n; i++) sum[i * n + i] += 1;
  return sum.map((weight) => weight / 2);
}

/** The logit lens (nostalgebraist 2020): the probabilities (V) after the embedding and after each layer. */
export function logitLens(pass, at) {
  const { width: C, vocabulary: V } = pass.model.sizes;
  const { norm, head: unembedding } = pass.model;
  const normed = new Float32Array(C);
  const logits = new Float32Array(V);
  return pass.resid.map((resid) => {
    layerNorm(resid, at * C, normed, 0, C, norm.eps, norm.weight, norm.bias);
    product(normed, unembedding.weight, unembedding.bias, logits, 0, 1, C, V);
    return probabilities(logits, 0, V);
  });
}

/**
 * The contribution of each part of the model to the logit of a token at a position. The scale of the final norm is held
 * at the value that it has in this forward pass (Elhage et al. 2021), so that the contributions add up to the logit.
 *
 * @returns `heads` (L lists of H numbers), `feedforward` (L), and the numbers embedding, position, rest (biases), logit.
 */
export function attribute(pass, at, token) {
  const { width: C, heads: H, layers: L, vocabulary: V } = pass.model.sizes;
  const { norm, head: unembedding, embedding } = pass.model;
  const D = C / H;
  const { direction, bias } = throughFrozenNorm(norm, pass.resid[L], at * C, unembedding.weight, token * C, C);
  const fromEmbedding = dot(embedding, pass.ids[at] * C, direction, 0, C);
  const heads = [];
  for (let layer = 0; layer < L; layer++) {
    const { out } = pass.model.layers[layer];
    const beforeOut = new Float64Array(C); // the direction in the space of the concatenated head outputs
    for (let c = 0; c < C; c++) for (let d = 0; d < C; d++) beforeOut[d] += out[c * C + d] * direction[c];
    heads.push(Array.from({ length: H }, (_, h) => dot(pass.z[layer], at * C + h * D, beforeOut, h * D, D)));
  }
  return {
    heads,
    feedforward: pass.feedforward.map((x) => dot(x, at * C, direction, 0, C)),
    embedding: fromEmbedding,
    position: dot(pass.resid[0], at * C, direction, 0, C) - fromEmbedding,
    rest: bias + (unembedding.bias ? unembedding.bias[token] : 0),
    logit: pass.logits[at * V + token],
  };
}

/** A direction and a bias with input · direction + bias = LayerNorm(input) · output, if the norm's scale is fixed. */
function throughFrozenNorm(norm, x, i, output, j, C) {
  let mean = 0;
  let variance = 0;
  for (let c = 0; c < C; c++) mean += x[i + c] / C;
  for (let c = 0; c < C; c++) variance += (x[i + c] - mean) ** 2 / C;
  const scaled = Float64Array.from({ length: C }, (_, c) => output[j + c] * (norm.weight ? norm.weight[c] : 1));
  const centre = scaled.reduce((sum, a) => sum + a, 0) / C;
  const scale = Math.sqrt(variance + norm.eps);
  return {
    direction: scaled.map((a) => (a - centre) / scale),
    bias: norm.bias ? dot(norm.bias, 0, output, j, C) : 0,
  };
}

/** The loss in nats of each token after the first, (n - 1). */
export function losses(pass) {
  const V = pass.model.sizes.vocabulary;
  return pass.ids.slice(1).map((token, t) => {
    let max = -Infinity;
    for (let v = 0; v < V; v++) max = Math.max(max, pass.logits[t * V + v]);
    let sum = 0;
    for (let v = 0; v < V; v++) sum += Math.exp(pass.logits[t * V + v] - max);
    return max + Math.log(sum) - pass.logits[t * V + token];
  });
}
