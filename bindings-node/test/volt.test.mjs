// The daemon client above a scripted add-on: what crosses, what callbacks see, what becomes of promises.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { types } from 'node:util';

import { scripted } from './scripted.mjs';

const { ClusterDaemonClient, DaemonClientError } = createRequire(import.meta.url)('../dist/volt/index.js');

const OPTIONS = {
  serverUrl: 'http://volt.test',
  controlSocketUrl: 'ws://volt.test',
  credentials: { teamClusterId: 'cluster-abc123', daemonPassword: 'pw' },
};
const READY = { event: 'ready', id: 'cluster-abc123', transport: 'websocket', max_message: 200 };
const lost = (message) => ({ event: 'lost', reason: { code: 'CONNECTION_LOST', message }, retry_ms: 5, attempt: 1 });
const notice = (code, message, rest) => ({ event: 'notice', error: { code, message, ...rest } });

/** A client above a scripted session, and a log of its callbacks. */
function client(t, options = {}, native = scripted(t)) {
  const daemon = new ClusterDaemonClient({ ...OPTIONS, ...options });
  const log = [];
  daemon
    .onConnected(() => log.push('connected'))
    .onDisconnected((reason) => log.push(`disconnected: ${reason}`))
    .onError((error) => log.push(error));
  return { daemon, native, log };
}

async function connected(t, options, native) {
  const all = client(t, options, native);
  const promise = all.daemon.connect();
  await turn();
  all.native.tell([READY]);
  await promise;
  all.log.length = 0;
  all.native.taken();
  return all;
}

test('connect starts a session, runs the callbacks and then resolves', async (t) => {
  const { daemon, native, log } = client(t);
  assert.equal(native.sessions.length, 0, 'the constructor opens nothing');
  daemon.registerHandler('jobs.run', () => 1).onMessage(() => {});
  const promise = daemon.connect().then(() => log.push('resolved'));
  await turn();
  assert.deepEqual(native.taken(), [
    ['handle', 0, { key: 'jobs.run', meta: {} }],
    ['handle', 0, { key: '*', meta: { messages: true } }],
    ['start', 0, null],
  ]);
  daemon.onConnected(() => log.push(`ready: ${daemon.isReady()}`));
  assert.equal(daemon.isReady(), false);
  native.tell([READY]);
  await promise;
  assert.deepEqual(log, ['connected', 'ready: true', 'resolved']);
});

test('options cross in the words of the core, edge values as the original reads them', async (t) => {
  const opened = (options) => {
    const { daemon, native } = client(t, options);
    daemon.connect().catch(() => {});
    daemon.disconnect();
    const [role, crossed] = native.opened;
    assert.equal(`${native.dialect}/${role}`, 'volt/daemon');
    return crossed;
  };
  assert.deepEqual(opened(), {
    server_url: 'http://volt.test',
    control_socket_url: 'ws://volt.test',
    team_cluster_id: 'cluster-abc123',
    daemon_password: 'pw',
    enrollment: {},
    heartbeat: {},
    reconnect: {},
  });
  assert.deepEqual(
    opened({
      credentials: { teamClusterId: 'c', daemonPassword: '', enrollmentToken: 'tok', installedVersion: '1.4.2' },
      enrollment: { url: 'http://volt.test/e', enabled: true, onAlreadyEnrolled: 'error', timeout: 500 },
      heartbeat: { interval: 250, jitter: 20, payloadFactory: () => ({}), includeCredentials: true, mode: 'message' },
      socket: {
        reconnect: true,
        maxReconnectAttempts: 3,
        reconnectBaseDelayMs: 100,
        reconnectMaxDelayMs: 900,
        randomizationFactor: 0.25,
        path: '/volt/socket.io/',
        transports: ['polling', 'websocket'],
        maxQueued: 4,
        maxQueuedBytes: 64,
        connectTimeout: 700,
      },
      registrationTimeout: 800,
      registerWithAck: true,
      reconnectOnServerDisconnect: false,
      maxConcurrent: 8,
      limits: { maxMessageBytes: 4096 },
      runtime: { storePath: '/tmp/store', caFile: 'ca.pem', traceFile: 'trace' },
    }),
    {
      server_url: 'http://volt.test',
      control_socket_url: 'ws://volt.test',
      team_cluster_id: 'c',
      daemon_password: '',
      enrollment_token: 'tok',
      installed_version: '1.4.2',
      enrollment: { enabled: true, url: 'http://volt.test/e', on_already_enrolled: 'error', timeout_ms: 500 },
      heartbeat: { interval_ms: 250, jitter_ms: 20, asks: true, include_credentials: true, mode: 'message' },
      reconnect_enabled: true,
      reconnect: { base_delay_ms: 100, max_delay_ms: 900, jitter_percent: 25, max_attempts: 3 },
      path: '/volt/socket.io/',
      transport: 'upgrade',
      max_queued: 4,
      max_queued_bytes: 64,
      connect_timeout_ms: 700,
      registration_timeout_ms: 800,
      register_with_ack: true,
      reconnect_on_server_disconnect: false,
      max_concurrent: 8,
      limits: { max_message_bytes: 4096 },
      runtime: { store_path: '/tmp/store', ca_file: 'ca.pem', trace_file: 'trace' },
    },
  );
  const reconnect = (socket) => opened({ socket }).reconnect;
  assert.deepEqual(reconnect({ maxReconnectAttempts: Infinity }), { max_attempts: 0 });
  assert.deepEqual(reconnect({ maxReconnectAttempts: 0 }), { max_attempts: 0 });
  assert.deepEqual(reconnect({ reconnectBaseDelayMs: 0, reconnectMaxDelayMs: 0 }), { base_delay_ms: 1000, max_delay_ms: 5000 });
  assert.deepEqual(reconnect({ reconnectBaseDelayMs: 500, reconnectMaxDelayMs: 100 }), { base_delay_ms: 100, max_delay_ms: 100 });
  for (const randomizationFactor of [0, -1, 1.5, NaN]) assert.deepEqual(reconnect({ randomizationFactor }), { jitter_percent: 0 });
  for (const [transports, transport] of [[['websocket'], 'websocket'], [['polling'], 'polling'], [['websocket', 'polling'], 'auto'], [[], undefined]]) {
    assert.equal(opened({ socket: { transports } }).transport, transport);
  }
});

