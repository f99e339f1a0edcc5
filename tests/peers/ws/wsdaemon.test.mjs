// Programs of `ws` as clients of our server and as the server of our client, byte for byte.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { WebSocketServer } from 'ws';

import { enter, program, script, speak, startDaemon } from './daemon.mjs';

const REQUEST = '{"name":"ok","id":"id-1","params":{"param1":"val1"}}';
const STATUS = '{"name":"&cmd","params":{"code":"STATUS","data":{"status":0,"id":"id-1"}}}';
const SCRIPTS = {
  'scripts/ok': script('echo "args=$# first=$1"'),
  'scripts/fail3': script('exit 3'),
};

const status = (data) => `{"name":"&cmd","params":{"code":"STATUS","data":${data}}}`;

/** A server of ours on a free port. */
async function startServer(t, options = {}) {
  const set = { listen: '127.0.0.1:0', ...options.set };
  const daemon = startDaemon(t, { mode: 'server' }, { files: SCRIPTS, ...options, set });
  const port = (await daemon.line('listening on')).split(':').at(-1);
  return { ...daemon, url: `ws://127.0.0.1:${port}` };
}

/** A client of that server that is in its rotation, since it has been answered. */
async function client(t, server, options = {}) {
  const joined = await enter(t, `${server.url}/`, options);
  joined.say(REQUEST);
  assert.equal(await joined.hear(), STATUS);
  return joined;
}

/** A server of `ws`, and a client of ours that comes back at once. */
async function startClient(t, options = {}) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  t.after(() => server.close());
  await once(server, 'listening');
  const config = { mode: 'client', proxy: '127.0.0.1', port: server.address().port };
  const set = { 'reconnect.base_delay_ms': 10, 'reconnect.max_delay_ms': 50 };
  const daemon = startDaemon(t, config, { files: SCRIPTS, set, ...options });
  const next = async () => {
    const [socket, request] = await once(server, 'connection');
    return { ...speak(t, socket), request };
  };
  return { daemon, server, next };
}

test('a client asks our server for scripts', async (t) => {
  const server = await startServer(t);
  const asker = await enter(t, `${server.url}/any/path?and=query`);
  // Offered by `ws`, declined.
  assert.deepEqual([asker.socket.protocol, asker.socket.extensions], ['', '']);
  asker.say(REQUEST);
  assert.equal(await asker.hear(), STATUS);
  await server.line('args=1 first={"param1":"val1"}');
  for (const [request, answer] of [
    ['{"name":"fail3","id":7}', '{"status":3,"id":7}'],
    ['{"name":"ok","id":null}', '{"status":0,"id":null}'],
    ['{"id":{"a":[1]},"name":"ok"}', '{"status":0,"id":{"a":[1]}}'],
    ['{"name":"ok"}', '{"status":0}'],
    ['{"name":"missing","id":1}', '{"status":-1,"id":1}'],
    ['{"name":"+cmd","id":2,"params":{"code":"PAUSE","data":1}}', '{"status":-1,"id":2}'],
  ]) {
    asker.say(request);
    assert.equal(await asker.hear(), status(answer));
  }
  await server.line('args=1 first=undefined');
  // Our server is none that pauses, and passes over what it does not know.
  for (const passed of ['PAUSE', 'NOPE']) asker.say(`{"name":"&cmd","params":{"code":"${passed}","data":1}}`);
  for (const passed of ['5', '[]', 'null', 'no JSON']) asker.say(passed);
  asker.say(Buffer.from(REQUEST));
  asker.say(REQUEST);
  assert.equal(await asker.hear(), STATUS);
});

test('a program asks the client of our server, whose bytes pass unchanged', async (t) => {
  const server = await startServer(t);
  const local = await program(t, server.path);
  local.say('{"name":"early","id":0}');
  assert.equal(await local.hear(), '{"status":-2,"id":0}\n');
  const other = await client(t, server);
  const spaced = '{ "name":"x",\t"id":"id-1","params" : [1e3, "\\u00e4"] }';
  for (const request of [REQUEST, spaced]) {
    local.say(request);
    assert.equal(await other.hear(), request);
    other.say(STATUS);
    assert.equal(await local.hear(), '{"status":0,"id":"id-1"}\n');
  }
  local.say('{"name":"&cmd","params":{"code":"STATUS","data":{"status":42,"extra":true}}}');
  assert.equal(await other.hear(), status('{"status":42,"extra":true}'));
  other.say('{"name":"&cmd","params":{"code":"status","data":"free text"}}');
  assert.equal(await local.hear(), '"free text"\n');
  local.say(`{"name":"+cmd","params":{"code":"STATUS","data":{"status":7,"id":"self"}}}`);
  assert.equal(await local.hear(), '{"status":7,"id":"self"}\n');
});

