// Unpacks the arrays in the page from base64 and gzip.

/** Decodes base64 text and decompresses the result with gzip. */
export async function unpack(text) {
  const packed = Uint8Array.from(atob(text.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

/** Replaces every `{tensor, shape, type}` in a description with a Float32Array. `tensor` is the offset in bytes. */
export function withArrays(description, buffer) {
  if (Array.isArray(description)) return description.map((part) => withArrays(part, buffer));
  if (description === null || typeof description !== "object") return description;
  if ("tensor" in description) return toArray(description, buffer);
  return Object.fromEntries(Object.entries(description).map(([key, part]) => [key, withArrays(part, buffer)]));
}

function toArray({ tensor: from, shape, type }, buffer) {
  const size = shape.reduce((product, n) => product * n, 1);
  if (type === "float32") return new Float32Array(buffer.slice(from, from + 4 * size));
  return Float32Array.from(new Uint16Array(buffer.slice(from, from + 2 * size)), numberFromHalf);
}

/** Converts 16 bits to a number (IEEE 754 binary16: 1 bit of sign, 5 bits of exponent, 10 bits of fraction). */
export function numberFromHalf(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const size = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
  return bits >> 15 ? -size : size;
}