test('commands that are like each other cross as payloads, in their order among all else', async (t) => {
  const { daemon, native } = await connected(t);
  const lines = [];
  const { submit } = native;
  native.submit = (text) => (lines.push(...text.split('\n')), submit.call(native, text));
  const pending = [
    daemon.sendCommand('a', { n: 1 }),
    daemon.sendCommand('a'),
    (daemon.emit({ type: 'x' }), daemon.sendCommand('a', [2])),
    daemon.sendCommand('b', '!'),
    daemon.sendCommand('b', Buffer.from('x')),
    daemon.sendCommand('b', '#\n'),
    daemon.sendCommand('b', null, 5),
  ];
  await turn();
  const taken = native.taken();
  assert.deepEqual(taken, [
    ['call', 1, { name: 'a', payload: { n: 1 } }],
    ['call', 2, { name: 'a' }],
    ['emit', 0, { name: '', payload: { type: 'x' } }],
    ['call', 3, { name: 'a', payload: [2] }],
    ['call', 4, { name: 'b', payload: '!' }],
    ['call', 5, { name: 'b', payload: { _placeholder: true, num: 0 }, blobs: ['eA=='] }],
    ['call', 6, { name: 'b', payload: '#\n' }],
    ['call', 7, { name: 'b', options: { timeout_ms: 5 }, payload: null }],
  ]);
  assert.equal(lines.length, 8 + 4, 'a line for each command, and one where they change');
  native.tell([1, 2, 3, 4, 5, 6, 7].map((call) => ({ event: 'call_done', call, value: call })));
  assert.deepEqual(await Promise.all(pending), [1, 2, 3, 4, 5, 6, 7]);
});

test('frequent events may come as a number and a value, among objects', async (t) => {
  const { daemon, native } = await connected(t);
  const messages = [];
  daemon.onMessage((message) => {
    messages.push(message);
    if (message === 'last') daemon.disconnect();
  });
  const pending = [1, 2, 3, 4].map(() => daemon.sendCommand('a'));
  await turn();
  native.tell([3, 7, 0, 5, { event: 'call_done', call: 1, value: 8 }, 0, { type: 'x' }, 2, null, 9, 'nobody', 0, 'last', 0, 'late', 4, 1]);
  assert.deepEqual(await Promise.all(pending.slice(0, 3)), [8, null, 7]);
  assert.deepEqual(messages, [5, { type: 'x' }, 'last']);
  await assert.rejects(pending[3], { code: 'SOCKET_NOT_READY' });
});

