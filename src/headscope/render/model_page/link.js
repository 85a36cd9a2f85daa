// Stores the state in the page's address, so that a link opens the same view.
import { $ } from "./elements.js";
import { fromFragment, nameOf, toFragment } from "./state.js";

const PAUSE = 250; // milliseconds after the last change before the address is updated, because browsers limit the rate

/**
 * @param typeText - puts a text into the text box and returns its ids; null if the page cannot split a new text.
 * @returns `restore`, which reads the state from the address, and `saveSoon`, which updates the address after a pause.
 */
export function linkWith({ state, sizes, tokenizer, model, description }, typeText) {
  // In a frame, such as a notebook's, or opened from memory, the page may have no address that opens it again.
  const canLink = parent === window && ["http:", "https:", "file:"].includes(location.protocol);
  let timer = null;

  function updateAddress() {
    const text = tokenizer.canSplit ? tokenizer.decode(state.ids) : null;
    history.replaceState(null, "", `#${toFragment(state, text, sizes.heads > 0)}`);
  }

  function saveSoon() {
    if (!canLink) return;
    clearTimeout(timer);
    timer = setTimeout(updateAddress, PAUSE);
  }

  function restore() {
    const replacements = model?.means ? ["mean", "zero"] : ["zero"];
    const described = (description.descriptions?.heads ?? []).map(({ layer, head }) => nameOf(layer, head));
    const allowed = { sizes, frames: state.frames, replacements, described };
    const { text, ...values } = fromFragment(location.hash, allowed);
    if (text !== undefined && typeText) {
      const ids = typeText(text);
      Object.assign(values, { ids, at: Math.min(values.at ?? ids.length - 1, ids.length - 1) });
    }
    state.change({ ...values, token: null });
  }

  async function share() {
    updateAddress();
    try {
      await navigator.clipboard.writeText(location.href);
      $("shared").textContent = "Copied. The link opens this page with the same text, head and switches.";
    } catch {
      $("shared").textContent = "Copy the address of this page: it contains the text, the head and the switches.";
    }
  }

  $("share").hidden = !canLink;
  $("share").addEventListener("click", share);
  addEventListener("hashchange", restore);
  return { restore, saveSoon };
}
