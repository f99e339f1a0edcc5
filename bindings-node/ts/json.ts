/** JSON as it crosses. One rule holds in every language: no text and no number changes without a word. */

import { messageOf, MoorlineError } from './errors.js';

/** An escape of `JSON.stringify`, which escapes surrogates that stand alone and no others. */
const ESCAPE = /\\(?:ud[89a-f][0-9a-f]{2}|.)/g;
const LONE = '\\ud'.length + '000'.length;

/**
 * Writes a value; surrogates that stand alone become U+FFFD. Throws ARGUMENT_INVALID for what JSON cannot
 * hold: NaN and infinities, which would become null, big integers, circles.
 */
export function written(value: object): string;
export function written(value: unknown): string | undefined;
export function written(value: unknown): string | undefined {
  try {
    const text = stringified(value);
    // Only what holds a null can hold a number that became one.
    if (text?.includes('null')) JSON.stringify(value, finite);
    return text;
  } catch (thrown) {
    throw new MoorlineError('ARGUMENT_INVALID', `not JSON: ${messageOf(thrown)}`, { cause: thrown });
  }
}

/** Writes a value as `JSON.stringify` does, NaN as null; surrogates that stand alone become U+FFFD. */
export function stringified(value: unknown): string | undefined {
  const text: string | undefined = JSON.stringify(value);
  return text?.includes('\\ud') ? text.replace(ESCAPE, (escape) => (escape.length === LONE ? '\ufffd' : escape)) : text;
}

function finite(_key: string, member: unknown): unknown {
  if (typeof member === 'number' && !Number.isFinite(member)) throw new RangeError(`${member} is no number of JSON`);
  return member;
}