test('one refused command does not cost those that are like it', async (t) => {
  const native = scripted(t, { refuses: (batch) => batch.some(([, , { payload } = {}]) => payload === 'bad') });
  const { daemon } = await connected(t, {}, native);
  const before = daemon.sendCommand('a', 'good');
  const bad = daemon.sendCommand('a', 'bad');
  const after = daemon.sendCommand('a', 'good');
  await assert.rejects(bad, { name: 'DaemonClientError', message: 'refused' });
  assert.deepEqual(native.taken().map(([, id]) => id), [1, 3]);
  native.tell([1, 3].map((call) => ({ event: 'call_done', call, value: call })));
  assert.deepEqual(await Promise.all([before, after]), [1, 3]);
});

test('what rejects pending commands has a name and a message but no frames, and other errors keep theirs', async (t) => {
  const { daemon, native } = await connected(t);
  const limit = Error.stackTraceLimit;
  const fail = async (call) => {
    const pending = daemon.sendCommand('a');
    await turn();
    native.tell([{ event: 'call_done', call, error: { code: 'REMOTE_ERROR', message: 'no', status: 409 } }]);
    return pending.then(assert.fail, (error) => error);
  };
  const error = await fail(1);
  assert.ok(error instanceof DaemonClientError && types.isNativeError(error));
  assert.deepEqual([error.code, error.status, error.cause], ['COMMAND_REJECTED', 409, undefined]);
  assert.equal(error.stack, 'DaemonClientError: no');
  assert.equal(Error.stackTraceLimit, limit);
  t.after(() => Object.defineProperty(Error, 'stackTraceLimit', { value: limit, writable: true }));
  Object.defineProperty(Error, 'stackTraceLimit', { value: limit, writable: false, configurable: true });
  assert.match((await fail(2)).stack, /^DaemonClientError: no\n/);
  const pending = daemon.sendCommand('a');
  daemon.disconnect();
  await assert.rejects(pending, ({ stack }) => stack.includes('volt.test.mjs'));
});

test('options that the core refuses reject connect', async (t) => {
  const native = scripted(t);
  const { daemon } = client(t, {}, native);
  const open = Object.assign(new Error('team_cluster_id'), { code: 'CONFIG_INVALID' });
  const addOn = createRequire(import.meta.url)('../dist/native.js');
  addOn.Native = {
    open() {
      throw open;
    },
  };
  await assert.rejects(daemon.connect(), (error) => {
    assert.ok(error instanceof DaemonClientError);
    assert.equal(error.code, 'SOCKET_CONNECTION_FAILED');
    assert.equal(error.cause.code, 'CONFIG_INVALID');
    return /teamClusterId/.test(error.message);
  });
});

test('the first failed attempt rejects connect, later ones are told to onError', async (t) => {
  const { daemon, native, log } = client(t);
  const first = daemon.connect();
  await turn();
  const message = 'Control socket connection error: websocket error';
  native.tell([notice('PEER_PROTOCOL', 'odd'), notice('CONNECT_FAILED', message), notice('CONNECT_FAILED', message)]);
  await assert.rejects(first, { name: 'DaemonClientError', code: 'SOCKET_CONNECTION_FAILED', message });
  assert.deepEqual(log.map(({ message: text }) => text), ['odd', message, message]);
  assert.equal(log[1].cause.code, 'CONNECT_FAILED');
  log.length = 0;
  native.tell([READY]);
  assert.deepEqual(log, ['connected']);
  assert.ok(daemon.isReady());
});

test('a refused registration rejects connect, and is told to onError afterwards', async (t) => {
  const { daemon, native, log } = client(t);
  const first = daemon.connect();
  await turn();
  native.tell([lost('transport close'), notice('REGISTRATION_FAILED', 'transport close before registered')]);
  await assert.rejects(first, { code: 'SOCKET_REGISTRATION_FAILED' });
  assert.deepEqual(log, ['disconnected: transport close']);
  native.tell([notice('REGISTRATION_FAILED', 'again')]);
  assert.equal(log[1].code, 'SOCKET_REGISTRATION_FAILED');
});

test('a failed enrollment rejects connect and is told nobody else', async (t) => {
  const { daemon, native, log } = client(t);
  const first = daemon.connect();
  await turn();
  native.tell([{ event: 'ended', error: { code: 'ENROLLMENT_FAILED', message: 'HTTP 401', status: 401 } }]);
  await assert.rejects(first, { code: 'ENROLLMENT_FAILED', message: 'HTTP 401', status: 401 });
  assert.deepEqual(log, []);
  assert.throws(() => daemon.emit({ type: 'x' }), { code: 'EMIT_FAILED' });
  await assert.rejects(daemon.sendCommand('x'), { code: 'SOCKET_NOT_READY' });
});

