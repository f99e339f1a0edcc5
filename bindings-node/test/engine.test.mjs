// The engine above a scripted add-on: what crosses, how often, and what becomes of promises.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';

import { scripted } from './scripted.mjs';

const require = createRequire(import.meta.url);
const { Dispatcher, Hub, MoorlineError, Worker } = require('../dist/index.js');

test('the calls of one turn cross as one text and settle from one drain', async (t) => {
  const native = scripted(t);
  const dispatcher = new Dispatcher();
  const replies = [1, 2, 3].map((n) => dispatcher.call('Echo/Say', { n }));
  assert.equal(native.batches.length, 0, 'nothing crosses before the turn is over');
  await turn();
  assert.deepEqual(
    native.batches.map((batch) => batch.map(([name]) => name)),
    [['start', 'call', 'call', 'call']],
  );
  native.tell([1, 2, 3].map((call) => ({ event: 'call_done', call, value: call * 10 })));
  assert.deepEqual(await Promise.all(replies), [10, 20, 30]);
  assert.equal(native.drains, 1);
});

test('the event loop has its turn between two drains', async (t) => {
  const native = scripted(t);
  const dispatcher = new Dispatcher();
  const order = [];
  const replies = [1, 2].map((n) => dispatcher.call('Echo/Say').then(() => order.push(`call ${n}`)));
  await turn();
  native.queue.push([{ event: 'call_done', call: 1, value: {} }], [{ event: 'call_done', call: 2, value: {} }]);
  setImmediate(() => order.push('the application'));
  native.ring();
  await Promise.all(replies);
  assert.deepEqual(order, ['call 1', 'the application', 'call 2']);
});

test('a malformed command does not cost the others of its turn', async (t) => {
  const native = scripted(t, { refuses: (batch) => batch.some(([name, , body]) => name === 'call' && !body.name) });
  const dispatcher = new Dispatcher();
  const bad = dispatcher.call('', {});
  const good = dispatcher.call('Echo/Say', {});
  await assert.rejects(bad, { code: 'ARGUMENT_INVALID', number: 101, retryable: false, fault: 'caller' });
  native.tell([{ event: 'call_done', call: 2, value: 'said' }]);
  assert.equal(await good, 'said');
});

test('a payload that is no JSON is refused before it crosses', async (t) => {
  const native = scripted(t);
  const dispatcher = new Dispatcher();
  const circle = {};
  circle.circle = circle;
  await assert.rejects(dispatcher.call('Echo/Say', circle), { code: 'ARGUMENT_INVALID' });
  await assert.rejects(dispatcher.call('Echo/Say', { big: 1n }), { code: 'ARGUMENT_INVALID' });
  assert.equal(native.batches.length, 0);
});

test('a refused turn rejects its calls with the code of the refusal', async (t) => {
  scripted(t, { refuses: (batch) => batch.some(([name]) => name === 'call'), code: 'OVERLOADED' });
  const reply = new Dispatcher().call('Echo/Say');
  await assert.rejects(reply, (error) => error instanceof MoorlineError && error.code === 'OVERLOADED' && error.retryable);
});

test('an outcome for which there is no room goes with a later turn', async (t) => {
  let full = true;
  const native = scripted(t, { refuses: ([[name]]) => full && name === 'done', code: 'OVERLOADED' });
  const worker = new Worker();
  worker.handle('T/Quick', () => 1);
  worker.connect();
  await turn();
  native.batches.length = 0;
  native.tell([{ event: 'work', work: 3, key: 'T/Quick', payload: {}, timeout_ms: null, meta: {} }]);
  await turn();
  assert.deepEqual(native.batches, []);
  full = false;
  await turn();
  await turn();
  assert.deepEqual(native.batches, [[['done', 3, { value: 1 }]]]);
});

test('close settles every call and every handler', async (t) => {
  const native = scripted(t);
  const worker = new Worker();
  let signal;
  worker.handle('Echo/Wait', (_, context) => new Promise(() => (signal = context.signal)));
  const connected = worker.connect();
  const snapshot = worker.snapshot();
  await turn();
  native.tell([{ event: 'work', work: 1, key: 'Echo/Wait', payload: {}, timeout_ms: null, meta: {} }]);
  worker.close();
  worker.close();
  await assert.rejects(connected, { code: 'STOPPED' });
  await assert.rejects(snapshot, { code: 'STOPPED' });
  await assert.rejects(worker.snapshot(), { code: 'STOPPED' });
  assert.equal(signal.reason.code, 'STOPPED');
  await worker.drain();
});

test('events that waited at close are still received', async (t) => {
  const native = scripted(t);
  const dispatcher = new Dispatcher();
  const reply = dispatcher.call('Echo/Say');
  await turn();
  native.queue.push([{ event: 'notice', error: { code: 'INTERNAL', message: '' } }], [{ event: 'call_done', call: 1, value: 7 }]);
  dispatcher.close();
  assert.equal(await reply, 7);
});

