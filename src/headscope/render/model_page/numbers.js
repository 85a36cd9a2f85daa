// Arithmetic on typed arrays: matrix products, norms, softmax.
//
// Every matrix is a Float32Array in row-major order. Sums are computed in double precision, like all arithmetic in
// JavaScript, and rounded once when they are stored.

/**
 * Computes the rows `from`, …, `to` - 1 of x wᵀ + bias, and stores them in the same rows of `out`. Blocks of four rows and columns need
 * eight reads for sixteen multiplications, which is three times as fast as separate dot products.
 *
 * Shapes: x (T, nIn), w (nOut, nIn), bias (nOut) or null, out (T, nOut).
 */
export function product(x, w, bias, out, from, to, nIn, nOut) {
  const wide = nOut - (nOut % 4);
  const high = to - ((to - from) % 4);
  for (let o = 0; o < wide; o += 4) {
    const w0 = o * nIn, w1 = w0 + nIn, w2 = w1 + nIn, w3 = w2 + nIn;
    const [c0, c1, c2, c3] = bias ? bias.subarray(o, o + 4) : [0, 0, 0, 0];
    for (let t = from; t < high; t += 4) {
      const x0 = t * nIn, x1 = x0 + nIn, x2 = x1 + nIn, x3 = x2 + nIn;
      let s00 = c0, s01 = c1, s02 = c2, s03 = c3;
      let s10 = c0, s11 = c1, s12 = c2, s13 = c3;
      let s20 = c0, s21 = c1, s22 = c2, s23 = c3;
      let s30 = c0, s31 = c1, s32 = c2, s33 = c3;
      for (let i = 0; i < nIn; i++) {
        const a0 = x[x0 + i], a1 = x[x1 + i], a2 = x[x2 + i], a3 = x[x3 + i];
        const b0 = w[w0 + i], b1 = w[w1 + i], b2 = w[w2 + i], b3 = w[w3 + i];
        s00 += a0 * b0; s01 += a0 * b1; s02 += a0 * b2; s03 += a0 * b3;
        s10 += a1 * b0; s11 += a1 * b1; s12 += a1 * b2; s13 += a1 * b3;
        s20 += a2 * b0; s21 += a2 * b1; s22 += a2 * b2; s23 += a2 * b3;
        s30 += a3 * b0; s31 += a3 * b1; s32 += a3 * b2; s33 += a3 * b3;
      }
      const y0 = t * nOut + o, y1 = y0 + nOut, y2 = y1 + nOut, y3 = y2 + nOut;
      out[y0] = s00; out[y0 + 1] = s01; out[y0 + 2] = s02; out[y0 + 3] = s03;
      out[y1] = s10; out[y1 + 1] = s11; out[y1 + 2] = s12; out[y1 + 3] = s13;
      out[y2] = s20; out[y2 + 1] = s21; out[y2 + 2] = s22; out[y2 + 3] = s23;
      out[y3] = s30; out[y3 + 1] = s31; out[y3 + 2] = s32; out[y3 + 3] = s33;
    }
    for (let t = high; t < to; t++) {
      const x0 = t * nIn, y = t * nOut + o;
      let s0 = c0, s1 = c1, s2 = c2, s3 = c3;
      for (let i = 0; i < nIn; i++) {
        const a = x[x0 + i];
        s0 += a * w[w0 + i]; s1 += a * w[w1 + i]; s2 += a * w[w2 + i]; s3 += a * w[w3 + i];
      }
      out[y] = s0; out[y + 1] = s1; out[y + 2] = s2; out[y + 3] = s3;
    }
  }
  for (let o = wide; o < nOut; o++) {
    for (let t = from; t < to; t++) {
      out[t * nOut + o] = dot(x, t * nIn, w, o * nIn, nIn) + (bias ? bias[o] : 0);
    }
  }
}

/** The dot product of n numbers of a, starting at index `i`, and n numbers of b, starting at index `j`. */
export function dot(a, i, b, j, n) {
  let sum = 0;
  for (let k = 0; k < n; k++) sum += a[i + k] * b[j + k];
  return sum;
}

/**
 * Applies LayerNorm to n numbers (Ba et al. 2016). The weight and the bias may be null.
 *
 * Reads `x` from index `i` on and writes `out` from index `j` on. Both may be the same array.
 */
export function layerNorm(x, i, out, j, n, eps, weight, bias) {
  let mean = 0;
  for (let k = 0; k < n; k++) mean += x[i + k];
  mean /= n;
  let variance = 0;
  for (let k = 0; k < n; k++) variance += (x[i + k] - mean) ** 2;
  const factor = 1 / Math.sqrt(variance / n + eps);
  for (let k = 0; k < n; k++) {
    const unit = (x[i + k] - mean) * factor;
    out[j + k] = (weight ? unit * weight[k] : unit) + (bias ? bias[k] : 0);
  }
}

/** Replaces the first n numbers with their softmax. */
export function softmax(x, n) {
  let max = -Infinity;
  for (let k = 0; k < n; k++) max = Math.max(max, x[k]);
  let sum = 0;
  for (let k = 0; k < n; k++) sum += x[k] = Math.exp(x[k] - max);
  for (let k = 0; k < n; k++) x[k] /= sum;
}

/** Returns the softmax of n logits, starting at index `i`, as a new Float64Array. */
export function probabilities(logits, i, n) {
  const p = Float64Array.from(logits.subarray(i, i + n));
  softmax(p, n);
  return p;
}
