// The switch of one head: a checkbox for two positions, or a group of radio buttons for three.
import { element } from "./elements.js";

/** The positions of a switch, with the text of their buttons and their labels for screen readers. */
const POSITIONS = {
  on: { text: "on", label: "on" },
  off: { text: "off", label: "off" },
  predicted: { text: "rule", label: "rule: the description replaces the attention" },
};

/**
 * Returns the `element` of a switch, and `show`, which sets it to a position.
 *
 * @param name - the name of the head.
 * @param positions - the names of its positions in `POSITIONS`, "on" and "off" first.
 * @param onChange - called with the position that the user chose.
 */
export function headSwitch(name, positions, onChange) {
  return positions.length > 2 ? radios(name, positions, onChange) : checkbox(name, onChange);
}

function checkbox(name, onChange) {
  const input = element("input", { type: "checkbox", checked: true, role: "switch", "aria-label": `${name} is on` });
  input.addEventListener("change", () => onChange(input.checked ? "on" : "off"));
  const show = (position) => (input.checked = position === "on");
  return { element: element("label", {}, input, element("b", {}, name)), show };
}

function radios(name, positions, onChange) {
  const inputs = positions.map((value) => {
    const label = POSITIONS[value].label;
    const input = element("input", { type: "radio", name: `switch-${name}`, value, "aria-label": label });
    input.addEventListener("change", () => onChange(value));
    return input;
  });
  const labels = inputs.map((input) => element("label", {}, input, POSITIONS[input.value].text));
  const group = element("div", { className: "positions", role: "radiogroup", "aria-label": name }, ...labels);
  const show = (position) => inputs.forEach((input) => (input.checked = input.value === position));
  return { element: element("div", {}, element("b", {}, name), group), show };
}
