/** How much was handed over and is not known to have left: what is too much is refused, or held. */

import { MoorlineError } from '../errors.js';
import { ASK_UNSENT_BYTES, MAX_UNSENT_BYTES, UNSENT_OVERHEAD_BYTES } from '../generated.js';

/** Counts what a session was handed. */
export class Pace {
  readonly #most: number;
  readonly #ask: () => Promise<unknown>;
  readonly #held: { readonly bytes: number; readonly resume: () => void }[] = [];
  #unsent = 0;
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

  /** Lets go of what is held: the connection is lost, and with it the reason to wait. */
  release(): void {
    for (const { bytes, resume } of this.#held.splice(0)) {
      this.#unsent += bytes + UNSENT_OVERHEAD_BYTES;
      resume();
    }
  }

  /** One message may always wait, however large. */
  #hasRoom(): boolean {
    return this.#unsent < this.#most;
  }

  #add(bytes: number): void {
    this.#unsent += bytes + UNSENT_OVERHEAD_BYTES;
    if (this.#asking || (this.#unsent < ASK_UNSENT_BYTES && this.#unsent < this.#most / 2)) return;
    this.#asking = true;
    const asked = this.#unsent;
    const left = () => {
      this.#asking = false;
      this.#unsent -= asked;
      for (let first = this.#held[0]; first !== undefined && this.#hasRoom(); first = this.#held[0]) {
        this.#held.shift();
        this.#add(first.bytes);
        first.resume();
      }
    };
    this.#ask().then(left, left);
  }
}
