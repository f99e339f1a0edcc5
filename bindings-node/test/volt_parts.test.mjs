// The parts that the daemon client's package exports beside the client.

import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';

import { scripted } from './scripted.mjs';

const volt = createRequire(import.meta.url)('../dist/volt/index.js');
const { ControlSocketManager, DaemonClientError, EnrollmentClient, HeartbeatManager, ReverseChannelBridge } = volt;

test('the words are those of the original', () => {
  assert.deepEqual(volt.DaemonSocketEvent, {
    RuntimeLifecycle: 'lifecycle',
    RuntimeProgress: 'progress',
    TeamClusterDaemonRegister: 'team-cluster-daemon:register',
    TeamClusterDaemonRegistered: 'team-cluster-daemon:registered',
    TeamClusterDaemonMessage: 'team-cluster-daemon:message',
  });
  assert.deepEqual(Object.values(volt.ProgressStageType), ['accepted', 'queued', 'running', 'completed', 'failed']);
  assert.deepEqual(volt.REVERSE_CHANNEL, {
    ResponseType: { Json: 'json', Buffer: 'buffer', Stream: 'stream' },
    SessionKind: { Terminal: 'terminal', Tunnel: 'tunnel', WebSocket: 'websocket' },
    TerminalTarget: { Container: 'container', Host: 'host' },
    TunnelSessionStatus: { Opening: 'opening', Open: 'open', Closed: 'closed' },
  });
  const names = ['EnrollmentFailed', 'SocketConnectionFailed', 'SocketRegistrationFailed', 'CommandTimeout', 'CommandRejected'];
  names.push('SocketNotReady', 'HandlerError', 'EmitFailed', 'HeartbeatFailed');
  assert.deepEqual(Object.keys(volt.DaemonClientErrorCode), names);
  for (const [name, code] of Object.entries(volt.DaemonClientErrorCode)) {
    assert.equal(code, name.replace(/(?!^)[A-Z]/g, '_$&').toUpperCase());
    assert.equal(volt.DaemonClientErrorName[code], name);
  }
});

test('every code has its constructor', () => {
  const cause = new Error('why');
  for (const [error, code, message, reason] of [
    [DaemonClientError.enrollmentFailed('a', cause), 'ENROLLMENT_FAILED', 'a', cause],
    [DaemonClientError.socketConnectionFailed('b'), 'SOCKET_CONNECTION_FAILED', 'b'],
    [DaemonClientError.socketRegistrationFailed('c', cause), 'SOCKET_REGISTRATION_FAILED', 'c', cause],
    [DaemonClientError.commandTimeout('x'), 'COMMAND_TIMEOUT', 'Timed out waiting for response to command "x"'],
    [DaemonClientError.commandRejected('x'), 'COMMAND_REJECTED', 'Command "x" was rejected by the server'],
    [DaemonClientError.commandRejected('x', ''), 'COMMAND_REJECTED', 'Command "x" was rejected by the server'],
    [DaemonClientError.commandRejected('x', 'no'), 'COMMAND_REJECTED', 'no'],
    [DaemonClientError.socketNotReady(), 'SOCKET_NOT_READY', 'The control socket is not ready'],
    [DaemonClientError.handlerError('x', cause), 'HANDLER_ERROR', 'Handler for command "x" threw an unhandled error', cause],
    [DaemonClientError.emitFailed(), 'EMIT_FAILED', 'Cannot emit message: control socket is not connected'],
    [DaemonClientError.heartbeatFailed(cause), 'HEARTBEAT_FAILED', 'Heartbeat failed: why', cause],
  ]) {
    assert.ok(error instanceof Error && error instanceof DaemonClientError);
    assert.deepEqual([error.name, error.code, error.message, error.cause], ['DaemonClientError', code, message, reason]);
    assert.ok(!('status' in error));
  }
});

