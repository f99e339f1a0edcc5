/** Consumers: one connection to a provider, which comes back by itself. */

import { type ByteString, isBytes } from '../byte_strings.js';
import { ContentEndpoint, type Outcome } from '../content.js';
import { Deferred } from '../deferred.js';
import { Emitting } from '../emitting.js';
import { MoorlineError } from '../errors.js';
import { OPTION_DEFAULTS, ReservedText } from '../generated.js';
import { consumerOptions, kept } from './options.js';
import type { ConsumerEvents, ConsumerOptions } from './types.js';

/** What can be sent. */
type Message = string | ByteString | ArrayBuffer | ArrayBufferView;

/** The end of a connection of which nothing was told. */
const UNTOLD = { code: 1006, reason: '' };

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
  /** The one that is listened to. */
  #link: ContentEndpoint<never> | undefined;
  #waiting: Deferred<void> | undefined;
  #closed = UNTOLD;

  /** Connects nothing. Throws CONFIG_INVALID with every problem of the options. */
  constructor(options: ConsumerOptions = {}) {
    super();
    this.#options = consumerOptions(options);
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
    if (this.in_flight) return (this.#waiting ??= new Deferred()).promise;
    return Promise.reject(new MoorlineError('NOT_READY', 'Instance is not in flight. Please call Consumer.connect() first.'));
  }

  /**
   * Sends text, or bytes. Returns `false` if the message is known to be dropped: there is no connection, or the
   * provider has not read what is before, unless `on_backlog` is `block`. Throws ARGUMENT_INVALID for what is
   * neither, and for what the protocol keeps.
   */
  send(message: Message): boolean {
    if (!this.connected || this.#link === undefined) return false;
    const isFit = this.#link.send(body(this.#link, message));
    this.debug('SEND', message);
    return isFit;
  }

  /** Sends as `send` does, and resolves with what became of the message; rejects with NOT_READY without a connection. */
  async deliver(message: Message): Promise<Outcome> {
    if (!this.connected || this.#link === undefined) throw new MoorlineError('NOT_READY');
    const outcome = this.#link.deliver(body(this.#link, message));
    this.debug('SEND', message);
    return outcome;
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

  #opened(): ContentEndpoint<never> {
    /** Lets nothing be heard of a link that was replaced. */
    const heard = <Value>(hear: (value: Value) => void) => (value: Value) => void (this.#link === link && hear(value));
    const waits = this.#options['on_backlog'] === 'block';
    const link = new ContentEndpoint<never>('netcluster', 'consumer', this.#options, waits, {
      refuse: this.#options['allow_reserved'] ? () => {} : refused,
      received: heard((message) => {
        this.debug('MESSAGE', message);
        this.tell('message', message);
      }),
      closed: heard((event) => {
        // Whether it comes back is told next.
        this.#closed = event;
        this.#away(true);
      }),
      heartbeat: heard(({ sign, value }) => {
        if (sign === 'announced') this.debug('HEARTBEAT_DURATION', (this.heartbeat_duration = value));
        else this.last_heartbeat = Date.now();
        this.debug('HEARTBEAT_CHECK');
      }),
    });
    link.on('ready', heard(() => this.#open()));
    link.on('notice', heard((error) => this.fault(error)));
    link.on('lost', heard(({ reason }) => {
      this.fault(reason);
      this.#away(true);
      this.#disconnected();
      this.debug('RECONNECTING');
    }));
    link.on('ended', heard((error) => this.#ended(error)));
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

  #ended(error: MoorlineError | null): void {
    this.#link = undefined;
    this.#away(false);
    const isAwaited = this.#waiting !== undefined;
    this.#settle(error ?? new MoorlineError('STOPPED'));
    // The console need not repeat what `connect()` was rejected with.
    if (error !== null) this.fault(error, isAwaited ? () => {} : undefined);
    const { code, reason } = this.#disconnected();
    if (this.#link !== undefined) return;
    this.debug('CLOSED');
    this.tell('close', code, reason);
  }

  #away(comesBack: boolean): void {
    Object.assign(this, { connected: false, in_flight: comesBack });
  }

  #disconnected(): typeof UNTOLD {
    const closed = this.#closed;
    this.#closed = UNTOLD;
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

/** A provider delivers it as bytes. */
const refused = (text: string, isBinary: boolean): unknown => !isBinary && text === ReservedText.Pong && kept();

function body(link: ContentEndpoint<never>, message: unknown): string {
  const isBinary = isBytes(message);
  if (isBinary || typeof message === 'string') return `{${link.write(message, isBinary)}}`;
  throw new MoorlineError('ARGUMENT_INVALID', 'send(message) -> message must be a String');
}
