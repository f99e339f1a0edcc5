// What needs a process of its own: exit, module systems, threads, memory.

import assert from 'node:assert/strict';
import { createServer } from 'node:net';
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

// Says what happens, and finishes its work when a line is written to it.
const RUNNING = `
  import { createInterface } from 'node:readline';
  import { Worker } from 'moorline';
  const worker = new Worker({ serverUrl: process.argv[1], name: 'running' });
  worker.logger = null;
  worker.handle('Busy/Work', () => {
    console.log('works');
    const input = createInterface({ input: process.stdin });
    return new Promise((resolve) => input.once('line', (Line) => (input.close(), resolve({ Line }))));
  });
  worker.on('ready', () => console.log('ready'));
  worker.on('draining', () => console.log('draining'));
  setImmediate(() => console.log('runs'));
  const cut = await worker.run().catch(({ code }) => code);
  if (cut) console.log(cut);
  console.log(['SIGTERM', 'SIGINT'].reduce((sum, name) => sum + process.listenerCount(name), 0));
`;

/** Waits for what is said after a drain has made its progress. */
async function beyondDrain(line) {
  const said = await line();
  return said === 'draining' ? beyondDrain(line) : said;
}

for (const signal of ['SIGTERM', 'SIGINT']) {
  test(`${signal} lets what run() runs finish`, async (t) => {
    const { url } = await startHub(t);
    const { child, line, exited } = startProcess(t, RUNNING, url);
    assert.deepEqual([await line(), await line()].sort(), ['ready', 'runs']);
    const reply = openDispatcher(t, url).call('Busy/Work');
    assert.equal(await line(), 'works');
    // One order that arrives twice is one.
    child.kill(signal);
    child.kill(signal);
    assert.equal(await line(), 'draining');
    child.stdin.write('finished\n');
    assert.deepEqual((await reply).Outputs, { Line: 'finished' });
    assert.equal(await beyondDrain(line), '0', 'signals have their own action again');
    child.stdin.end();
    assert.equal(await exited, 0);
  });

  test(`${signal} ends run() at once before the first registration`, async (t) => {
    const silent = createServer().listen(0, '127.0.0.1');
    t.after(() => silent.close());
    const asked = new Promise((resolve) => silent.once('connection', resolve));
    await new Promise((resolve) => silent.once('listening', resolve));
    const { child, line, exited } = startProcess(t, RUNNING, `http://127.0.0.1:${silent.address().port}`);
    assert.equal(await line(), 'runs');
    const socket = await asked;
    child.kill(signal);
    assert.equal(await beyondDrain(line), '0');
    child.stdin.end();
    assert.equal(await exited, 0);
    socket.destroy();
  });
}

test('a second signal ends run() at once', async (t) => {
  const { url } = await startHub(t);
  const { child, line, exited } = startProcess(t, RUNNING, url);
  assert.deepEqual([await line(), await line()].sort(), ['ready', 'runs']);
  const reply = openDispatcher(t, url).call('Busy/Work', {}, { timeoutMs: 30_000 });
  reply.catch(() => {});
  assert.equal(await line(), 'works');
  child.kill('SIGTERM');
  assert.equal(await line(), 'draining');
  child.kill('SIGINT');
  assert.equal(await beyondDrain(line), 'DRAIN_TIMEOUT');
  assert.equal(await line(), '0');
  child.stdin.end();
  assert.equal(await exited, 0);
});

test('run() refuses what is no time, and rejects with what ended the worker', async (t) => {
  const { Worker } = await import('moorline');
  await assert.rejects(new Worker().run({ drainMs: -1 }), { code: 'ARGUMENT_INVALID' });
  const { url } = await startHub(t, { access: 'secured', joinSecret: 'right' });
  const worker = new Worker({ serverUrl: url, joinSecret: 'wrong', transport: 'websocket' });
  worker.logger = null;
  await assert.rejects(worker.run(), { code: 'PEER_REFUSED' });
});
