/** Providers and consumers of network-cluster: what the npm package of that name exports, on the native core. */

import { Compressors } from '../generated.js';

export type { Connection } from './connection.js';
export { Consumer } from './consumer.js';
export { MoorlineError } from '../errors.js';
export { Provider } from './provider.js';
export type * from './types.js';

/** The presets of compression. */
export const COMPRESSORS = Object.fromEntries(
  Object.entries(Compressors).map(([name, value]) => [name, Number(value)]),
) as Readonly<Record<keyof typeof Compressors, number>>;
