// Commands that have no promise of their own: whoever waits for what they were to bring about learns it.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';

import { scripted } from './scripted.mjs';
import { startHub, startProcess, startWorker } from './support.mjs';

const require = createRequire(import.meta.url);
const { Dispatcher, Worker } = require('../dist/index.js');

const quiet = (endpoint) => Object.assign(endpoint, { logger: null });
const named = (name) => (batch) => batch.some(([command]) => command === name);

test('what is no time for a drain rejects and ends nothing', async (t) => {
  const { url } = await startHub(t);
  const worker = await startWorker(t, url, { 'Echo/Say': () => 'said' });
  for (const ms of [1.5, -1, NaN, -Infinity, '5', null, 10n, {}, Symbol('s'), Object.create(null)]) {
    await assert.rejects(worker.drain(ms), { code: 'ARGUMENT_INVALID' });
  }
  assert.ok(await worker.snapshot());
  await worker.drain(Infinity);
});

test('a stop that is refused rejects the drain, and a later one may succeed', async (t) => {
  let refusing = true;
  const native = scripted(t, { refuses: (batch) => refusing && named('stop')(batch) });
  const worker = quiet(new Worker());
  const connecting = worker.connect();
  await assert.rejects(worker.drain(), { code: 'ARGUMENT_INVALID' });
  refusing = false;
  const drained = worker.drain();
  await turn();
  native.tell([{ event: 'ended', error: null }]);
  await drained;
  await assert.rejects(connecting, { code: 'STOPPED' });
});

test('a start that is refused rejects connect', async (t) => {
  scripted(t, { refuses: named('start') });
  await assert.rejects(quiet(new Worker()).connect(), { code: 'ARGUMENT_INVALID' });
});

test('a failure that is refused is followed by one that cannot be', async (t) => {
  const native = scripted(t, { refuses: (batch) => batch.some(([, , body]) => body?.message?.includes('unspeakable')) });
  const worker = quiet(new Worker());
  worker.handle('Echo/Say', () => {
    throw new Error('unspeakable');
  });
  worker.connect();
  await turn();
  native.taken();
  native.tell([{ event: 'work', work: 7, key: 'Echo/Say', payload: {}, timeout_ms: 5, meta: {} }]);
  await turn();
  await turn();
  assert.deepEqual(native.taken(), [['failed', 7, { message: 'the handler failed, and what it said cannot be carried' }]]);
});

test('connect rejects once the worker was told to end', async (t) => {
  const native = scripted(t);
  const worker = quiet(new Worker());
  const first = worker.connect();
  await turn();
  native.tell([{ event: 'ready', id: 'w', transport: 'websocket', max_message: null }]);
  await first;
  const drained = worker.drain();
  await assert.rejects(worker.connect(), { code: 'STOPPED' });
  await turn();
  native.tell([{ event: 'ended', error: null }]);
  await drained;
  await assert.rejects(worker.connect(), { code: 'STOPPED' });
  await worker[Symbol.asyncDispose]();
});

test('fakes in the place of the host’s functions wedge nothing', async (t) => {
  const native = scripted(t);
  const dispatcher = quiet(new Dispatcher());
  const real = { queueMicrotask, setImmediate, nextTick: process.nextTick };
  Object.assign(globalThis, { queueMicrotask: () => {}, setImmediate: () => {} });
  process.nextTick = () => {};
  const reply = dispatcher.call('Echo/Say', {});
  Object.assign(globalThis, { queueMicrotask: real.queueMicrotask, setImmediate: real.setImmediate });
  process.nextTick = real.nextTick;
  await turn();
  native.tell([{ event: 'call_done', call: 1, value: 7 }]);
  assert.equal(await reply, 7);
});

test('a signal that many calls share has one listener, and none when they are over', async (t) => {
  const native = scripted(t);
  const warnings = [];
  const warned = (warning) => warnings.push(warning.name);
  process.on('warning', warned);
  t.after(() => process.off('warning', warned));
  const controller = new AbortController();
  const { signal } = controller;
  let listeners = 0;
  signal.addEventListener = (...given) => ((listeners += 1), AbortSignal.prototype.addEventListener.apply(signal, given));
  signal.removeEventListener = (...given) => ((listeners -= 1), AbortSignal.prototype.removeEventListener.apply(signal, given));
  const dispatchers = Array.from({ length: 20 }, () => quiet(new Dispatcher()));
  const replies = dispatchers.map((dispatcher) => dispatcher.call('Echo/Say', {}, { signal }));
  await turn();
  assert.equal(listeners, 1);
  for (const session of native.sessions.slice(1)) session.tell([{ event: 'call_done', call: 1, value: 7 }]);
  await Promise.all(replies.slice(1));
  assert.equal(listeners, 1);
  const reason = new Error('enough');
  controller.abort(reason);
  await turn();
  assert.deepEqual(native.taken().at(-1), ['cancel', 1, null]);
  native.tell([{ event: 'call_done', call: 1, error: { code: 'CALL_CANCELLED', message: '' } }]);
  await assert.rejects(replies[0], reason);
  assert.deepEqual(warnings, []);
});

