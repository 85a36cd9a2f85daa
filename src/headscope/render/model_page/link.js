// Keeps the state in the address of the page, so that a link opens the same view.
import { $ } from "./elements.js";
import { fromFragment, toFragment } from "./state.js";

const PAUSE = 250; // milliseconds without a change before the address changes, because browsers limit the rate

/**
 * @param read - puts a text into the text box and returns its ids; null if the page cannot read a new text.
 * @returns `recall`, which reads the state from the address, and `remember`, which writes it there after a pause.
 */
export function linkWith({ state, sizes, tokenizer }, read) {
  let timer = null;

  function put() {
    const text = tokenizer.canSplit ? tokenizer.decode(state.ids) : null;
    history.replaceState(null, "", `#${toFragment(state, text)}`);
  }

  function remember() {
    clearTimeout(timer);
    timer = setTimeout(put, PAUSE);
  }

  function recall() {
    const { text, ...values } = fromFragment(location.hash, sizes, state.frames);
    if (text !== undefined && read) {
      const ids = read(text);
      Object.assign(values, { ids, at: Math.min(values.at ?? ids.length - 1, ids.length - 1) });
    }
    state.change({ ...values, token: null });
  }

  async function share() {
    try {
      put();
      await navigator.clipboard.writeText(location.href);
      $("shared").textContent = "Copied. The link opens this page with the same text, head and switches.";
    } catch {
      $("shared").textContent = "Copy the address of this page: it contains the text, the head and the switches.";
    }
  }

  $("share").addEventListener("click", share);
  addEventListener("hashchange", recall);
  return { recall, remember };
}
