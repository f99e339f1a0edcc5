/** Consumers: one connection to a provider, which comes back by itself. */

import { fromBase64, isBytes, type ByteString } from '../byte_strings.js';
import { MoorlineError } from '../errors.js';
import { OPTION_DEFAULTS } from '../generated.js';
import { content, Emitting, Link, type LinkEvent } from './link.js';
import { consumerOptions } from './options.js';
import type { ConsumerEvents, ConsumerOptions } from './types.js';

interface Waiting {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Keeps the process alive from `connect()` until it is destroyed or has given up. */
export class Consumer extends Emitting<ConsumerEvents> {
  /** Whether there is a connection. */
  connected = false;
  /** Whether there will be one: it connects, or waits to do so again. */
  in_flight = false;
  /** Milliseconds between heartbeats, as the provider announced them last. */
  heartbeat_duration: number = OPTION_DEFAULTS.provider.heartbeat.interval;
  /** When the last heartbeat came, or the connection opened, in milliseconds of the epoch. */
  last_heartbeat = Date.now();
  readonly #options: Record<string, unknown>;
  readonly #allowed: boolean | undefined;
  /** The one that is listened to. */
  #link: Link | undefined;
  #waiting: Waiting | undefined;
  #closed: { readonly code: number; readonly reason: string } | undefined;
  #backlog = 0;

  /** Connects nothing. Throws CONFIG_INVALID with every problem of the options. */
  constructor(options: ConsumerOptions = {}) {
    super();
    this.#options = consumerOptions(options);
    this.#allowed = options.allow_reserved;
    this.#link = this.#opened();
  }

  /** Milliseconds without a heartbeat after which the connection is closed. */
  get heartbeat_cutoff(): number {
    return this.heartbeat_duration * 2;
  }

  /** Connects unless that was done, and returns `ready()`. */
  connect(): Promise<void> {
    if (!this.connected && !this.in_flight) {
      this.#link ??= this.#opened();
      this.in_flight = true;
      this.debug('IN_FLIGHT');
      this.#link.start();
    }
    return this.ready();
  }

  /**
   * Resolves when there is a connection. Rejects with AUTHENTICATION_FAILED if the provider refuses it, or
   * with why the last attempt failed when all are used up.
   */
  ready(): Promise<void> {
    if (this.connected) return Promise.resolve();
    if (!this.in_flight) {
      return Promise.reject(new MoorlineError('NOT_READY', 'Instance is not in flight. Please call Consumer.connect() first.'));
    }
    if (this.#waiting === undefined) {
      let settle!: Omit<Waiting, 'promise'>;
      const promise = new Promise<void>((resolve, reject) => (settle = { resolve, reject }));
      this.#waiting = { promise, ...settle };
    }
    return this.#waiting.promise;
  }

  /**
   * Sends text, or bytes. Returns `false` if there is no connection, or if the provider has not read what is
   * before: the message is dropped or waits, as `on_backlog` says. Throws ARGUMENT_INVALID for what is
   * neither, and for what the protocol keeps.
   */
  send(message: string | ByteString | ArrayBuffer | ArrayBufferView): boolean {
    const link = this.#link;
    if (!this.connected || link === undefined) return false;
    const isBinary = isBytes(message);
    if (!isBinary && typeof message !== 'string') {
      throw new MoorlineError('ARGUMENT_INVALID', 'send(message) -> message must be a String');
    }
    link.command('send', 0, `{${content(message, isBinary, 'provider', this.#allowed)}}`);
    this.debug('SEND', message);
    return this.#backlog === 0;
  }

  /**
   * Closes the connection, or stops trying, and removes all listeners; what waits for a connection is
   * rejected. With `ms` it waits as long until what was sent has left, and rejects with DRAIN_TIMEOUT if it
   * has not.
   */
  async destroy(ms?: number): Promise<void> {
    const link = this.#link;
    this.#link = undefined;
    this.events.removeAllListeners();
    this.#away(false);
    // Whoever awaits it learns it; whoever does not must not be ended by it.
    this.#waiting?.promise.catch(() => {});
    this.#settle(new MoorlineError('STOPPED', 'Instance Destroyed'));
    this.debug('DESTROYED');
    await link?.leave(ms);
  }

  #opened(): Link {
    const link: Link = new Link('consumer', this.#options, (event) => this.#link === link && this.#hear(event));
    link.on('ready', () => this.#link === link && this.#open());
    link.on('notice', (error) => this.#link === link && this.fault(error));
    link.on('lost', ({ reason }) => {
      if (this.#link !== link) return;
      this.fault(reason);
      this.#away(true);
      this.#disconnected();
      this.debug('RECONNECTING');
    });
    link.on('ended', (error) => this.#link === link && this.#ended(error));
    return link;
  }

  #open(): void {
    this.connected = true;
    this.in_flight = false;
    this.last_heartbeat = Date.now();
    this.debug('CONNECTED');
    this.#settle();
    this.tell('open');
  }

  #hear(event: LinkEvent): void {
    switch (event.event) {
      case 'received': {
        const message = event.text ?? fromBase64(event.bytes ?? '');
        this.debug('MESSAGE', message);
        return this.tell('message', message);
      }
      case 'closed':
        // Whether it comes back is told next.
        this.#closed = event;
        return this.#away(true);
      case 'backlog':
        this.#backlog = event.bytes;
        return;
      case 'heartbeat':
        if (event.sign === 'announced') {
          this.heartbeat_duration = event.value;
          this.debug('HEARTBEAT_DURATION', event.value);
        } else this.last_heartbeat = Date.now();
        return;
      case 'admission_asked':
      case 'peer_joined':
        return;
      default:
        event satisfies never;
    }
  }

  #ended(error: MoorlineError | null): void {
    this.#link = undefined;
    this.#away(false);
    this.#settle(error ?? new MoorlineError('STOPPED'));
    if (error !== null) this.fault(error);
    const { code, reason } = this.#disconnected();
    if (this.#link !== undefined) return;
    this.debug('CLOSED');
    this.tell('close', code, reason);
  }

  #away(comesBack: boolean): void {
    this.connected = false;
    this.in_flight = comesBack;
    this.#backlog = 0;
  }

  #disconnected(): { readonly code: number; readonly reason: string } {
    const closed = this.#closed ?? { code: 1006, reason: '' };
    this.#closed = undefined;
    this.debug('DISCONNECTED');
    this.tell('disconnect', closed.code, closed.reason);
    return closed;
  }

  #settle(error?: MoorlineError): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) return;
    if (error === undefined) waiting.resolve();
    else waiting.reject(error);
    this.debug('FLUSHED_QUEUE');
  }
}
