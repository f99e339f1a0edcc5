// What the tests share: a hub with workers on loopback, awaited events, child processes.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';

import { Dispatcher, Hub, Worker } from 'moorline';

/** Starts a hub on a free port; it is closed when the test ends. */
export async function startHub(t, options = {}) {
  const hub = new Hub({ listen: '127.0.0.1:0', ...options });
  t.after(() => hub.close());
  await hub.start();
  return hub;
}

/** Connects a worker with those handlers; it is closed when the test ends. */
export async function startWorker(t, serverUrl, handlers, options = {}) {
  const worker = new Worker({ serverUrl, name: 'node', maxConcurrent: 16, ...options });
  t.after(() => worker.close());
  for (const [key, handler] of Object.entries(handlers)) worker.handle(key, handler);
  await worker.connect();
  return worker;
}

/** Opens a dispatcher; it is closed when the test ends. */
export function openDispatcher(t, serverUrl, options = {}) {
  const dispatcher = new Dispatcher({ serverUrl, ...options });
  t.after(() => dispatcher.close());
  return dispatcher;
}

/** Stands between a hub and its peers; `cut` breaks every connection. */
export async function startProxy(t, hubUrl) {
  const { hostname: host, port } = new URL(hubUrl);
  const sockets = new Set();
  const server = createServer((client) => {
    const upstream = connect({ host, port });
    for (const socket of [client, upstream]) sockets.add(socket.on('error', () => {}));
    client.pipe(upstream).pipe(client);
  });
  const cut = () => sockets.forEach((socket) => socket.destroy());
  t.after(() => (server.close(), cut()));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, cut };
}

/** Waits for the next event of that kind. */
export function next(endpoint, kind) {
  return new Promise((resolve) => endpoint.once(kind, resolve));
}

/** Runs `source` as an ES module in its own process; `line()` awaits what it prints. */
export function startProcess(t, source, ...args) {
  const folder = new URL('.', import.meta.url);
  const child = spawn(process.execPath, ['--input-type=module', '--eval', source, ...args], {
    cwd: folder,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    exited: once(child, 'exit').then(([code]) => code),
    async line() {
      const { value, done } = await lines.next();
      if (done) throw new Error('the process ended without a further line');
      return value;
    },
  };
}
