// The ring in which calls and commands wait until they are over.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';

const { Ring } = createRequire(import.meta.url)('../dist/ring.js');

/** Adds items beside a Map, and sees that both agree. */
class Twin {
  ring = new Ring();
  map = new Map();
  last;

  constructor(last = 0) {
    this.last = last;
  }

  add() {
    const item = { id: ++this.last };
    this.ring.add(item);
    this.map.set(item.id, item);
    return item.id;
  }

  take(id) {
    const known = this.map.get(id);
    assert.equal(this.ring.get(id), known);
    assert.equal(this.ring.take(id), known);
    this.map.delete(id);
    assert.equal(this.ring.take(id), undefined);
    assert.equal(this.ring.get(id), undefined);
    this.agree();
  }

  agree() {
    assert.equal(this.ring.size, this.map.size);
    assert.deepEqual(this.ring.ids(), [...this.map.keys()]);
  }
}

test('items are found by number, whatever the order in which they end', () => {
  const twin = new Twin();
  let seed = 1;
  const random = (below) => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  for (let step = 0; step < 3_000; step += 1) {
    if (twin.map.size < 100 + random(300)) for (let more = random(20); more >= 0; more -= 1) twin.add();
    const ids = [...twin.map.keys()];
    twin.take(ids[random(Math.min(ids.length, 150))]);
  }
  for (const id of [...twin.map.keys()]) twin.take(id);
});

test('one that outlives thousands of others is still found', () => {
  const twin = new Twin();
  const long = [twin.add(), twin.add(), twin.add()];
  for (let round = 0; round < 5_000; round += 1) twin.take(twin.add());
  for (const id of long) twin.take(id);
});

test('twenty thousand at once are found', () => {
  const twin = new Twin();
  for (let count = 0; count < 20_000; count += 1) twin.add();
  twin.agree();
  for (const id of twin.map.keys()) assert.equal(twin.ring.take(id)?.id, id);
  twin.map.clear();
  twin.take(twin.add());
});

test('numbers may be larger than 32 bits', () => {
  const twin = new Twin(2 ** 40 - 50);
  for (let count = 0; count < 100; count += 1) twin.add();
  for (const id of [...twin.map.keys()].reverse()) twin.take(id);
});

test('a number that was never given is not found', () => {
  const ring = new Ring();
  assert.equal(ring.get(0), undefined);
  assert.equal(ring.take(7), undefined);
  ring.add({ id: 1 });
  assert.equal(ring.take(65), undefined);
  assert.equal(ring.take(NaN), undefined);
  assert.equal(ring.size, 1);
});
