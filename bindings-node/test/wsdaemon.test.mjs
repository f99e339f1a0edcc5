// ws-daemons with each other, with scripts, with plain programs of `ws`, and the block of docs/wsdaemon-libraries.md.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { Daemon } from 'moorline/wsdaemon';

import { blocksOf, folderOfPrograms } from './page.mjs';
import { next, startProcess } from './support.mjs';

const WebSocket = createRequire(new URL('../../tests/peers/volt/package.json', import.meta.url))('ws');

/** Starts a daemon; it is closed when the test ends. */
async function start(t, options, handlers = {}) {
  const daemon = new Daemon(options);
  daemon.logger = null;
  t.after(() => daemon.close());
  for (const [name, handler] of Object.entries(handlers)) daemon.handle(name, handler);
  const { id } = await daemon.connect();
  return { daemon, id };
}

const serve = (t, options, handlers) => start(t, { mode: 'server', listen: '127.0.0.1:0', ...options }, handlers);

/** Makes a folder with executable scripts, below `folder`. */
function scripts(t, texts, ...folder) {
  const root = mkdtempSync(join(tmpdir(), 'moorline-scripts-'));
  t.after(() => rmSync(root, { recursive: true }));
  const inside = join(root, ...folder);
  mkdirSync(inside, { recursive: true });
  for (const [name, text] of Object.entries(texts)) {
    writeFileSync(join(inside, name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(inside, name), 0o755);
  }
  return root;
}

test('handlers run beside scripts on either side', async (t) => {
  const folder = scripts(t, { three: 'exit 3', taken: 'exit 9', plain: 'test $1 = undefined' });
  const { daemon: server, id } = await serve(t, { scripts: { folder } }, {
    taken: async (params, { key }) => (assert.deepEqual([key, params], ['taken', { a: 1 }]), { status: 4 }),
    fails: () => { throw new Error('no'); },
  });
  const { daemon: client } = await start(t, { serverUrl: `ws://${id}` }, { nothing: (params) => Number(params !== undefined) });
  assert.equal(await client.call('three'), 3);
  assert.equal(await client.call('plain'), 0);
  assert.equal(await client.call('taken', { a: 1 }, { timeoutMs: 20_000 }), 4);
  assert.equal(await client.call('fails'), 1);
  assert.equal(await client.call('unknown'), -1);
  assert.equal(await server.call('nothing'), 0);
  client.unhandle('nothing');
  assert.equal(await server.call('nothing'), -1);
  assert.equal((await client.snapshot()).mode, 'client');
  await client.drain(5_000);
  await server.drain(5_000);
});

test('what nobody is there for is an event of the application', async (t) => {
  const { daemon: server, id } = await serve(t);
  const socketPath = join(scripts(t, {}), 'x.sock');
  const { daemon: client } = await start(t, { serverUrl: `ws://${id}`, local: { socketPath } });
  const told = next(server, 'message');
  client.tell({ free: [1] });
  assert.deepEqual(await told, { free: [1] });
  const program = connect(socketPath).setEncoding('utf8');
  t.after(() => program.destroy());
  program.write('{"name":"unknown","id":7}');
  assert.deepEqual(await once(program, 'data'), ['{"status":-1,"id":7}\n']);
  server.tell('to the program');
  assert.deepEqual(await once(program, 'data'), ['"to the program"\n']);
});

test('pauses come from either side and end', async (t) => {
  const { daemon: server, id } = await serve(t);
  const { daemon: client } = await start(t, { serverUrl: `ws://${id}` });
  for (const pause of [() => client.pause(0), () => server.sendAway(0)]) {
    const [lost, ready] = [next(client, 'lost'), next(client, 'ready')];
    pause();
    assert.match((await lost).reason.message, /paused/);
    await ready;
  }
});

test('a program of ws is a client, and a server', async (t) => {
  const { daemon: server, id } = await serve(t, {}, { five: (params) => params });
  const plain = new WebSocket(`ws://${id}/`);
  t.after(() => plain.terminate());
  const joined = next(server, 'peerJoined');
  await once(plain, 'open');
  assert.equal((await joined).name, '127.0.0.1');
  const heard = async () => JSON.parse(String((await once(plain, 'message'))[0]));
  plain.send('{"name":"five","id":"x","params":5}');
  assert.deepEqual(await heard(), { name: '&cmd', params: { code: 'STATUS', data: { status: 5, id: 'x' } } });
  const asked = server.call('there', [1]);
  const request = await heard();
  assert.deepEqual([request.name, request.params], ['there', [1]]);
  plain.send(JSON.stringify({ name: '&cmd', params: { code: 'STATUS', data: { status: null, id: request.id } } }));
  assert.equal(await asked, null);
  const lost = server.call('there');
  await heard();
  const left = next(server, 'peerLeft');
  plain.close();
  await assert.rejects(lost, { code: 'CONNECTION_LOST' });
  await left;

  const other = new WebSocket.Server({ port: 0, host: '127.0.0.1' });
  t.after(() => (other.clients.forEach((client) => client.terminate()), other.close()));
  await once(other, 'listening');
  other.on('connection', (socket) => socket.on('message', (data) => {
    const { id, ...rest } = JSON.parse(String(data));
    assert.deepEqual(rest, { name: 'there' });
    socket.send(JSON.stringify({ name: '&cmd', params: { code: 'STATUS', data: { status: 0, id } } }));
  }));
  const { daemon: client } = await start(t, { serverUrl: `ws://127.0.0.1:${other.address().port}` });
  assert.equal(await client.call('there'), 0);
});

test('what this side decides rejects', async (t) => {
  const { daemon: server, id } = await serve(t, { token: 'right' });
  await assert.rejects(server.call('any'), { code: 'NOT_READY' });
  assert.throws(() => server.handle('&cmd', () => {}), { code: 'ARGUMENT_INVALID' });
  await assert.rejects(start(t, { mode: 'server', listen: id }), { code: 'LISTEN_FAILED' });
  await assert.rejects(start(t, { serverUrl: `ws://${id}`, token: 'wrong' }), { code: 'AUTHENTICATION_FAILED' });
  assert.throws(() => new Daemon({ asks: { maxPending: 0 } }), { code: 'CONFIG_INVALID', message: /asks\.maxPending/ });

  let began;
  const begins = new Promise((resolve) => (began = resolve));
  const { daemon: slow, id: at } = await serve(t, {}, {
    slow: (_, { signal }) => (began(), new Promise((resolve) => signal.addEventListener('abort', resolve))),
  });
  const { daemon: client } = await start(t, { serverUrl: `ws://${at}` });
  const asked = client.call('slow');
  await begins;
  await assert.rejects(slow.drain(0), { code: 'DRAIN_TIMEOUT' });
  assert.equal(await asked, -4);
  await assert.rejects(client.call('any', null, { timeoutMs: 50 }), { code: 'CALL_TIMEOUT' });
  const signal = AbortSignal.abort(new Error('enough'));
  await assert.rejects(client.call('any', null, { signal }), /enough/);
});

test('a process whose daemons were closed ends by itself', async (t) => {
  const { exited } = startProcess(t, `
    import { Daemon } from 'moorline/wsdaemon';
    const server = new Daemon({ mode: 'server', listen: '127.0.0.1:0' });
    const { id } = await server.connect();
    const client = new Daemon({ serverUrl: 'ws://' + id, reconnect: { baseDelayMs: 600_000, maxDelayMs: 600_000 } });
    client.logger = null;
    const lost = new Promise((resolve) => client.on('lost', resolve));
    await client.connect();
    server.close();
    await lost;
    client.close();
  `);
  assert.equal(await exited, 0);
});

test('the guide: Node', async (t) => {
  const [block, ...others] = blocksOf('wsdaemon-libraries.md').filter(({ language }) => language === 'js');
  assert.deepEqual([block.section, others], ['Node', []]);
  const folder = scripts(t, { backup: 'exit 7' }, 'scripts');
  const programs = folderOfPrograms();
  const said = await programs.prints(block.text.replace("'scripts'", JSON.stringify(join(folder, 'scripts'))));
  assert.equal(said, 'told { load: 0.5 }\nhello Ada\ngreet: 0\nbackup: 7\nunknown: -1\n');
});
