/** The control socket alone: registration and reconnects, without enrollment and heartbeat. */

import { inside, Reverse, type ReverseChannelBridge } from './bridge.js';
import { Callbacks } from '../callbacks.js';
import { Channel } from './channel.js';
import type { DaemonClientError } from './errors.js';
import { socketOptions } from './options.js';
import type { SocketOptions } from './types.js';

/** What a control socket tells. */
export interface ControlSocketCallbacks {
  readonly onConnected?: (() => unknown) | undefined;
  readonly onDisconnected?: ((reason: string) => unknown) | undefined;
  readonly onError?: ((error: DaemonClientError) => unknown) | undefined;
}

/** Keeps a control socket registered. */
export class ControlSocketManager {
  readonly #url: string;
  readonly #options: SocketOptions;
  readonly #channel: Channel;

  /** Connects nothing. */
  constructor(url: string, options: SocketOptions = {}, callbacks: ControlSocketCallbacks = {}) {
    this.#url = url;
    this.#options = options;
    const { onConnected, onDisconnected, onError } = callbacks;
    const reverse: Reverse = new Reverse(() => this.#channel.active);
    const connected = new Callbacks<void>('onConnected', (kind, thrown) => reverse.threw(kind, thrown));
    const disconnected = new Callbacks<string>('onDisconnected', (kind, thrown) => reverse.threw(kind, thrown));
    if (onConnected !== undefined) connected.add(onConnected);
    if (onDisconnected !== undefined) disconnected.add(onDisconnected);
    if (onError !== undefined) reverse.onError(onError);
    this.#channel = new Channel(reverse, {
      connected: () => connected.call(),
      disconnected: (reason) => disconnected.call(reason),
      failed: reverse.fail,
    });
  }

  /** Connects and registers; rejects with a DaemonClientError when the first attempt fails. */
  connect(teamClusterId: string, daemonPassword: string): Promise<void> {
    const heartbeat = { enabled: false };
    return this.#channel.connect({ ...socketOptions(this.#url, this.#options), teamClusterId, daemonPassword, heartbeat });
  }

  /** Says farewell and ends, at once. Safe to repeat. */
  disconnect(): void {
    this.#channel.disconnect();
  }

  /** Whether the socket is registered. */
  isReady(): boolean {
    return this.#channel.ready;
  }

  /** Sends a command and returns the data of its answer; `timeout` is in milliseconds. */
  sendCommand<Data = any>(command: string, payload?: unknown, timeout?: number): Promise<Data | undefined> {
    return this.#channel.command(command, payload, timeout);
  }

  /** Sends a message without an answer; throws EMIT_FAILED outside of a session. */
  emit(message: object): void {
    this.#channel.emit(message);
  }

  /** Lets `bridge` serve what arrives. */
  setBridge(bridge: ReverseChannelBridge): this {
    this.#channel.serve(inside(bridge));
    return this;
  }
}
