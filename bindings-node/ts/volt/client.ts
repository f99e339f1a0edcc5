/** The daemon client, with the names of `@voltstack/daemon-cluster-client`. */

import type { DaemonOptions } from '../generated.js';
import { Reverse } from './bridge.js';
import { Callbacks } from '../callbacks.js';
import { Channel } from './channel.js';
import type { TeamClusterDaemonMessage } from './contracts.js';
import { DaemonClientError } from './errors.js';
import { daemonOptions } from './options.js';
import type { Bytes, ClusterDaemonClientOptions, CommandHandler, ReverseChannelMessage } from './types.js';

/** A daemon of a team cluster: registers, beats, answers commands and sends its own. */
export class ClusterDaemonClient {
  readonly #options: ClusterDaemonClientOptions;
  readonly #reverse = new Reverse(() => this.#channel.active);
  readonly #connected = new Callbacks<void>('onConnected', (kind, thrown) => this.#reverse.threw(kind, thrown));
  readonly #disconnected = new Callbacks<string>('onDisconnected', (kind, thrown) => this.#reverse.threw(kind, thrown));
  readonly #channel: Channel;
  #password: string;
  #enrolled = false;
  #beatFailure: { readonly thrown: unknown } | undefined;

  /** Connects nothing. Options are checked by `connect()`. */
  constructor(options: ClusterDaemonClientOptions) {
    this.#options = options;
    this.#password = options.credentials.daemonPassword;
    this.#channel = new Channel(this.#reverse, {
      connected: () => this.#connected.call(undefined, this.#current()),
      disconnected: (reason) => this.#disconnected.call(reason, this.#current()),
      failed: (error) => this.#failed(error),
      enrolled: (password) => {
        this.#enrolled = true;
        this.#password = password;
      },
      beat: () => this.#beat(),
    });
  }

  /**
   * Enrolls if that is due, connects, registers and starts the heartbeat. Rejects with a
   * DaemonClientError when the first attempt fails; unless that was the enrollment or a refused
   * namespace, further attempts follow. A second call replaces the session.
   */
  connect(): Promise<void> {
    return this.#channel.connect(this.#sessionOptions());
  }

  /**
   * Says farewell and ends, at once: no callback follows, and what was pending is rejected. Safe to
   * repeat. The process may end as soon as the farewell has left it.
   */
  disconnect(): void {
    this.#channel.disconnect();
  }

  /**
   * Refuses new commands with status 503, lets running handlers and own commands finish for `ms`, then
   * ends as `disconnect()` does. Rejects with a MoorlineError `DRAIN_TIMEOUT` when handlers were still
   * running then, or with what else ended the session. Resolves at once when not connected.
   */
  drain(ms?: number): Promise<void> {
    return this.#channel.drain(ms);
  }

  /** Drains, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.drain();
  }

  /** Whether the daemon is registered. */
  isReady(): boolean {
    return this.#channel.ready;
  }

  /**
   * Sends a command and returns the data of its answer. `timeout` is in milliseconds; `Infinity`
   * waits as long as the connection lasts. While `limits.maxSendQueueBytes` wait to be sent it is
   * held, and its time begins when it is sent. Rejects with COMMAND_TIMEOUT, COMMAND_REJECTED (with
   * `status`), SOCKET_NOT_READY (also when the connection drops meanwhile: the outcome is unknown)
   * or EMIT_FAILED (too large, or no JSON).
   */
  sendCommand<Data = any>(command: string, payload?: unknown, timeout?: number): Promise<Data | undefined> {
    return this.#channel.command(command, payload, timeout ?? this.#options.commandTimeout);
  }

  /**
   * Sends a message without an answer. While the connection is down it waits, within
   * `socket.maxQueued`. Throws EMIT_FAILED outside of a session, for what cannot be sent, and while
   * `limits.maxSendQueueBytes` wait to be sent: then nothing of it is sent; see `flushed()`.
   */
  emit(message: object): void {
    this.#channel.emit(message);
  }

  /**
   * Sends a part of a stream that nobody has asked for, such as a log: the server knows it by the
   * name `stream` and reads each part by itself. It goes in the form that the server's generation
   * takes, waits until that is known, and is lost with its connection. Throws as `emit` does; servers
   * of the first generation take no such streams, which `onError` tells as EMIT_FAILED.
   */
  emitStream(stream: string, chunk: Bytes | string, request?: string): void {
    const bytes = typeof chunk === 'string' ? new TextEncoder().encode(chunk) : chunk;
    this.#channel.emit({ stream_id: stream, request_id: request, chunk: bytes }, '$stream');
  }

  /** Ends such a stream; `message` says why it failed. */
  endStream(stream: string, message?: string, request?: string): void {
    this.#channel.emit({ stream_id: stream, request_id: request, end: true, message }, '$stream');
  }

  /**
   * Resolves when everything emitted so far has left this process, which may be long after a lost
   * connection. Rejects with SOCKET_NOT_READY when the session ends before.
   */
  flushed(): Promise<void> {
    return this.#channel.flushed();
  }

  /** Runs `handler` for that command from now on. */
  registerHandler<Payload = any>(command: string, handler: CommandHandler<Payload>): this {
    this.#reverse.add(command, handler);
    return this;
  }

  /** Answers that command with status 404 from now on. */
  unregisterHandler(command: string): this {
    this.#reverse.remove(command);
    return this;
  }

  /** Calls `callback` with every message that is not a command, answers to own commands included. */
  onMessage(callback: (message: ReverseChannelMessage) => unknown): this;
  /** The same with the original's names of messages. */
  onMessage(callback: (message: Exclude<TeamClusterDaemonMessage, { type: 'command' }>) => unknown): this;
  onMessage(callback: (message: any) => unknown): this {
    this.#reverse.onMessage(callback);
    return this;
  }

  /** Calls `callback` at every registration, before `connect()` resolves. */
  onConnected(callback: () => unknown): this {
    this.#connected.add(callback);
    return this;
  }

  /** Calls `callback` when the connection is lost, with the reason, such as `transport close`. */
  onDisconnected(callback: (reason: string) => unknown): this {
    this.#disconnected.add(callback);
    return this;
  }

  /** Calls `callback` with what goes wrong apart from calls; what it throws is uncaught. */
  onError(callback: (error: DaemonClientError) => unknown): this {
    this.#reverse.onError(callback);
    return this;
  }

  /** Removes a callback of any kind. */
  off(callback: (value: any) => unknown): this {
    this.#connected.remove(callback);
    this.#disconnected.remove(callback);
    this.#reverse.off(callback);
    return this;
  }

  /** The configured id. */
  getTeamClusterId(): string {
    return this.#options.credentials.teamClusterId;
  }

  /** The configured password, or the one that the enrollment or `setDaemonPassword` gave. */
  getDaemonPassword(): string {
    return this.#password;
  }

  /** Registers with another password from the next registration on. */
  setDaemonPassword(password: string): this {
    this.#password = password;
    this.#channel.password(password);
    return this;
  }

  #sessionOptions(): DaemonOptions {
    const { enrollmentToken } = this.#options.credentials;
    return {
      ...daemonOptions(this.#options),
      daemonPassword: this.#password,
      enrollmentToken: this.#enrolled ? undefined : enrollmentToken,
    };
  }

  #failed(error: DaemonClientError): void {
    const failure = error.code === 'HEARTBEAT_FAILED' ? this.#beatFailure : undefined;
    this.#beatFailure = undefined;
    this.#reverse.fail(failure === undefined ? error : DaemonClientError.heartbeatFailed(failure.thrown));
  }

  async #beat(): Promise<unknown> {
    try {
      return await this.#options.heartbeat?.payloadFactory?.();
    } catch (thrown) {
      this.#beatFailure = { thrown };
      throw thrown;
    }
  }

  /** Whether the session that was current when it was asked still is. */
  #current(): () => boolean {
    const { generation } = this.#channel;
    return () => this.#channel.generation === generation;
  }
}
