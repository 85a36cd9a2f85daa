// Maps numbers to colours. The colours of attention maps depend on the square root of the weight, so that small weights
// stay visible.

const LIGHT = ["ffffff", "c9dcef", "7caed7", "3070b2", "082860"];
const DARK = ["16181c", "1c385c", "2c68a8", "70ace8", "ecf4ff"];
const dark = matchMedia("(prefers-color-scheme: dark)");
const print = matchMedia("print");

/** Whether the page uses the dark theme. Printed pages always use the light theme. */
const isDark = () => dark.matches && !print.matches;

/** Calls `listener` when the page changes between the dark and the light theme. */
export function onSchemeChange(listener) {
  dark.addEventListener("change", listener);
  print.addEventListener("change", listener);
}

/** The colours [r, g, b] of the byte values 0 to 255. */
export function ramp(useDark = isDark()) {
  const stops = (useDark ? DARK : LIGHT).map((colour) => [0, 2, 4].map((i) => parseInt(colour.slice(i, i + 2), 16)));
  return Array.from({ length: 256 }, (_, byte) => {
    const along = (byte / 255) * (stops.length - 1);
    const low = Math.min(Math.floor(along), stops.length - 2);
    return stops[low].map((c, i) => Math.round(c + (stops[low + 1][i] - c) * (along - low)));
  });
}

export const css = ([r, g, b]) => `rgb(${r},${g},${b})`;

/**
 * Draws the map (n, n) that starts at index `from` of `bytes`, one pixel per weight. Masked weights are transparent.
 *
 * @param maxSide - maximum side in pixels. In a larger map, each pixel shows the largest of several weights.
 */
export function drawBytes(canvas, bytes, from, n, colours, maxSide = Infinity) {
  const pool = Math.ceil(n / maxSide) || 1;
  const side = Math.ceil(n / pool);
  const largest = new Uint8Array(side * side);
  const visible = new Uint8Array(side * side);
  for (let i = 0; i < n; i++) {
    const row = Math.floor(i / pool) * side;
    for (let j = 0; j <= i; j++) {
      const at = row + (pool === 1 ? j : Math.floor(j / pool));
      const byte = bytes[from + i * n + j];
      if (byte > largest[at]) largest[at] = byte;
      visible[at] = 1;
    }
  }
  canvas.width = canvas.height = side;
  const picture = new ImageData(side, side);
  const pixels = new Uint32Array(picture.data.buffer); // each number is alpha, blue, green, red
  const palette = Uint32Array.from(colours, ([r, g, b]) => (255 << 24) | (b << 16) | (g << 8) | r);
  for (let at = 0; at < pixels.length; at++) if (visible[at]) pixels[at] = palette[largest[at]];
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

/** Converts weights from 0 to `largest` to bytes, which are proportional to the square roots of the weights. */
export const toBytes = (weights, largest) =>
  Uint8Array.from(weights, (weight) => Math.round(Math.sqrt(Math.min(1, weight / (largest || 1))) * 255));
