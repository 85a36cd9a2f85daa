// From the text in the page to arrays: base64, gzip, numbers.

/** Bytes of base64 text that holds gzip, unpacked by the browser itself. */
export async function unpack(text) {
  const packed = Uint8Array.from(atob(text.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

/** A description in which every `{tensor, shape, type}` is a Float32Array: `tensor` is where its bytes begin. */
export function filled(description, buffer) {
  if (Array.isArray(description)) return description.map((part) => filled(part, buffer));
  if (description === null || typeof description !== "object") return description;
  if ("tensor" in description) return tensor(description, buffer);
  return Object.fromEntries(Object.entries(description).map(([key, part]) => [key, filled(part, buffer)]));
}

function tensor({ tensor: from, shape, type }, buffer) {
  const size = shape.reduce((product, n) => product * n, 1);
  if (type === "float32") return new Float32Array(buffer.slice(from, from + 4 * size));
  return Float32Array.from(new Uint16Array(buffer.slice(from, from + 2 * size)), half);
}

/** A number of 16 bits (IEEE 754 binary16): sign, 5 bits of exponent, 10 of fraction. */
export function half(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const size = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
  return bits >> 15 ? -size : size;
}
