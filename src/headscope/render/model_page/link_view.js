// The state in the address of the page: a link that opens this view again.
import { $ } from "./elements.js";
import { fromFragment, toFragment } from "./state.js";

const CALM = 250; // milliseconds without a change before the address changes: browsers allow a few a second

/**
 * @param sizes - layers and heads: what a link says of others is left out.
 * @param read - puts a text into the page and returns its ids; null where there is no model to read it.
 * @returns `recall`, which takes the state from the address, and `remember`, which puts it there, soon.
 */
export function linkWith(state, sizes, tokenizer, read) {
  let waiting = null;

  function put() {
    history.replaceState(null, "", `#${toFragment(state, tokenizer.decode(state.ids))}`);
  }

  function remember() {
    clearTimeout(waiting);
    waiting = setTimeout(put, CALM);
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
      $("shared").textContent = "The link is copied: it opens this page with this text, head and switches.";
    } catch {
      $("shared").textContent = "Copy the address of this page: it holds the text, the head and the switches.";
    }
  }

  $("share").addEventListener("click", share);
  addEventListener("hashchange", recall);
  return { recall, remember };
}
