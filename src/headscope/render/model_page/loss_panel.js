// A sentence with the loss of the text, and with its change if heads are off or replaced by their descriptions.
import { $, element, signed } from "./elements.js";
import { nameOf } from "./state.js";

export const panel = {
  needs: "model",
  create: () => ({ update: (page, changed) => changed.has("text") && showLoss(page) }),
};

const mean = (losses) => losses.reduce((sum, loss) => sum + loss, 0) / losses.length;

function showLoss({ answer: { losses, intactLosses }, drawn: { off, predicted }, vocabulary: { unit } }) {
  if (!losses.length) {
    $("loss").textContent = "A text of one token has no loss, because the first token is not predicted.";
    return;
  }
  const names = (heads) => heads.map(([layer, head]) => nameOf(layer, head)).join(", ");
  const descriptions = predicted.length > 1 ? "their descriptions" : "its description";
  const changes = [];
  if (off.length) changes.push(`without ${names(off)}`);
  if (predicted.length) changes.push(`with ${names(predicted)} replaced by ${descriptions}`);
  const parts = [
    `Loss of this text${changes.length ? ` ${changes.join(" and ")}` : ""}: `,
    element("strong", {}, mean(losses).toFixed(3)),
    ` nats per ${unit}, over ${losses.length} ${unit}${losses.length === 1 ? "" : "s"}.`,
  ];
  if (changes.length) {
    const change = element("strong", { id: "difference" }, signed(mean(losses) - mean(intactLosses)));
    parts.push(` In the unchanged model, the loss is ${mean(intactLosses).toFixed(3)}; the difference is `, change, ".");
  }
  $("loss").replaceChildren(...parts);
}
