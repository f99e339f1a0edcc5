// Providers and consumers of network-cluster, with each other and with plain programs of `ws`.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { test } from 'node:test';

import { COMPRESSORS, Consumer, Provider } from 'moorline/network-cluster';

import { startProcess } from './support.mjs';

const WebSocket = createRequire(new URL('../../tests/peers/volt/package.json', import.meta.url))('ws');

/** Starts a provider on a free port; it is destroyed when the test ends. */
async function provide(t, options = {}) {
  const provider = new Provider({ port: 0, ...options });
  t.after(() => provider.destroy());
  await provider.ready();
  return provider;
}

/** Opens a consumer of that port; it is destroyed when the test ends. */
function consume(t, port, options = {}) {
  const consumer = new Consumer({ host: '127.0.0.1', port, ...options });
  t.after(() => consumer.destroy());
  return consumer;
}

/** A provider that is a plain program of `ws`. */
async function serve(t, port = 0) {
  const server = new WebSocket.Server({ port, host: '127.0.0.1' });
  t.after(() => (server.clients.forEach((client) => client.terminate()), server.close()));
  await once(server, 'listening');
  return server;
}

/** Waits for an event of a provider or consumer, and returns what its listeners get. */
const event = (emitter, kind) => once(emitter.events, kind);

test('a provider and a consumer exchange messages', async (t) => {
  const provider = await provide(t, { auth: { parameters: { key: 'SECRET', level: 5 } } });
  const consumer = consume(t, provider.port, { parameters: { key: 'SECRET', level: 5, name: 'a b&c' } });
  assert.deepEqual([consumer.connected, consumer.in_flight], [false, false]);
  const opened = event(provider, 'open');
  const connecting = consumer.connect();
  assert.deepEqual([consumer.connected, consumer.in_flight], [false, true]);
  await connecting;
  assert.deepEqual([consumer.connected, consumer.in_flight], [true, false]);
  const [connection] = await opened;
  assert.match(connection.id, /^[0-9a-f]{8}-[0-9a-f]{4}-4/);
  assert.equal(connection.ip, '127.0.0.1');
  assert.deepEqual({ ...connection.parameters }, { key: 'SECRET', level: '5', name: 'a b&c' });
  assert.equal(provider.connections[connection.id], connection);
  assert.deepEqual([connection.alive, connection.strikes], [true, 0]);

  const asked = event(provider, 'message');
  assert.equal(consumer.send('hello \ud800'), true);
  assert.deepEqual(await asked, [connection, 'hello \ufffd']);
  const answered = event(consumer, 'message');
  assert.equal(connection.send('back'), true);
  assert.deepEqual(await answered, ['back']);
  assert.throws(() => consumer.send(5), /message must be a String/);
  assert.throws(() => connection.send(5), /String, ArrayBuffer or TypedArray/);
  assert.throws(() => connection.send(null), /String, ArrayBuffer or TypedArray/);
});

test('bytes are bytes, and text if they are sent as text', async (t) => {
  const provider = await provide(t);
  const consumer = consume(t, provider.port);
  const opened = event(provider, 'open');
  await consumer.connect();
  const [connection] = await opened;
  const bytes = Buffer.from([0, 255, 128]);
  const asked = event(provider, 'message');
  consumer.send(bytes);
  const [, message] = await asked;
  assert.ok(message instanceof ArrayBuffer);
  assert.deepEqual(Buffer.from(message), bytes);
  for (const [data, isBinary, expected] of [
    [bytes, true, bytes],
    ['text', true, Buffer.from('text')],
    [Buffer.from('ä'), false, 'ä'],
    [undefined, false, ''],
  ]) {
    const answered = event(consumer, 'message');
    connection.send(data, isBinary);
    assert.deepEqual(await answered, [expected]);
  }
  assert.throws(() => connection.send(bytes), /no UTF-8/);
});

test('messages of the protocol are refused at the call', async (t) => {
  const provider = await provide(t);
  const consumer = consume(t, provider.port);
  const opened = event(provider, 'open');
  await consumer.connect();
  const [connection] = await opened;
  for (const kept of ['PING', 'PROVIDER_HEARTBEAT|1']) {
    assert.throws(() => connection.send(kept), { code: 'ARGUMENT_INVALID' });
    assert.throws(() => connection.send(Buffer.from(kept), true), { code: 'ARGUMENT_INVALID' });
    assert.equal(consumer.send(kept), true);
  }
  assert.throws(() => consumer.send('PONG'), { code: 'ARGUMENT_INVALID' });
  assert.equal(consumer.send(Buffer.from('PONG')), true);
  assert.equal(connection.send('PING '), true);
});

