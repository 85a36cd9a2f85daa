// The attention map that a head's rule predicts from the text alone. `headscope/heads/rules.py` computes the same map.
//
// Shapes: n positions, T context size, V vocabulary size, R content terms.
import { softmax } from "./numbers.js";
import { patternNamed, Text } from "./patterns.js";

/** Predicts the map of one head on one text after another. */
export class Prediction {
  /**
   * @param rule - `place`, the log weight of each bin of distances; `weights`, the weight of "place" and of each
   *     pattern; `queries` and `keys`, (R, V), 1, 0 or -1; `strengths`, (R, bands).
   * @param shared - what all rules share: `vocabulary` (see `Text`); `bins` and `bands` of the distances, (T);
   *     `n_bands`; `floor`, which is added to the mixed rows, so that no key is impossible.
   */
  constructor(rule, shared) {
    const { place, ...weights } = rule.weights;
    Object.assign(this, { rule, shared, placeWeight: place });
    const keysOf = (name) => patternNamed(name, shared.vocabulary.classes);
    this.patterns = Object.entries(weights).map(([name, weight]) => [keysOf(name), weight]);
  }

  /** Chooses the text, at most T ids. Row i depends only on the ids up to i. */
  read(ids) {
    this.text = new Text(ids, this.shared.vocabulary);
  }

  /** Writes the predicted attention weights of query `i` into `row`. */
  attentionRow(i, row) {
    const { bins, floor } = this.shared;
    const { place } = this.rule;
    for (let j = 0; j <= i; j++) row[j] = place[Math.min(bins[i - j], place.length - 1)];
    softmax(row, i + 1);
    for (let j = 0; j <= i; j++) row[j] *= this.placeWeight;
    for (const [keysOf, weight] of this.patterns) {
      const keys = keysOf(this.text, i);
      for (const j of keys) row[j] += weight / keys.length;
    }
    for (let j = 0; j <= i; j++) row[j] = Math.log(row[j] + floor);
    this.#addContent(i, row);
    softmax(row, i + 1);
  }

  /** Adds the scores of the content terms: what the query's token prefers. */
  #addContent(i, row) {
    const { queries, keys, strengths } = this.rule;
    const { bands, n_bands: B, vocabulary } = this.shared;
    const V = vocabulary.words.length;
    const { ids } = this.text;
    for (let r = 0; r < strengths.length / B; r++) {
      const query = queries[r * V + ids[i]];
      if (!query) continue;
      for (let j = 0; j <= i; j++) row[j] += query * keys[r * V + ids[j]] * strengths[r * B + bands[i - j]];
    }
  }

  /** The predicted map of the text, (n, n), with one row per query. */
  map() {
    const n = this.text.ids.length;
    const map = new Float32Array(n * n);
    const row = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      this.attentionRow(i, row);
      map.set(row.subarray(0, i + 1), i * n);
    }
    return map;
  }
}
