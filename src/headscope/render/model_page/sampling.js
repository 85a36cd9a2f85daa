// From logits to the next token, by the rules of `headscope.generation`.

/**
 * Where the context of a text of `length` tokens begins. A full context drops its older half and fills up again, so no
 * position reaches the size of the context.
 */
export function contextStart(length, context) {
  const step = Math.max(context >> 1, 1);
  const excess = length - context;
  return excess <= 0 ? 0 : Math.ceil(excess / step) * step;
}

/**
 * Draws an id.
 *
 * @param logits - V numbers.
 * @param temperature - divides the logits; 0 takes the most likely token.
 * @param topK - draws from the k most likely tokens, smaller ids first among equals; 0 means all tokens.
 * @param u - a random number in [0, 1).
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