test('what happens is said to the logger, and nothing to none', async (t) => {
  const said = [];
  const native = scripted(t);
  const worker = new Worker();
  assert.equal(worker.logger, console);
  worker.logger = { warn: (...words) => said.push(words) };
  const thrown = new TypeError('wrong');
  worker.handle('Echo/Say', () => {
    throw thrown;
  });
  worker.connect();
  await turn();
  native.tell([
    { event: 'lost', reason: { code: 'CONNECT_FAILED', message: 'nobody listens' }, retry_ms: 250, attempt: 1 },
    { event: 'work', work: 1, key: 'Echo/Say', payload: {}, timeout_ms: 5, meta: { WorkItemHash: 'wi-1' } },
  ]);
  assert.deepEqual(said, [
    ['moorline: the link is down: CONNECT_FAILED: nobody listens; next attempt in 250 ms'],
    ['moorline: the handler of Echo/Say failed (wi-1):', thrown],
  ]);
  worker.logger = {
    warn() {
      throw new Error('a logger');
    },
  };
  native.tell([{ event: 'notice', error: { code: 'INTERNAL', message: '' } }]);
  worker.logger = null;
  native.tell([{ event: 'notice', error: { code: 'INTERNAL', message: '' } }]);
});

test('what can never be a handler is refused at the call, with the fix', async (t) => {
  const native = scripted(t);
  const worker = quiet(new Worker());
  for (const key of ['Echo', '', '/Say', 'Echo/', 5, undefined, null, Symbol('s'), {}]) {
    assert.throws(() => worker.handle(key, () => {}), { code: 'ARGUMENT_INVALID' });
  }
  assert.throws(() => worker.handle('Echo', () => {}), /Capability\/Action/);
  for (const handler of [5, undefined, null, {}]) {
    assert.throws(() => worker.handle('A/B', handler), { code: 'ARGUMENT_INVALID', message: /function/ });
  }
  assert.throws(() => worker.handle('A/B', () => {}, { settingsSchema: 'no list' }), { code: 'ARGUMENT_INVALID' });
  await turn();
  assert.deepEqual(native.taken(), []);
  worker.close();
  assert.throws(() => worker.handle('A/B', () => {}), { code: 'STOPPED' });
});

test('a worker that is told to end before its hub is there ends at once', async (t) => {
  const program = `
    import { Worker } from 'moorline';
    const worker = new Worker({ serverUrl: process.argv[1] });
    worker.logger = null;
    worker.once('lost', () => console.log('tried'));
    process.on('SIGTERM', () => worker.drain(30_000));
    await worker.connect().catch(({ code }) => console.log(code));
  `;
  const { line, child, exited } = startProcess(t, program, 'http://127.0.0.1:9');
  assert.equal(await line(), 'tried');
  const told = performance.now();
  child.kill('SIGTERM');
  assert.equal(await line(), 'STOPPED');
  assert.equal(await exited, 0);
  assert.ok(performance.now() - told < 5_000);
});

test('options are an object, in the names of this language, and so are the errors about them', () => {
  for (const options of ['http://127.0.0.1:54321', 5, null, []]) {
    assert.throws(() => new Worker(options), { code: 'ARGUMENT_INVALID', message: /an object/ });
  }
  assert.throws(() => new Worker({ server_url: 'http://127.0.0.1:1' }), { code: 'CONFIG_INVALID', message: /did you mean serverUrl/ });
  assert.throws(() => new Worker({ reconnect: { base_delay_ms: 5 } }), { code: 'CONFIG_INVALID', message: /did you mean baseDelayMs/ });
  assert.throws(() => new Worker({ serverurl: 'x', maxConcurrent: 0 }), ({ code, message }) => {
    assert.equal(code, 'CONFIG_INVALID');
    assert.match(message, /serverUrl/);
    assert.match(message, /maxConcurrent: must be/);
    assert.doesNotMatch(message, /_/);
    return true;
  });
});

test('a connect that is given up tells what it waited for', async (t) => {
  const native = scripted(t);
  const worker = quiet(new Worker());
  const controller = new AbortController();
  const connecting = worker.connect({ signal: controller.signal });
  await turn();
  native.tell([{ event: 'lost', reason: { code: 'CONNECT_FAILED', message: 'nobody listens' }, retry_ms: 5, attempt: 1 }]);
  const reason = new DOMException('enough', 'TimeoutError');
  controller.abort(reason);
  await assert.rejects(connecting, (error) => error === reason && error.cause.code === 'CONNECT_FAILED');
});
