// A sentence with the loss of the text, and with its change if heads are off.
import { $, element, signed } from "./elements.js";
import { nameOf } from "./state.js";

export const panel = {
  needs: "model",
  create: () => ({ update: (page, changed) => changed.has("text") && showLoss(page) }),
};

const mean = (losses) => losses.reduce((sum, loss) => sum + loss, 0) / losses.length;

function showLoss({ answer: { losses, intactLosses }, drawn: { off }, vocabulary: { unit } }) {
  if (!losses.length) {
    $("loss").textContent = "A text of one token has no loss, because the first token is not predicted.";
    return;
  }
  const names = off.map(([layer, head]) => nameOf(layer, head)).join(", ");
  const parts = [
    names ? `Loss of this text without ${names}: ` : "Loss of this text: ",
    element("strong", {}, mean(losses).toFixed(3)),
    ` nats per ${unit}, over ${losses.length} ${unit}${losses.length === 1 ? "" : "s"}.`,
  ];
  if (names) {
    const change = element("strong", { id: "difference" }, signed(mean(losses) - mean(intactLosses)));
    parts.push(` With all heads, the loss is ${mean(intactLosses).toFixed(3)}; the difference is `, change, ".");
  }
  $("loss").replaceChildren(...parts);
}
