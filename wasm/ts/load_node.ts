/** Loads the WebAssembly module in Node, where it is there at once. */

import { Machine } from '../pkg/nodejs/moorline.js';
import { provide } from './native.js';

provide(Machine);

/** Does nothing: it is here so that one program runs in browsers and in Node. */
export default async function init(): Promise<void> {}