test('the process is held by a worker until its end, by a dispatcher during calls', async (t) => {
  const native = scripted(t);
  const dispatcher = new Dispatcher();
  const reply = dispatcher.call('Echo/Say');
  await turn();
  native.tell([{ event: 'call_done', call: 1, value: {} }]);
  await reply;
  assert.deepEqual(native.holds.splice(0), [true, false]);
  const hub = new Hub();
  assert.throws(() => hub.url, { code: 'NOT_STARTED' });
  const url = hub.start();
  await turn();
  const [, listener] = native.sessions;
  listener.tell([{ event: 'ready', id: '127.0.0.1:1', transport: 'listener', max_message: null }]);
  assert.equal(await url, 'http://127.0.0.1:1');
  assert.equal(hub.url, await url);
  assert.deepEqual(listener.holds, [true]);
  listener.tell([{ event: 'ended', error: null }]);
  await hub.drain();
});

test('options cross under the names of the core, at every depth', (t) => {
  const native = scripted(t);
  new Worker({
    serverUrl: 'http://localhost:1',
    heartbeatIntervalMs: 200,
    name: undefined,
    reconnect: { baseDelayMs: 5 },
    tags: { myTag: { innerTag: 1 } },
    misspelled: 1,
  });
  assert.deepEqual(native.opened, [
    'worker',
    {
      server_url: 'http://localhost:1',
      heartbeat_interval_ms: 200,
      reconnect: { base_delay_ms: 5 },
      tags: { myTag: { innerTag: 1 } },
      misspelled: 1,
    },
  ]);
  new Hub({ users: [{ name: 'ann', password: 'pw' }], leaseMs: 500 });
  assert.deepEqual(native.sessions[1].opened, ['hub', { users: [{ name: 'ann', password: 'pw' }], lease_ms: 500 }]);
});

test('outcomes of handlers: value, failure, thrown, not JSON', async (t) => {
  const native = scripted(t);
  const worker = new Worker();
  worker.handle('T/Plain', (payload, context) => (context.log('one'), { got: payload }));
  worker.handle('T/Async', async () => 5);
  worker.handle('T/Nothing', () => undefined);
  worker.handle('T/Throws', () => {
    throw new Error('no luck');
  });
  worker.handle('T/Rejects', async () => Promise.reject('a text'));
  worker.handle('T/Circle', () => {
    const circle = {};
    return (circle.circle = circle);
  });
  worker.connect();
  await turn();
  native.batches.length = 0;
  const keys = ['Plain', 'Async', 'Nothing', 'Throws', 'Rejects', 'Circle', 'Unknown'];
  native.tell(
    keys.map((key, index) => ({ event: 'work', work: index + 1, key: `T/${key}`, payload: index, timeout_ms: 5, meta: {} })),
  );
  await turn();
  assert.equal(native.batches.length, 1, 'all outcomes of the turn in one crossing');
  const outcomes = native.batches[0].sort(([, a], [, b]) => a - b);
  assert.deepEqual(outcomes.slice(0, 5), [
    ['done', 1, { value: { got: 0 }, log: ['one'] }],
    ['done', 2, { value: 5 }],
    ['done', 3, { value: null }],
    ['failed', 4, { message: 'no luck' }],
    ['failed', 5, { message: 'a text' }],
  ]);
  assert.match(outcomes[5][2].message, /circular/);
  assert.equal(outcomes[6][0], 'failed');
});

test('a withdrawn item tells its handler why, and its outcome is given up', async (t) => {
  const native = scripted(t);
  const worker = new Worker();
  let context;
  let finish;
  worker.handle('T/Slow', (_, given) => {
    context = given;
    return new Promise((resolve) => (finish = resolve));
  });
  worker.connect();
  await turn();
  native.tell([{ event: 'work', work: 9, key: 'T/Slow', payload: {}, timeout_ms: 1_000, meta: { Attempt: 1 } }]);
  assert.ok(context.deadline > new Date());
  assert.deepEqual(context.meta, { Attempt: 1 });
  const error = { code: 'WORK_EXPIRED', message: 'too slow' };
  native.tell([{ event: 'work_withdrawn', work: 9, why: 'expired', error }]);
  assert.ok(context.signal.aborted, 'a signal first looked at after the fact is aborted');
  assert.ok(context.signal.reason instanceof MoorlineError);
  assert.equal(context.signal.reason.code, 'WORK_EXPIRED');
  native.batches.length = 0;
  context.progress({ Percent: 50 });
  finish({});
  await turn();
  assert.deepEqual(native.batches, [[['cancelled', 9, null]]]);
});

test('what a listener throws stops neither the drain nor the other events', async (t) => {
  const native = scripted(t);
  const dispatcher = new Dispatcher();
  const thrown = new Promise((resolve) => process.setUncaughtExceptionCaptureCallback(resolve));
  t.after(() => process.setUncaughtExceptionCaptureCallback(null));
  dispatcher.on('notice', () => {
    throw new Error('a listener');
  });
  const reply = dispatcher.call('Echo/Say');
  await turn();
  native.tell([
    { event: 'notice', error: { code: 'INTERNAL', message: '' } },
    { event: 'call_done', call: 1, value: 1 },
  ]);
  assert.equal(await reply, 1);
  assert.equal((await thrown).message, 'a listener');
});