test('the enrollment uses the global fetch of the moment, and tells failures apart', async (t) => {
  const real = globalThis.fetch;
  t.after(() => (globalThis.fetch = real));
  const url = 'http://volt.test/healthcheck';
  const client = new EnrollmentClient({ url });
  assert.ok(client.enabled);
  const asked = [];
  const answers = (status, body) => {
    globalThis.fetch = async (...args) => (asked.push(args), new Response(body, { status }));
  };
  answers(200, '{"status":"success","data":{"teamCluster":{"_id":"c"},"daemonPassword":"pw"}}');
  assert.deepEqual(await client.enroll('tok', '1.4.2'), { daemonPassword: 'pw', teamCluster: { _id: 'c' } });
  await client.enroll('tok');
  assert.deepEqual(asked.map(([to, { method, headers, body }]) => [to, method, headers, body]), [
    [url, 'POST', { 'content-type': 'application/json' }, '{"enrollmentToken":"tok","installedVersion":"1.4.2"}'],
    [url, 'POST', { 'content-type': 'application/json' }, '{"enrollmentToken":"tok"}'],
  ]);
  const fails = (message, rest) => assert.rejects(client.enroll('tok'), { name: 'DaemonClientError', code: 'ENROLLMENT_FAILED', message, ...rest });
  answers(401, '{"status":"error","code":"TeamCluster::EnrollmentInvalid","message":"Wrong token","statusCode":401}');
  await fails(/HTTP 401: TeamCluster::EnrollmentInvalid Wrong token$/, { status: 401 });
  answers(429, '{}');
  await fails(/HTTP 429$/, { status: 429 });
  answers(502, '<html>');
  await fails(/not JSON \(HTTP 502\)/);
  answers(200, '[]');
  await fails(/no data/);
  answers(200, '{"data":{"daemonPassword":"pw"}}');
  await fails(/daemonPassword or teamCluster/);
  answers(200, '{"data":{"daemonPassword":"","teamCluster":[]}}');
  assert.deepEqual(await client.enroll('tok'), { daemonPassword: '', teamCluster: [] });
  const redirects = (...to) => {
    asked.length = 0;
    globalThis.fetch = async (...args) => {
      asked.push(args);
      return to.length ? new Response('{}', { status: 307, headers: { location: to.shift() } }) : new Response('{}');
    };
  };
  redirects('https://volt.test/a', '/b', 'http://volt.test/c');
  await fails(/leads from https:\/\/volt\.test\/b to http:\/\/volt\.test\/c, unencrypted$/);
  assert.deepEqual(asked.map(([to]) => to), [url, 'https://volt.test/a', 'https://volt.test/b']);
  assert.ok(asked.every(([, { body, redirect }]) => body.includes('tok') && redirect === 'manual'));
  redirects(...Array(9).fill('/again'));
  await fails(/redirects too often/);
  const cause = new TypeError('fetch failed');
  globalThis.fetch = () => Promise.reject(cause);
  await fails(/could not be reached/, { cause });
});

test('the heartbeat beats at once, and again some time after each answer', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const sent = [];
  const errors = [];
  let answer;
  const results = [() => ({ seq: 1 }), () => Promise.reject(new Error('metrics failed')), () => ({ seq: 3 })];
  const payloadFactory = () => results.shift()();
  const manager = new HeartbeatManager(
    { interval: 100, payloadFactory },
    (payload) => (sent.push(payload), new Promise((resolve, reject) => (answer = { resolve, reject }))),
    (error) => errors.push(error),
  );
  const pass = async (ms) => (t.mock.timers.tick(ms), await turn());
  manager.start();
  manager.stop();
  await pass(0);
  assert.deepEqual(sent, []);
  manager.start();
  manager.start();
  await pass(0);
  assert.deepEqual(sent, [{ seq: 1 }]);
  await pass(1_000);
  assert.equal(sent.length, 1, 'the next beat waits for the answer');
  answer.reject(DaemonClientError.commandTimeout('runtime.heartbeat'));
  await turn();
  await pass(100);
  await pass(100);
  assert.deepEqual(sent, [{ seq: 1 }, { seq: 3 }]);
  assert.deepEqual(errors.map(({ code, message }) => [code, message]), [
    ['COMMAND_TIMEOUT', 'Timed out waiting for response to command "runtime.heartbeat"'],
    ['HEARTBEAT_FAILED', 'Heartbeat failed: metrics failed'],
  ]);
  manager.stop();
  answer.reject(new Error('late'));
  await turn();
  await pass(1_000);
  assert.equal(sent.length, 2);
  assert.equal(errors.length, 2);
});

