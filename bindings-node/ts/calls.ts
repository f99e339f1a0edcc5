/** The calls that wait for their outcome. */

/** What a call is kept by. */
export interface Numbered {
  readonly id: number;
}

const SMALLEST = 64;

/**
 * Calls by number, in a ring as large as their number asks for: almost all calls end in about the
 * order in which they began, and need no more than a slot. One that outlives the ring moves to a Map.
 *
 * A Map alone costs more than its own work: its tables are replaced as calls come and go, and old ones
 * drag settled calls along into the old generation of the heap.
 */
export class Calls<Call extends Numbered> {
  #ring: (Call | undefined)[] = room(SMALLEST);
  readonly #long = new Map<number, Call>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds a call; its number is larger than those of all before. */
  add(call: Call): void {
    for (;;) {
      const ring = this.#ring;
      const slot = call.id & (ring.length - 1);
      const older = ring[slot];
      if (older !== undefined && this.#size * 2 > ring.length) {
        this.#grow();
        continue;
      }
      if (older !== undefined) this.#long.set(older.id, older);
      ring[slot] = call;
      this.#size += 1;
      return;
    }
  }

  get(id: number): Call | undefined {
    const call = this.#ring[id & (this.#ring.length - 1)];
    return call !== undefined && call.id === id ? call : this.#long.get(id);
  }

  /** Removes a call and returns it. */
  take(id: number): Call | undefined {
    const ring = this.#ring;
    const slot = id & (ring.length - 1);
    let call = ring[slot];
    if (call !== undefined && call.id === id) ring[slot] = undefined;
    else {
      call = this.#long.get(id);
      if (call === undefined) return undefined;
      this.#long.delete(id);
    }
    this.#size -= 1;
    if (this.#size === 0 && ring.length > LARGEST_KEPT) this.#ring = room(SMALLEST);
    return call;
  }

  /** The numbers of all calls, in the order in which they began. */
  ids(): number[] {
    const ids = [...this.#long.keys()];
    for (const call of this.#ring) if (call !== undefined) ids.push(call.id);
    return ids.sort((one, other) => one - other);
  }

  #grow(): void {
    const old = this.#ring;
    const ring: (Call | undefined)[] = room(old.length * 2);
    for (const call of old) if (call !== undefined) ring[call.id & (ring.length - 1)] = call;
    this.#ring = ring;
  }
}

/** A ring larger than this is given back when it is empty. */
const LARGEST_KEPT = 8192;

function room<Call>(length: number): (Call | undefined)[] {
  return new Array<Call | undefined>(length).fill(undefined);
}
