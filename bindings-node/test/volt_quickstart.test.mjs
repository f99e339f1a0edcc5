// The original's quick-start runs with nothing but its import changed, against the official server.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { startServer } from '../../tests/peers/volt/child.mjs';
import { startProcess } from './support.mjs';

const written = readFileSync(new URL('consumer/quickstart.mjs', import.meta.url), 'utf8');
const program = written.replace("'@voltstack/daemon-cluster-client'", "'moorline/volt'");
const answers = { 'runtime.config.get': [{ ok: true, status: 200, data: { status: 'success', data: { queueConcurrency: { analysis: 2 } } } }] };

for (const [name, variables, password] of [
  ['a password', { DAEMON_PASSWORD: 'rotated-pw-xyz' }, 'rotated-pw-xyz'],
  ['a token', { ENROLLMENT_TOKEN: 'enroll-tok-1' }, 'rotated-pw-xyz'],
]) {
  test(`the quick-start runs with ${name}`, async (t) => {
    assert.notEqual(program, written);
    const server = await startServer(t, { answers });
    const environment = {
      VOLT_SERVER_URL: `http://127.0.0.1:${server.port}`,
      VOLT_CONTROL_SOCKET_URL: `ws://127.0.0.1:${server.port}`,
      TEAM_CLUSTER_ID: 'cluster-abc123',
      ...variables,
    };
    const { line, child, exited } = startProcess(t, `Object.assign(process.env, ${JSON.stringify(environment)});${program}`);
    assert.equal(await line(), 'connected');
    assert.equal(await line(), 'analysis: 2');
    const seen = async (fits) => server.records[await server.seen(fits)];
    const beat = await seen(({ record }) => record === 'heartbeat');
    assert.deepEqual([beat.accepted, beat.payload.daemonPassword], [true, password]);
    await seen(({ message }) => message?.type === 'exposure-snapshot');

    const ask = async (command, payload) => {
      await server.do('command', { fields: { requestId: command, command, responseType: 'json', payload } });
      return (await seen(({ message }) => message?.requestId === command && message.type === 'response')).message.data.data;
    };
    assert.deepEqual(await ask('jobs.list', { page: 2 }), { jobs: [], page: 2 });
    assert.deepEqual(await ask('runtime.status', { verbose: true }), { command: 'runtime.status', requestId: 'runtime.status', verbose: true });

    await server.do('cut');
    assert.equal(await line(), 'disconnected: transport close');
    assert.equal(await line(), 'connected');
    await server.do('send', { words: [{ type: 'session-input', sessionId: 's1', chunkBase64: 'bHMK', isBinary: false }] });
    assert.equal(await line(), 'input for s1');

    child.kill('SIGTERM');
    assert.equal(await exited, 0);
    await seen(({ record, reason }) => record === 'left' && reason === 'client namespace disconnect');
  });
}