test('a listener of open sends before the announcement', async (t) => {
  const provider = await provide(t, { heartbeat: { interval: 12_000 } });
  provider.on('open', (connection) => connection.send('first'));
  const socket = new WebSocket(`ws://127.0.0.1:${provider.port}/connect`);
  t.after(() => socket.terminate());
  const messages = [];
  socket.on('message', (data) => messages.push(String(data)));
  while (messages.length < 2) await once(socket, 'message');
  assert.deepEqual(messages, ['first', 'PROVIDER_HEARTBEAT|12000']);
});

test('a program of ws is a consumer: heartbeats, strikes, the end', async (t) => {
  const provider = await provide(t, { heartbeat: { interval: 100, max_strikes: 1 } });
  const lines = [];
  provider.set_debug_logger((line) => lines.push(line.split('|')[0]));
  const opened = event(provider, 'open');
  const socket = new WebSocket(`ws://127.0.0.1:${provider.port}/connect?key=SECRET&a=1&a=2&b`);
  t.after(() => socket.terminate());
  const [connection] = await opened;
  assert.deepEqual({ ...connection.parameters }, { a: ['1', '2'], b: null, key: 'SECRET' });
  let pings = 0;
  socket.on('message', (data) => String(data) === 'PING' && ++pings === 1 && socket.send('PONG'));
  const [[code]] = await Promise.all([once(socket, 'close'), event(provider, 'close')]);
  assert.equal(code, 1005);
  assert.deepEqual([pings, connection.alive, connection.strikes], [2, false, 1]);
  assert.equal(provider.connections[connection.id], undefined);
  assert.equal(connection.send('late'), false);
  assert.ok(lines.includes('HEARTBEAT_CYCLE'));
  const signs = lines.filter((line) => line.startsWith('HEARTBEAT') && line !== 'HEARTBEAT_CYCLE');
  assert.deepEqual(signs, ['HEARTBEAT_SEND', 'HEARTBEAT_ALIVE', 'HEARTBEAT_SEND', 'HEARTBEAT_STRIKE', 'HEARTBEAT_KILL']);
});

test('a program of ws is a provider: announcement, PING, reconnect', async (t) => {
  const server = await serve(t);
  const asked = [];
  server.on('connection', (socket, request) => {
    asked.push(request.url);
    socket.send('PROVIDER_HEARTBEAT|1500');
    socket.send('PING');
  });
  const consumer = consume(t, server.address().port, { parameters: { a: 'x y' }, reconnect: { interval: 1 } });
  const lines = [];
  consumer.set_debug_logger((line) => lines.push(line));
  const pong = new Promise((resolve) => server.once('connection', (socket) => socket.once('message', resolve)));
  await consumer.connect();
  assert.equal(String(await pong), 'PONG');
  assert.deepEqual(asked, ['/connect?a=x%20y']);
  assert.deepEqual([consumer.heartbeat_duration, consumer.heartbeat_cutoff], [1500, 3000]);
  assert.ok(Date.now() - consumer.last_heartbeat < 10_000);
  assert.ok(lines.includes('HEARTBEAT_DURATION|1500') && lines.includes('HEARTBEAT_CHECK'));

  const lost = event(consumer, 'disconnect');
  const [client] = server.clients;
  client.close(4000, 'bye');
  assert.deepEqual(await lost, [4000, 'bye']);
  assert.deepEqual([consumer.connected, consumer.in_flight, consumer.send('no')], [false, true, false]);
  await consumer.ready();
  assert.equal(asked.length, 2);
});

test('auth.handler decides: true lets in, anything else, a throw and a rejection refuse', async (t) => {
  const verdicts = {
    yes: () => true,
    later: async () => true,
    no: () => false,
    one: () => 1,
    throws: () => { throw new Error('the handler threw'); },
    rejects: async () => Promise.reject(new Error('the handler rejected')),
  };
  const requests = [];
  const handler = (request, parameters) => (requests.push(request), verdicts[parameters.as]());
  const provider = await provide(t, { auth: { handler } });
  const errors = [];
  provider.set_error_handler((error) => errors.push(error.message));
  const outcomes = [];
  for (const as of Object.keys(verdicts)) {
    const consumer = consume(t, provider.port, { parameters: { as } });
    outcomes.push(await consumer.connect().then(() => 'in', ({ code, status }) => `${code} ${status}`));
  }
  const refused = 'AUTHENTICATION_FAILED 403';
  assert.deepEqual(outcomes, ['in', 'in', refused, refused, refused, refused]);
  assert.deepEqual(errors, ['the handler threw', 'the handler rejected']);
  const [{ method, url, path, query, headers, ip }] = requests;
  assert.deepEqual({ method, url, path, query, ip }, { method: 'GET', url: '/connect?as=yes', path: '/connect', query: 'as=yes', ip: '127.0.0.1' });
  assert.equal(headers.upgrade, 'websocket');
});

