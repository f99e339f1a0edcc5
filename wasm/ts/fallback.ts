/**
 * What the Node package loads where it has no add-on: the same surface over WebAssembly. It is bundled
 * apart, beside the package's own modules, whose errors it throws.
 */

import { Machine } from '../pkg/nodejs/moorline.js';
import type { Native as Surface } from '../../bindings-node/ts/native.js';
import { MoorlineError } from '../../bindings-node/ts/errors.js';
import { Native as Page, checkHandler, provide } from './native.js';

provide(Machine);

export { checkHandler };

export const Native = {
  /** Opens a role with options as JSON text. Connects nothing. Throws `UNSUPPORTED` for what listens. */
  open(dialect: string, role: string, options: string): Surface {
    try {
      return kept(Page.open(dialect, role, options));
    } catch (error) {
      if (!(error instanceof MoorlineError) || error.code !== 'ROLE_UNKNOWN') throw error;
      throw new MoorlineError('UNSUPPORTED', `without its add-on moorline has no ${role} of ${dialect}`);
    }
  },
};

/** Keeps the process alive while the endpoint is held, as the add-on does; a page has no such thing. */
function kept(endpoint: Surface): Surface {
  let awake: MessagePort | undefined;
  const hold = (wanted: boolean): void => {
    if (wanted === (awake !== undefined)) return;
    awake?.close();
    awake = wanted ? new MessageChannel().port1 : undefined;
    // Whoever listens keeps the process alive; nothing is ever said.
    if (awake !== undefined) awake.onmessage = () => {};
  };
  const close = endpoint.close.bind(endpoint);
  return Object.assign(endpoint, {
    hold,
    close(): void {
      hold(false);
      close();
    },
  });
}
