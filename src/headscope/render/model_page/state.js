// The state of the page, which holds the user's choices, and its conversion to and from a link.

/**
 * The chosen values, and the listeners to call after a change.
 *
 * - `ids`: the text. `at`: the chosen position.
 * - `layer`, `head`: the chosen head, whose map is shown large. `view`: what this map shows.
 * - `off`: the heads that are switched off, as [layer, head]. `by`: "mean" or "zero", which replaces their output.
 * - `predicted`: the heads whose attention is replaced by the map that their description predicts, as [layer, head].
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

  /** The position of a head's switch: "on", "off" or "predicted". */
  positionOf(layer, head) {
    const has = (heads) => heads.some(([l, h]) => l === layer && h === head);
    return has(this.off) ? "off" : has(this.predicted) ? "predicted" : "on";
  }

  /** Sets the switch of a head to a position. */
  setSwitch(layer, head, position) {
    const lists = ["off", "predicted"].map((name) => {
      const others = this[name].filter(([l, h]) => l !== layer || h !== head);
      if (position === name) others.push([layer, head]);
      else if (others.length === this[name].length) return [name, this[name]]; // the same list, because nothing changed
      return [name, others.sort((a, b) => a[0] - b[0] || a[1] - b[1])];
    });
    this.change(Object.fromEntries(lists));
  }

  /** Sets the switch of a head to a position, or to "on" if it already has this position. */
  toggle(layer, head, position) {
    this.setSwitch(layer, head, this.positionOf(layer, head) === position ? "on" : position);
  }
}

export const nameOf = (layer, head) => `L${layer}H${head}`;

const VIEWS = ["weights", "normWeighted", "rollout"];

/** The state as the fragment of a link, without #. A model without heads has no head in it; a null `text` is left out. */
export function toFragment(state, text, hasHeads) {
  const parts = { at: state.at };
  if (hasHeads) Object.assign(parts, { head: nameOf(state.layer, state.head), view: state.view });
  if (text !== null) parts.text = text;
  const names = (heads) => heads.map(([l, h]) => nameOf(l, h)).join(",");
  if (state.off.length) Object.assign(parts, { off: names(state.off), by: state.by });
  if (state.predicted.length) parts.predicted = names(state.predicted);
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
 * @param described - the names of the heads that have a description.
 */
export function fromFragment(fragment, { sizes, frames, replacements, described }) {
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
  const heads = (key) => [...new Set((given.get(key) ?? "").split(","))];
  const off = heads("off").filter(head);
  const found = {
    frame: number("frame", frames) ?? Math.max(0, frames - 1),
    direction: given.get("direction") === "to" ? "to" : "from",
    off: off.map(head),
    predicted: heads("predicted").filter((name) => described.includes(name) && !off.includes(name)).map(head),
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
