// Making elements. Whatever comes from a text or a vocabulary is set as text, never as markup.

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

/** A share as people read it. */
export const percent = (share) => (share >= 0.0995 ? `${Math.round(share * 100)}%` : `${(share * 100).toFixed(1)}%`);

/** A number with its sign. */
export const signed = (x, digits = 3) => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(digits)}`;

/** Whether a key belongs to the browser, as Alt and an arrow do. */
export const modified = (event) => event.altKey || event.ctrlKey || event.metaKey;

/** Moves among a list by arrow keys, Home and End; returns the new index, or null for another key. */
export function stepped(key, index, length, across = 1) {
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across };
  if (key === "Home") return 0;
  if (key === "End") return length - 1;
  if (!(key in steps)) return null;
  const next = index + steps[key];
  return next >= 0 && next < length ? next : index;
}

/** Waits; where that fails, the page says what is wrong. */
export async function told(waited, wrong) {
  try {
    return await waited;
  } catch (error) {
    $("text").hidden = $("loading").hidden = false;
    $("loading").textContent = `${wrong}: ${error.message}.`;
    throw error;
  }
}
