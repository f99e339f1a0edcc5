// When a handler learns that its work is no longer wanted, and when a caller gives up.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { MoorlineError } from 'moorline';
import { next, openDispatcher, startHub, startProxy, startWorker } from './support.mjs';

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
  const dispatcher = openDispatcher(t, url);
  const { WorkItemHash } = await dispatcher.enqueue({ Capability: 'Slow', Action: 'Wait', TimeoutMs: 300 });
  const { deadline } = await started;
  assert.ok(deadline instanceof Date && deadline.getTime() - Date.now() <= 300);
  const reason = await stopped;
  assert.ok(reason instanceof MoorlineError);
  assert.equal(reason.code, 'WORK_EXPIRED');
  // Whichever of worker and hub notices first ends the item.
  while (!['Error', 'Timeout'].includes((await dispatcher.result(WorkItemHash)).Status));
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

test('a worker that is closed aborts its handlers', async (t) => {
  const { url } = await startHub(t);
  const { started, stopped, handler } = patient();
  const worker = await startWorker(t, url, { 'Slow/Wait': handler });
  await openDispatcher(t, url).enqueue({ Capability: 'Slow', Action: 'Wait' });
  await started;
  worker.close();
  assert.equal((await stopped).code, 'STOPPED');
});

test('a result that is ready while the hub is away arrives when it is back', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'moorline-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const runtime = { storePath: join(folder, 'hub.db') };
  const reconnect = { baseDelayMs: 50, maxDelayMs: 50 };
  const hub = await startHub(t, { runtime });
  const listen = new URL(hub.url).host;
  let begun, finish;
  const started = new Promise((resolve) => (begun = resolve));
  const handler = () => {
    begun();
    return new Promise((resolve) => (finish = resolve));
  };
  const worker = await startWorker(t, hub.url, { 'Slow/Finish': handler }, { reconnect });
  const reply = openDispatcher(t, hub.url, { reconnect }).call('Slow/Finish', {}, { timeoutMs: 30_000 });
  await started;
  const lost = next(worker, 'lost');
  hub.close();
  assert.equal((await lost).reason.fault, 'transport');
  finish({ finished: true });
  await startHub(t, { listen, runtime });
  assert.deepEqual((await reply).Outputs, { finished: true });
});

test('work that was given to somebody else while the link was down aborts its handler', async (t) => {
  const hub = await startHub(t);
  const { url, cut } = await startProxy(t, hub.url);
  const { started, stopped, handler } = patient();
  await startWorker(t, url, { 'Slow/Wait': handler }, { name: 'first', reconnect: { baseDelayMs: 1_500 } });
  const reply = openDispatcher(t, hub.url).call('Slow/Wait', {}, { timeoutMs: 30_000 });
  await started;
  await startWorker(t, hub.url, { 'Slow/Wait': () => ({ by: 'second' }) }, { name: 'second' });
  cut();
  assert.deepEqual((await reply).Outputs, { by: 'second' });
  assert.equal((await stopped).code, 'WORK_LOST');
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
