// Worker, dispatcher and hub in one process, over loopback.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';

import { MoorlineError, Worker } from 'moorline';
import { next, openDispatcher, startHub, startWorker } from './support.mjs';

test('a call returns what the handler returned', async (t) => {
  const { url } = await startHub(t);
  await startWorker(t, url, {
    'Echo/Say': async (settings, context) => {
      context.log(`said ${settings.Text}`);
      return { Text: settings.Text };
    },
  });
  const dispatcher = openDispatcher(t, url);
  const reply = await dispatcher.call('Echo/Say', { Text: 'hi' });
  assert.deepEqual(reply.Outputs, { Text: 'hi' });
  assert.deepEqual(reply.Log, ['said hi']);
  assert.equal(typeof reply.WorkItemHash, 'string');
});

test('payloads survive as they are, but for surrogates that stand alone', async (t) => {
  const { url } = await startHub(t);
  await startWorker(t, url, { 'Echo/Back': ({ QueueMetadata: _, ...settings }) => ({ got: settings }) });
  const dispatcher = openDispatcher(t, url);
  const payload = {
    text: 'ÿ ☃ 😀 \u2028 \0',
    lone: '\ud800',
    numbers: [0.1, -0, 1e300, 2 ** 53],
    nested: { empty: {}, list: [null, true, []] },
    big: 'x'.repeat(200_000),
  };
  const { Outputs } = await dispatcher.call('Echo/Back', payload);
  assert.deepEqual(Outputs.got, { ...payload, lone: '\ufffd', numbers: [0.1, 0, 1e300, 2 ** 53] });
});

test('a __proto__ key is data like any other', async (t) => {
  const { url } = await startHub(t);
  let seen;
  await startWorker(t, url, {
    'Echo/Back': (settings) => {
      seen = settings;
      return JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}');
    },
  });
  const dispatcher = openDispatcher(t, url);
  const { Outputs } = await dispatcher.call('Echo/Back', JSON.parse('{"__proto__":{"polluted":true}}'));
  for (const value of [seen, Outputs]) {
    assert.ok(Object.hasOwn(value, '__proto__'));
    assert.equal(Object.getPrototypeOf(value), Object.prototype);
    assert.equal(value.polluted, undefined);
  }
  assert.equal({}.polluted, undefined);
});

test('a failure arrives as an error with a stable code', async (t) => {
  const { url } = await startHub(t);
  await startWorker(t, url, {
    'Fail/Now': async () => {
      throw new Error('no luck today');
    },
  });
  const dispatcher = openDispatcher(t, url);
  await assert.rejects(dispatcher.call('Fail/Now', {}), (error) => {
    assert.ok(error instanceof MoorlineError);
    assert.ok(error instanceof Error);
    assert.equal(error.name, 'MoorlineError');
    assert.equal(error.code, 'REMOTE_ERROR');
    assert.equal(error.number, 403);
    assert.equal(error.retryable, false);
    assert.equal(error.fault, 'peer');
    assert.match(error.message, /no luck today/);
    return true;
  });
});

test('every problem of the options is named at once', () => {
  assert.throws(() => new Worker({ maxConcurrent: 0, nmae: 'x', reconnect: { maxDelayMs: 'soon' } }), (error) => {
    assert.equal(error.code, 'CONFIG_INVALID');
    assert.match(error.message, /maxConcurrent.*nmae.*did you mean name.*reconnect\.maxDelayMs/s);
    return true;
  });
});

test('connect that is given up leaves nothing behind', async () => {
  const worker = new Worker({ serverUrl: 'http://127.0.0.1:9', name: 'lonely' });
  const lost = next(worker, 'lost');
  const given = new AbortController();
  const connected = worker.connect({ signal: given.signal });
  const { reason, attempt } = await lost;
  assert.equal(reason.code, 'CONNECT_FAILED');
  assert.equal(attempt, 1);
  given.abort(new Error('enough'));
  await assert.rejects(connected, { message: 'enough' });
  await assert.rejects(worker.snapshot(), { code: 'STOPPED' });
});

test('progress arrives in order while the call runs', async (t) => {
  const { url } = await startHub(t);
  await startWorker(t, url, {
    'Slow/Count': async (_, context) => {
      for (const Percent of [25, 50, 75]) {
        context.progress({ Percent, Message: `at ${Percent}` });
        await new Promise((resolve) => setImmediate(resolve));
      }
      return { done: true };
    },
  });
  const parts = [];
  const reply = await openDispatcher(t, url).call('Slow/Count', {}, { onPart: (part) => parts.push(part) });
  assert.deepEqual(reply.Outputs, { done: true });
  const percents = parts.map((part) => part.Percent).filter((percent) => percent !== undefined);
  assert.deepEqual(percents, [25, 50, 75]);
});

test('ten thousand calls are each answered once', async (t) => {
  const { url } = await startHub(t, { maxQueued: 20_000, maxResults: 20_000, enqueueRate: 0 });
  let ran = 0;
  await startWorker(t, url, { 'Math/Double': ({ n }) => ((ran += 1), { n: n * 2 }) }, { maxConcurrent: 256 });
  const dispatcher = openDispatcher(t, url);
  const total = 10_000;
  let started = 0;
  let sum = 0;
  const lane = async () => {
    while (started < total) {
      const n = started++;
      const { Outputs } = await dispatcher.call('Math/Double', { n });
      assert.equal(Outputs.n, n * 2);
      sum += Outputs.n;
    }
  };
  await Promise.all(Array.from({ length: 128 }, lane));
  assert.equal(sum, total * (total - 1));
  assert.equal(ran, total);
});

