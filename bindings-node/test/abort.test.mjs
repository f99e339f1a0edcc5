// When a handler learns that its work is no longer wanted, and when a caller gives up.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MoorlineError } from 'moorline';
import { openDispatcher, startHub, startWorker } from './support.mjs';

/** A handler that runs until it is told to stop; `started` and `stopped` await the two moments. */
function patient() {
  let begin, end;
  const started = new Promise((resolve) => (begin = resolve));
  const stopped = new Promise((resolve) => (end = resolve));
  const handler = (_, context) =>
    new Promise((_resolve, reject) => {
      context.signal.addEventListener('abort', () => {
        end(context.signal.reason);
        reject(context.signal.reason);
      });
      begin(context);
    });
  return { started, stopped, handler };
}

test('the deadline of an item aborts its handler', async (t) => {
  const { url } = await startHub(t);
  const { started, stopped, handler } = patient();
  await startWorker(t, url, { 'Slow/Wait': handler });
  const reply = openDispatcher(t, url).call('Slow/Wait', {}, { timeoutMs: 300 });
  const { deadline } = await started;
  assert.ok(deadline instanceof Date && deadline.getTime() - Date.now() <= 300);
  const reason = await stopped;
  assert.ok(reason instanceof MoorlineError);
  assert.equal(reason.code, 'WORK_EXPIRED');
  await assert.rejects(reply, MoorlineError);
});

test('a cancelled item aborts its handler', async (t) => {
  const { url } = await startHub(t);
  const { started, stopped, handler } = patient();
  await startWorker(t, url, { 'Slow/Wait': handler });
  const dispatcher = openDispatcher(t, url);
  const { WorkItemHash } = await dispatcher.enqueue({ Capability: 'Slow', Action: 'Wait' });
  await started;
  await dispatcher.cancel(WorkItemHash, 'changed my mind');
  assert.equal((await stopped).code, 'CALL_CANCELLED');
});

test('a drain that runs out of time aborts its handlers', async (t) => {
  const { url } = await startHub(t);
  const { started, stopped, handler } = patient();
  const worker = await startWorker(t, url, { 'Slow/Wait': handler });
  const reply = openDispatcher(t, url).call('Slow/Wait', {}, { timeoutMs: 3_000 });
  reply.catch(() => {});
  await started;
  const drained = worker.drain(100);
  assert.equal((await stopped).code, 'DRAIN_TIMEOUT');
  await assert.rejects(drained, { code: 'DRAIN_TIMEOUT' });
});

test('a drain in time lets the handler finish', async (t) => {
  const { url } = await startHub(t);
  let finish;
  const started = new Promise((resolve) => {
    finish = { begun: resolve };
  });
  const worker = await startWorker(t, url, {
    'Slow/Finish': () => new Promise((resolve) => finish.begun(() => resolve({ finished: true }))),
  });
  const reply = openDispatcher(t, url).call('Slow/Finish');
  const end = await started;
  const drained = worker.drain(10_000);
  await new Promise((resolve) => worker.once('draining', resolve));
  end();
  assert.deepEqual((await reply).Outputs, { finished: true });
  await drained;
});

test('a lost link does not cost the result', async (t) => {
  const hub = await startHub(t, { runtime: { storePath: '' } });
  const { started, handler } = patient();
  const worker = await startWorker(t, hub.url, { 'Slow/Wait': handler }, { reconnect: { baseDelayMs: 60_000 } });
  const dispatcher = openDispatcher(t, hub.url);
  dispatcher.call('Slow/Wait', {}, { timeoutMs: 60_000 }).catch(() => {});
  const { signal } = await started;
  const lost = new Promise((resolve) => worker.once('lost', resolve));
  hub.close();
  assert.equal((await lost).reason.fault, 'transport');
  worker.close();
  assert.ok(signal.aborted);
  assert.equal(signal.reason.code, 'STOPPED');
});

test('the caller gives up by its own signal', async (t) => {
  const { url } = await startHub(t);
  const { started, stopped, handler } = patient();
  await startWorker(t, url, { 'Slow/Wait': handler });
  const dispatcher = openDispatcher(t, url);
  const given = new AbortController();
  const reply = dispatcher.call('Slow/Wait', {}, { signal: given.signal });
  await started;
  given.abort();
  await assert.rejects(reply, { name: 'AbortError' });
  assert.equal((await stopped).code, 'CALL_CANCELLED');
  await assert.rejects(dispatcher.call('Slow/Wait', {}, { signal: given.signal }), { name: 'AbortError' });
});

test('a call that nobody answers ends at its deadline', async (t) => {
  const { url } = await startHub(t);
  const dispatcher = openDispatcher(t, url);
  const begun = performance.now();
  await assert.rejects(dispatcher.call('Nobody/Home', {}, { timeoutMs: 300 }), (error) => error instanceof MoorlineError);
  assert.ok(performance.now() - begun < 5_000);
});

test('a call survives the absence of its hub until its deadline', async (t) => {
  const dispatcher = openDispatcher(t, 'http://127.0.0.1:9');
  await assert.rejects(dispatcher.call('Echo/Say', {}, { timeoutMs: 400 }), { retryable: true });
});
