/** What waits to be over: calls of ours, commands of the other side. */

/** What a ring finds it by. */
export interface Numbered {
  readonly id: number;
}

const SMALLEST = 64;
/** A ring larger than this is given back when it is empty. */
const LARGEST_KEPT = 8192;

/**
 * Items by number, in a ring as large as there are many: almost all are over in about the order in
 * which they began, and need no more than a slot. One that outlives the ring moves to a Map.
 *
 * A Map alone costs more than its own work: its tables are replaced as items come and go, and old ones
 * drag what is over along into the old generation of the heap.
 */
export class Ring<Item extends Numbered> {
  #slots: (Item | undefined)[] = room(SMALLEST);
  readonly #long = new Map<number, Item>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds an item; its number is larger than those of all before. */
  add(item: Item): void {
    let slot = item.id & (this.#slots.length - 1);
    let older = this.#slots[slot];
    while (older !== undefined && this.#size * 2 > this.#slots.length) {
      this.#grow();
      slot = item.id & (this.#slots.length - 1);
      older = this.#slots[slot];
    }
    if (older !== undefined) this.#long.set(older.id, older);
    this.#slots[slot] = item;
    this.#size += 1;
  }

  get(id: number): Item | undefined {
    const item = this.#slots[id & (this.#slots.length - 1)];
    return item?.id === id ? item : this.#long.get(id);
  }

  /** Removes an item and returns it. */
  take(id: number): Item | undefined {
    const slot = id & (this.#slots.length - 1);
    let item = this.#slots[slot];
    if (item?.id === id) this.#slots[slot] = undefined;
    else {
      item = this.#long.get(id);
      if (item === undefined) return undefined;
      this.#long.delete(id);
    }
    this.#size -= 1;
    if (this.#size === 0 && this.#slots.length > LARGEST_KEPT) this.#slots = room(SMALLEST);
    return item;
  }

  /** The numbers of all items, in the order in which they were added. */
  ids(): number[] {
    const ids = [...this.#long.keys()];
    for (const item of this.#slots) if (item !== undefined) ids.push(item.id);
    return ids.sort((one, other) => one - other);
  }

  #grow(): void {
    const items = this.#slots;
    this.#slots = room(items.length * 2);
    for (const item of items) if (item !== undefined) this.#slots[item.id & (this.#slots.length - 1)] = item;
  }
}

function room<Item>(length: number): (Item | undefined)[] {
  return new Array<Item | undefined>(length).fill(undefined);
}