test('events tell the life of a link', async (t) => {
  const hub = await startHub(t);
  const joined = next(hub, 'peerJoined');
  const worker = new Worker({ serverUrl: hub.url, name: 'seen' }).handle('Echo/Say', (settings) => settings);
  t.after(() => worker.close());
  const ready = next(worker, 'ready');
  assert.deepEqual(await worker.connect(), await ready);
  assert.equal((await ready).transport, 'websocket');
  assert.equal((await joined).name, 'seen');
  const left = next(hub, 'peerLeft');
  const ended = next(worker, 'ended');
  await worker.drain(1_000);
  assert.equal(await ended, null);
  assert.equal((await left).name, 'seen');
});

test('the administrative calls', async (t) => {
  const { url } = await startHub(t);
  await startWorker(t, url, { 'Echo/Say': (settings) => settings }, { name: 'admin-test' });
  const dispatcher = openDispatcher(t, url);
  const status = await dispatcher.status();
  assert.deepEqual(
    status.Workers.map(({ Name }) => Name),
    ['admin-test'],
  );
  assert.equal((await dispatcher.beacons()).length, 1);
  assert.ok(JSON.stringify(await dispatcher.capabilities()).includes('Echo'));
  const { WorkItemHash } = await dispatcher.enqueue(
    { Capability: 'Nobody', Action: 'Home', Settings: {} },
    { idempotencyKey: 'once' },
  );
  const again = await dispatcher.enqueue({ Capability: 'Nobody', Action: 'Home', Settings: {} }, { idempotencyKey: 'once' });
  assert.equal(again.WorkItemHash, WorkItemHash);
  assert.ok(JSON.stringify(await dispatcher.work()).includes(WorkItemHash));
  await dispatcher.cancel(WorkItemHash, 'not needed');
  const result = await dispatcher.result(WorkItemHash);
  assert.equal(result.WorkItemHash, WorkItemHash);
  const run = await dispatcher.runStart({});
  await dispatcher.runEnd(run.RunID ?? run.RunHash, 'Complete');
  const [{ BeaconID }] = (await dispatcher.status()).Workers;
  await dispatcher.drainWorker(BeaconID);
  const [{ Draining }] = (await dispatcher.status()).Workers;
  assert.equal(Draining, true);
});

test('several endpoints of each kind live side by side', async (t) => {
  const hubs = await Promise.all([startHub(t), startHub(t), startHub(t)]);
  const answers = await Promise.all(
    hubs.map(async ({ url }, index) => {
      await startWorker(t, url, { 'Who/Am': () => ({ index }) });
      return (await openDispatcher(t, url).call('Who/Am')).Outputs.index;
    }),
  );
  assert.deepEqual(answers, [0, 1, 2]);
});

test('a snapshot shows the state before and after connecting', async (t) => {
  const { url } = await startHub(t);
  const worker = new Worker({ serverUrl: url, name: 'shown' });
  t.after(() => worker.close());
  assert.equal(typeof (await worker.snapshot()), 'object');
  await worker.connect();
  assert.equal(typeof (await worker.snapshot()), 'object');
});

test('under load, commands and events share their crossings', async (t) => {
  const crossings = countCrossings(t);
  const { url } = await startHub(t, { enqueueRate: 0 });
  await startWorker(t, url, { 'Echo/Say': async () => ({}) }, { maxConcurrent: 64 });
  const dispatcher = openDispatcher(t, url);
  const rounds = 20;
  const width = 64;
  for (let round = 0; round < rounds; round++) {
    await Promise.all(Array.from({ length: width }, () => dispatcher.call('Echo/Say')));
  }
  // Each call is one command and one event at the dispatcher, and one of each at the worker.
  const each = crossings() / (rounds * width);
  assert.ok(each < 2, `${each} crossings for each call, of 4 without batches`);
});

/** Counts how often anything crosses to or from the add-on during the test. */
function countCrossings(t) {
  const addOn = createRequire(import.meta.url)('../dist/native.js');
  const real = addOn.Native;
  t.after(() => (addOn.Native = real));
  let count = 0;
  addOn.Native = {
    open(...given) {
      const native = real.open(...given);
      const counted = (verb) => (...args) => ((count += 1), native[verb](...args));
      return {
        submit: counted('submit'),
        drain: counted('drain'),
        get more() {
          return native.more;
        },
        onDoorbell: (ring) => native.onDoorbell(ring),
        hold: (wanted) => native.hold(wanted),
        close: () => native.close(),
      };
    },
  };
  return () => count;
}

test('a key of any text makes calls one, and one with a line break is refused at once', async (t) => {
  const { url } = await startHub(t);
  let runs = 0;
  await startWorker(t, url, { 'Count/Up': () => ({ runs: (runs += 1) }) });
  const dispatcher = openDispatcher(t, url);
  for (const idempotencyKey of ['schlüssel-7', ' k ', '鍵', 'a%20b', "UTF-8''"]) {
    const before = runs;
    const replies = await Promise.all([1, 2, 3].map(() => dispatcher.call('Count/Up', {}, { idempotencyKey })));
    assert.deepEqual(replies.map(({ Outputs }) => Outputs.runs), Array(3).fill(before + 1), idempotencyKey);
  }
  await assert.rejects(dispatcher.call('Count/Up', {}, { idempotencyKey: 'a\nb' }), { code: 'ARGUMENT_INVALID' });
});
