// What the person has chosen, and the same as the end of a link.

/**
 * Chosen values, and who wants to know of a change.
 *
 * `ids` is the text; `at` the chosen position in it; `layer` and `head` the one that is large; `view` how it is shown;
 * `off` a list of [layer, head]; `by` what takes their place; `token` whose logit is taken apart, null for the most
 * likely; `direction` from the chosen position or to it; `frame` the picture of the training.
 */
export class State {
  #listeners = [];

  constructor(values) {
    Object.assign(this, values);
  }

  /** Calls `listener(names of what has changed)` after each change. */
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

  /** Switches a head off, or on again. */
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

/** The state as the end of a link, without #. */
export function toFragment(state, text) {
  const parts = { text, at: state.at, head: nameOf(state.layer, state.head), view: state.view };
  if (state.off.length) Object.assign(parts, { off: state.off.map(([l, h]) => nameOf(l, h)).join(","), by: state.by });
  if (state.direction !== "from") parts.direction = state.direction;
  if (state.frame !== state.frames - 1) parts.frame = state.frame;
  return Object.entries(parts)
    .map(([key, value]) => `${key}=${encodeURIComponent(value)}`)
    .join("&");
}

/** What a link says, as far as it fits the model: values of the state, and `text`. */
export function fromFragment(fragment, sizes, frames) {
  const said = new URLSearchParams(fragment.replace(/^#/, "").replaceAll("+", "%2B"));
  const found = {};
  const number = (name, end) => {
    const value = Number(said.get(name));
    return said.has(name) && Number.isInteger(value) && value >= 0 && value < end ? value : null;
  };
  const head = (name) => {
    const match = /^L(\d+)H(\d+)$/.exec(name);
    const pair = match && [Number(match[1]), Number(match[2])];
    return pair && pair[0] < sizes.layers && pair[1] < sizes.heads ? pair : null;
  };
  if (said.has("text")) found.text = said.get("text");
  if (number("at", Infinity) !== null) found.at = number("at", Infinity);
  found.frame = number("frame", frames) ?? Math.max(0, frames - 1);
  const chosen = head(said.get("head") ?? "");
  if (chosen) [found.layer, found.head] = chosen;
  if (VIEWS.includes(said.get("view"))) found.view = said.get("view");
  found.direction = said.get("direction") === "to" ? "to" : "from";
  if (["zero", "mean"].includes(said.get("by"))) found.by = said.get("by");
  found.off = [...new Set((said.get("off") ?? "").split(","))].map(head).filter(Boolean);
  return found;
}
