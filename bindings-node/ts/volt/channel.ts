/** The control channel across sessions: who is current, and what became of `connect()`. */

import { MoorlineError, wrapped } from '../errors.js';
import type { DaemonOptions, ErrorCode } from '../generated.js';
import type { Reverse } from './bridge.js';
import { clientError, DaemonClientError, unsendable } from './errors.js';
import { DaemonSession, type Owner } from './session.js';

/** Whom a channel tells what happens; nothing after `disconnect()`. */
export interface Watcher {
  connected(): void;
  disconnected(reason: string): void;
  failed(error: DaemonClientError): void;
  enrolled?(password: string): void;
  /** Makes the payload of a heartbeat. */
  beat?(): Promise<unknown>;
}

/** What ends the first attempt, and with it `connect()`; later attempts follow by themselves. */
const FIRST: readonly ErrorCode[] = [
  'CONNECT_FAILED',
  'CONNECT_TIMEOUT',
  'TLS_FAILED',
  'PROXY_FAILED',
  'REGISTRATION_FAILED',
  'ENROLLMENT_FAILED',
];

/** What `connect()` alone tells, if it is under way. */
const TOLD_ONCE: readonly ErrorCode[] = ['REGISTRATION_FAILED', 'ENROLLMENT_FAILED'];

interface Connecting {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: DaemonClientError) => void;
}

/** Opens a native session at each `connect()`; only the latest is listened to. */
export class Channel {
  readonly #watcher: Watcher;
  #reverse: Reverse;
  #session: DaemonSession | undefined;
  #connecting: Connecting | undefined;
  #ready = false;
  #active = false;
  #generation = 0;

  constructor(reverse: Reverse, watcher: Watcher) {
    this.#reverse = reverse;
    this.#watcher = watcher;
  }

  /** Counts what `connect()` and `disconnect()` did: callbacks of an older number are not called. */
  get generation(): number {
    return this.#generation;
  }

  /** Whether `connect()` was called, and `disconnect()` not since. */
  get active(): boolean {
    return this.#active;
  }

  get ready(): boolean {
    return this.#ready;
  }

  /** Serves other handlers, from now on. */
  serve(reverse: Reverse): void {
    this.#session?.serve(reverse);
    this.#reverse = reverse;
  }

  connect(options: DaemonOptions): Promise<void> {
    this.#leave('connect() was called again');
    this.#active = true;
    let settle!: Omit<Connecting, 'promise'>;
    const promise = new Promise<void>((resolve, reject) => (settle = { resolve, reject }));
    this.#connecting = { promise, ...settle };
    try {
      const session: DaemonSession = new DaemonSession(options, this.#reverse, this.#owner(() => this.#session === session));
      this.#session = session;
      session.start();
    } catch (thrown) {
      this.#settle(clientError(wrapped(thrown, 'INTERNAL')));
    }
    return promise;
  }

  disconnect(): void {
    this.#leave('the client was disconnected; whether commands in flight were carried out is unknown');
  }

  async drain(ms: number | undefined): Promise<void> {
    const generation = this.#generation;
    const session = this.#session;
    try {
      await session?.drain(ms);
    } finally {
      // A refused drain ends nothing.
      if (this.#generation === generation && session?.isOver !== false) this.disconnect();
    }
  }

  command<T>(name: string, payload: unknown, timeout: number | undefined): Promise<T | undefined> {
    const session = this.#session;
    if (session === undefined || !this.#ready) return Promise.reject(DaemonClientError.socketNotReady());
    return session.command(name, payload, timeout) as Promise<T | undefined>;
  }

  emit(message: unknown, name?: '$stream'): void {
    if (this.#session === undefined) throw DaemonClientError.emitFailed();
    try {
      this.#session.send(message, name);
    } catch (thrown) {
      throw unsendable(thrown);
    }
  }

  async flushed(): Promise<void> {
    if (this.#session === undefined) throw DaemonClientError.socketNotReady();
    await this.#session.flushed();
  }

  password(password: string): void {
    this.#session?.password(password);
  }

  #owner(current: () => boolean): Owner {
    return {
      registered: () => {
        this.#ready = true;
        this.#watcher.connected();
        if (current()) this.#settle();
      },
      lost: (reason) => {
        this.#ready = false;
        this.#watcher.disconnected(reason);
      },
      noticed: (error) => this.#noticed(error, current),
      ended: (error) => {
        this.#session = undefined;
        this.#ready = false;
        if (error !== null) this.#ended(error);
      },
      enrolled: (password) => this.#watcher.enrolled?.(password),
      beat: async () => (await this.#watcher.beat?.()) ?? {},
    };
  }

  #noticed(error: MoorlineError, current: () => boolean): void {
    const failure = clientError(error);
    const first = this.#connecting !== undefined && FIRST.includes(error.code);
    if (!first || !TOLD_ONCE.includes(error.code)) this.#watcher.failed(failure);
    if (first && current()) this.#settle(failure);
  }

  #ended(error: MoorlineError): void {
    const gaveUp = error.code === 'CONNECTION_LOST';
    const failure = gaveUp ? DaemonClientError.socketConnectionFailed(error.message, error) : clientError(error);
    const connecting = this.#connecting !== undefined;
    const told = connecting && TOLD_ONCE.includes(error.code);
    if (!told) this.#watcher.failed(failure);
    if (this.#session === undefined) this.#settle(failure);
  }

  #settle(error?: DaemonClientError): void {
    const connecting = this.#connecting;
    this.#connecting = undefined;
    if (error === undefined) connecting?.resolve();
    else connecting?.reject(error);
  }

  #leave(reason: string): void {
    const session = this.#session;
    this.#session = undefined;
    this.#ready = false;
    this.#active = false;
    this.#generation += 1;
    // Whoever awaits it learns it; whoever does not must not be ended by it.
    this.#connecting?.promise.catch(() => {});
    this.#settle(DaemonClientError.socketConnectionFailed(`Control socket connection error: ${reason}`));
    session?.leave(reason);
  }
}
