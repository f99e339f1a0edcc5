// The ring in which calls wait for their outcome.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';

const { Calls } = createRequire(import.meta.url)('../dist/calls.js');

/** Adds calls beside a Map, and sees that both agree. */
class Twin {
  calls = new Calls();
  map = new Map();
  last;

  constructor(last = 0) {
    this.last = last;
  }

  add() {
    const call = { id: ++this.last };
    this.calls.add(call);
    this.map.set(call.id, call);
    return call.id;
  }

  take(id) {
    const known = this.map.get(id);
    assert.equal(this.calls.get(id), known);
    assert.equal(this.calls.take(id), known);
    this.map.delete(id);
    assert.equal(this.calls.take(id), undefined);
    assert.equal(this.calls.get(id), undefined);
    this.agree();
  }

  agree() {
    assert.equal(this.calls.size, this.map.size);
    assert.deepEqual(this.calls.ids(), [...this.map.keys()]);
  }
}

test('calls are found by number, whatever the order in which they end', () => {
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

test('a call that outlives thousands of others is still found', () => {
  const twin = new Twin();
  const long = [twin.add(), twin.add(), twin.add()];
  for (let round = 0; round < 5_000; round += 1) twin.take(twin.add());
  for (const id of long) twin.take(id);
});

test('twenty thousand calls at once are found', () => {
  const twin = new Twin();
  for (let count = 0; count < 20_000; count += 1) twin.add();
  twin.agree();
  for (const id of twin.map.keys()) assert.equal(twin.calls.take(id)?.id, id);
  twin.map.clear();
  twin.take(twin.add());
});

test('numbers may be larger than 32 bits', () => {
  const twin = new Twin(2 ** 40 - 50);
  for (let count = 0; count < 100; count += 1) twin.add();
  for (const id of [...twin.map.keys()].reverse()) twin.take(id);
});

test('a number that was never given is not found', () => {
  const calls = new Calls();
  assert.equal(calls.get(0), undefined);
  assert.equal(calls.take(7), undefined);
  calls.add({ id: 1 });
  assert.equal(calls.take(65), undefined);
  assert.equal(calls.take(NaN), undefined);
  assert.equal(calls.size, 1);
});
