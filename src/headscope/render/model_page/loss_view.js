// The loss of the text, and what the heads that are off are worth to it, as a sentence.
import { $, element, signed } from "./elements.js";
import { nameOf } from "./state.js";

const mean = (losses) => losses.reduce((sum, loss) => sum + loss, 0) / losses.length;

/**
 * @param losses - nats of each target.
 * @param before - the same with every head.
 * @param off - [layer, head] of those that are off.
 * @param unit - what a token is.
 */
export function sayLoss(losses, before, off, unit) {
  if (!losses.length) {
    $("loss").textContent = "A text of one token has no loss: there is nothing that it could foresee.";
    return;
  }
  const cut = off.map(([layer, head]) => nameOf(layer, head)).join(", ");
  const count = `${losses.length} ${unit}${losses.length === 1 ? "" : "s"}`;
  const parts = [
    cut ? `Loss of this text without ${cut}: ` : "Loss of this text: ",
    element("strong", {}, mean(losses).toFixed(3)),
    ` nats per ${unit}, over ${count}.`,
  ];
  if (cut) {
    const change = element("strong", { id: "difference" }, signed(mean(losses) - mean(before)));
    parts.push(" That is ", change, `: with every head it is ${mean(before).toFixed(3)}.`);
  }
  $("loss").replaceChildren(...parts);
}
