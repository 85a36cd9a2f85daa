// The panel with the description of the chosen head: its sentence, and the share of its cost that each kind of term recovers.
import { $, element, percent } from "./elements.js";

export const panel = { needs: "heads descriptions", create };

const KINDS = ["place", "structure", "identity", "content"]; // of a rule's terms

function create() {
  document.body.classList.add("described");
  return {
    update({ descriptionOf, state, vocabulary }, changed) {
      if (!["text", "layer", "head"].some((name) => changed.has(name))) return;
      const found = descriptionOf(state.layer, state.head);
      $("one-rule").hidden = !found;
      if (found) describe(found, vocabulary.unit);
    },
  };
}

/** Shows the sentence of a description, and, if the head's cost is above the noise, the bars and the table of shares. */
function describe({ sentence, cost, recovered, full, parts, full_parts: fullParts }, unit) {
  $("one-sentence").textContent = sentence;
  $("one-shares").hidden = recovered === null;
  if (recovered === null) return;
  const versions = [
    { name: "readable rule", shares: withRest(parts), recovered },
    { name: "full rule", shares: withRest(fullParts), recovered: full },
  ];
  $("shares").replaceChildren(...versions.map(bar));
  const names = versions.map(({ name }) => element("th", { scope: "col", className: "n" }, name));
  const rows = Object.keys(versions[0].shares).map((kind) =>
    row(kind, versions.map(({ shares }) => share(shares[kind]))),
  );
  rows.push(row("recovered", versions.map(({ recovered: { value, error } }) => withError(value, error, share))));
  $("shares-table").replaceChildren(
    element("thead", {}, element("tr", {}, element("td"), ...names)),
    element("tbody", {}, ...rows),
  );
  const nats = withError(cost.value, cost.error, (x) => (x === null ? "not measured" : x.toFixed(3)));
  $("shares-note").textContent =
    `Shares of the head's cost, ${nats} nats per ${unit} on unseen text. ± is the standard error. ` +
    "Place: distance alone. Structure: words and lines. Identity: equal tokens. Content: which tokens they are. " +
    "A negative share makes the loss worse. " +
    "The full rule has more terms than a person can read, such as a table of which token prefers which.";
}

/** The shares of the kinds, and the unexplained share; null for shares that could not be measured. */
function withRest(parts) {
  const shares = Object.fromEntries(KINDS.map((kind) => [kind, parts[kind] ?? null]));
  const isKnown = Object.values(shares).every((x) => x !== null);
  const sum = Object.values(shares).reduce((total, x) => total + x, 0);
  return { ...shares, unexplained: isKnown ? 1 - sum : null };
}

function share(x) {
  if (x === null) return "not measured";
  const size = percent(Math.abs(x));
  return x < 0 && size !== percent(0) ? `−${size}` : size;
}

const withError = (x, error, format) => (x === null || error === null ? format(x) : `${format(x)} ± ${format(error)}`);

function row(kind, cells) {
  const key = kind === "recovered" ? "" : element("i", { className: `key ${kind}`, "aria-hidden": "true" });
  const name = element("th", { scope: "row" }, key, kind);
  return element("tr", {}, name, ...cells.map((text) => element("td", { className: "n" }, text)));
}

/** A bar of shares. Negative shares have no width, and if the others exceed the whole, they fill the bar. */
function bar({ name, shares }) {
  const widths = Object.entries(shares).map(([kind, x]) => [kind, Math.max(0, x)]);
  const whole = Math.max(1, widths.reduce((sum, [, width]) => sum + width, 0));
  const parts = widths.map(([kind, width]) => {
    const part = element("i", { className: kind, title: `${kind}: ${share(shares[kind])}` });
    part.style.width = `${(100 * width) / whole}%`;
    return part;
  });
  const spoken = Object.entries(shares).map(([kind, x]) => `${kind} ${share(x)}`).join(", ");
  const drawn = element("div", { className: "shares", role: "img", "aria-label": `${name}: ${spoken}` }, ...parts);
  return element("div", {}, element("span", { className: "note" }, name), drawn);
}
