/** The heartbeat loop alone. Clients beat by themselves, from the core; see `ClusterDaemonClient`. */

import { uncaught } from '../host.js';
import { DaemonClientError } from './errors.js';
import type { HeartbeatOptions } from './types.js';

type Timer = ReturnType<typeof setTimeout>;

/** The original's own interval. */
const INTERVAL_MS = 30_000;

/** Sends a payload again and again, each time some time after the one before was answered. */
export class HeartbeatManager {
  readonly #options: HeartbeatOptions;
  readonly #send: (payload: object) => Promise<unknown>;
  readonly #onError: (error: DaemonClientError) => void;
  #timer: Timer | undefined;

  constructor(
    options: HeartbeatOptions | undefined,
    send: (payload: object) => Promise<unknown>,
    onError: (error: DaemonClientError) => void,
  ) {
    this.#options = options ?? {};
    this.#send = send;
    this.#onError = onError;
  }

  /** Sends the first beat in a turn of its own; does nothing when it was started. */
  start(): void {
    if (this.#timer === undefined) this.#schedule(0);
  }

  /** Sends nothing more, and reports nothing of a beat under way. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #schedule(delay: number): void {
    const timer: Timer = setTimeout(() => void this.#beat(timer), delay);
    this.#timer = timer;
  }

  /** `timer` is the loop that this beat belongs to: after a stop another one may run. */
  async #beat(timer: Timer): Promise<void> {
    try {
      const payload = (await this.#options.payloadFactory?.()) ?? {};
      if (this.#timer !== timer) return;
      await this.#send(payload);
    } catch (thrown) {
      if (this.#timer !== timer) return;
      this.#report(thrown instanceof DaemonClientError ? thrown : DaemonClientError.heartbeatFailed(thrown));
    }
    if (this.#timer !== timer) return;
    const { interval = INTERVAL_MS, jitter = 0 } = this.#options;
    this.#schedule(interval + Math.random() * jitter);
  }

  #report(error: DaemonClientError): void {
    try {
      this.#onError(error);
    } catch (thrown) {
      uncaught(thrown);
    }
  }
}
