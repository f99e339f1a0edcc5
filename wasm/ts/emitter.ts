/** The part of `node:events` that the facades use, for pages. */

type Listener = (...values: any[]) => void;

export class EventEmitter {
  readonly #listeners = new Map<string, { listener: Listener; isOnce: boolean }[]>();

  on(kind: string, listener: Listener): void {
    this.#add(kind, listener, false);
  }

  once(kind: string, listener: Listener): void {
    this.#add(kind, listener, true);
  }

  off(kind: string, listener: Listener): void {
    const rows = this.#listeners.get(kind) ?? [];
    const index = rows.findLastIndex((row) => row.listener === listener);
    if (index >= 0) this.#listeners.set(kind, rows.toSpliced(index, 1));
  }

  removeAllListeners(): void {
    this.#listeners.clear();
  }

  emit(kind: string, ...values: unknown[]): void {
    for (const { listener, isOnce } of this.#listeners.get(kind) ?? []) {
      if (isOnce) this.off(kind, listener);
      listener(...values);
    }
  }

  /** Replaces the list, so that a running `emit` keeps its own. */
  #add(kind: string, listener: Listener, isOnce: boolean): void {
    this.#listeners.set(kind, [...(this.#listeners.get(kind) ?? []), { listener, isOnce }]);
  }
}
