// Helpers for elements and keys. Text from a vocabulary or a person is set as text, never as markup.

export const $ = (id) => document.getElementById(id);

/** An element with properties, `data-` and `aria-` attributes, and children: elements or text. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "for") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/** Connects a group of radio buttons with the value of the same name in the state. */
export function bindRadios(name, state) {
  for (const input of document.querySelectorAll(`input[name=${name}]`)) {
    input.addEventListener("change", () => state.change({ [name]: input.value }));
    state.watch(() => (input.checked = input.value === state[name]));
  }
}

/** A probability as a percentage. */
export const percent = (p) => (p >= 0.0995 ? `${Math.round(p * 100)}%` : `${(p * 100).toFixed(1)}%`);

/** A number with its sign. */
export const signed = (x, digits = 3) => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(digits)}`;

/** Whether a key is a shortcut of the browser, such as Alt with an arrow key. */
export const hasModifier = (event) => event.altKey || event.ctrlKey || event.metaKey;

/** The index in a list after an arrow key, Home or End; null for any other key. `across` is the length of a row. */
export function indexAfterKey(key, index, length, across = 1) {
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across };
  if (key === "Home") return 0;
  if (key === "End") return length - 1;
  if (!(key in steps)) return null;
  const next = index + steps[key];
  return next >= 0 && next < length ? next : index;
}

/** The value of a promise. If the promise fails, the page shows the message and the error. */
export async function reportFailure(promise, message) {
  try {
    return await promise;
  } catch (error) {
    $("text").hidden = $("loading").hidden = false;
    $("loading").textContent = `${message}: ${error.message}.`;
    throw error;
  }
}
