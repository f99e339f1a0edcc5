/** Byte strings as a page has them: stands where the Node package has its Buffers. */

export type ByteString = Uint8Array;

/** As many bytes become letters at once: every argument takes room on the stack. */
const LETTERS = 1 << 13;

export function isBytes(value: unknown): value is ArrayBufferView | ArrayBufferLike {
  return ArrayBuffer.isView(value) || isBuffer(value);
}

export function toBytes(value: unknown): ByteString {
  if (value instanceof Uint8Array) return value;
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  if (isBuffer(value)) return new Uint8Array(value);
  if (typeof value === 'string') return new TextEncoder().encode(value);
  if (Array.isArray(value)) return Uint8Array.from(value);
  throw new TypeError(`bytes or a text are wanted, not ${value === null ? 'null' : typeof value}`);
}

export function toBase64(bytes: ByteString): string {
  let letters = '';
  for (let at = 0; at < bytes.length; at += LETTERS) {
    letters += String.fromCharCode(...bytes.subarray(at, at + LETTERS));
  }
  return btoa(letters);
}

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let at = 0; at < letters.length; at += 1) bytes[at] = letters.charCodeAt(at);
  return bytes;
}

export function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** Our own base64 is padded. */
export function base64Length(text: string): number {
  return (text.length / 4) * 3 - (text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0);
}

/** Pages that are not isolated have no SharedArrayBuffer. */
function isBuffer(value: unknown): value is ArrayBufferLike {
  return value instanceof ArrayBuffer || (typeof SharedArrayBuffer === 'function' && value instanceof SharedArrayBuffer);
}
