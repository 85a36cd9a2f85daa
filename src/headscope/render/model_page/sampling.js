// Draws the next token from logits, by the same rules as `headscope.generation`.

/**
 * The position at which the context of a text of `length` tokens starts. A full context drops its older half and then
 * fills up again.
 */
export function contextStart(length, context) {
  const step = Math.max(context >> 1, 1);
  const excess = length - context;
  return excess <= 0 ? 0 : Math.ceil(excess / step) * step;
}

/**
 * Draws a token id.
 *
 * @param logits - V numbers.
 * @param temperature - divides the logits; 0 always selects the most likely token.
 * @param topK - the number of most likely tokens to draw from, ties broken by the smaller id; 0 means all tokens.
 * @param u - a uniform random number in [0, 1).
 */
export function draw(logits, temperature, topK, u) {
  const ranked = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a] || a - b);
  if (temperature === 0) return ranked[0];
  const kept = topK > 0 ? ranked.slice(0, topK) : ranked;
  const p = kept.map((id) => Math.exp((logits[id] - logits[ranked[0]]) / temperature));
  let left = u * p.reduce((sum, x) => sum + x, 0);
  const chosen = p.findIndex((x) => (left -= x) < 0);
  return kept[chosen < 0 ? kept.length - 1 : chosen];
}
