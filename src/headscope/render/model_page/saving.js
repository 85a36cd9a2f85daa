// Saves a map as a picture file: PNG, or SVG with one rectangle per weight. Saved pictures always use the light theme.
import { shorten } from "./axis.js";
import { css, drawBytes, ramp } from "./colours.js";
import { element } from "./elements.js";

const MARGIN = 12;
const HEADING = 34;
const MAX_RECTANGLES = 40000; // a map with more weights is one image inside the SVG
const INK = "#23262b";
const BORDER = "#d9dbdf";

/** The layout of a picture in pixels: the cell size, the margin for labels (0 without labels), and the picture size. */
function layout({ n, labels }) {
  const cell = Math.max(2, Math.min(24, Math.floor(1200 / n)));
  const axis = cell >= 9 ? 20 + 7 * Math.max(...shorten(labels).map((label) => [...label].length)) : 0;
  const [left, top] = [MARGIN + axis, HEADING + MARGIN + axis];
  const width = Math.max(n * cell + axis + 2 * MARGIN, 420);
  return { cell, axis, left, top, width, height: n * cell + axis + HEADING + 2 * MARGIN };
}

/** Returns a canvas with one pixel per weight. */
function pixels({ bytes, n }) {
  const canvas = element("canvas");
  drawBytes(canvas, bytes, 0, n, ramp(false));
  return canvas;
}

/** Returns a promise of a Blob with the PNG file. */
export function png(map, title) {
  const { cell, axis, left, top, width, height } = layout(map);
  const canvas = element("canvas", { width, height });
  const side = map.n * cell;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, width, height);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(pixels(map), left, top, side, side);
  pen.fillStyle = INK;
  pen.font = "16px system-ui, sans-serif";
  pen.fillText(title, MARGIN, MARGIN + 16);
  pen.strokeStyle = BORDER;
  pen.strokeRect(left - 0.5, top - 0.5, side + 1, side + 1);
  if (axis) {
    pen.font = `${Math.min(13, cell)}px system-ui, sans-serif`;
    pen.textBaseline = "middle";
    shorten(map.labels).forEach((label, k) => {
      pen.textAlign = "right";
      pen.fillText(label, left - 5, top + (k + 0.5) * cell, axis - 8);
      pen.save();
      pen.translate(left + (k + 0.5) * cell, top - 5);
      pen.rotate(-Math.PI / 2);
      pen.textAlign = "left";
      pen.fillText(label, 0, 0, axis - 8);
      pen.restore();
    });
  }
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

const ESCAPED = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escape = (text) => text.replace(/[&<>"]/g, (c) => ESCAPED[c]).replace(/[\x00-\x08\x0b\x0c\x0e-\x1f]/g, "�");

/** Returns a Blob with the SVG file. */
export function svg(map, title) {
  const { cell, axis, left, top, width, height } = layout(map);
  const { bytes, n, labels } = map;
  const colours = ramp(false);
  const side = n * cell;
  const parts = [];
  if (n * n > MAX_RECTANGLES) {
    const href = pixels(map).toDataURL();
    const area = `x="${left}" y="${top}" width="${side}" height="${side}"`;
    parts.push(`<image ${area} style="image-rendering:pixelated" href="${href}"/>`);
  }
  for (let i = 0; i < n && n * n <= MAX_RECTANGLES; i++) {
    for (let j = 0; j <= i; j++) {
      const [x, y, fill] = [left + j * cell, top + i * cell, css(colours[bytes[i * n + j]])];
      parts.push(`<rect x="${x}" y="${y}" width="${cell}" height="${cell}" fill="${fill}"/>`);
    }
  }
  shorten(labels).forEach((label, k) => {
    if (!axis) return;
    const middle = (k + 0.5) * cell;
    const style = `font-size="${Math.min(13, cell)}" dominant-baseline="middle"`;
    const above = `translate(${left + middle} ${top - 5}) rotate(-90)`;
    parts.push(`<text x="${left - 5}" y="${top + middle}" text-anchor="end" ${style}>${escape(label)}</text>`);
    parts.push(`<text transform="${above}" ${style}>${escape(label)}</text>`);
  });
  const content =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
    `font-family="system-ui, sans-serif" fill="${INK}"><rect width="100%" height="100%" fill="#fff"/>` +
    `<text x="${MARGIN}" y="${MARGIN + 16}" font-size="16">${escape(title)}</text>${parts.join("")}` +
    `<rect x="${left - 0.5}" y="${top - 0.5}" width="${side + 1}" height="${side + 1}" fill="none" stroke="${BORDER}"/></svg>`;
  return new Blob([content], { type: "image/svg+xml" });
}

/** Makes the browser download a Blob as a file. */
export function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
