// Helpers for elements and keys. Text from a vocabulary or from the user is inserted as text, never as HTML.

const LONGEST_SHOWN = 40; // characters
/** Matches a character that cannot be seen on its own: white space, control characters, accents without a letter. */
const INVISIBLE = /[\p{C}\p{Z}\p{M}\p{Default_Ignorable_Code_Point}]/gu;

export const $ = (id) => document.getElementById(id);

/** Creates an element with properties, attributes such as `data-…` and `aria-…`, and children: elements or text. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "for") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/** Keeps a group of radio buttons in sync with the state's value of the same name. */
export function bindRadios(name, state) {
  for (const input of document.querySelectorAll(`input[name=${name}]`)) {
    input.addEventListener("change", () => state.change({ [name]: input.value }));
    state.watch(() => (input.checked = input.value === state[name]));
  }
}

/** Formats a probability as a percentage. */
export const percent = (p) => (p >= 0.0995 ? `${Math.round(p * 100)}%` : `${(p * 100).toFixed(1)}%`);

/** Formats a number with its sign. */
export const signed = (x, digits = 3) => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(digits)}`;

/** A token as a visible label: invisible characters are shown as code points, such as U+200B, and a long token is cut. */
export function visible(token) {
  const short = token.length > LONGEST_SHOWN ? `${Array.from(token).slice(0, LONGEST_SHOWN - 1).join("")}…` : token;
  const codePoint = (c) => `U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  return short.replace(INVISIBLE, (c) => (c === token ? codePoint(c) : `<${codePoint(c)}>`));
}

/** Whether Alt, Ctrl or Meta is down: such key combinations are shortcuts of the browser. */
export const hasModifier = (event) => event.altKey || event.ctrlKey || event.metaKey;

/** The index in a list after an arrow key, Home or End; null after any other key. `across` is the length of a row. */
export function indexAfterKey(key, index, length, across = 1) {
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across };
  if (key === "Home") return 0;
  if (key === "End") return length - 1;
  if (!(key in steps)) return null;
  const next = index + steps[key];
  return next >= 0 && next < length ? next : index;
}

/** Returns the value of a promise. If the promise fails, shows the message and the error on the page. */
export async function reportFailure(promise, message) {
  try {
    return await promise;
  } catch (error) {
    $("text").hidden = $("loading").hidden = false;
    $("loading").textContent = `${message}: ${error.message}.`;
    throw error;
  }
}
