// A blocked event loop neither loses the session nor stops the heartbeat: judged by the official server's own
// record. `MOORLINE_TEST_BLOCK_MS` sets how long it is blocked.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { startServer } from '../../tests/peers/volt/child.mjs';
import { startProcess } from './support.mjs';

const DAEMON = `
  import { ClusterDaemonClient } from 'moorline/volt';
  const [url, interval] = process.argv.slice(1);
  const daemon = new ClusterDaemonClient({
    serverUrl: url,
    controlSocketUrl: url,
    credentials: { teamClusterId: 'cluster-abc123', daemonPassword: 'rotated-pw-xyz' },
    heartbeat: { interval: Number(interval), includeCredentials: true },
  });
  daemon.registerHandler('host.block', ({ ms }) => {
    const end = performance.now() + ms;
    while (performance.now() < end);
    return { blocked: ms };
  });
  await daemon.connect();
  console.log('connected');
`;

test('a daemon with a blocked event loop stays registered and beating', async (t) => {
  const blockMs = Number(process.env.MOORLINE_TEST_BLOCK_MS ?? 5_000);
  const interval = Math.max(200, blockMs / 60);
  const server = await startServer(t, {
    engine: { pingInterval: interval, pingTimeout: 2 * interval },
    presenceMs: 4 * interval,
  });
  const { line } = startProcess(t, DAEMON, `http://127.0.0.1:${server.port}`, String(interval));
  assert.equal(await line(), 'connected');

  const fields = { requestId: 'req-block', command: 'host.block', payload: { ms: blockMs } };
  await server.do('command', { fields });
  const begin = server.records.length;
  const isAnswer = ({ record, message }) => record === 'message' && message.requestId === 'req-block';
  const end = await server.seen(isAnswer, begin);
  assert.deepEqual(await server.do('presence').then(({ id, ...seen }) => seen), {
    connected: true,
    registered: true,
    sockets: 1,
  });

  assert.deepEqual(server.records[end].message.data, { status: 'success', data: { blocked: blockMs } });
  const meanwhile = server.records.slice(begin, end);
  const losses = server.records.filter(({ record }) => record === 'left' || record === 'close');
  assert.deepEqual(losses, [], 'the session was lost');
  const registers = server.records.filter(({ record }) => record === 'register');
  assert.equal(registers.length, 1, 'the daemon registered again');
  const beats = meanwhile.filter(({ record, accepted }) => record === 'heartbeat' && accepted);
  for (const [name, seen] of [
    ['beats', beats],
    ['pongs', meanwhile.filter(({ record }) => record === 'pong')],
  ]) {
    const gaps = seen.slice(1).map(({ at }, index) => at - seen[index].at);
    assert.ok(seen.length >= (0.8 * blockMs) / interval, `${seen.length} ${name}`);
    const largest = Math.max(...gaps);
    assert.ok(largest < 2 * interval, `the largest gap between ${name} is ${largest} ms`);
  }
});
