// The official client as a daemon of our hub.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CREDENTIALS, MESSAGE, REGISTER, REGISTERED, connect, daemon, next, startHub } from './client.mjs';

const WAYS = {
  'polling alone': ['polling'],
  'polling, then an upgrade': ['polling', 'websocket'],
  'WebSocket alone': ['websocket'],
};

const echo = ({ payload, command }) => ({
  data: { status: 'success', data: { command, payload: payload ?? null } },
});

for (const [way, transports] of Object.entries(WAYS)) {
  test(`commands, heartbeats and bytes in both directions over ${way}`, async (t) => {
    const hub = await startHub(t);
    const upgraded = transports.length === 2;
    const socket = connect(t, hub.url, transports);
    const upgrade = upgraded && next(socket.io.engine, 'upgrade');
    socket.on(MESSAGE, (message) => {
      if (message.type !== 'command') return;
      const { requestId, payload } = message;
      const chunk = Buffer.from([...payload.chunk, 9]);
      const data = { status: 'success', data: { chunk, isBuffer: Buffer.isBuffer(payload.chunk) } };
      socket.emit(MESSAGE, { type: 'response', requestId, ok: true, status: 200, data });
    });
    await next(socket, 'connect');
    socket.emit(REGISTER, CREDENTIALS);
    assert.deepEqual(await next(socket, REGISTERED), [{ teamClusterId: 'lab' }]);
    if (upgraded) await upgrade;
    const [shown] = await hub.daemons();
    assert.equal(shown.Transport, transports.at(-1));

    const answer = await hub.call('bytes', {
      Payload: { chunk: { _placeholder: true, num: 0 } },
      Blobs: [Buffer.from([1, 2]).toString('base64')],
    });
    assert.deepEqual(answer, {
      status: 200,
      Status: 200,
      Data: { chunk: { _placeholder: true, num: 0 }, isBuffer: true },
      Blobs: [Buffer.from([1, 2, 9]).toString('base64')],
    });

    const message = next(socket, MESSAGE);
    await hub.message(
      { type: 'tunnel-data', chunk: { _placeholder: true, num: 0 } },
      { Blobs: [Buffer.from('é').toString('base64')] },
    );
    assert.deepEqual(await message, [{ type: 'tunnel-data', chunk: Buffer.from('é') }]);

    const beat = next(socket, MESSAGE);
    socket.emit(MESSAGE, {
      type: 'command',
      requestId: 'r1',
      command: 'runtime.heartbeat',
      responseType: 'json',
      payload: { ...CREDENTIALS, installedVersion: '1.4.2' },
    });
    const [response] = await beat;
    assert.deepEqual(response, {
      type: 'response',
      requestId: 'r1',
      ok: true,
      status: 200,
      data: { status: 'success', data: { teamCluster: { _id: 'lab', status: 'connected' } } },
    });
    assert.equal((await hub.daemons())[0].InstalledVersion, '1.4.2');
  });
}

test('many commands at once are answered each by its own', async (t) => {
  const hub = await startHub(t);
  await daemon(t, hub.url, ['websocket'], echo);
  const calls = Array.from({ length: 48 }, (_, n) => hub.call('echo', { Payload: { n } }));
  const answers = await Promise.all(calls);
  answers.forEach((answer, n) => assert.deepEqual(answer.Data, { command: 'echo', payload: { n } }));
});

test('a refusal keeps its status and words', async (t) => {
  const hub = await startHub(t);
  await daemon(t, hub.url, ['websocket'], () => ({ ok: false, status: 409, message: 'busy' }));
  const answer = await hub.call('jobs.run');
  assert.deepEqual(answer, { status: 502, Error: 'busy', Code: 'REMOTE_ERROR', Status: 409 });
});

test('a wrong password is silent, and told where an acknowledgement is asked', async (t) => {
  const hub = await startHub(t);
  const socket = connect(t, hub.url, ['websocket']);
  const heard = [];
  socket.onAny((event) => heard.push(event));
  await next(socket, 'connect');
  const wrong = { ...CREDENTIALS, daemonPassword: 'wrong' };
  socket.emit(REGISTER, wrong);
  assert.deepEqual(await socket.emitWithAck(REGISTER, wrong), {
    ok: false,
    error: 'Invalid daemon credentials',
  });
  assert.deepEqual(await socket.emitWithAck(REGISTER, { ...wrong, teamClusterId: 'other' }), {
    ok: false,
    error: 'Team cluster not found',
  });
  assert.deepEqual(heard, []);
  assert.deepEqual(await socket.emitWithAck(REGISTER, CREDENTIALS), { ok: true });
  assert.deepEqual(heard, [REGISTERED]);
});

test('a registration is read strictly', async (t) => {
  const hub = await startHub(t);
  const socket = connect(t, hub.url, ['polling', 'websocket']);
  await next(socket, 'connect');
  const complaint = next(socket, 'error');
  const ack = socket.emitWithAck(REGISTER, { ...CREDENTIALS, plane: 'control' });
  const [error] = await complaint;
  assert.equal(error.code, 'Validation::InvalidInput');
  assert.match(error.details, /plane/);
  assert.deepEqual(await ack, { ok: true });
});

test('there is one namespace', async (t) => {
  const hub = await startHub(t);
  const socket = connect(t, `${hub.url}/control`, ['polling', 'websocket']);
  const [error] = await next(socket, 'connect_error');
  assert.equal(error.message, 'Invalid namespace');
});

