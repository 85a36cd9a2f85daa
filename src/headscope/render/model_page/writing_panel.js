// The buttons that let the model continue the text: by one token, or until the user stops it or the text ends.
import { $ } from "./elements.js";
import { request } from "./request.js";

const PAUSE = 20; // milliseconds between tokens, so that the page shows every token

export const panel = { needs: "model", create: writeWith };

function writeWith({ state, tokenizer, vocabulary, settled }) {
  let running = null; // an object that identifies the running loop, or null
  let queue = Promise.resolve(); // ensures that tokens are written one at a time

  /** Writes a token after the earlier requests are done. Resolves to whether the loop should continue. */
  function writeOne(isWanted = () => true) {
    queue = queue.catch(() => {}).then(() => isWanted() && write(isWanted));
    return queue;
  }

  /** Writes a token. Resolves to whether the text can be continued. */
  async function write(isWanted) {
    await settled();
    const { ids, off, predicted, by } = state;
    const fields = [$("temperature"), $("top-k")];
    if (!fields.every((field) => field.reportValidity())) return false; // the browser says which numbers are allowed
    const [temperature, topK] = fields.map((field) => field.valueAsNumber);
    const { id } = await request("next", { ids, off, predicted, by, temperature, topK, u: Math.random() });
    if (state.ids !== ids) return true; // the user has changed the text in the meantime, so the drawn token is dropped
    if (!isWanted() || id === vocabulary.end) return false;
    const longer = [...ids, id];
    state.change({ ids: longer, at: longer.length - 1, token: null });
    $("typed").value = tokenizer.decode(longer);
    $("typed").scrollTop = $("typed").scrollHeight;
    await settled();
    return true;
  }

  function run(loop) {
    running = loop;
    $("write-on").textContent = loop ? "Stop" : "Keep writing";
    $("write-on").setAttribute("aria-pressed", loop !== null);
  }

  async function startOrStop() {
    if (running) return run(null);
    const loop = {};
    run(loop);
    try {
      while (running === loop && (await writeOne(() => running === loop)))
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
    } finally {
      if (running === loop) run(null);
    }
  }

  $("write-one").addEventListener("click", () => writeOne());
  $("write-on").addEventListener("click", startOrStop);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") run(null);
  });
}
