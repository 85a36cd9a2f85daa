// What can be read off a text inside the model. Each function is that of the same name in `headscope.heads`.
//
// Shapes: n positions, C width, H heads, D = C / H, V vocabulary, L layers.
import { dot, layerNorm, probabilities, product } from "./numbers.js";

/** The attention weights of a head, (n, n): query before key. */
export function weights(pass, layer, head) {
  const n = pass.ids.length;
  const map = new Float32Array(n * n);
  const row = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    pass.row(layer, head, i, row);
    map.set(row.subarray(0, i + 1), i * n);
  }
  return map;
}

/** How much a head moves from each key to each query, (n, n): ‖A[i, j] · v_j W_O‖ (Kobayashi et al. 2020, eq. 5). */
export function normWeighted(pass, layer, head) {
  const { width: C, heads: H } = pass.model.sizes;
  const n = pass.ids.length;
  const D = C / H;
  const { out } = pass.model.layers[layer]; // (C, H D)
  const lengths = new Float64Array(n);
  for (let j = 0; j < n; j++) {
    let square = 0;
    for (let c = 0; c < C; c++) square += dot(pass.values[layer], j * C + head * D, out, c * C + head * D, D) ** 2;
    lengths[j] = Math.sqrt(square);
  }
  return weights(pass, layer, head).map((weight, at) => weight * lengths[at % n]);
}

/** How much of each input position is in each position after a layer, (n, n) (Abnar & Zuidema 2020, section 3). */
export function rollout(pass, layer) {
  const n = pass.ids.length;
  let soFar = null;
  for (let l = 0; l <= layer; l++) {
    const mixed = mean(pass, l); // half of a position comes through the residual connection
    if (soFar) {
      const next = new Float32Array(n * n);
      const row = new Float64Array(n);
      for (let i = 0; i < n; i++) {
        row.fill(0);
        for (let k = 0; k <= i; k++) {
          const part = mixed[i * n + k];
          for (let j = 0; j <= k; j++) row[j] += part * soFar[k * n + j];
        }
        next.set(row, i * n);
      }
      soFar = next;
    } else {
      soFar = mixed;
    }
  }
  return soFar;
}

/** The mean over heads of A + I, each row divided by its sum, (n, n). */
function mean(pass, layer) {
  const H = pass.model.sizes.heads;
  const n = pass.ids.length;
  const sum = new Float32Array(n * n);
  for (let h = 0; h < H; h++) weights(pass, layer, h).forEach((weight, at) => (sum[at] += weight / H));
  for (let i = 0; i < n; i++) sum[i * n + i] += 1;
  return sum.map((weight) => weight / 2);
}

/** What the model would predict if it stopped after a layer: for 0 … L, probabilities (V) (nostalgebraist 2020). */
export function logitLens(pass, at) {
  const { width: C, vocabulary: V } = pass.model.sizes;
  const { norm, head } = pass.model;
  const normed = new Float32Array(C);
  const logits = new Float32Array(V);
  return pass.stream.map((stream) => {
    layerNorm(stream, at * C, normed, 0, C, norm.eps, norm.weight, norm.bias);
    product(normed, head.weight, head.bias, logits, 0, 1, C, V);
    return probabilities(logits, 0, V);
  });
}

/**
 * What each part adds to the logit of a token at a position, with the final norm's scale held at its value (Elhage et
 * al. 2021). The parts add up to the logit.
 *
 * @returns `heads` (L lists of H numbers), `feedforward` (L), and one number each: embedding, position, rest, logit.
 */
export function attribute(pass, at, token) {
  const { width: C, heads: H, layers: L, vocabulary: V } = pass.model.sizes;
  const { norm, head, embedding } = pass.model;
  const D = C / H;
  const { reading, bias } = throughFrozen(norm, pass.stream[L], at * C, head.weight, token * C, C);
  const own = dot(embedding, pass.ids[at] * C, reading, 0, C);
  const heads = [];
  for (let layer = 0; layer < L; layer++) {
    const { out } = pass.model.layers[layer];
    const read = new Float64Array(C); // the reading, seen from in front of the output projection
    for (let c = 0; c < C; c++) for (let d = 0; d < C; d++) read[d] += out[c * C + d] * reading[c];
    heads.push(Array.from({ length: H }, (_, h) => dot(pass.mixed[layer], at * C + h * D, read, h * D, D)));
  }
  return {
    heads,
    feedforward: pass.forward.map((x) => dot(x, at * C, reading, 0, C)),
    embedding: own,
    position: dot(pass.stream[0], at * C, reading, 0, C) - own,
    rest: bias + (head.bias ? head.bias[token] : 0),
    logit: pass.logits[at * V + token],
  };
}

/** What to read in a LayerNorm's input to know what it adds along a direction of its output, at its scale. */
function throughFrozen(norm, x, i, direction, j, C) {
  const unit = new Float64Array(C);
  layerNorm(x, i, unit, 0, C, norm.eps, null, null);
  let mean = 0;
  let variance = 0;
  for (let c = 0; c < C; c++) mean += x[i + c] / C;
  for (let c = 0; c < C; c++) variance += (x[i + c] - mean) ** 2 / C;
  const along = Float64Array.from({ length: C }, (_, c) => direction[j + c] * (norm.weight ? norm.weight[c] : 1));
  const middle = along.reduce((sum, a) => sum + a, 0) / C;
  const scale = Math.sqrt(variance + norm.eps);
  return {
    reading: along.map((a) => (a - middle) / scale),
    bias: norm.bias ? dot(norm.bias, 0, direction, j, C) : 0,
  };
}

/** Nats of every target that the text itself holds, (n - 1). */
export function losses(pass) {
  const V = pass.model.sizes.vocabulary;
  return pass.ids.slice(1).map((token, t) => {
    let most = -Infinity;
    for (let v = 0; v < V; v++) most = Math.max(most, pass.logits[t * V + v]);
    let sum = 0;
    for (let v = 0; v < V; v++) sum += Math.exp(pass.logits[t * V + v] - most);
    return most + Math.log(sum) - pass.logits[t * V + token];
  });
}
