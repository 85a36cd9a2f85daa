// The state of the page, which holds the user's choices, and its conversion to and from a link.

/**
 * The chosen values, and the listeners to call after a change.
 *
 * - `ids`: the text. `at`: the chosen position.
 * - `layer`, `head`: the chosen head, whose map is shown large. `view`: what this map shows.
 * - `off`: the heads that are switched off, as [layer, head]. `by`: "mean" or "zero", which replaces their output.
 * - `token`: the token whose logit is split into contributions; null for the most likely token.
 * - `direction`: whether strips and bars show the attention "from" or "to" the chosen position.
 * - `frame`: the index of the recorded training step whose maps are shown.
 */
export class State {
  #listeners = [];

  constructor(values) {
    Object.assign(this, values);
  }

  /** Calls `listener` after each change, with a Set of the names that changed. */
  watch(listener) {
    this.#listeners.push(listener);
  }

  change(values) {
    const names = Object.keys(values).filter((name) => values[name] !== this[name]);
    Object.assign(this, values);
    if (names.length) for (const listener of this.#listeners) listener(new Set(names));
  }

  isOff(layer, head) {
    return this.off.some(([l, h]) => l === layer && h === head);
  }

  /** Switches a head from on to off, or from off to on. */
  toggle(layer, head) {
    const others = this.off.filter(([l, h]) => l !== layer || h !== head);
    const off = this.isOff(layer, head)
      ? others
      : [...others, [layer, head]].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    this.change({ off });
  }
}

export const nameOf = (layer, head) => `L${layer}H${head}`;

const VIEWS = ["weights", "normWeighted", "rollout"];

/** The state as the fragment of a link, without #. A model without heads has no head in it; a null `text` is left out. */
export function toFragment(state, text, hasHeads) {
  const parts = { at: state.at };
  if (hasHeads) Object.assign(parts, { head: nameOf(state.layer, state.head), view: state.view });
  if (text !== null) parts.text = text;
  if (state.off.length) Object.assign(parts, { off: state.off.map(([l, h]) => nameOf(l, h)).join(","), by: state.by });
  if (state.direction !== "from") parts.direction = state.direction;
  if (state.frame < state.frames - 1) parts.frame = state.frame;
  return Object.entries(parts)
    .map(([key, value]) => `${key}=${encodeURIComponent(value)}`)
    .join("&");
}

/**
 * The values of the state, and the `text`, from a fragment. Parts that are not valid for the model are ignored.
 *
 * @param sizes - the numbers of `layers` and of `heads` per layer.
 * @param frames - the number of recorded training steps.
 * @param replacements - the allowed values of `by`.
 */
export function fromFragment(fragment, { sizes, frames, replacements }) {
  const given = new URLSearchParams(fragment.replace(/^#/, "").replaceAll("+", "%2B"));
  const number = (key, end) => {
    const value = /^\d{1,15}$/.test(given.get(key)) ? Number(given.get(key)) : Infinity;
    return value < end ? value : null;
  };
  const head = (name) => {
    const match = /^L(\d+)H(\d+)$/.exec(name);
    const pair = match && [Number(match[1]), Number(match[2])];
    return pair && pair[0] < sizes.layers && pair[1] < sizes.heads && name === nameOf(...pair) ? pair : null;
  };
  const found = {
    frame: number("frame", frames) ?? Math.max(0, frames - 1),
    direction: given.get("direction") === "to" ? "to" : "from",
    off: [...new Set((given.get("off") ?? "").split(","))].map(head).filter(Boolean),
  };
  if (given.has("text")) found.text = given.get("text");
  const at = number("at", Infinity);
  if (at !== null) found.at = at;
  const chosen = head(given.get("head"));
  if (chosen) [found.layer, found.head] = chosen;
  if (VIEWS.includes(given.get("view"))) found.view = given.get("view");
  if (replacements.includes(given.get("by"))) found.by = given.get("by");
  return found;
}
