// Outcomes that are hard to carry, from the package as pages have it, and the names of its options.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { WebSocket } from 'ws';

import { HANDLERS, rowsOf } from '../../bindings-node/test/hostile.mjs';
import init, { Dispatcher, Worker } from '../pkg/node.js';
import { startHub } from './hub.mjs';

globalThis.WebSocket ??= WebSocket;

const patience = { timeout: 60_000 };
const rows = rowsOf('browser');
let hub;
before(async () => {
  await init();
  hub = await startHub();
});
after(() => hub.kill());

test('every hostile outcome settles its item', patience, async () => {
  const worker = new Worker({ serverUrl: hub.url, name: 'hostile', maxConcurrent: 4 });
  worker.logger = null;
  for (const [row, { name }] of rows.entries()) worker.handle(`Hostile/${row}`, HANDLERS[name]);
  await worker.connect();
  const dispatcher = new Dispatcher({ serverUrl: hub.url });
  for (const [row, { name, done, failed = [], also }] of rows.entries()) {
    const call = dispatcher.call(`Hostile/${row}`, {}, { timeoutMs: 20_000 });
    if (done !== undefined) {
      const { Outputs } = await call;
      assert.deepEqual(Outputs.Result ?? Outputs, done, name);
      continue;
    }
    await assert.rejects(call, ({ code, message }) => {
      assert.equal(code, 'REMOTE_ERROR', name);
      for (const text of [...failed, ...(also?.browser ?? [])]) assert.ok(message.includes(text), `${name}: ${message}`);
      return true;
    });
  }
  dispatcher.close();
  await worker.drain(5_000);
});

test('what can never be a handler is refused at the call', () => {
  assert.throws(() => new Worker().handle('Echo', () => {}), { code: 'ARGUMENT_INVALID', message: /Capability\/Action/ });
  assert.throws(() => new Worker().handle('A/B', 5), { code: 'ARGUMENT_INVALID' });
});
