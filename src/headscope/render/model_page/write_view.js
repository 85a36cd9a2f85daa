// Writing: one token a click, or one after the other until it is stopped.
import { ask } from "./ask.js";
import { $ } from "./elements.js";

const PAUSE = 20; // milliseconds between two tokens, for the page to show the first

/**
 * @param end - the id that ends a text, or null.
 * @param settled - resolves once all that was chosen is drawn.
 */
export function writeWith(state, tokenizer, end, settled) {
  let running = false;

  /** Draws a token; returns whether the text can go on. */
  async function writeOne() {
    await settled();
    const { ids, off, by } = state;
    const [temperature, topK] = ["temperature", "top-k"].map((name) => Math.max(0, Number($(name).value)));
    const how = { temperature, topK, u: Math.random() };
    const { id } = await ask("next", { ids, off, by, ...how });
    if (id === end) return false;
    const longer = [...ids, id];
    state.change({ ids: longer, at: longer.length - 1, token: null });
    $("typed").value = tokenizer.decode(longer);
    $("typed").scrollTop = $("typed").scrollHeight;
    await settled();
    return true;
  }

  function run(on) {
    running = on;
    $("write-on").textContent = on ? "Stop" : "Write on";
    $("write-on").setAttribute("aria-pressed", on);
  }

  async function writeOn() {
    if (running) return run(false);
    run(true);
    while (running && (await writeOne())) await new Promise((resolve) => setTimeout(resolve, PAUSE));
    return run(false);
  }

  $("write-one").addEventListener("click", writeOne);
  $("write-on").addEventListener("click", writeOn);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") run(false);
  });
}
