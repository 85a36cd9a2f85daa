// The loss of the text as a sentence, and its change without the heads that are off.
import { $, element, signed } from "./elements.js";
import { nameOf } from "./state.js";

export const panel = {
  needs: "model",
  create: () => ({ update: (page, changed) => changed.has("text") && showLoss(page) }),
};

const mean = (losses) => losses.reduce((sum, loss) => sum + loss, 0) / losses.length;

function showLoss({ answer: { losses, wholeLosses }, drawn: { off }, vocabulary: { unit } }) {
  if (!losses.length) {
    $("loss").textContent = "A text of one token has no loss, because the model predicts only the tokens after the first.";
    return;
  }
  const names = off.map(([layer, head]) => nameOf(layer, head)).join(", ");
  const parts = [
    names ? `Loss of this text without ${names}: ` : "Loss of this text: ",
    element("strong", {}, mean(losses).toFixed(3)),
    ` nats per ${unit}, over ${losses.length} ${unit}${losses.length === 1 ? "" : "s"}.`,
  ];
  if (names) {
    const change = element("strong", { id: "difference" }, signed(mean(losses) - mean(wholeLosses)));
    parts.push(" The change is ", change, `: with every head, the loss is ${mean(wholeLosses).toFixed(3)}.`);
  }
  $("loss").replaceChildren(...parts);
}