test('a 403 is final, and told once; a later connect has its own outcome', async (t) => {
  let refuse = true;
  const provider = await provide(t, { auth: { handler: () => !refuse } });
  const consumer = consume(t, provider.port);
  const told = [];
  consumer.set_error_handler(({ code }) => told.push(code));
  for (const kind of ['open', 'disconnect', 'close']) consumer.on(kind, (...values) => told.push([kind, ...values.slice(0, 1)]));
  const closed = event(consumer, 'close');
  await assert.rejects(consumer.connect(), { code: 'AUTHENTICATION_FAILED' });
  await closed;
  assert.deepEqual(told, ['AUTHENTICATION_FAILED', ['disconnect', 1006], ['close', 1006]]);
  assert.equal(consumer.in_flight, false);
  await assert.rejects(consumer.ready(), /not in flight/);
  refuse = false;
  await consumer.connect();
  assert.equal(consumer.connected, true);
});

test('attempts used up, or none wanted, settle connect()', async (t) => {
  const port = await freePort();
  for (const [reconnect, attempts] of [[false, 1], [{ interval: 1, max_attempts: 0 }, 1], [{ interval: 1, max_attempts: 2 }, 3]]) {
    const consumer = consume(t, port, { reconnect });
    let count = 0;
    consumer.on('disconnect', () => (count += 1));
    const closed = event(consumer, 'close');
    await assert.rejects(consumer.connect());
    assert.equal((await closed)[0], 1006);
    assert.equal(count, attempts);
  }
});

test('topics reach who subscribed, but not who publishes', async (t) => {
  const provider = await provide(t);
  const connections = [];
  provider.on('open', (connection) => connections.push(connection));
  const consumers = [];
  for (let index = 0; index < 3; index += 1) {
    consumers.push(consume(t, provider.port));
    const opened = event(provider, 'open');
    await consumers[index].connect();
    await opened;
  }
  const [a, b, c] = connections;
  assert.equal(a.publish('news', 'nobody'), false);
  for (const one of [a, b]) assert.equal(one.subscribe('news'), true);
  assert.deepEqual([a.isSubscribed('news'), c.isSubscribed('news'), b.getTopics()], [true, false, ['news']]);
  const heard = event(consumers[1], 'message');
  assert.equal(a.publish('news', 'from a'), true);
  assert.deepEqual(await heard, ['from a']);
  const first = event(consumers[0], 'message');
  assert.equal(provider.publish('news', 'from all'), true);
  assert.deepEqual(await first, ['from all']);
  assert.equal(b.unsubscribe('news'), true);
  assert.equal(a.publish('news', 'nobody'), false);
});

test('connections end in order, cut off, and with the provider', async (t) => {
  const provider = await provide(t);
  const ends = [(one) => one.end(4001, 'over'), (one) => one.end(), (one) => one.close(), () => void provider.destroy()];
  const seen = [];
  for (const end of ends) {
    const consumer = consume(t, provider.port, { reconnect: false });
    consumer.set_error_handler(() => {});
    const opened = event(provider, 'open');
    await consumer.connect();
    const [connection] = await opened;
    const [closed, lost] = [event(provider, 'close'), event(consumer, 'disconnect')];
    end(connection);
    seen.push([(await closed)[1], (await lost)[0]]);
  }
  assert.deepEqual(seen, [[4001, 4001], [0, 1005], [1006, 1006], [0, 1005]]);
});

test('send says false while a consumer does not read', async (t) => {
  const provider = await provide(t, { ws: { max_backpressure: 65_536 } });
  const opened = event(provider, 'open');
  const socket = new WebSocket(`ws://127.0.0.1:${provider.port}/connect`);
  t.after(() => socket.terminate());
  const [[connection]] = await Promise.all([opened, once(socket, 'open')]);
  socket.pause();
  const turn = () => new Promise(setImmediate);
  const text = 'x'.repeat(16_384);
  while (connection.send(text)) await turn();
  assert.ok(connection.getBufferedAmount() > 65_536);
  const closed = event(provider, 'close');
  connection.close();
  await closed;
  assert.deepEqual([connection.send('late'), connection.getBufferedAmount()], [false, 0]);
});

