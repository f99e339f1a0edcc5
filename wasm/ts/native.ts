/** Stands where the Node package has its add-on: opens roles in this page. */

import type { Native as Surface } from '../../bindings-node/ts/native.js';
import type { Machine } from '../pkg/web/moorline.js';
import { MoorlineError } from '../../bindings-node/ts/errors.js';
import { Driver, thrown } from './driver.js';

export type Native = Surface;

let machines: typeof Machine | undefined;

/** Says where machines come from. The entry modules call it. */
export function provide(loaded: typeof Machine): void {
  machines = loaded;
}

/** Throws ARGUMENT_INVALID for what no handler can be offered under; `meta` is JSON text. */
export function checkHandler(dialect: string, role: string, key: string, meta: string): void {
  try {
    machines?.check_handler(dialect, role, key, meta);
  } catch (error) {
    throw thrown(error);
  }
}

export const Native = {
  /** Opens a role with options as JSON text. Connects nothing. */
  open(dialect: string, role: string, options: string): Native {
    if (machines === undefined) {
      throw new MoorlineError('NOT_STARTED', 'await init() before the first endpoint');
    }
    const seed = crypto.getRandomValues(new Uint8Array(32));
    try {
      return new Driver(machines.open(dialect, role, options, globalThis.location?.host ?? '', seed));
    } catch (error) {
      throw thrown(error);
    }
  },
};