test('the heartbeat sends an empty payload without a factory, and one loop runs after a restart', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const sent = [];
  const manager = new HeartbeatManager(undefined, async (payload) => void sent.push(payload), () => {});
  const pass = async (ms) => (t.mock.timers.tick(ms), await turn());
  manager.start();
  t.mock.timers.tick(0);
  manager.stop();
  manager.start();
  await pass(0);
  assert.deepEqual(sent, [{}]);
  await pass(30_000);
  assert.deepEqual(sent, [{}, {}]);
});

/** A socket of socket.io-client, as far as a bridge needs it; `emit` is for messages to the server. */
function socket() {
  const events = new EventEmitter();
  const sent = [];
  return {
    sent,
    on: (event, listener) => events.on(event, listener),
    emit: (event, message) => sent.push([event, message]),
    receive: async (...words) => (events.emit('team-cluster-daemon:message', ...words), await turn(), sent.splice(0).map(([, message]) => message)),
  };
}

test('a bridge serves any socket: commands, messages, streams', async () => {
  const one = socket();
  const errors = [];
  const messages = [];
  const bridge = new ReverseChannelBridge()
    .registerHandler('h.data', { handle: (payload, { command, requestId }) => ({ status: 202, headers: { a: 'b' }, data: { payload, command, requestId } }) })
    .registerHandler('h.empty', () => {})
    .registerHandler('h.body', { handle: () => ({ body: Uint8Array.of(1, 2) }) })
    .registerHandler('h.stream', { handle: () => ({ stream: ['hello ', 'world'] }) })
    .registerHandler('h.throw', () => Promise.reject(new Error('secret')))
    .registerHandler('h.refuse', () => Promise.reject(new volt.DaemonRejection(409, 'busy')))
    .onMessage((message) => messages.push(message))
    .onError((error) => errors.push(error));
  let active = 7;
  bridge.bindToSocket(one, 7, () => active);
  const ask = (command, rest) => one.receive({ type: 'command', requestId: 'r', command, ...rest });
  const text = async (command, rest) => JSON.stringify(await ask(command, rest));
  assert.equal(
    await text('h.data', { payload: { x: 1 } }),
    '[{"type":"response","requestId":"r","ok":true,"status":202,"headers":{"a":"b"},"data":{"status":"success","data":{"payload":{"x":1},"command":"h.data","requestId":"r"}}}]',
  );
  assert.equal(await text('h.empty'), '[{"type":"response","requestId":"r","ok":true,"status":200,"data":{"status":"success"}}]');
  assert.equal(await text('h.body', { responseType: 'buffer' }), '[{"type":"response","requestId":"r","ok":true,"status":200,"bodyBase64":"AQI="}]');
  assert.equal(await text('nope'), '[{"type":"response","requestId":"r","ok":false,"status":404,"message":"Unknown daemon command: nope"}]');
  assert.equal(
    await text('h.throw'),
    '[{"type":"response","requestId":"r","ok":false,"status":500,"message":"Handler for command \\"h.throw\\" threw an unhandled error"}]',
  );
  assert.equal(await text('h.refuse'), '[{"type":"response","requestId":"r","ok":false,"status":409,"message":"busy"}]');
  assert.deepEqual(errors.splice(0).map(({ code, cause }) => [code, cause.message]), [['HANDLER_ERROR', 'secret']]);
  const [{ streamId, ...first }, ...rest] = await ask('h.stream', { responseType: 'stream' });
  assert.deepEqual(first, { type: 'response', requestId: 'r', ok: true, status: 200 });
  assert.match(streamId, /^[0-9a-f-]{36}$/);
  assert.deepEqual(rest, [
    { type: 'stream', requestId: 'r', streamId, chunkBase64: 'aGVsbG8g' },
    { type: 'stream', requestId: 'r', streamId, chunkBase64: 'd29ybGQ=' },
    { type: 'stream-end', requestId: 'r', streamId },
  ]);
  assert.deepEqual(await one.receive(null), []);
  assert.deepEqual(await one.receive(), []);
  assert.deepEqual(await one.receive('hello'), []);
  assert.deepEqual(await one.receive({ type: 'command', command: 'h.empty' }), []);
  assert.deepEqual(messages, ['hello']);
  assert.match(errors[0].message, /requestId/);
  active = 8;
  assert.deepEqual(await ask('h.empty'), []);
  bridge.unregisterHandler('h.empty');
  active = 7;
  assert.equal((await ask('h.empty'))[0].status, 404);
});

