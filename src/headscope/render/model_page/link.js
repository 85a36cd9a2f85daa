// Stores the state in the page's address, so that a link opens the same view.
import { $ } from "./elements.js";
import { showIgnored } from "./input.js";
import { fromFragment, toFragment } from "./state.js";

const PAUSE = 250; // milliseconds after the last change before the address is updated, because browsers limit the rate
const LONGEST = 2_000_000; // characters of an address; Chromium opens no address with more than 2 MiB

const withoutFragment = (address) => address.replace(/#.*/, "");

/**
 * Whether the page has an address that opens it again. It has none if a notebook shows it as the content of a frame
 * (`about:srcdoc`, or the address of the notebook itself), or if it was opened from memory (`data:`, `blob:`).
 */
function hasAddress() {
  if (!["http:", "https:", "file:"].includes(location.protocol)) return false;
  try {
    return parent === window || withoutFragment(parent.location.href) !== withoutFragment(location.href);
  } catch {
    return true; // the page around the frame has another origin, and therefore another address
  }
}

/**
 * @param typeText - puts a text into the text box and returns its ids; null if the page cannot split a new text.
 * @returns `restore`, which reads the state from the address, and `saveSoon`, which updates the address after a pause.
 */
export function linkWith({ state, sizes, tokenizer, model }, typeText) {
  const canLink = hasAddress();
  let timer = null;

  /** Returns the link to the current view, and makes it the address of the page; null if the link is too long. */
  function updateAddress() {
    const text = tokenizer.canSplit ? tokenizer.decode(state.ids) : null;
    const link = `${withoutFragment(location.href)}#${toFragment(state, text, sizes.heads > 0)}`;
    if (link.length > LONGEST) return null;
    history.replaceState(null, "", link);
    return link;
  }

  function saveSoon() {
    if (!canLink) return;
    clearTimeout(timer);
    timer = setTimeout(updateAddress, PAUSE);
  }

  function restore() {
    const allowed = { sizes, frames: state.frames, replacements: model?.means ? ["mean", "zero"] : ["zero"] };
    const { values: found, ignored } = fromFragment(location.hash, allowed);
    showIgnored($("ignored"), "Ignored in the link, because this model has no such value: ", ignored);
    const { text, ...values } = found;
    if (text !== undefined && typeText) {
      const ids = typeText(text);
      Object.assign(values, { ids, at: Math.min(values.at ?? ids.length - 1, ids.length - 1) });
    }
    state.change({ ...values, token: null });
  }

  async function share() {
    const link = updateAddress();
    $("link").hidden = true;
    if (link === null) {
      $("shared").textContent = "The text is too long for a link.";
      return;
    }
    try {
      await navigator.clipboard.writeText(link);
      $("shared").textContent = "Copied. The link opens this page with the same text, head and switches.";
    } catch {
      $("shared").textContent = "The browser does not allow this page to copy. The selected text is the link:";
      $("link").hidden = false;
      $("link").value = link;
      $("link").select();
    }
  }

  $("share").hidden = !canLink;
  $("share").addEventListener("click", share);
  addEventListener("hashchange", restore);
  return { restore, saveSoon };
}
