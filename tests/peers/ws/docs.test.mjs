// The examples of the original's page, with only the command changed: its folder, its variable, its
// config.json, and a program that writes JSON to the socket.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';

import { freePort, program, script, startDaemon } from './daemon.mjs';

/** The two machines of the example. */
async function machines(t, { server = {}, client = {} } = {}) {
  const port = await freePort();
  const there = startDaemon(t, { mode: 'server', port }, server);
  await there.line('listening on');
  const here = startDaemon(t, { mode: 'client', proxy: '127.0.0.1', port: String(port) }, client);
  await here.line('connected to');
  return { there, here };
}

/** What a program of the original does: one write, and the status is awaited. */
async function ask(t, path, request) {
  const socket = connect(path);
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  socket.write(JSON.stringify(request));
  const [status] = await once(socket.setEncoding('utf8'), 'data');
  return JSON.parse(status);
}

test('a program of either machine runs a script of the other', async (t) => {
  const backup = script('[ "$1" = \'{"param1":"val1"}\' ] && exit 5');
  const { there, here } = await machines(t, {
    server: { files: { 'scripts/backup.sh': backup } },
    client: { files: { 'scripts/restart.sh': script('exit 0') } },
  });
  const params = { param1: 'val1' };
  assert.deepEqual(await ask(t, here.path, { name: 'backup.sh', id: '1', params }), { status: 5, id: '1' });
  assert.deepEqual(await ask(t, there.path, { name: 'restart.sh', id: '2', params }), { status: 0, id: '2' });
});

test('commands for either machine', async (t) => {
  const { there, here } = await machines(t);
  const [a, b] = [await program(t, here.path), await program(t, there.path)];
  for (const { say, hear } of [a, b]) {
    say('{"name":"+cmd","params":{"code":"STATUS","data":"own"}}');
    assert.equal(await hear(), '"own"\n');
  }
  a.say('{"name":"&cmd","params":{"code":"STATUS","data":{"status":0,"id":"1"}}}');
  assert.equal(await b.hear(), '{"status":0,"id":"1"}\n');
  b.say('{"name":"&cmd","params":{"code":"PAUSE","data":1}}');
  await here.line('paused for 1 ms');
  a.say('{"name":"none","id":"behind the pause"}');
  assert.equal(await a.hear(), '{"status":-1,"id":"behind the pause"}\n');
});

test('as in its container: setup.sh first, and programs ask over TCP', async (t) => {
  const port = await freePort();
  const { there, here } = await machines(t, {
    server: {
      files: {
        'setup.sh': { text: 'chmod +x scripts/*\n', mode: 0o644 },
        'scripts/late': { text: '#!/bin/sh\nexit 6\n', mode: 0o644 },
      },
      more: () => ['--run-setup'],
    },
    client: {
      files: { 'setup.sh': { text: 'touch ran\n', mode: 0o755 } },
      set: { 'local.tcp_address': `127.0.0.1:${port}` },
    },
  });
  await there.line('setting up');
  for (const address of [{ host: '127.0.0.1', port }, here.path]) {
    assert.deepEqual(await ask(t, address, { name: 'late', id: 1 }), { status: 6, id: 1 });
  }
  // Only where it was asked for.
  assert.equal(existsSync(join(here.folder, 'ran')), false);
});
