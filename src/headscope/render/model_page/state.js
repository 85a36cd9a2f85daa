// The state of the page, which holds the user's choices, and its conversion to and from a link.
import { headNamed, oneOf, wholeNumber } from "./input.js";

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
const DIRECTIONS = ["from", "to"];

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
 * Reads a fragment. Returns the `values` of the state, which include the `text`, and the list `ignored` of the parts of
 * the fragment that are not valid for the model.
 *
 * @param sizes - the numbers of `layers` and of `heads` per layer.
 * @param frames - the number of recorded training steps.
 * @param replacements - the allowed values of `by`.
 */
export function fromFragment(fragment, { sizes, frames, replacements }) {
  const given = new URLSearchParams(fragment.replace(/^#/, "").replaceAll("+", "%2B"));
  const ignored = [];
  const head = (name) => headNamed(name, sizes);
  const heads = (text) => {
    const names = [...new Set(text.split(","))].filter(Boolean);
    ignored.push(...names.filter((name) => !head(name)).map((name) => `off=${name}`));
    return names.map(head).filter(Boolean);
  };
  const read = {
    text: (text) => text,
    at: (text) => wholeNumber(text, Infinity),
    frame: (text) => wholeNumber(text, Math.max(1, frames)),
    head,
    view: (name) => oneOf(name, VIEWS),
    direction: (name) => oneOf(name, DIRECTIONS),
    by: (name) => oneOf(name, replacements),
    off: heads,
  };
  const found = { frame: Math.max(0, frames - 1), direction: "from", off: [] };
  for (const [key, text] of given) {
    const value = Object.hasOwn(read, key) ? read[key](text) : null;
    if (value !== null) found[key] = value;
    else if (text || Object.hasOwn(read, key)) ignored.push(`${key}=${text}`); // `#map` only scrolls to an element
  }
  const { head: chosen, ...values } = found;
  if (chosen) [values.layer, values.head] = chosen;
  return { values, ignored };
}
