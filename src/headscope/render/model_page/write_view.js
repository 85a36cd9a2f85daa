// Writing: one token a click, or one after the other until it is stopped.
import { ask } from "./ask.js";
import { $ } from "./elements.js";

const PAUSE = 20; // milliseconds between two tokens, for the page to show the first

/**
 * @param end - the id that ends a text, or null.
 * @param settled - resolves once all that was chosen is drawn.
 */
export function writeWith(state, tokenizer, end, settled) {
  let running = null; // the loop that may go on
  let turn = Promise.resolve(); // one token at a time

  /** Draws a token, after those that were asked for before; returns whether the text can go on. */
  function writeOne(wanted = () => true) {
    turn = turn.catch(() => {}).then(() => wanted() && write(wanted));
    return turn;
  }

  async function write(wanted) {
    await settled();
    const { ids, off, by } = state;
    const [temperature, topK] = ["temperature", "top-k"].map((name) => Math.max(0, Number($(name).value)));
    const how = { temperature, topK: Math.ceil(topK), u: Math.random() };
    const { id } = await ask("next", { ids, off, by, ...how });
    if (state.ids !== ids) return true; // another text came meanwhile: it stays
    if (!wanted() || id === end) return false;
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
    $("write-on").setAttribute("aria-pressed", on !== null);
  }

  async function writeOn() {
    if (running) return run(null);
    const mine = {};
    run(mine);
    try {
      while (running === mine && (await writeOne(() => running === mine)))
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
    } finally {
      if (running === mine) run(null);
    }
  }

  $("write-one").addEventListener("click", () => writeOne());
  $("write-on").addEventListener("click", writeOn);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") run(null);
  });
}
