/** Byte strings as Node has them. The web package has a module of its own in this place. */

/** What a byte string of the other side arrives as. */
export type ByteString = Buffer;

/** Tells whether `value` is a container of bytes. */
export function isBytes(value: unknown): value is ArrayBufferView | ArrayBufferLike {
  return ArrayBuffer.isView(value) || value instanceof ArrayBuffer || value instanceof SharedArrayBuffer;
}

/** Looks at a container of bytes, or at the UTF-8 of a text; throws for anything else. */
export function toBytes(value: unknown): ByteString {
  if (Buffer.isBuffer(value)) return value;
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) return Buffer.from(value);
  if (typeof value === 'string') return Buffer.from(value);
  if (Array.isArray(value)) return Buffer.from(value);
  throw new TypeError(`bytes or a text are wanted, not ${value === null ? 'null' : typeof value}`);
}

export function toBase64(bytes: ByteString): string {
  return bytes.toString('base64');
}

export function fromBase64(text: string): ByteString {
  return Buffer.from(text, 'base64');
}

/** How many bytes a text has in UTF-8. */
export function utf8Length(text: string): number {
  return Buffer.byteLength(text);
}

/** How many bytes stand in a text of base64. */
export function base64Length(text: string): number {
  return Buffer.byteLength(text, 'base64');
}
