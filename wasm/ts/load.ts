/** Loads the WebAssembly module in browsers. */

import load, { Machine } from '../pkg/web/moorline.js';
import { provide } from './native.js';

/** Loads the WebAssembly module, once for all entries; by default from beside this file. */
export default async function init(module?: URL | Response | BufferSource | WebAssembly.Module): Promise<void> {
  await (module === undefined ? load() : load({ module_or_path: module }));
  provide(Machine);
}
