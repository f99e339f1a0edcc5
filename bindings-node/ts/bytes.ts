/**
 * Byte strings inside JSON values. In text each stands as a numbered placeholder, and the byte
 * strings themselves travel beside the text, in base64.
 */

import { fromBase64, isBytes, toBase64, toBytes } from './byte_strings.js';
import { MAX_ATTACHMENTS } from './generated.js';

/** A value whose byte strings are replaced by placeholders. */
export interface Packed {
  /** What `JSON.stringify` can take. */
  readonly value: unknown;
  /** The byte strings in base64; left out when there are none. */
  readonly blobs: readonly string[] | undefined;
}

/**
 * Replaces byte strings at any depth by placeholders, in the order in which they stand. Returns the
 * value itself when it has none. Throws a RangeError for more than MAX_ATTACHMENTS.
 */
export function packed(value: unknown): Packed {
  if (typeof value !== 'object' || value === null || !mayHoldBytes(value)) return { value, blobs: undefined };
  const blobs: string[] = [];
  const stripped = strip(value, '', blobs);
  return { value: stripped, blobs: blobs.length === 0 ? undefined : blobs };
}

/** Puts byte strings in the place of their placeholders, inside `value`; it may be of any depth. */
export function restored(value: unknown, blobs: readonly string[] | undefined): unknown {
  if (blobs === undefined) return value;
  const whole = { value };
  const rest: object[] = [whole];
  for (let next = rest.pop(); next !== undefined; next = rest.pop()) {
    const members = next as Record<string, unknown>;
    for (const key of Object.keys(members)) {
      const member = members[key];
      if (typeof member !== 'object' || member === null) continue;
      const blob = isPlaceholder(member) ? blobs[member.num] : undefined;
      if (blob === undefined) rest.push(member);
      else members[key] = fromBase64(blob);
    }
  }
  return whole.value;
}

/** What JSON cannot take, such as a circle, is left to JSON.stringify to complain about. */
function mayHoldBytes(value: object): boolean {
  try {
    return holdsBytes(value);
  } catch {
    return false;
  }
}

function holdsBytes(value: object): boolean {
  if (Array.isArray(value)) {
    for (const item of value) if (typeof item === 'object' && item !== null && holdsBytes(item)) return true;
    return false;
  }
  if (isBytes(value)) return true;
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === 'function') {
    const other: unknown = toJSON.call(value, '');
    return typeof other === 'object' && other !== null && other !== value && holdsBytes(other);
  }
  for (const key in value) {
    const member = (value as Record<string, unknown>)[key];
    if (typeof member === 'object' && member !== null && holdsBytes(member)) return true;
  }
  return false;
}

function strip(value: unknown, key: string, blobs: string[]): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (isBytes(value)) {
    if (blobs.length === MAX_ATTACHMENTS) throw new RangeError(`a message holds at most ${MAX_ATTACHMENTS} byte strings`);
    return { _placeholder: true, num: blobs.push(toBase64(toBytes(value))) - 1 };
  }
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === 'function') {
    const other: unknown = toJSON.call(value, key);
    return other === value ? value : strip(other, key, blobs);
  }
  if (Array.isArray(value)) return value.map((item, index) => strip(item, String(index), blobs));
  if (!mayHoldBytes(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, strip(member, name, blobs)]));
}

function isPlaceholder(value: object): value is { readonly num: number } {
  const { _placeholder: marked, num } = value as { _placeholder?: unknown; num?: unknown };
  return marked === true && typeof num === 'number';
}