test('a second daemon displaces the first, which stays connected', async (t) => {
  const hub = await startHub(t);
  const first = await daemon(t, hub.url, ['websocket'], () => ({ data: { data: 'first' } }));
  const second = await daemon(t, hub.url, ['polling'], () => ({ data: { data: 'second' } }));
  assert.equal((await hub.call('who')).Data, 'second');
  assert.ok(first.connected);
  assert.deepEqual(await first.emitWithAck(MESSAGE, { type: 'x' }), {
    ok: false,
    error: 'The daemon is not registered',
  });
  assert.ok(hub.log.some((line) => line.includes('a second daemon registered as lab')), hub.log.join('\n'));
  assert.ok(second.connected);
});

test('calls fail at once when the daemon goes', async (t) => {
  const hub = await startHub(t);
  const socket = connect(t, hub.url, ['websocket']);
  await next(socket, 'connect');
  socket.emit(REGISTER, CREDENTIALS);
  await next(socket, REGISTERED);
  const asked = next(socket, MESSAGE);
  const call = hub.call('never');
  await asked;
  socket.disconnect();
  const answer = await call;
  assert.equal(answer.status, 503);
  assert.equal(answer.Code, 'NOT_READY');
  assert.match(answer.Error, /connection was lost/);
});

test('an orderly end says 41, and the daemon can come back', async (t) => {
  const hub = await startHub(t);
  const listen = new URL(hub.url).host;
  for (const transports of Object.values(WAYS)) {
    const socket = connect(t, hub.url, transports);
    await next(socket, 'connect');
    socket.once('disconnect', (reason) => assert.equal(reason, 'io server disconnect'));
  }
  const socket = await daemon(t, hub.url, ['websocket'], echo);
  const gone = next(socket, 'disconnect');
  assert.equal(await hub.stop(), 0);
  assert.equal((await gone)[0], 'io server disconnect');
  const again = await startHub(t, { listen });
  const registered = next(socket, REGISTERED);
  socket.connect();
  await registered;
  assert.equal((await again.call('echo')).Data.command, 'echo');
});

test('the hub pings, and a client that answers stays', async (t) => {
  const hub = await startHub(t, { options: 'ping_interval_ms = 100\nping_timeout_ms = 5000' });
  const socket = await daemon(t, hub.url, ['websocket'], echo);
  for (let count = 0; count < 3; count += 1) await next(socket.io, 'ping');
  assert.ok(socket.connected);
  assert.equal((await hub.call('echo')).status, 200);
});

test('a message that is too large ends the connection', async (t) => {
  const hub = await startHub(t, { options: 'max_message_bytes = 100000' });
  const socket = await daemon(t, hub.url, ['websocket']);
  const gone = next(socket, 'disconnect');
  socket.emit(MESSAGE, { type: 'x', text: 'x'.repeat(200_000) });
  assert.equal((await gone)[0], 'transport close');
});

test('a daemon without WebSocket stays on polling', async (t) => {
  const hub = await startHub(t, { options: 'websocket = false' });
  const socket = await daemon(t, hub.url, ['polling', 'websocket'], echo);
  assert.equal((await hub.call('echo')).status, 200);
  assert.equal(socket.io.engine.transport.name, 'polling');
});

test('streams arrive in frames', async (t) => {
  const hub = await startHub(t);
  const socket = connect(t, hub.url, ['websocket']);
  socket.on(MESSAGE, ({ requestId }) => {
    const streamId = 's1';
    socket.emit(MESSAGE, { type: 'response', requestId, ok: true, status: 206, streamId });
    for (const text of ['one', 'two']) {
      const chunkBase64 = Buffer.from(text).toString('base64');
      socket.emit(MESSAGE, { type: 'stream', requestId, streamId, chunkBase64 });
    }
    socket.emit(MESSAGE, { type: 'stream', requestId, streamId, chunk: Buffer.from('three') });
    socket.emit(MESSAGE, { type: 'stream-end', requestId, streamId });
  });
  await next(socket, 'connect');
  socket.emit(REGISTER, CREDENTIALS);
  await next(socket, REGISTERED);
  const answer = await hub.ask('/Moorline/Volt/Daemons/lab/Call', {
    Command: 'log',
    ResponseType: 'stream',
  });
  const body = Buffer.from(await answer.arrayBuffer());
  const frames = [];
  for (let at = 0; at < body.length; ) {
    const length = body.readUInt32BE(at + 1);
    frames.push([body[at], body.toString('utf8', at + 5, at + 5 + length)]);
    at += 5 + length;
  }
  assert.deepEqual(frames, [
    [1, '{"Status":206}'],
    [2, 'one'],
    [2, 'two'],
    [2, 'three'],
    [4, '{"Status":206}'],
  ]);
});

test('a token enrols a daemon once', async (t) => {
  const hub = await startHub(t);
  const made = await hub.ask('/Moorline/Volt/Tokens', { TeamClusterID: 'edge 1', Name: 'rack 7' });
  const { Token: enrollmentToken } = await made.json();
  const path = '/api/team-clusters/edge%201/healthcheck';
  const enrolled = await hub.ask(path, { enrollmentToken, installedVersion: '1.4.2' });
  assert.equal(enrolled.status, 200);
  const { data } = await enrolled.json();
  assert.equal(data.teamCluster.name, 'rack 7');
  const again = await hub.ask(path, { enrollmentToken });
  assert.equal(again.status, 409);
  const socket = connect(t, hub.url, ['websocket']);
  await next(socket, 'connect');
  const credentials = { teamClusterId: 'edge 1', daemonPassword: data.daemonPassword };
  assert.deepEqual(await socket.emitWithAck(REGISTER, credentials), { ok: true });
});
