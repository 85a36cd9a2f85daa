// A map as a picture file: PNG, or SVG with a rectangle for each weight.
import { css, ramp } from "./colours.js";

const MARGIN = 12;
const HEADING = 34;
const MANY = 40000; // rectangles; a larger map goes into the SVG as a picture

/** Draws a map with its labels on a canvas of its own, always light: it goes on paper. */
function drawn({ bytes, n, labels }, title) {
  const cell = Math.max(2, Math.min(24, Math.floor(1200 / n)));
  const axis = cell >= 9 ? 20 + 7 * Math.min(12, Math.max(...labels.map((label) => [...label].length))) : 0;
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(n * cell + axis + 2 * MARGIN, 420);
  canvas.height = n * cell + axis + HEADING + 2 * MARGIN;
  return { canvas, cell, axis, left: MARGIN + axis, top: HEADING + MARGIN + axis, title, bytes, n, labels };
}

/** A Blob of a PNG. */
export function png(view, title) {
  const { canvas, cell, left, top, bytes, n, labels, axis } = drawn(view, title);
  const colours = ramp(false);
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      pen.fillStyle = css(colours[bytes[i * n + j]]);
      pen.fillRect(left + j * cell, top + i * cell, cell, cell);
    }
  }
  pen.fillStyle = "#23262b";
  pen.font = "16px system-ui, sans-serif";
  pen.fillText(title, MARGIN, MARGIN + 16);
  pen.strokeStyle = "#d9dbdf";
  pen.strokeRect(left - 0.5, top - 0.5, n * cell + 1, n * cell + 1);
  if (axis) {
    pen.font = `${Math.min(13, cell)}px system-ui, sans-serif`;
    pen.textBaseline = "middle";
    labels.forEach((label, k) => {
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
const escaped = (text) => text.replace(/[&<>"]/g, (c) => ESCAPED[c]).replace(/[\x00-\x08\x0b\x0c\x0e-\x1f]/g, "�");

/** A Blob of an SVG: vectors, as far as the map is not too large for them. */
export async function svg(view, title) {
  const { canvas, cell, left, top, bytes, n, labels, axis } = drawn(view, title);
  const colours = ramp(false);
  const parts = [];
  if (n * n <= MANY) {
    for (let i = 0; i < n; i++) {
      for (let j = 0; j <= i; j++) {
        const fill = css(colours[bytes[i * n + j]]).replaceAll(" ", ",");
        parts.push(
          `<rect x="${left + j * cell}" y="${top + i * cell}" width="${cell}" height="${cell}" fill="${fill}"/>`,
        );
      }
    }
  } else {
    const picture = document.createElement("canvas");
    picture.width = picture.height = n;
    const pen = picture.getContext("2d");
    for (let i = 0; i < n; i++) {
      for (let j = 0; j <= i; j++) {
        pen.fillStyle = css(colours[bytes[i * n + j]]);
        pen.fillRect(j, i, 1, 1);
      }
    }
    const side = n * cell;
    parts.push(
      `<image x="${left}" y="${top}" width="${side}" height="${side}" style="image-rendering:pixelated" href="${picture.toDataURL()}"/>`,
    );
  }
  if (axis) {
    labels.forEach((label, k) => {
      const middle = (k + 0.5) * cell;
      const size = Math.min(13, cell);
      const said = escaped(label);
      parts.push(
        `<text x="${left - 5}" y="${top + middle}" font-size="${size}" text-anchor="end" dominant-baseline="middle">${said}</text>`,
      );
      const place = `translate(${left + middle} ${top - 5}) rotate(-90)`;
      parts.push(`<text transform="${place}" font-size="${size}" dominant-baseline="middle">${said}</text>`);
    });
  }
  const { width, height } = canvas;
  const content =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
    `font-family="system-ui, sans-serif" fill="#23262b"><rect width="100%" height="100%" fill="#fff"/>` +
    `<text x="${MARGIN}" y="${MARGIN + 16}" font-size="16">${escaped(title)}</text>${parts.join("")}` +
    `<rect x="${left - 0.5}" y="${top - 0.5}" width="${n * cell + 1}" height="${n * cell + 1}" fill="none" stroke="#d9dbdf"/></svg>`;
  return new Blob([content], { type: "image/svg+xml" });
}

/** Hands a Blob to the person as a file. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