test('a bridge serves the active socket on, and lets go of others and of what runs for them', async () => {
  const one = socket();
  let signal;
  let active = 1;
  const bridge = new ReverseChannelBridge().registerHandler('h', (_, context) => new Promise(() => ({ signal } = context)));
  bridge.bindToSocket(one, 1, () => active);
  await one.receive({ type: 'command', requestId: 'r', command: 'h' });
  bridge.cleanup();
  assert.ok(!signal.aborted);
  assert.equal((await one.receive({ type: 'command', requestId: 'r', command: 'nope' }))[0].status, 404);
  active = 2;
  bridge.cleanup();
  assert.ok(signal.aborted);
  active = 1;
  assert.deepEqual(await one.receive({ type: 'command', requestId: 'r', command: 'nope' }), []);
});

test('a control socket registers, without heartbeat, and serves the bridge it is given', async (t) => {
  const native = scripted(t);
  const log = [];
  const manager = new ControlSocketManager('ws://volt.test', { reconnectBaseDelayMs: 5 }, {
    onConnected: () => log.push('connected'),
    onDisconnected: (reason) => log.push(reason),
    onError: (error) => log.push(error.code),
  });
  const bridge = new ReverseChannelBridge().registerHandler('h', () => 5).onMessage((message) => log.push(message));
  manager.setBridge(bridge);
  const promise = manager.connect('c', 'pw');
  assert.deepEqual(native.opened, [
    'daemon',
    { control_socket_url: 'ws://volt.test', reconnect: { base_delay_ms: 5 }, team_cluster_id: 'c', daemon_password: 'pw', heartbeat: { enabled: false } },
  ]);
  await turn();
  const ready = { event: 'ready', id: 'c', transport: 'websocket', max_message: null };
  native.tell([ready]);
  await promise;
  assert.ok(manager.isReady());
  const reply = manager.sendCommand('x', { a: 1 }, 50);
  manager.emit({ type: 'y' });
  native.tell([
    { event: 'message', peer: null, payload: 'hello' },
    { event: 'work', work: 1, key: 'h', timeout_ms: null, meta: { request_id: 'r', response_type: 'json' } },
  ]);
  await turn();
  assert.deepEqual(native.taken(), [
    ['handle', 0, { key: 'h', meta: {} }],
    ['handle', 0, { key: '*', meta: { messages: true } }],
    ['start', 0, null],
    ['call', 1, { name: 'x', payload: { a: 1 }, options: { timeout_ms: 50 } }],
    ['emit', 0, { name: '', payload: { type: 'y' } }],
    ['done', 1, { value: { data: 5 } }],
  ]);
  native.tell([{ event: 'notice', error: { code: 'CONNECT_FAILED', message: 'x' } }, { event: 'lost', reason: { code: 'CONNECTION_LOST', message: 'ping timeout' }, retry_ms: 1, attempt: 1 }]);
  assert.deepEqual(log, ['connected', 'hello', 'SOCKET_CONNECTION_FAILED', 'ping timeout']);
  manager.setBridge(new ReverseChannelBridge());
  bridge.registerHandler('later', () => 1);
  await turn();
  assert.deepEqual(native.taken(), []);
  manager.disconnect();
  await assert.rejects(reply, { code: 'SOCKET_NOT_READY' });
  assert.throws(() => manager.emit({}), { code: 'EMIT_FAILED' });
});