for (const code of ['CONNECT_FAILED', 'CONNECTION_LOST']) {
  test(`an end that nobody asked for is told to onError: ${code}`, async (t) => {
    const { daemon, native, log } = await connected(t);
    native.tell([lost('transport close'), { event: 'ended', error: { code, message: 'gave up after 3 attempts' } }]);
    assert.equal(log[0], 'disconnected: transport close');
    assert.equal(log[1].code, 'SOCKET_CONNECTION_FAILED');
    assert.match(log[1].message, /3 attempts/);
    assert.equal(daemon.isReady(), false);
  });
}

test('the enrolled password stays with the client, which enrolls no second time', async (t) => {
  const credentials = { teamClusterId: 'c', daemonPassword: '', enrollmentToken: 'tok' };
  const { daemon, native } = client(t, { credentials });
  const first = daemon.connect();
  await turn();
  assert.equal(daemon.getDaemonPassword(), '');
  native.tell([{ event: 'enrolled', password: 'rotated' }, READY]);
  await first;
  assert.equal(daemon.getDaemonPassword(), 'rotated');
  assert.equal(daemon.getTeamClusterId(), 'c');
  void daemon.connect();
  const [, { daemon_password, enrollment_token }] = native.sessions[1].opened;
  assert.equal(daemon_password, 'rotated');
  assert.equal(enrollment_token, undefined);
  daemon.setDaemonPassword('newer');
  daemon.disconnect();
  assert.equal(daemon.getDaemonPassword(), 'newer');
  const words = native.sessions[1].taken().map(([name, , body]) => [name, body]);
  assert.deepEqual(words.slice(-2), [['emit', { name: '$password', payload: { password: 'newer' } }], ['stop', { drain_ms: 0 }]]);
});

test('the commands of one turn cross together, with payloads as JSON.stringify writes them', async (t) => {
  const { daemon, native } = await connected(t, { commandTimeout: 900 });
  const replies = [
    daemon.sendCommand('a', { a: 1, skip: undefined, when: new Date(0), nan: NaN }),
    daemon.sendCommand('b'),
    daemon.sendCommand('c', null, 0),
    daemon.sendCommand('d', {}, Infinity),
  ];
  assert.equal(native.batches.length, 0);
  await turn();
  assert.equal(native.batches.length, 1);
  assert.deepEqual(native.taken(), [
    ['call', 1, { name: 'a', payload: { a: 1, when: '1970-01-01T00:00:00.000Z', nan: null }, options: { timeout_ms: 900 } }],
    ['call', 2, { name: 'b', options: { timeout_ms: 900 } }],
    ['call', 3, { name: 'c', payload: null, options: { timeout_ms: 0 } }],
    ['call', 4, { name: 'd', payload: {}, options: { timeout_ms: Number.MAX_SAFE_INTEGER } }],
  ]);
  const error = { code: 'CALL_TIMEOUT', message: 'Timed out waiting for response to command "c"' };
  native.tell([
    { event: 'call_done', call: 2 },
    { event: 'call_done', call: 1, value: { items: [1] } },
    { event: 'call_done', call: 3, error },
    { event: 'call_done', call: 4, error: { code: 'REMOTE_ERROR', message: 'Invalid daemon credentials', status: 401 } },
  ]);
  assert.deepEqual(await replies[0], { items: [1] });
  assert.equal(await replies[1], undefined);
  await assert.rejects(replies[2], { name: 'DaemonClientError', code: 'COMMAND_TIMEOUT', message: error.message });
  await assert.rejects(replies[3], { code: 'COMMAND_REJECTED', message: 'Invalid daemon credentials', status: 401 });
});

test('a command never throws: what cannot be sent and what finds no session rejects', async (t) => {
  const { daemon, native } = client(t);
  await assert.rejects(daemon.sendCommand('x'), { code: 'SOCKET_NOT_READY' });
  const connecting = daemon.connect();
  await assert.rejects(daemon.sendCommand('x'), { code: 'SOCKET_NOT_READY' });
  native.tell([READY]);
  await connecting;
  const circle = {};
  circle.circle = circle;
  await assert.rejects(daemon.sendCommand('x', circle), { code: 'EMIT_FAILED' });
  await assert.rejects(daemon.sendCommand('x', Array(11).fill(Buffer.of(1))), { code: 'EMIT_FAILED', message: /at most 10/ });
  native.tell([lost('transport close')]);
  await assert.rejects(daemon.sendCommand('x'), { code: 'SOCKET_NOT_READY' });
  assert.ok(native.taken().every(([name]) => name !== 'call'));
});

