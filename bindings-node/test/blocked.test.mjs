// The host cannot stop the heartbeat. `MOORLINE_TEST_BLOCK_MS` sets how long it is blocked.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { openDispatcher, startHub, startProcess } from './support.mjs';

const WORKER = `
  import { Worker } from 'moorline';
  const [serverUrl, interval] = process.argv.slice(1);
  const worker = new Worker({ serverUrl, name: 'blocked', heartbeatIntervalMs: Number(interval) });
  worker.handle('Host/Block', ({ Ms }) => {
    const end = performance.now() + Ms;
    while (performance.now() < end);
    return { blocked: Ms };
  });
  await worker.connect();
  console.log('connected');
`;

test('a blocked event loop stops no heartbeat, and the hub sees that it is blocked', async (t) => {
  const blockMs = Number(process.env.MOORLINE_TEST_BLOCK_MS ?? 5_000);
  const interval = Math.max(200, blockMs / 60);
  const leaseMs = Math.max(1_000, interval * 4);
  const { url } = await startHub(t, { leaseMs });
  const { line } = startProcess(t, WORKER, url, String(interval));
  await line();
  const dispatcher = openDispatcher(t, url);
  const seen = async () => {
    const { Workers } = await dispatcher.status();
    const { LastHeartbeat, HostLagMs } = Workers.find(({ Name }) => Name === 'blocked');
    return { beat: Date.parse(LastHeartbeat), lag: HostLagMs };
  };
  const done = dispatcher.call('Host/Block', { Ms: blockMs }, { timeoutMs: blockMs + 30_000 });
  let running = true;
  done.finally(() => (running = false));
  const beats = new Set();
  let lag = 0;
  while (running) {
    const state = await seen();
    beats.add(state.beat);
    lag = Math.max(lag, state.lag ?? 0);
    // Paces the questions; nothing that is asserted waits for it.
    await new Promise((resolve) => setTimeout(resolve, interval / 4));
  }
  assert.deepEqual((await done).Outputs, { blocked: blockMs });
  const times = [...beats].sort((a, b) => a - b);
  const gaps = times.slice(1).map((time, index) => time - times[index]);
  assert.ok(times.length >= (0.8 * blockMs) / interval, `${times.length} beats`);
  // What counts is that the hub never had a reason to doubt the worker; the machine may be busy.
  assert.ok(Math.max(...gaps) < leaseMs, `the largest gap is ${Math.max(...gaps)} ms`);
  assert.ok(lag >= blockMs / 2, `the largest lag seen is ${lag} ms`);
});
