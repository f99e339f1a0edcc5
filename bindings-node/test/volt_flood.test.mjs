// More than a connection takes at once, to the official socket.io server: nothing is lost, and no connection is.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';

import { ClusterDaemonClient, envelope } from 'moorline/volt';

const SERVER = new URL('../../tests/peers/volt/flood.mjs', import.meta.url);
const LIMIT = { timeout: 60_000 };
const pad = 'x'.repeat(64_000);

/** A server that counts, and a daemon connected to it. */
async function connected(t, options = {}) {
  const child = spawn(process.execPath, [SERVER.pathname], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill());
  const lines = createInterface({ input: child.stdout });
  const [first] = await once(lines, 'line');
  const { port } = JSON.parse(first);
  const open = new Map();
  lines.on('line', (line) => open.get(JSON.parse(line).id)?.(JSON.parse(line)));
  let last = 0;
  const server = (name, fields = {}) =>
    new Promise((resolve) => {
      open.set(++last, resolve);
      child.stdin.write(`${JSON.stringify({ id: last, do: name, ...fields })}\n`);
    });
  const client = new ClusterDaemonClient({
    serverUrl: `http://127.0.0.1:${port}`,
    controlSocketUrl: `ws://127.0.0.1:${port}`,
    credentials: { teamClusterId: 'c', daemonPassword: 'p' },
    heartbeat: { enabled: false },
    ...options,
  });
  t.after(() => client.disconnect());
  const errors = [];
  client.onError((error) => errors.push(`${error.code}: ${error.message}`));
  const until = async (kind, least) => (await server('until', { kind, least })).counts;
  return { client, server, until, errors };
}

for (const transport of ['websocket', 'polling']) {
  test(`200 messages in one turn arrive, by ${transport}`, LIMIT, async (t) => {
    const { client, until, errors } = await connected(t, { socket: { transports: [transport] } });
    await client.connect();
    for (let i = 0; i < 200; i += 1) client.emit({ type: 'flood', i, pad });
    await client.flushed();
    const counts = await until('flood', 200);
    assert.deepEqual([counts.flood, counts.disconnect, errors], [200, undefined, []]);
  });

  test(`300 answers at once arrive, by ${transport}`, LIMIT, async (t) => {
    const { client, server, until, errors } = await connected(t, { socket: { transports: [transport] } });
    client.registerHandler('pad', () => pad);
    await client.connect();
    await server('ask', { n: 300, command: 'pad' });
    const counts = await until('response', 300);
    assert.deepEqual([counts.response, counts.disconnect, errors], [300, undefined, []]);
  });
}

test('ten streams go through a server that stands still meanwhile', LIMIT, async (t) => {
  const { client, server, until, errors } = await connected(t);
  const chunk = new Uint8Array(192 * 1024);
  client.registerHandler('log', () =>
    envelope({
      stream: (function* () {
        for (let i = 0; i < 16; i += 1) yield chunk;
      })(),
    }),
  );
  await client.connect();
  await server('ask', { n: 10, command: 'log', responseType: 'stream' });
  await server('stall', { ms: 1_500 });
  const counts = await until('stream-end', 10);
  assert.deepEqual([counts.stream, counts['stream-end'], counts.disconnect, errors], [160, 10, undefined, []]);
});

test('30 commands of 5 MB are held, and all are answered', LIMIT, async (t) => {
  const { client, until, errors } = await connected(t);
  await client.connect();
  const large = 'x'.repeat(5_000_000);
  const commands = Array.from({ length: 30 }, (_, i) => client.sendCommand('jobs.run', { i, large }));
  await Promise.all(commands);
  const counts = await until('command', 30);
  assert.deepEqual([counts.command, counts.disconnect, errors], [30, undefined, []]);
});

test('300 messages that waited for the connection arrive behind the registration', LIMIT, async (t) => {
  const { client, server, until, errors } = await connected(t, {
    socket: { maxQueuedBytes: 33_554_432, reconnectBaseDelayMs: 20, reconnectMaxDelayMs: 100 },
  });
  await client.connect();
  const lost = new Promise((resolve) => client.onDisconnected(resolve));
  await server('leave');
  await lost;
  for (let i = 0; i < 300; i += 1) client.emit({ type: 'flood', i, pad });
  await server('start');
  await client.flushed();
  const counts = await until('flood', 300);
  assert.equal(counts.flood, 300);
  assert.deepEqual(errors.filter((error) => error.startsWith('EMIT_FAILED')), []);
});

test('what is too much is refused at the call, and nothing else is lost', LIMIT, async (t) => {
  const { client, server, until, errors } = await connected(t, { limits: { maxSendQueueBytes: 4_194_304 } });
  await client.connect();
  const stall = server('stall', { ms: 1_500 });
  let taken = 0;
  assert.throws(
    () => {
      for (;;) {
        client.emit({ type: 'flood', pad });
        taken += 1;
      }
    },
    { code: 'EMIT_FAILED', message: /limits\.maxSendQueueBytes/ },
  );
  assert.ok(taken >= 60, `${taken}`);
  await stall;
  await client.flushed();
  client.emit({ type: 'flood', pad });
  const counts = await until('flood', taken + 1);
  assert.deepEqual([counts.flood, counts.disconnect, errors], [taken + 1, undefined, []]);
});
