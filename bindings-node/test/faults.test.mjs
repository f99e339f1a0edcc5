// A hub that goes away under load.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { openDispatcher, startHub, startProcess, startWorker } from './support.mjs';

const HUB = `
  import { Hub } from 'moorline';
  const [listen, storePath] = process.argv.slice(1);
  const hub = new Hub({ listen, enqueueRate: 0, runtime: { storePath } });
  console.log(await hub.start());
`;

test('a hub that is killed twice under load loses nothing', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'moorline-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const store = join(folder, 'hub.db');
  let hub = startProcess(t, HUB, '127.0.0.1:0', store);
  const url = await hub.line();
  const { host } = new URL(url);
  const reconnect = { baseDelayMs: 50, maxDelayMs: 200 };
  const ran = new Map();
  await startWorker(
    t,
    url,
    { 'Count/One': ({ n }) => (ran.set(n, (ran.get(n) ?? 0) + 1), { n }) },
    { maxConcurrent: 32, reconnect },
  );
  const dispatcher = openDispatcher(t, url, { reconnect });
  const total = 1_500;
  const restartAt = new Set([400, 900]);
  const answers = [];
  let started = 0;
  const lane = async () => {
    while (started < total) {
      const n = started++;
      if (restartAt.has(n)) {
        hub.child.kill('SIGKILL');
        await hub.exited;
        hub = startProcess(t, HUB, host, store);
        await hub.line();
      }
      const { Outputs } = await dispatcher.call('Count/One', { n }, { timeoutMs: 60_000 });
      answers.push(Outputs.n);
    }
  };
  await Promise.all(Array.from({ length: 32 }, lane));
  assert.equal(answers.length, total);
  assert.equal(new Set(answers).size, total, 'each item answered exactly once');
  assert.equal(ran.size, total);
});

test('work of a worker that is killed is given to another', async (t) => {
  const { url } = await startHub(t);
  const doomed = startProcess(
    t,
    `
      import { Worker } from 'moorline';
      const worker = new Worker({ serverUrl: process.argv[1], name: 'doomed' });
      worker.handle('Long/Job', () => {
        console.log('started');
        return new Promise(() => {});
      });
      await worker.connect();
      console.log('connected');
    `,
    url,
  );
  assert.equal(await doomed.line(), 'connected');
  const reply = openDispatcher(t, url).call('Long/Job', {}, { timeoutMs: 30_000 });
  assert.equal(await doomed.line(), 'started');
  await startWorker(t, url, { 'Long/Job': () => ({ by: 'the other' }) }, { name: 'other' });
  doomed.child.kill('SIGKILL');
  assert.deepEqual((await reply).Outputs, { by: 'the other' });
});
