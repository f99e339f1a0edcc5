// The nodejs output under Node: the package's machine, driver and facades against a real hub.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';

import { WebSocket } from 'ws';

import init, { Dispatcher, Hub, MoorlineError, Worker } from '../pkg/node.js';
import { startHub } from './hub.mjs';

globalThis.WebSocket ??= WebSocket;

const patience = { timeout: 60_000 };
const soon = { baseDelayMs: 20, maxDelayMs: 50 };
let hub;
before(async () => {
  await init();
  hub = await startHub();
});
after(() => hub.kill());

/** Resolves with the next event of that kind. */
const next = (endpoint, kind) => new Promise((resolve) => endpoint.once(kind, resolve));

test('work goes to a handler and its result comes back untouched', patience, async () => {
  const worker = new Worker({ serverUrl: hub.url, name: 'echo', maxConcurrent: 8 });
  worker.handle('Echo/Say', async ({ Text }, context) => {
    context.log(`attempt ${context.meta.AttemptNumber}`);
    return { Text, Big: 1e21 };
  });
  const ready = await worker.connect();
  assert.equal(ready.transport, 'websocket');
  const dispatcher = new Dispatcher({ serverUrl: hub.url });
  const texts = Array.from({ length: 50 }, (_, index) => `hello ${index} \u{1f30d}`);
  const replies = await Promise.all(texts.map((Text) => dispatcher.call('Echo/Say', { Text })));
  assert.deepEqual(replies.map(({ Outputs }) => Outputs.Text), texts);
  assert.equal(replies[0].Outputs.Big, 1e21);
  assert.deepEqual(replies[0].Log, ['attempt 1']);
  assert.equal((await worker.snapshot()).state, 'ready');
  dispatcher.close();
  await worker.drain(5_000);
});

test('a handler that throws is a remote error with its message', patience, async () => {
  const worker = new Worker({ serverUrl: hub.url, name: 'thrower' });
  worker.handle('Throw/Now', () => {
    throw new RangeError('out of range');
  });
  await worker.connect();
  const dispatcher = new Dispatcher({ serverUrl: hub.url });
  await assert.rejects(dispatcher.call('Throw/Now'), (error) => {
    assert.ok(error instanceof MoorlineError);
    assert.equal(error.code, 'REMOTE_ERROR');
    return error.message.includes('out of range');
  });
  dispatcher.close();
  worker.close();
});

test('a cancelled call aborts its handler', patience, async () => {
  const worker = new Worker({ serverUrl: hub.url, name: 'waiter' });
  const caller = new AbortController();
  const aborted = new Promise((resolve) => {
    worker.handle('Wait/Long', async (_, { signal }) => {
      caller.abort(new Error('enough'));
      if (!signal.aborted) await once(signal, 'abort');
      resolve(signal.reason.code);
    });
  });
  await worker.connect();
  const dispatcher = new Dispatcher({ serverUrl: hub.url });
  await assert.rejects(dispatcher.call('Wait/Long', {}, { signal: caller.signal }), /enough/);
  assert.equal(await aborted, 'CALL_CANCELLED');
  dispatcher.close();
  worker.close();
});

test('progress arrives while the handler runs', patience, async () => {
  const worker = new Worker({ serverUrl: hub.url, name: 'stepper' });
  let goOn;
  const seen = new Promise((resolve) => (goOn = resolve));
  worker.handle('Step/By', async (_, context) => {
    context.progress({ Percent: 50 });
    await seen;
    return 'whole';
  });
  await worker.connect();
  const dispatcher = new Dispatcher({ serverUrl: hub.url });
  const { Outputs } = await dispatcher.call('Step/By', {}, { onPart: ({ Percent }) => Percent === 50 && goOn() });
  assert.equal(Outputs.Result, 'whole');
  dispatcher.close();
  worker.close();
});

test('polling alone does the work too', patience, async () => {
  const worker = new Worker({ serverUrl: hub.url, name: 'poller', transport: 'polling', pollIntervalMs: 20 });
  worker.handle('Poll/Say', ({ Text }) => ({ Text }));
  assert.equal((await worker.connect()).transport, 'polling');
  const dispatcher = new Dispatcher({ serverUrl: hub.url });
  assert.equal((await dispatcher.call('Poll/Say', { Text: 'slow' })).Outputs.Text, 'slow');
  dispatcher.close();
  worker.close();
});

test('a killed hub is noticed, and its successor served', patience, async () => {
  const first = await startHub();
  const worker = new Worker({ serverUrl: first.url, name: 'survivor', reconnect: soon });
  worker.handle('Echo/Again', ({ Text }) => ({ Text }));
  await worker.connect();
  const lost = next(worker, 'lost');
  await first.kill();
  assert.ok((await lost).reason instanceof MoorlineError);
  const back = next(worker, 'ready');
  const second = await startHub(first.address);
  await back;
  const dispatcher = new Dispatcher({ serverUrl: second.url });
  assert.equal((await dispatcher.call('Echo/Again', { Text: 'still here' })).Outputs.Text, 'still here');
  dispatcher.close();
  worker.close();
  await second.kill();
});

test('a call that nobody can answer ends at its deadline', patience, async () => {
  const dispatcher = new Dispatcher({ serverUrl: 'http://127.0.0.1:9', reconnect: soon });
  await assert.rejects(dispatcher.call('Any/Thing', {}, { timeoutMs: 150 }), { code: 'CALL_TIMEOUT' });
  dispatcher.close();
});

test('what a page cannot do is refused when it is opened', () => {
  assert.throws(() => new Hub(), { code: 'UNSUPPORTED', message: /cannot listen/ });
  assert.throws(() => new Worker({ runtime: { storePath: 'outbox.db' } }), {
    code: 'CONFIG_INVALID',
    message: /runtime\.store_path: must be empty/,
  });
  assert.throws(() => new Worker({ maxConcurrent: 0 }), { code: 'CONFIG_INVALID', message: /max_concurrent/ });
});

test('a closed worker refuses, and closing again is harmless', async () => {
  const worker = new Worker({ serverUrl: hub.url });
  const connecting = worker.connect();
  worker.close();
  worker.close();
  await assert.rejects(connecting, { code: 'STOPPED' });
  await assert.rejects(worker.snapshot(), { code: 'STOPPED' });
});
