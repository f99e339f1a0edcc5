// The life of a daemon with the official server: passwords, restarts, streams that are cut, ends of processes.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { ClusterDaemonClient } from 'moorline/volt';

import { startServer } from '../../tests/peers/volt/child.mjs';
import { startProcess } from './support.mjs';

/** A client of that server; it is disconnected when the test ends. */
function daemon(t, { port }, { credentials, ...options } = {}) {
  const client = new ClusterDaemonClient({
    serverUrl: `http://127.0.0.1:${port}`,
    controlSocketUrl: `ws://127.0.0.1:${port}`,
    credentials: { teamClusterId: 'cluster-abc123', daemonPassword: 'rotated-pw-xyz', ...credentials },
    heartbeat: { includeCredentials: true },
    socket: { reconnectBaseDelayMs: 20, reconnectMaxDelayMs: 200 },
    ...options,
  });
  t.after(() => client.disconnect());
  return client;
}

function folder(t) {
  const path = mkdtempSync(join(tmpdir(), 'moorline-volt-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const registered = (password) => ({ record, outcome, payload }) =>
  record === 'register' && outcome === 'accepted' && payload.daemonPassword === password;

test('a new password counts from the next registration on', async (t) => {
  const server = await startServer(t);
  const client = daemon(t, server);
  await client.connect();
  client.setDaemonPassword('newer');
  await server.do('password', { password: 'newer' });
  await server.do('cut');
  await server.seen(registered('newer'));
  assert.equal(client.getDaemonPassword(), 'newer');
});

test('the password of an enrollment survives the client in its store, and the token is not used again', async (t) => {
  const server = await startServer(t);
  const runtime = { storePath: join(folder(t), 'daemon.db') };
  const credentials = { daemonPassword: '', enrollmentToken: 'enroll-tok-1', installedVersion: '1.4.2' };
  const first = daemon(t, server, { credentials, runtime });
  await first.connect();
  await first.connect();
  first.disconnect();
  assert.equal(first.getDaemonPassword(), 'rotated-pw-xyz');
  const second = daemon(t, server, { credentials, runtime });
  await second.connect();
  assert.equal(second.getDaemonPassword(), 'rotated-pw-xyz');
  await server.do('fence');
  const count = (kind) => server.records.filter(({ record }) => record === kind).length;
  assert.equal(count('enroll'), 1);
  assert.equal(count('register'), 3);
});

test('a stream that is cut cancels its source, and the next one runs on the new connection', async (t) => {
  const server = await startServer(t);
  const client = daemon(t, server);
  let ended;
  const cancelled = new Promise((resolve) => (ended = resolve));
  async function* endless() {
    try {
      for (;;) yield Buffer.alloc(64 << 10);
    } finally {
      ended();
    }
  }
  client.registerHandler('endless', { handle: () => ({ stream: endless() }) });
  client.registerHandler('large', { handle: () => ({ stream: [Buffer.alloc(3 << 20, 'x')] }) });
  await client.connect();
  const ask = (requestId, command) => server.do('command', { fields: { requestId, command, responseType: 'stream' } });
  await ask('r-1', 'endless');
  await server.seen(({ message }) => message?.type === 'stream' && message.requestId === 'r-1');
  await server.do('cut');
  await cancelled;
  await server.seen(registered('rotated-pw-xyz'), await server.seen(({ record }) => record === 'left'));
  await ask('r-2', 'large');
  await server.seen(({ message }) => message?.type === 'stream-end' && message.requestId === 'r-2');
  const chunks = server.records.filter(({ message }) => message?.type === 'stream' && message.requestId === 'r-2');
  assert.ok(chunks.length > 1, 'a large chunk is split');
  const size = chunks.reduce((sum, { message }) => sum + Buffer.from(message.chunkBase64, 'base64').length, 0);
  assert.equal(size, 3 << 20);
});

test('a drain lets running handlers and commands finish, and says farewell', async (t) => {
  const server = await startServer(t, { answers: { held: [] } });
  const client = daemon(t, server);
  const told = [];
  client.onDisconnected((reason) => told.push(reason)).onError((error) => told.push(error));
  let finish;
  const finished = new Promise((resolve) => (finish = resolve));
  const begun = new Promise((resolve) => client.registerHandler('slow', () => (resolve(), finished)));
  await client.connect();
  await server.do('command', { fields: { requestId: 'r-1', command: 'slow' } });
  await begun;
  const own = client.sendCommand('held');
  const { requestId } = server.records[await server.seen(({ record }) => record === 'command')];
  const drained = client.drain(60_000);
  await assert.rejects(client.sendCommand('late'), { code: 'SOCKET_NOT_READY' });
  const answer = async (id) =>
    server.records[await server.seen(({ message }) => message?.type === 'response' && message.requestId === id)].message;
  await server.do('command', { fields: { requestId: 'r-2', command: 'slow' } });
  assert.equal((await answer('r-2')).status, 503);
  finish({ slept: true });
  assert.deepEqual((await answer('r-1')).data, { status: 'success', data: { slept: true } });
  await server.do('reply', { requestId, fields: { ok: true, status: 200, data: { status: 'success', data: 7 } } });
  assert.equal(await own, 7);
  await drained;
  await server.seen(({ record, reason }) => record === 'left' && reason === 'client namespace disconnect');
  assert.equal(client.isReady(), false);
  assert.throws(() => client.emit({ type: 'late' }), { code: 'EMIT_FAILED' });
  await client.drain(60_000);
  assert.deepEqual(told, []);
  await client.connect();
  assert.equal(client.isReady(), true);
});

test('a drain says that handlers did not finish, and their signals tell why', async (t) => {
  const server = await startServer(t);
  const client = daemon(t, server);
  let signal;
  const begun = new Promise((resolve) => {
    client.registerHandler('endless', (_, context) => {
      signal = context.signal;
      resolve();
      return new Promise(() => {});
    });
  });
  await client.connect();
  await server.do('command', { fields: { requestId: 'r-1', command: 'endless' } });
  await begun;
  await assert.rejects(client.drain(1), { name: 'MoorlineError', code: 'DRAIN_TIMEOUT' });
  assert.equal(signal.reason.code, 'DRAIN_TIMEOUT');
  await server.seen(({ record, reason }) => record === 'left' && reason === 'client namespace disconnect');
});

const PROGRAM = `
  import { ClusterDaemonClient } from 'moorline/volt';
  const [url, when, token] = process.argv.slice(1);
  const client = new ClusterDaemonClient({
    serverUrl: url,
    controlSocketUrl: url,
    credentials: { teamClusterId: 'cluster-abc123', daemonPassword: 'rotated-pw-xyz', enrollmentToken: token },
    socket: { reconnectBaseDelayMs: 60_000, reconnectMaxDelayMs: 60_000 },
  });
  client.onDisconnected(() => console.log('never'));
  const connected = client.connect().then(() => 'connected', (error) => error.code);
  if (when === 'settled') console.log(await connected);
  else process.stdin.once('data', () => (process.stdin.destroy(), client.disconnect()));
  console.log('ready');
  if (when === 'settled') client.disconnect();
  else console.log(await connected);
`;

test('a process ends after disconnect, whatever it was doing', async (t) => {
  const server = await startServer(t);
  const silent = createServer((socket) => socket.on('error', () => {}).resume());
  await once(silent.listen(0, '127.0.0.1'), 'listening');
  t.after(() => silent.close());
  const closed = createServer();
  await once(closed.listen(0, '127.0.0.1'), 'listening');
  const { port: nobody } = closed.address();
  await new Promise((resolve) => closed.close(resolve));
  const url = (port) => `http://127.0.0.1:${port}`;
  const run = async (...args) => {
    const { line, child, exited } = startProcess(t, PROGRAM, ...args);
    const lines = [await line()];
    if (args[1] !== 'settled') child.stdin.write('go\n');
    lines.push(await line());
    assert.equal(await exited, 0);
    return lines;
  };
  assert.deepEqual(await run(url(server.port), 'settled'), ['connected', 'ready']);
  await server.seen(({ record, reason }) => record === 'left' && reason === 'client namespace disconnect');
  assert.deepEqual(await run(url(nobody), 'settled'), ['SOCKET_CONNECTION_FAILED', 'ready']);
  assert.deepEqual(await run(url(silent.address().port), 'opening'), ['ready', 'SOCKET_CONNECTION_FAILED']);
  assert.deepEqual(await run(url(silent.address().port), 'enrolling', 'token'), ['ready', 'SOCKET_CONNECTION_FAILED']);
});

test('null counts as absent among times, and Infinity as a day', async (t) => {
  const client = new ClusterDaemonClient({
    serverUrl: 'http://127.0.0.1:9',
    controlSocketUrl: 'ws://127.0.0.1:9',
    credentials: { teamClusterId: 'c', daemonPassword: 'p' },
    heartbeat: { interval: Infinity, jitter: null },
    socket: { reconnectBaseDelayMs: null, maxReconnectAttempts: null, randomizationFactor: null },
  });
  t.after(() => client.disconnect());
  await assert.rejects(client.connect(), { code: 'SOCKET_CONNECTION_FAILED', message: /refused/ });
});
