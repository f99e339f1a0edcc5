/** Callbacks of the application, called in the order in which they were registered. */

import { isThenable } from './work.js';

/** A list of callbacks of one kind. */
export class Callbacks<Value> {
  readonly #thrown: (kind: string, thrown: unknown) => void;
  readonly #kind: string;
  #list: readonly ((value: Value) => unknown)[] = [];

  /** `thrown` gets what a callback throws or rejects with; the others are called all the same. */
  constructor(kind: string, thrown: (kind: string, thrown: unknown) => void) {
    this.#kind = kind;
    this.#thrown = thrown;
  }

  get size(): number {
    return this.#list.length;
  }

  add(callback: (value: Value) => unknown): void {
    this.#list = [...this.#list, callback];
  }

  /** Removes every registration of that callback. */
  remove(callback: unknown): void {
    this.#list = this.#list.filter((known) => known !== callback);
  }

  call(value: Value, wanted: () => boolean = () => true): void {
    for (const callback of this.#list) {
      if (!wanted()) return;
      try {
        const result = callback(value);
        if (isThenable(result)) result.then(undefined, (thrown: unknown) => this.#thrown(this.#kind, thrown));
      } catch (thrown) {
        this.#thrown(this.#kind, thrown);
      }
    }
  }
}