test('emit throws outside of a session, and for what is too large or no JSON', async (t) => {
  const { daemon, native } = client(t);
  const closed = { name: 'DaemonClientError', code: 'EMIT_FAILED', message: 'Cannot emit message: control socket is not connected' };
  assert.throws(() => daemon.emit({ type: 'x' }), closed);
  void daemon.connect();
  daemon.emit({ type: 'waits' });
  await turn();
  native.tell([READY, lost('ping timeout')]);
  daemon.emit({ type: 'waits too', skip: undefined });
  await turn();
  assert.deepEqual(
    native.taken().filter(([name]) => name === 'emit').map(([, , body]) => body),
    [{ name: '', payload: { type: 'waits' } }, { name: '', payload: { type: 'waits too' } }],
  );
  assert.throws(() => daemon.emit({ type: 'x', text: 'x'.repeat(200) }), { code: 'EMIT_FAILED', message: /200/ });
  assert.throws(() => daemon.emit({ type: 'x', bytes: Buffer.alloc(201) }), { code: 'EMIT_FAILED' });
  assert.throws(() => daemon.emit({ type: 'x', list: Array(11).fill(Buffer.of(1)) }), { code: 'EMIT_FAILED' });
  assert.throws(() => daemon.emit({ type: 'x', big: 1n }), { code: 'EMIT_FAILED' });
  assert.throws(() => daemon.emit(undefined), { code: 'EMIT_FAILED' });
  daemon.disconnect();
  assert.throws(() => daemon.emit({ type: 'x' }), closed);
});

test('messages reach every listener in order, before the command that they answer settles', async (t) => {
  const { daemon, native } = await connected(t);
  const seen = [];
  const first = (message) => seen.push(['first', message]);
  daemon.onMessage(first).onMessage((message) => seen.push(['second', message]));
  const reply = daemon.sendCommand('x').then((value) => seen.push(['settled', value]));
  await turn();
  assert.equal(native.taken().filter(([name, , body]) => name === 'handle' && body.key === '*').length, 1);
  const answer = { type: 'response', requestId: 'r', ok: true };
  native.tell([{ event: 'message', peer: null, payload: answer }, { event: 'call_done', call: 1, value: 5 }]);
  await reply;
  assert.deepEqual(seen, [['first', answer], ['second', answer], ['settled', 5]]);
  seen.length = 0;
  daemon.off(first);
  native.tell([{ event: 'message', peer: null, payload: 'hello' }]);
  assert.deepEqual(seen, [['second', 'hello']]);
});

test('listening ends with the last listener, and off takes every kind of callback', async (t) => {
  const { daemon, native, log } = await connected(t);
  const all = () => log.push('never');
  daemon.onMessage(all).onConnected(all).onDisconnected(all).onError(all);
  assert.equal(daemon.off(all), daemon);
  await turn();
  assert.deepEqual(native.taken(), [['handle', 0, { key: '*', meta: { messages: true } }], ['unhandle', 0, { key: '*' }]]);
  native.tell([lost('transport close'), READY, notice('OVERLOADED', 'dropped')]);
  assert.deepEqual(log.map(String), ['disconnected: transport close', 'connected', 'DaemonClientError: dropped']);
});

test('what callbacks throw goes to onError, and the others are called all the same', async (t) => {
  const { daemon, native, log } = client(t);
  daemon.onConnected(() => {
    throw new Error('boom');
  });
  daemon.onConnected(async () => Promise.reject(new Error('later boom')));
  daemon.onConnected(() => log.push('last'));
  const promise = daemon.connect();
  await turn();
  native.tell([READY]);
  await promise;
  await turn();
  assert.deepEqual(log.map(String), [
    'connected',
    'DaemonClientError: A callback of onConnected failed: boom',
    'last',
    'DaemonClientError: A callback of onConnected failed: later boom',
  ]);
  assert.equal(log[1].code, 'HANDLER_ERROR');
  assert.equal(log[1].cause.message, 'boom');
});

