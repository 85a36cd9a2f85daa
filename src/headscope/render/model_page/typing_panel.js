// The text box: the model reads the text as it is typed.
import { $ } from "./elements.js";

export const panel = {
  needs: "model",
  create({ state, tokenizer, idsOf }) {
    const box = $("typed");
    box.value = tokenizer.decode(state.ids);
    box.readOnly = !tokenizer.canSplit;
    if (box.readOnly)
      document.querySelector("label[for=typed]").textContent =
        "This text cannot be edited, because the page does not have the rule by which the model's tokenizer splits a text.";
    box.addEventListener("input", () => {
      const ids = idsOf(box.value);
      state.change({ ids, at: ids.length - 1, token: null });
    });
  },
};
