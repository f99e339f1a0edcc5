/** How much was handed over and is not known to have left: what is too much is refused, or held. */

import { MoorlineError } from '../errors.js';
import { ASK_UNSENT_BYTES, MAX_UNSENT_BYTES, UNSENT_OVERHEAD_BYTES } from '../generated.js';

/** Counts what a session was handed. */
export class Pace {
  readonly #most: number;
  readonly #ask: () => Promise<unknown>;
  readonly #held: { readonly bytes: number; readonly resume: () => void }[] = [];
  /** The bytes of all messages so far, and up to how many of these all has left. */
  #total = 0;
  #gone = 0;
  #asking = false;

  /** `ask` resolves when everything has left that was handed over before. */
  constructor(most: number | undefined, ask: () => Promise<unknown>) {
    this.#most = most ?? MAX_UNSENT_BYTES;
    this.#ask = ask;
  }

  /** Counts a message of so many bytes; throws where it would have to wait behind too much. */
  take(bytes: number): void {
    if (!this.#hasRoom()) {
      const message = `${this.#unsent} bytes wait to be sent, and limits.maxSendQueueBytes is ${this.#most}: wait for flushed()`;
      throw new MoorlineError('OVERLOADED', message);
    }
    this.#add(bytes);
  }

  /** Counts it as well; resolves when there is room for it, `undefined` where there is now. */
  hold(bytes: number): Promise<void> | undefined {
    if (this.#held.length > 0 || !this.#hasRoom()) {
      return new Promise((resume) => this.#held.push({ bytes, resume }));
    }
    this.#add(bytes);
    return undefined;
  }

  /** Resolves when everything has left that was counted before. */
  async flushed(): Promise<void> {
    const total = this.#total;
    await this.#ask();
    this.#left(total);
  }

  /** Lets go of what is held: the connection is lost, and with it the reason to wait. */
  release(): void {
    this.#gone = this.#total;
    for (const { bytes, resume } of this.#held.splice(0)) {
      this.#add(bytes);
      resume();
    }
  }

  get #unsent(): number {
    return this.#total - this.#gone;
  }

  /** One message may always wait, however large. */
  #hasRoom(): boolean {
    return this.#unsent < this.#most;
  }

  #add(bytes: number): void {
    this.#total += bytes + UNSENT_OVERHEAD_BYTES;
    this.#askIfDue();
  }

  #askIfDue(): void {
    if (this.#asking || this.#unsent < Math.min(ASK_UNSENT_BYTES, this.#most / 2)) return;
    this.#asking = true;
    const total = this.#total;
    const left = () => {
      this.#asking = false;
      this.#left(total);
      this.#askIfDue();
    };
    this.#ask().then(left, left);
  }

  #left(total: number): void {
    this.#gone = Math.max(this.#gone, total);
    for (let first = this.#held[0]; first !== undefined && this.#hasRoom(); first = this.#held[0]) {
      this.#held.shift();
      this.#add(first.bytes);
      first.resume();
    }
  }
}
