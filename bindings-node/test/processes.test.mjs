// What needs a process of its own: exit, module systems, threads, memory.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { openDispatcher, startHub, startProcess } from './support.mjs';

const WORKER = `
  import { Worker } from 'moorline';
  const worker = new Worker({ serverUrl: process.argv[1] });
  worker.handle('Echo/Say', async ({ Text }) => ({ Text }));
  worker.handle('Host/Drain', () => void setImmediate(() => worker.drain(5_000)));
  await worker.connect();
  console.log('connected');
`;

test('a worker keeps its process alive until it is drained', async (t) => {
  const { url } = await startHub(t);
  const { line, exited } = startProcess(t, WORKER, url);
  assert.equal(await line(), 'connected');
  const dispatcher = openDispatcher(t, url);
  const { Outputs } = await dispatcher.call('Echo/Say', { Text: 'across' });
  assert.deepEqual(Outputs, { Text: 'across' });
  await dispatcher.call('Host/Drain');
  assert.equal(await exited, 0);
});

test('a process ends by itself: closed worker, idle dispatcher, nothing connected', async (t) => {
  const { url } = await startHub(t);
  const { exited } = startProcess(
    t,
    `
      import { Dispatcher, Hub, Worker } from 'moorline';
      const serverUrl = process.argv[1];
      new Worker({ serverUrl }).handle('Never/Connected', () => {});
      const worker = new Worker({ serverUrl });
      await worker.connect();
      worker.close();
      const hub = new Hub({ listen: '127.0.0.1:0' });
      await hub.start();
      await hub.drain(100);
      await new Dispatcher({ serverUrl }).status();
    `,
    url,
  );
  assert.equal(await exited, 0);
});

test('await using drains at the end of its block', async (t) => {
  // Node 20 parses no \`using\` yet; TypeScript compiles it to calls of this method.
  const { Worker } = await import('moorline');
  const { url } = await startHub(t);
  const worker = new Worker({ serverUrl: url });
  await worker.connect();
  const ended = new Promise((resolve) => worker.once('ended', resolve));
  await worker[Symbol.asyncDispose]();
  assert.equal(await ended, null);
});

test('both module systems load one and the same package', async (t) => {
  const { line, exited } = startProcess(
    t,
    `
      import { createRequire } from 'node:module';
      import * as esm from 'moorline';
      const cjs = createRequire(process.cwd() + '/')('moorline');
      console.log(Object.keys(cjs).sort().join(' '));
      console.log(Object.keys(cjs).every((name) => cjs[name] === esm[name]));
    `,
  );
  assert.equal(await line(), 'Dispatcher ERROR_CODES Hub MoorlineError Worker');
  assert.equal(await line(), 'true');
  assert.equal(await exited, 0);
});

test('endpoints in worker threads, ended in every way', async (t) => {
  const { url } = await startHub(t);
  const { line, exited } = startProcess(
    t,
    `
      import { Worker as Thread } from 'node:worker_threads';
      const source = (how) => \`
        import { parentPort } from 'node:worker_threads';
        import { Dispatcher, Worker } from 'moorline';
        const serverUrl = \${JSON.stringify(process.argv[1])};
        const worker = new Worker({ serverUrl, name: 'thread-\${how}' });
        worker.handle('Thread/\${how}', () => ({ how: '\${how}' }));
        await worker.connect();
        const dispatcher = new Dispatcher({ serverUrl });
        const { Outputs } = await dispatcher.call('Thread/\${how}');
        parentPort.postMessage(Outputs.how);
        if ('\${how}' === 'Drained') await worker.drain(1000);
        if ('\${how}' === 'Exit') process.exit();
      \`;
      for (const how of ['Drained', 'Exit', 'Terminated', 'Drained', 'Terminated']) {
        const thread = new Thread(source(how), { eval: true });
        // A thread that ends hands its last messages over with its exit, in one go.
        const exit = new Promise((resolve) => thread.once('exit', resolve));
        const said = await new Promise((resolve, reject) => thread.once('message', resolve).once('error', reject));
        if (how === 'Terminated') await thread.terminate();
        await exit;
        console.log(said);
      }
      new Thread(source('Abandoned'), { eval: true }).once('message', () => process.exit(7));
    `,
    url,
  );
  for (const how of ['Drained', 'Exit', 'Terminated', 'Drained', 'Terminated']) assert.equal(await line(), how);
  assert.equal(await exited, 7);
});

test('what is garbage is closed, and memory does not grow with use', async (t) => {
  const { url } = await startHub(t, { maxResults: 0, enqueueRate: 0 });
  const { line, exited } = startProcess(
    t,
    `
      import { setFlagsFromString } from 'node:v8';
      import { runInNewContext } from 'node:vm';
      import { readdirSync } from 'node:fs';
      import { Dispatcher, Worker } from 'moorline';
      setFlagsFromString('--expose-gc');
      const gc = runInNewContext('gc');
      const serverUrl = process.argv[1];
      const turn = () => new Promise((resolve) => setImmediate(resolve));
      const threads = () => readdirSync('/proc/self/task').length;

      const before = threads();
      for (let i = 0; i < 50; i++) new Worker({ serverUrl });
      for (let i = 0; i < 200 && threads() > before; i++) {
        gc();
        await turn();
      }
      console.log(threads() <= before);

      const worker = new Worker({ serverUrl, maxConcurrent: 64 });
      worker.handle('Echo/Say', async (settings) => settings);
      await worker.connect();
      const dispatcher = new Dispatcher({ serverUrl });
      const rounds = async (count) => {
        for (let i = 0; i < count; i++) {
          await Promise.all(Array.from({ length: 50 }, () => dispatcher.call('Echo/Say', { Text: 'x'.repeat(1_000) })));
        }
        gc();
        return process.memoryUsage().heapUsed;
      };
      const warm = await rounds(20);
      const later = await rounds(40);
      console.log((later - warm) / 2_000);
      dispatcher.close();
      worker.close();
    `,
    url,
  );
  assert.equal(await line(), 'true', 'endpoints that nobody refers to end their threads');
  const perCall = Number(await line());
  assert.ok(perCall < 200, `${perCall} bytes stay for each call`);
  assert.equal(await exited, 0);
});