test('send says true again when what was sent around the handshake has been read', async (t) => {
  const provider = await provide(t, { ws: { max_backpressure: 65_536 } });
  const opened = event(provider, 'open');
  const socket = new WebSocket(`ws://127.0.0.1:${provider.port}/connect`);
  t.after(() => socket.terminate());
  const [[connection]] = await Promise.all([opened, once(socket, 'open')]);
  socket.pause();
  const turn = () => new Promise(setImmediate);
  while (connection.send('x'.repeat(16_384))) await turn();
  socket.resume();
  while (connection.getBufferedAmount() > 0) await turn();
  assert.equal(connection.send('again'), true);
});

test('what waits is not said to be dropped, and deliver tells what becomes of a message', async (t) => {
  const provider = await provide(t, { ws: { max_backpressure: 65_536, on_backlog: 'block' } });
  const opened = event(provider, 'open');
  const socket = new WebSocket(`ws://127.0.0.1:${provider.port}/connect`);
  t.after(() => socket.terminate());
  const [[connection]] = await Promise.all([opened, once(socket, 'open')]);
  assert.equal(await connection.deliver('first'), 'sent');
  socket.pause();
  const turn = () => new Promise(setImmediate);
  while (connection.getBufferedAmount() === 0) assert.equal(connection.send('x'.repeat(16_384)), (await turn(), true));
  const waiting = connection.deliver('waits');
  socket.resume();
  assert.equal(await waiting, 'queued');
  await assert.rejects(connection.deliver('PING'), { code: 'ARGUMENT_INVALID' });
  connection.close();
  await event(provider, 'close');
  await assert.rejects(connection.deliver('late'), { code: 'INPUT_GONE' });

  const consumer = consume(t, provider.port);
  await assert.rejects(consumer.deliver('early'), { code: 'NOT_READY' });
  await consumer.connect();
  assert.equal(await consumer.deliver(Buffer.from([1])), 'sent');
});

test('an address is told as its bytes too', async (t) => {
  const provider = await provide(t);
  const opened = event(provider, 'open');
  await consume(t, provider.port).connect();
  const [connection] = await opened;
  assert.deepEqual([...new Uint8Array(connection.getRemoteAddress())], [127, 0, 0, 1]);
  assert.equal(Buffer.from(connection.getRemoteAddressAsText()).toString(), '127.0.0.1');
  const six = await provide(t, { host: '::1' }).catch(() => undefined);
  if (six === undefined) return;
  const joined = event(six, 'open');
  await consume(t, six.port, { host: '::1' }).connect();
  const [other] = await joined;
  assert.deepEqual([...new Uint8Array(other.getRemoteAddress())], [...Array(15).fill(0), 1]);
});

test('a second provider of a port fails, and tells it', async (t) => {
  const { port } = await provide(t);
  const second = new Provider({ port });
  const told = new Promise((resolve) => second.set_error_handler(resolve));
  await assert.rejects(second.ready(), { code: 'LISTEN_FAILED' });
  assert.equal((await told).code, 'LISTEN_FAILED');
  second.set_error_handler(() => assert.fail('it was told'));
  await second.destroy();
});

test('destroy waits as long as it is told until what was sent has left', async (t) => {
  const provider = await provide(t);
  const consumer = consume(t, provider.port);
  await consumer.connect();
  let heard = 0;
  const last = new Promise((resolve) => provider.on('message', () => ++heard === 100 && resolve()));
  for (let index = 0; index < 100; index += 1) consumer.send('x'.repeat(10_000));
  await consumer.destroy(10_000);
  await last;
  await assert.rejects(consumer.connect().then(() => consumer.destroy(-1)), { code: 'ARGUMENT_INVALID' });

  const errors = [];
  provider.set_error_handler((error) => errors.push(error));
  const socket = new WebSocket(`ws://127.0.0.1:${provider.port}/connect`);
  t.after(() => socket.terminate());
  const opened = event(provider, 'open');
  await once(socket, 'open');
  socket.pause();
  const [connection] = await opened;
  while (connection.send(Buffer.alloc(1 << 20), true)) await new Promise(setImmediate);
  await assert.rejects(provider.destroy(10), { code: 'DRAIN_TIMEOUT' });
  assert.deepEqual(errors, []);
});