test('messages go round the clients, statuses back to who asked', async (t) => {
  const server = await startServer(t);
  const clients = [];
  for (let index = 0; index < 3; index += 1) clients.push(await client(t, server));
  const local = await program(t, server.path);
  for (const [turn, index] of [1, 2, 0, 1, 2, 0].entries()) {
    local.say(`{"name":"turn ${turn}","id":${turn}}`);
    assert.equal(await clients[index].hear(), `{"name":"turn ${turn}","id":${turn}}`);
    clients[index].say(status(`{"status":${index},"id":${turn}}`));
    assert.equal(await local.hear(), `{"status":${index},"id":${turn}}\n`);
  }
  clients.forEach(({ say }, index) => say(`{"name":"fail3","id":${index}}`));
  for (const [index, { hear }] of clients.entries()) {
    assert.equal(await hear(), status(`{"status":3,"id":${index}}`));
  }
  clients[1].socket.close();
  await clients[1].closed;
  local.say('{"name":"x","id":"left"}');
  const [heard, place] = await Promise.race([0, 2].map(async (at) => [await clients[at].hear(), at]));
  assert.equal(heard, '{"name":"x","id":"left"}');
  clients[place].socket.terminate();
  assert.equal(await local.hear(), '{"status":-4,"id":"left"}\n');
});

test('a client that answers no ping is dropped, one that does stays', async (t) => {
  const server = await startServer(t, { set: { ping_interval_ms: 100 } });
  const alive = await client(t, server);
  const deaf = await client(t, server, { autoPong: false });
  await deaf.closed;
  alive.say(REQUEST);
  assert.equal(await alive.hear(), STATUS);
});

test('a server with a token lets in who shows it', async (t) => {
  const files = { ...SCRIPTS, token: { text: 's3cret\n', mode: 0o600 } };
  const more = (folder) => ['--token-file', `${folder}/token`];
  const server = await startServer(t, { files, more });
  assert.equal((await enter(t, server.url)).status, 401);
  const shown = (token) => ({ headers: { authorization: `Bearer ${token}` } });
  assert.equal((await enter(t, server.url, shown('s3cre'))).status, 401);
  assert.equal((await enter(t, `${server.url}/?token=s3cret`)).status, 401);
  await client(t, server, shown('s3cret'));
});

test('our client runs scripts for a server, and asks it', async (t) => {
  const { daemon, next } = await startClient(t);
  const { request, say, hear } = await next();
  const { headers } = request;
  assert.deepEqual([request.method, request.url, headers['sec-websocket-version']], ['GET', '/', '13']);
  for (const name of ['sec-websocket-protocol', 'origin', 'cookie', 'authorization']) {
    assert.equal(headers[name], undefined, name);
  }
  say(REQUEST);
  assert.equal(await hear(), STATUS);
  await daemon.line('args=1 first={"param1":"val1"}');
  const local = await program(t, daemon.path);
  local.say(`${REQUEST}\n`);
  assert.equal(await hear(), REQUEST);
  say(STATUS);
  assert.equal(await local.hear(), '{"status":0,"id":"id-1"}\n');
  say(status('"free text"'));
  assert.equal(await local.hear(), '"free text"\n');
});

test('our client goes away for a while, comes back, and leaves nobody without an answer', async (t) => {
  const { daemon, next } = await startClient(t);
  const first = await next();
  const second = next();
  first.say('{"name":"&cmd","params":{"code":"PAUSE","data":1}}');
  assert.equal(await first.closed, 1000);
  const back = await second;
  const local = await program(t, daemon.path);
  const third = next();
  local.say('{"name":"+cmd","params":{"code":"PAUSE","data":200}}');
  local.say('{"name":"one","id":1}{"name":"two","id":2}');
  assert.equal(await back.closed, 1000);
  const again = await third;
  assert.deepEqual([await again.hear(), await again.hear()], ['{"name":"one","id":1}', '{"name":"two","id":2}']);
  const fourth = next();
  again.socket.terminate();
  // What was on its way when the link broke is answered: nobody knows what became of it.
  assert.deepEqual([await local.hear(), await local.hear()], ['{"status":-4,"id":1}\n', '{"status":-4,"id":2}\n']);
  const last = await fourth;
  local.say('{"name":"three","id":3}');
  assert.equal(await last.hear(), '{"name":"three","id":3}');
  last.say(status('{"status":0,"id":3}'));
  assert.equal(await local.hear(), '{"status":0,"id":3}\n');
});

test('our client leaves a server that is silent', async (t) => {
  const { next } = await startClient(t, { set: { 'reconnect.base_delay_ms': 10, ping_interval_ms: 100 } });
  const first = await next();
  const second = next();
  // Nothing is read any more, pings included.
  first.socket.pause();
  const { say, hear } = await second;
  say(REQUEST);
  assert.equal(await hear(), STATUS);
});
