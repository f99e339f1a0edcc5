// Outcomes that are hard to carry: every one settles its item, and the process lives on.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { HANDLERS, rowsOf } from './hostile.mjs';
import { openDispatcher, startHub, startWorker } from './support.mjs';

const rows = rowsOf('node');

test('each row has a handler, and each handler a row', () => {
  assert.deepEqual(Object.keys(HANDLERS).sort(), rows.map(({ name }) => name).sort());
});

test('every hostile outcome settles its item, one at a time and all at once', async (t) => {
  const { url } = await startHub(t);
  const handlers = Object.fromEntries(rows.map(({ name }, row) => [`Hostile/${row}`, HANDLERS[name]]));
  const worker = await startWorker(t, url, { ...handlers, 'Hostile/None': () => 'well' }, { maxConcurrent: 4 });
  worker.logger = null;
  const dispatcher = openDispatcher(t, url);
  const ask = (row) => dispatcher.call(`Hostile/${row}`, {}, { timeoutMs: 20_000 }).then(
    ({ Outputs }) => ({ done: Outputs.Result ?? Outputs }),
    ({ code, message }) => ({ code, message }),
  );
  const outcomes = [];
  for (const row of rows.keys()) outcomes.push(await ask(row));
  const again = await Promise.all([...rows.keys()].map(ask));
  for (const [row, { name, done, failed = [], also }] of rows.entries()) {
    for (const outcome of [outcomes[row], again[row]]) {
      if (done !== undefined) {
        assert.deepEqual(outcome, { done }, name);
        continue;
      }
      assert.equal(outcome.code, 'REMOTE_ERROR', name);
      assert.equal(outcome.message, outcome.message.replace(/\p{Surrogate}/gu, '\ufffd'), name);
      for (const text of [...failed, ...(also?.node ?? [])]) assert.ok(outcome.message.includes(text), `${name}: ${outcome.message}`);
    }
  }
  // No slot is lost.
  assert.deepEqual(await ask('None'), { done: 'well' });
});
