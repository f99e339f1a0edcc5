/** What providers and consumers share: the endpoint below, listeners, and what is said of faults. */

import { EventEmitter } from 'node:events';

import { apart, type ContentEvent, Endpoint, type EndpointEvents, type RoleEvent } from '../base.js';
import { isBytes, toBase64, toBytes } from '../byte_strings.js';
import { MoorlineError } from '../errors.js';
import { ReservedText } from '../generated.js';
import { stringified } from '../json.js';

export type LinkEvent = ContentEvent | Extract<RoleEvent, { event: 'peer_joined' }>;

/** One native endpoint; its owner hears what happens. */
export class Link extends Endpoint<EndpointEvents> {
  readonly #hear: (event: LinkEvent) => void;

  constructor(role: 'provider' | 'consumer', options: Record<string, unknown>, hear: (event: LinkEvent) => void) {
    super('netcluster', role, options, true, true);
    this.#hear = hear;
    this.logger = null;
  }

  start(): void {
    this.begin();
  }

  whenReady(): Promise<unknown> {
    return this.ready();
  }

  /** Ends, and waits up to `ms` until what was sent has left; rejects only where a time was given. */
  async leave(ms: number | undefined): Promise<void> {
    try {
      await this.drain(ms ?? 0);
    } catch (error) {
      // A time that is none ends nothing.
      this.close();
      if (ms !== undefined) throw error;
    }
  }

  /** Gives a command; `body` is JSON text. */
  command(name: string, id: number, body: string): void {
    if (!this.isOver) this.submit(name, id, body);
  }

  protected override hearContent(event: ContentEvent): void {
    this.#hear(event);
  }

  protected override receive(event: RoleEvent): void {
    if (event.event === 'peer_joined') this.#hear(event);
  }

  protected override release(): void {}
}

/** Listeners by the names of the original. */
export abstract class Emitting<Events extends { [Kind in keyof Events]: unknown[] }> {
  /** The emitter itself. */
  readonly events = new EventEmitter();
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

  protected debug(token: string, ...words: readonly unknown[]): void {
    const write = this.#onDebug;
    if (write !== undefined) apart(() => write([token, ...words].join('|')));
  }

  /** Tells the error handler, or does what is done without one. */
  protected fault(error: unknown, otherwise?: (error: unknown) => void): void {
    const handle = this.#onError ?? otherwise;
    if (handle !== undefined) apart(() => handle(error));
  }
}

function callable<Handler>(name: string, handler: Handler): Handler {
  if (typeof handler === 'function') return handler;
  throw new MoorlineError('ARGUMENT_INVALID', `${name}(handler) -> handler must be a Function`);
}

/**
 * Writes a message as a member of a command. Throws ARGUMENT_INVALID for what is neither text nor bytes, for
 * bytes that are no UTF-8 where text is wanted, and for what the protocol keeps, unless that is allowed.
 */
export function content(data: unknown, isBinary: boolean, to: 'consumer' | 'provider', allowed = false): string {
  const value = data === undefined ? '' : data;
  if (typeof value !== 'string' && !isBytes(value)) {
    throw new MoorlineError('ARGUMENT_INVALID', 'Text and data can only be passed by String, ArrayBuffer or TypedArray.');
  }
  if (isBinary) {
    const bytes = toBytes(value);
    const { Announcement } = ReservedText;
    if (to === 'consumer' && !allowed) refuseKept(lenient.decode(bytes.subarray(0, Announcement.length + 1)), to);
    return `"bytes":"${toBase64(bytes)}"`;
  }
  const text = typeof value === 'string' ? value : utf8(toBytes(value));
  if (!allowed) refuseKept(text, to);
  return `"text":${stringified(text)}`;
}

function refuseKept(text: string, to: 'consumer' | 'provider'): void {
  const { Announcement, Ping, Pong } = ReservedText;
  if (to === 'provider' ? text !== Pong : text !== Ping && !text.startsWith(Announcement)) return;
  throw new MoorlineError('ARGUMENT_INVALID', 'the protocol keeps this message for itself: it would not be delivered');
}

const lenient = new TextDecoder('utf-8', { ignoreBOM: true });
const strict = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true });

function utf8(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes);
  } catch (cause) {
    throw new MoorlineError('ARGUMENT_INVALID', 'these bytes are no UTF-8: pass true for is_binary', { cause });
  }
}
