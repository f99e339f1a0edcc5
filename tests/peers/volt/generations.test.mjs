// The official client as daemons of every generation of our hub, side by side and each by itself.
//
// VOLT_STREAM_MB is how large the large stream is; its memory is bounded by the same, whatever that is.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';

import { CREDENTIALS, MESSAGE, REGISTER, REGISTERED, connect, next, startHub } from './client.mjs';
import { wrapped } from './envelope.mjs';

const PART = 65_536;
const PARTS = (Number(process.env.VOLT_STREAM_MB ?? 16) * 1_048_576) / PART;
/** How much more memory a hub may have for a large stream than before it. */
const SLACK = 48 * 1_048_576;

/** How a generation says things. */
const GENERATIONS = {
  1: {
    registers: CREDENTIALS,
    chunk: (bytes) => ({ chunkBase64: bytes.toString('base64') }),
    body: (bytes) => ({ bodyBase64: bytes.toString('base64') }),
    beat: { type: 'command', requestId: 'b', command: 'runtime.heartbeat', payload: CREDENTIALS },
  },
  2: {
    registers: { ...CREDENTIALS, channel: 'control' },
    chunk: (chunk) => ({ chunk }),
    body: (body) => ({ data: { status: 'success', data: { body } } }),
    beat: { type: 'command', requestId: 'b', command: 'runtime.heartbeat', payload: CREDENTIALS },
  },
  3: {
    registers: { ...CREDENTIALS, channel: 'control' },
    chunk: (bytes) => ({ chunk: wrapped(bytes) }),
    body: (body) => ({ data: { status: 'success', data: { body } } }),
    beat: { type: 'runtime-heartbeat', ...CREDENTIALS },
  },
};

/** Connects a daemon of a generation and registers it, as `more` says. */
async function daemon(t, hub, generation, { registers, reconnection = false } = {}) {
  const { chunk, body, ...words } = GENERATIONS[generation];
  const socket = connect(t, hub.url, ['websocket'], { reconnection, reconnectionDelay: 20 });
  const say = (message) => socket.emit(MESSAGE, message);
  const answer = (requestId, fields) => say({ type: 'response', requestId, ok: true, status: 200, ...fields });
  const streams = {
    *large() {
      for (let part = 0; part < PARTS; part += 1) yield Buffer.alloc(PART, part);
    },
    *fails() {
      yield Buffer.from('some');
      throw new Error('disk gone');
    },
  };
  socket.on(MESSAGE, async ({ type, requestId, command, payload }) => {
    if (type !== 'command') return;
    if (command === 'echo') return answer(requestId, { data: { status: 'success', data: payload } });
    if (command === 'buffer') return answer(requestId, body(Buffer.from('bytes')));
    answer(requestId, { streamId: 's' });
    let failure = {};
    try {
      for (const part of streams[command]()) {
        say({ type: 'stream', requestId, streamId: 's', ...chunk(part) });
        // The client of the original takes whatever it is given: this waits until its socket has taken it.
        while (socket.io.engine.writeBuffer.length > 16) await new Promise((resolve) => setImmediate(resolve));
      }
    } catch ({ message }) {
      failure = { message };
    }
    say({ type: 'stream-end', requestId, streamId: 's', ...failure });
  });
  socket.on('connect', () => socket.emit(REGISTER, { ...words.registers, ...registers }));
  const [confirmed] = await next(socket, REGISTERED);
  return { socket, say, confirmed };
}

for (const generation of [1, 2, 3]) {
  const { beat, registers } = GENERATIONS[generation];
  const shown = async (hub) => (await hub.daemons()).find(({ TeamClusterID }) => TeamClusterID === 'lab');

  test(`generation ${generation}: registration, heartbeat, JSON, buffer, a stream that fails`, async (t) => {
    const hub = await startHub(t);
    const { socket, say, confirmed } = await daemon(t, hub, generation);
    const { daemonPassword, ...told } = registers;
    assert.deepEqual(confirmed, told);
    const before = (await shown(hub)).LastHeartbeat;
    say(beat);
    if (generation < 3) assert.equal((await next(socket, MESSAGE))[0].ok, true);
    assert.deepEqual((await hub.call('echo', { Payload: { a: 1 } })).Data, { a: 1 });
    assert.ok((await shown(hub)).LastHeartbeat >= before);
    assert.deepEqual(await hub.call('buffer', { ResponseType: 'buffer' }), {
      status: 200,
      Status: 200,
      Body: Buffer.from('bytes').toString('base64'),
    });
    const failed = await hub.cli('fails', 'stream');
    assert.notEqual(failed.status, 0);
    assert.equal(failed.bytes, 4);
    assert.match(failed.told, /disk gone/);
    assert.equal((await shown(hub)).Generation, generation);
    const bytes = await hub.cli('buffer', 'buffer');
    assert.equal(bytes.hash, createHash('sha256').update('bytes').digest('hex'));
  });

  test(`generation ${generation}: a large stream keeps every byte, and the hub little`, async (t) => {
    const hub = await startHub(t);
    await daemon(t, hub, generation);
    const wanted = createHash('sha256');
    for (let part = 0; part < PARTS; part += 1) wanted.update(Buffer.alloc(PART, part));
    const before = hub.peak();
    const { status, bytes, hash } = await hub.cli('large', 'stream');
    assert.deepEqual([status, bytes, hash], [0, PARTS * PART, wanted.digest('hex')]);
    const grown = hub.peak() - before;
    assert.ok(grown < SLACK, `${grown} bytes more`);
  });

  test(`generation ${generation}: displacement and a restart`, async (t) => {
    const hub = await startHub(t);
    const listen = new URL(hub.url).host;
    const first = await daemon(t, hub, generation);
    const second = await daemon(t, hub, generation, { reconnection: true });
    assert.deepEqual((await hub.call('echo', { Payload: 2 })).Data, 2);
    const told = next(first.socket, MESSAGE);
    first.say(beat);
    if (generation < 3) assert.equal((await told)[0].status, 409);
    first.socket.disconnect();
    await hub.stop();
    const again = await startHub(t, { listen });
    const back = next(second.socket, REGISTERED);
    // The library does not come back by itself from an orderly end.
    second.socket.connect();
    await back;
    assert.deepEqual((await again.call('echo', { Payload: 3 })).Data, 3);
  });
}

test('the planes of the third generation: commands go over one, beats count on another', async (t) => {
  const hub = await startHub(t, { options: 'heartbeat_timeout_ms = 100\npresence_interval_ms = 100' });
  const control = await daemon(t, hub, 3);
  const heartbeat = await daemon(t, hub, 3, { registers: { channel: 'heartbeat' } });
  assert.deepEqual(heartbeat.confirmed, { teamClusterId: 'lab', channel: 'heartbeat' });
  heartbeat.say(GENERATIONS[3].beat);
  assert.deepEqual((await hub.call('echo', { Payload: 1 })).Data, 1);
  const [shown] = await hub.daemons();
  assert.deepEqual([shown.Channels, shown.Generation, shown.Registered], [['heartbeat'], 3, true]);
  heartbeat.socket.disconnect();
  assert.deepEqual((await hub.call('echo', { Payload: 2 })).Data, 2);
  assert.ok(control.socket.connected);
});
