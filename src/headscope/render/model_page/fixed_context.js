// The model without attention: the embeddings of the last K tokens are concatenated and go through one hidden layer.
//
// Shapes: T positions, C width of an embedding, K tokens that each position sees, F hidden width, V vocabulary size.
import { product } from "./numbers.js";

/** The forward pass on one text. It has logits, but no heads and no residual stream. */
export class FixedContextPass {
  constructor(model) {
    const { context: T, width: C, seen: K, hidden: F, vocabulary: V } = model.sizes;
    this.model = model;
    this.ids = [];
    this.logits = new Float32Array(T * V);
    this.buffers = { embedded: new Float32Array(T * K * C), hidden: new Float32Array(T * F) };
  }

  /** Computes the logits for at most T ids. Before the first token, embeddings are zero. */
  read(ids) {
    const { width: C, seen: K, hidden: F, vocabulary: V } = this.model.sizes;
    const { embedded, hidden } = this.buffers;
    const n = ids.length;
    this.ids = [...ids];
    for (let t = 0; t < n; t++) {
      for (let k = 0; k < K; k++) {
        const from = t - K + 1 + k;
        for (let c = 0; c < C; c++) {
          // (C, K), with one row per channel, as in PyTorch's unfold
          embedded[t * C * K + c * K + k] = from < 0 ? 0 : this.model.embedding[ids[from] * C + c];
        }
      }
    }
    product(embedded, this.model.inner.weight, this.model.inner.bias, hidden, 0, n, C * K, F);
    for (let i = 0; i < n * F; i++) hidden[i] = Math.tanh(hidden[i]);
    product(hidden, this.model.head.weight, this.model.head.bias, this.logits, 0, n, F, V);
  }
}