test('options are checked, and no prototype is touched', () => {
  const wrong = { code: 'CONFIG_INVALID' };
  assert.throws(() => new Provider(5), /options must be an object/);
  assert.throws(() => new Provider({ ws: { max_payload_length: -1 } }), { ...wrong, message: /ws\.max_payload_length/ });
  assert.throws(() => new Provider({ auth: { handler: 'no' } }), wrong);
  assert.throws(() => new Provider({ ssl: { key: 'only.pem' } }), wrong);
  assert.throws(() => new Consumer({ host: 'h', nonsense: 1 }), wrong);
  assert.throws(() => new Consumer(JSON.parse('{"host":"h","__proto__":{"polluted":1}}')), wrong);
  assert.throws(() => new Consumer(JSON.parse('{"host":"h","reconnect":{"__proto__":{"polluted":1}}}')), wrong);
  assert.doesNotThrow(() => new Consumer(JSON.parse('{"host":"h","parameters":{"__proto__":"x"}}')));
  assert.equal({}.polluted, undefined);
  assert.equal(COMPRESSORS.DEDICATED_COMPRESSOR_4KB, 2306);
  assert.throws(() => new Consumer({ host: 'h' }).set_error_handler(5), /set_error_handler\(handler\) -> handler must be a Function/);
});

test('debug lines of the original tell no parameters', async (t) => {
  const provider = await provide(t, { auth: { parameters: { key: 'RIGHT-SECRET' } } });
  const lines = [];
  provider.set_debug_logger((line) => lines.push(line));
  for (const key of ['WRONG-SECRET', 'RIGHT-SECRET']) {
    const consumer = consume(t, provider.port, { parameters: { key } });
    consumer.set_debug_logger((line) => lines.push(line));
    await consumer.connect().catch(() => {});
  }
  while (!lines.some((line) => line.startsWith('CONNECTION_OPEN'))) await new Promise(setImmediate);
  assert.doesNotMatch(lines.join('\n'), /SECRET/);
  assert.ok(lines.includes('REJECT_CONNECTION|127.0.0.1|/connect|its parameters do not fit'));
  for (const token of ['IN_FLIGHT', 'CONNECTED', 'CLOSED', 'FLUSHED_QUEUE', 'REJECT_CONNECTION', 'CONNECTION_UPGRADE']) {
    assert.ok(lines.some((line) => line.split('|')[0] === token), token);
  }
});

test('without handlers the console tells what goes wrong, once', async (t) => {
  const lines = [];
  t.mock.method(console, 'warn', (line) => lines.push(line));
  const provider = await provide(t, { auth: { parameters: { key: 'RIGHT' } } });
  const stranger = consume(t, provider.port, { parameters: { key: 'WRONG' } });
  await assert.rejects(stranger.connect(), { code: 'AUTHENTICATION_FAILED' });
  while (lines.length === 0) await new Promise(setImmediate);
  assert.deepEqual(lines.splice(0), ['moorline: PEER_REFUSED: 127.0.0.1: refused: its parameters do not fit']);

  const consumer = consume(t, provider.port, { parameters: { key: 'RIGHT' }, reconnect: { interval: 600_000 } });
  await consumer.connect();
  const lost = event(consumer, 'disconnect');
  await provider.destroy();
  await lost;
  assert.equal(lines.length, 1, lines.join('\n'));
  assert.match(lines[0], /^moorline: /);
  lines.length = 0;

  const port = await freePort();
  const away = consume(t, port, { reconnect: { interval: 1, max_attempts: 1 } });
  await assert.rejects(away.connect());
  assert.equal(lines.length, 1, lines.join('\n'));
  assert.match(lines[0], /^moorline: .*CONNECT_FAILED/);
});

for (const [state, act] of [
  ['connected', 'await consumer.connect();'],
  ['waiting to come back', 'await provider.destroy(); const lost = new Promise((r) => consumer.on("disconnect", r)); consumer.connect().catch(() => {}); await lost;'],
  ['never connected', ''],
]) {
  test(`a process whose consumer is destroyed ends by itself: ${state}`, async (t) => {
    const { exited } = startProcess(t, `
      import { Consumer, Provider } from 'moorline/network-cluster';
      const provider = new Provider({ port: 0 });
      await provider.ready();
      const consumer = new Consumer({ host: '127.0.0.1', port: provider.port, reconnect: { interval: 600000 } });
      ${act}
      consumer.destroy();
      provider.destroy();
    `);
    assert.equal(await exited, 0);
  });
}

async function freePort() {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
