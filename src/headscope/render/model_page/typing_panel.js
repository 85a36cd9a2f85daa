// The text box. The model reads its text as the user types.
import { $ } from "./elements.js";

export const panel = {
  needs: "model",
  create({ state, tokenizer, idsOf }) {
    const box = $("typed");
    box.value = tokenizer.decode(state.ids);
    box.readOnly = !tokenizer.canSplit;
    if (box.readOnly)
      document.querySelector("label[for=typed]").textContent =
        "This text cannot be edited, because the page does not know how the model's tokenizer splits text.";
    box.addEventListener("input", () => {
      const ids = idsOf(box.value);
      state.change({ ids, at: ids.length - 1, token: null });
    });
  },
};
