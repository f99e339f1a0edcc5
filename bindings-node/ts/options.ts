/** Converts options from camelCase to the names used inside, by the generated tables. */

import type { OptionKeys } from './generated.js';

/** Renames the options that `keys` knows; others pass, so that they are reported by name. */
export function renamed(options: object, keys: OptionKeys): Record<string, unknown> {
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