test('what onError throws is uncaught, and so is what callbacks throw without an onError', async (t) => {
  const thrown = [];
  process.setUncaughtExceptionCaptureCallback((error) => thrown.push(error.message));
  t.after(() => process.setUncaughtExceptionCaptureCallback(null));
  const { daemon, native, log } = await connected(t);
  daemon.onError(() => {
    throw new Error('of onError');
  });
  daemon.onError(() => log.push('the next'));
  native.tell([notice('OVERLOADED', 'dropped')]);
  assert.equal(log[1], 'the next');
  const bare = new ClusterDaemonClient(OPTIONS).onConnected(() => {
    throw new Error('of onConnected');
  });
  const promise = bare.connect();
  native.sessions[1].tell([READY]);
  await promise;
  await turn();
  assert.deepEqual(thrown, ['of onError', 'of onConnected']);
});

test('disconnect is synchronous: everything settles, no callback follows, the farewell has crossed', async (t) => {
  const { daemon, native, log } = await connected(t);
  daemon.onMessage(() => log.push('message'));
  const reply = daemon.sendCommand('x');
  daemon.emit({ type: 'last words' });
  daemon.disconnect();
  assert.equal(daemon.isReady(), false);
  assert.deepEqual(native.taken().map(([name]) => name), ['handle', 'call', 'emit', 'stop']);
  daemon.disconnect();
  await assert.rejects(reply, { code: 'SOCKET_NOT_READY', message: /unknown/ });
  native.tell([
    lost('io client disconnect'),
    notice('CONNECT_FAILED', 'x'),
    { event: 'message', peer: null, payload: {} },
    { event: 'ended', error: null },
  ]);
  await turn();
  assert.deepEqual(log, []);
  assert.deepEqual(native.taken(), []);
  assert.deepEqual(native.holds.at(-1), true);
  assert.equal(native.closes, 1, 'the end of the session lets the process go');
});

test('a callback that disconnects silences those behind it', async (t) => {
  const { daemon, native, log } = client(t);
  daemon.onConnected(() => daemon.disconnect()).onConnected(() => log.push('never'));
  const promise = daemon.connect();
  await turn();
  native.tell([READY, lost('transport close')]);
  await assert.rejects(promise, { code: 'SOCKET_CONNECTION_FAILED' });
  assert.deepEqual(log, ['connected']);
});

test('disconnect rejects a pending connect, even one that nobody awaits', async (t) => {
  const { daemon } = client(t);
  const promise = daemon.connect();
  daemon.disconnect();
  await turn();
  await assert.rejects(promise, { code: 'SOCKET_CONNECTION_FAILED', message: /disconnected/ });
});

test('a second connect replaces the session, and the first is heard no more', async (t) => {
  const { daemon, native, log } = await connected(t);
  daemon.registerHandler('jobs.run', () => 1);
  const reply = daemon.sendCommand('x');
  const second = daemon.connect();
  await assert.rejects(reply, { code: 'SOCKET_NOT_READY' });
  assert.equal(native.taken().at(-1)[0], 'stop');
  native.tell([lost('io client disconnect'), { event: 'ended', error: null }]);
  await turn();
  const [, session] = native.sessions;
  assert.deepEqual(session.taken().map(([name]) => name), ['handle', 'start']);
  session.tell([READY]);
  await second;
  assert.deepEqual(log, ['connected']);
  assert.equal(native.sessions.length, 2);
});

test('heartbeats ask the payload factory; one that throws skips its beat and says why', async (t) => {
  const answers = [async () => ({ seq: 1 }), () => ({ seq: 2 }), () => undefined, () => Promise.reject(new Error('metrics failed'))];
  const { daemon, native, log } = await connected(t, { heartbeat: { payloadFactory: () => answers.shift()() } });
  native.tell([1, 2, 3, 4].map((beat) => ({ event: 'beat_asked', beat })));
  await turn();
  assert.deepEqual(native.taken(), [
    ['done', 1, { value: { seq: 1 } }],
    ['done', 2, { value: { seq: 2 } }],
    ['done', 3, { value: {} }],
    ['failed', 4, { message: 'metrics failed' }],
  ]);
  native.tell([notice('HEARTBEAT_FAILED', 'Heartbeat failed: metrics failed')]);
  const [error] = log;
  assert.equal(error.code, 'HEARTBEAT_FAILED');
  assert.equal(error.message, 'Heartbeat failed: metrics failed');
  assert.equal(error.cause.message, 'metrics failed');
  native.tell([{ event: 'beat_asked', beat: 5 }]);
  daemon.disconnect();
  await turn();
  assert.deepEqual(native.taken().map(([name]) => name), ['stop']);
});
