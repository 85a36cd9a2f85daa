// Maps of all heads for the current text, with a switch for each head.
import { $, bindRadios } from "./elements.js";
import { HeadsView } from "./heads_view.js";

export const panel = { needs: "heads", create };

function create({ description, descriptionOf, sizes, state }) {
  const positionsOf = (layer, head) => ["on", "off", ...(descriptionOf(layer, head) ? ["predicted"] : [])];
  const heads = new HeadsView($("heads"), sizes, state, positionsOf);
  const roles = Array.from({ length: sizes.layers }, () => []);
  for (const { layer, head, role, confirmed } of description.heads)
    roles[layer][head] = role && role + (confirmed ? "" : "?");
  heads.showRoles(roles);
  for (const name of ["direction", "by"]) bindRadios(name, state);
  $("all-on").addEventListener("click", () => state.change({ off: [], predicted: [] }));
  return {
    update({ answer, drawn }, changed) {
      if (changed.has("text")) heads.draw(answer.maps, drawn.ids.length - answer.start);
      heads.mark(state);
      $("all-on").disabled = state.off.length + state.predicted.length === 0;
    },
    look({ answer, labels }, at) {
      heads.look(at - answer.start, state.direction, labels());
    },
  };
}
