/** Stands where the Node package has its hub. */

import { MoorlineError } from '../../bindings-node/ts/errors.js';
import type { HubOptions } from '../../bindings-node/ts/generated.js';

/** Says that a page cannot listen: its constructor throws `UNSUPPORTED`. */
export class Hub {
  constructor(_options?: HubOptions) {
    throw new MoorlineError('UNSUPPORTED', 'a browser cannot listen: hubs run in Rust, Node, Python and C');
  }
}
