// Byte arrays between a page and its test stand as `{"$bytes":"<base64>"}`, as in tests/peers/volt.

/** Replaces each marked object by its bytes. */
export function thaw(value) {
  if (Array.isArray(value)) return value.map(thaw);
  if (value === null || typeof value !== 'object') return value;
  if (typeof value.$bytes === 'string') return Uint8Array.from(atob(value.$bytes), (letter) => letter.charCodeAt(0));
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, thaw(part)]));
}

/** Replaces each byte array by its mark. */
export function freeze(value) {
  if (Array.isArray(value)) return value.map(freeze);
  if (value === null || typeof value !== 'object') return value;
  if (value instanceof Uint8Array) return { $bytes: btoa(String.fromCharCode(...value)) };
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, freeze(part)]));
}
