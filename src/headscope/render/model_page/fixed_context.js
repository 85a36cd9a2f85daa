// The network from before attention: the embeddings of the last K tokens side by side, one hidden layer.
//
// Shapes: T positions, C width of an embedding, K tokens that are seen, F hidden width, V vocabulary.
import { product } from "./numbers.js";

/** One text inside the network; it has no heads to switch off and nothing to look at but its logits. */
export class FixedContextPass {
  constructor(model) {
    const { context: T, width: C, seen: K, hidden: F, vocabulary: V } = model.sizes;
    this.model = model;
    this.ids = [];
    this.logits = new Float32Array(T * V);
    this.scratch = { seen: new Float32Array(T * K * C), between: new Float32Array(T * F) };
  }

  /** Reads a text of at most T ids. Where a position has fewer than K tokens, zeros stand for what is missing. */
  read(ids) {
    const { width: C, seen: K, hidden: F, vocabulary: V } = this.model.sizes;
    const { seen, between } = this.scratch;
    const n = ids.length;
    this.ids = [...ids];
    for (let t = 0; t < n; t++) {
      for (let k = 0; k < K; k++) {
        const from = t - K + 1 + k;
        for (let c = 0; c < C; c++) {
          // (C, K): the channels are the rows, as PyTorch's unfold lays them
          seen[t * C * K + c * K + k] = from < 0 ? 0 : this.model.embedding[ids[from] * C + c];
        }
      }
    }
    product(seen, this.model.inner.weight, this.model.inner.bias, between, 0, n, C * K, F);
    for (let i = 0; i < n * F; i++) between[i] = Math.tanh(between[i]);
    product(between, this.model.head.weight, this.model.head.bias, this.logits, 0, n, F, V);
  }
}
