/** Converts options from camelCase to the names used inside, by the generated tables. */

import { MoorlineError, textOf } from './errors.js';
import type { OptionKeys } from './generated.js';

/**
 * Renames the options that `keys` knows; others pass, so that they are reported by name. Throws
 * ARGUMENT_INVALID for what is no object, CONFIG_INVALID for an option by its name inside.
 */
export function renamed(options: object, keys: OptionKeys): Record<string, unknown> {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new MoorlineError('ARGUMENT_INVALID', `options are an object, as in { name: 'value' }, not ${textOf(options)}`);
  }
  for (const [option, key] of Object.entries(keys)) {
    const inner = typeof key === 'string' ? key : key[0];
    if (inner !== option && Object.hasOwn(options, inner)) {
      throw new MoorlineError('CONFIG_INVALID', `${inner}: unknown option; did you mean ${option}?`);
    }
  }
  const entries = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries.map(([option, value]) => entry(option, value, keys)));
}

function entry(option: string, value: unknown, keys: OptionKeys): [string, unknown] {
  const key = Object.hasOwn(keys, option) ? keys[option] : undefined;
  if (key === undefined || typeof key === 'string') return [key ?? option, value];
  const [name, nested] = key;
  return [name, Array.isArray(value) ? value.map((row) => table(row, nested)) : table(value, nested)];
}

function table(value: unknown, keys: OptionKeys): unknown {
  return typeof value === 'object' && value !== null ? renamed(value, keys) : value;
}

/** Says what is wrong with a time for a drain: whole milliseconds, or `Infinity` for as long as it needs. */
export function noTime(ms: number | undefined): MoorlineError | undefined {
  if (ms === undefined || ms === Infinity || (Number.isSafeInteger(ms) && ms >= 0)) return undefined;
  return new MoorlineError('ARGUMENT_INVALID', `drain() takes whole milliseconds, or Infinity, not ${textOf(ms)}`);
}

type Snake<Text extends string> = Text extends `${infer First}${infer Rest}`
  ? `${First extends Lowercase<First> ? First : `_${Lowercase<First>}`}${Snake<Rest>}`
  : '';

type Plain = string | number | boolean | readonly unknown[];

/** Options by their names inside. */
export type SpelledInside<Options> = {
  readonly [Key in keyof Options as Snake<Key & string>]?:
    | (NonNullable<Options[Key]> extends Plain ? Options[Key] : SpelledInside<NonNullable<Options[Key]>>)
    | undefined;
};
