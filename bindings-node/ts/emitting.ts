/** Facades that tell by an emitter of their own, with as many values as an event has. */

import { EventEmitter } from 'node:events';

import { apart } from './base.js';
import { failureOf, MoorlineError } from './errors.js';

export abstract class Emitting<Events extends { [Kind in keyof Events]: unknown[] }> {
  /** The emitter itself. */
  readonly events: EventEmitter = new EventEmitter();
  #onError: ((error: unknown) => unknown) | undefined;
  #onDebug: ((message: string) => unknown) | undefined;

  /** Calls `handler` for every event of that kind. */
  on<Kind extends keyof Events & string>(event: Kind, handler: (...values: Events[Kind]) => void): void {
    this.events.on(event, handler as (...values: any[]) => void);
  }

  /** Calls `handler` for the next event of that kind. */
  once<Kind extends keyof Events & string>(event: Kind, handler: (...values: Events[Kind]) => void): void {
    this.events.once(event, handler as (...values: any[]) => void);
  }

  /** Calls `handler` with what goes wrong and is no outcome of a call. */
  set_error_handler(handler: (error: any) => unknown): void {
    this.#onError = callable('set_error_handler', handler);
  }

  /** Calls `handler` with a line for each step; texts of messages are in it, parameters are not. */
  set_debug_logger(handler: (message: string) => unknown): void {
    this.#onDebug = callable('set_debug_logger', handler);
  }

  /** Tells the listeners; what they throw is uncaught. */
  protected tell<Kind extends keyof Events & string>(event: Kind, ...values: Events[Kind]): void {
    apart(() => this.events.emit(event, ...values));
  }

  /** Tells the debug logger; `false` if there is none. */
  protected debug(token: string, ...words: readonly unknown[]): boolean {
    const write = this.#onDebug;
    if (write !== undefined) apart(() => write([token, ...words].join('|')));
    return write !== undefined;
  }

  /** Tells the error handler, or does what is done without one. */
  protected fault(error: unknown, otherwise: (error: unknown) => void = warn): void {
    const handle = this.#onError ?? otherwise;
    apart(() => handle(error));
  }
}

/** Says on the console what would be told to nobody else. */
export const warn = (error: unknown): void => console.warn(`moorline: ${failureOf(error)}`);

function callable<Handler>(name: string, handler: Handler): Handler {
  if (typeof handler === 'function') return handler;
  throw new MoorlineError('ARGUMENT_INVALID', `${name}(handler) -> handler must be a Function`);
}
