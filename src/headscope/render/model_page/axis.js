// Where the labels beside the rows and above the columns of a map go. Labels never overlap: if the cells are small, they
// take turns in several lanes beside the map, and if long labels leave no space for more lanes, some labels are left out.

const SMALLEST_CELL = 2; // side in pixels
const LARGEST_CELL = 48;
const PITCH = 11; // minimum distance of two labels in a lane, in pixels
const UPRIGHT_PITCH = 7; // the same above the columns if all labels are single characters, which stay upright
const WIDEST = 110; // maximum width of all lanes, in pixels
const GAP = 8; // pixels between a label and the map, and at the outer edge
const CHARACTER = 7; // mean width in pixels
const LONGEST = 13; // characters of a label

/** Labels without the middle of the long ones. */
export const shorten = (labels) =>
  labels.map((label) => {
    const characters = Array.from(label);
    if (characters.length <= LONGEST) return label;
    return [...characters.slice(0, LONGEST - 6), "…", ...characters.slice(-5)].join("");
  });

/**
 * Returns the side `size` of a cell, the space `margin` for labels, the width `lane` of a lane, and for `rows` and for
 * `columns` the number of `lanes`. Label k is drawn if k is a multiple of `every`, in the lane k / every modulo `lanes`.
 * `pitch` is the distance of two labels in the same lane.
 *
 * @param side - the side of the square for the map and the labels, in pixels.
 * @param n - the number of rows.
 * @param longest - the number of characters of the longest label.
 */
export function axisOf(side, n, longest) {
  const lane = Math.min(WIDEST - GAP, 6 + CHARACTER * longest);
  for (let lanes = 1; ; lanes++) {
    const margin = GAP + lanes * lane;
    const size = Math.max(SMALLEST_CELL, Math.min(LARGEST_CELL, Math.floor((side - margin) / n)));
    const isLast = margin + lane > WIDEST;
    if (size * lanes < PITCH && !isLast) continue;
    const rows = spread(lanes, size, PITCH);
    const upright = Math.min(lanes, Math.ceil(UPRIGHT_PITCH / size));
    return { size, margin, lane, rows, columns: longest > 1 ? rows : spread(upright, size, UPRIGHT_PITCH) };
  }
}

function spread(lanes, size, minimum) {
  const every = Math.ceil(minimum / (size * lanes));
  return { lanes, every, pitch: size * lanes * every };
}
