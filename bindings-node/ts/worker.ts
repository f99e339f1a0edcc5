/** A worker: offers handlers to a control plane and runs its work items. */

import type { EndpointEvents } from './base.js';
import { OPTION_KEYS, type WorkerOptions } from './generated.js';
import { type Handler, Offers } from './handlers.js';
import { renamed } from './options.js';
import type { OtherEvent } from './work.js';

export type { Handler, WorkContext } from './handlers.js';

/** What the control plane is told about a handler. */
export interface HandlerMeta {
  /** One sentence. */
  readonly description?: string;
  /** The settings that the handler takes. */
  readonly settingsSchema?: readonly object[];
}

/** Offers capabilities to a control plane and runs its work items. */
export class Worker extends Offers<EndpointEvents> {
  /** Checks the options; connects nothing. */
  constructor(options: WorkerOptions = {}) {
    super('beacon', 'worker', renamed(options, OPTION_KEYS.worker));
  }

  /** Offers a handler under `Capability/Action`; throws ARGUMENT_INVALID for another key, STOPPED after the end. */
  handle<Payload = unknown, Result = unknown>(
    key: string,
    handler: Handler<Payload, Result>,
    { description, settingsSchema: settings_schema }: HandlerMeta = {},
  ): this {
    return this.register(key, handler, { description, settings_schema });
  }

  protected override hear(event: OtherEvent): void {
    switch (event.event) {
      case 'message':
      case 'peer_joined':
      case 'peer_left':
      case 'enrolled':
      case 'beat_asked':
        return;
      default:
        event satisfies never;
    }
  }
}
