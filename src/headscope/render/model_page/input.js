// Checks the numbers, names and texts that a reader types or that a link contains.
import { element } from "./elements.js";

const LONGEST_SHOWN = 40; // characters of a token that are shown in a message
const MOST_SHOWN = 12; // tokens that are listed in a message
/** Matches a character that cannot be seen on its own: white space, control characters, accents without a letter. */
const INVISIBLE = /[\p{C}\p{Z}\p{M}\p{Default_Ignorable_Code_Point}]/gu;

/** The whole number from 0 to below `end` that a text contains; null if the text contains anything else. */
export const wholeNumber = (text, end) => (/^\d{1,15}$/.test(text) && Number(text) < end ? Number(text) : null);

/** The head [layer, head] with a name such as L0H1; null if the model has no head with this name. */
export function headNamed(name, { layers, heads }) {
  const match = /^L(0|[1-9]\d*)H(0|[1-9]\d*)$/.exec(name);
  const pair = match && [Number(match[1]), Number(match[2])];
  return pair && pair[0] < layers && pair[1] < heads ? pair : null;
}

/** A name if it is one of the allowed `names`, otherwise null. */
export const oneOf = (name, names) => (names.includes(name) ? name : null);

/**
 * The number in a field, or null if it is not allowed. The field's attributes `min` and `max` set the limits, and
 * `step="1"` allows only whole numbers. If the number is not allowed, the element `problem` shows a message.
 */
export function numberIn(field, problem) {
  const { min, max, step, valueAsNumber: value } = field;
  const isWhole = step === "1";
  const isAllowed =
    Number.isFinite(value) && value >= min && (max === "" || value <= max) && (!isWhole || Number.isInteger(value));
  const given = Number.isNaN(value) ? "not a number" : String(value).replace("-", "−");
  const range = max === "" ? `of at least ${min}` : `from ${min} to ${max}`;
  problem.textContent = isAllowed
    ? ""
    : `The ${field.dataset.name} is ${given}; it must be a ${isWhole ? "whole " : ""}number ${range}.`;
  problem.hidden = isAllowed;
  field.setAttribute("aria-invalid", !isAllowed);
  return isAllowed ? value : null;
}

/** A token as a visible label of limited length: invisible characters are shown as code points, such as U+200B. */
export function visible(token) {
  const characters = Array.from(token);
  const short = characters.length > LONGEST_SHOWN ? `${characters.slice(0, LONGEST_SHOWN - 1).join("")}…` : token;
  const codePoint = (c) => `U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  return short.replace(INVISIBLE, (c) => (characters.length === 1 ? codePoint(c) : `<${codePoint(c)}>`));
}

/** Shows a warning that lists what was ignored, or hides the warning if nothing was. */
export function showIgnored(warning, heading, ignored) {
  const shown = ignored.slice(0, MOST_SHOWN).map((token) => element("bdi", { className: "token" }, visible(token)));
  const more = ignored.length > MOST_SHOWN ? [` and ${ignored.length - MOST_SHOWN} more`] : [];
  warning.hidden = !ignored.length;
  warning.replaceChildren(heading, ...shown, ...more);
}
