// Byte arrays in JSON lines stand as `{"$bytes":"<base64>"}`.

/** Replaces each marked object by its bytes. */
export function thaw(value) {
  if (Array.isArray(value)) return value.map(thaw);
  if (value === null || typeof value !== 'object' || ArrayBuffer.isView(value)) return value;
  if (typeof value.$bytes === 'string') return Buffer.from(value.$bytes, 'base64');
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, thaw(part)]));
}

/** Replaces each byte array by its mark. */
export function freeze(value) {
  if (Array.isArray(value)) return value.map(freeze);
  if (value === null || typeof value !== 'object') return value;
  if (ArrayBuffer.isView(value)) {
    return { $bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') };
  }
  if (value instanceof ArrayBuffer) return { $bytes: Buffer.from(value).toString('base64') };
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, freeze(part)]));
}
