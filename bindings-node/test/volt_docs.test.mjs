// Runs every code block of docs/volt-node.md as its reader would, against the official server.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { startServer } from '../../tests/peers/volt/child.mjs';
import { blocksOf, folderOfPrograms } from './page.mjs';
import { startProcess } from './support.mjs';

const blocks = blocksOf('volt-node.md');
const programs = folderOfPrograms();

/** What is done with each block, in the order of the page; package.test.mjs installs. */
const readers = [
  ['Install', 'sh', () => {}],
  ['Install', 'diff', replacesTheImport],
  ['Daemon', 'js', prints(/^registered\n\{ queueConcurrency: \{ analysis: 2 \} \}\n$/)],
  ['Daemon', 'js', prints(/^enrolled\n$/)],
  ['Handlers', 'js', handles],
  ['Handlers', 'js', tunnels],
  ['Streams', 'js', streams],
  ['Errors', 'js', prints(/^true 404\nUnknown daemon server command: no\.such\.command\n$/)],
  ['Disconnect', 'js', leaves],
  ['Testing', 'js', async (_t, { text }) => assert.match(await programs.tests(text), /# pass 1\n/)],
];

test('the page has these blocks and no others', () => {
  assert.deepEqual(
    blocks.map(({ section, language }) => [section, language]),
    readers.map(([section, language]) => [section, language]),
  );
});

for (const [index, [section, , read]] of readers.entries()) {
  test(`${section}, block ${index + 1}`, async (t) => read(t, blocks[index]));
}

const ANSWERS = { 'runtime.config.get': [{ ok: true, status: 200, data: { status: 'success', data: { queueConcurrency: { analysis: 2 } } } }] };

async function placed(t, text) {
  const server = await startServer(t, { answers: ANSWERS });
  return { server, text: text.replaceAll('127.0.0.1:3030', `127.0.0.1:${server.port}`) };
}

function prints(expected) {
  return async (t, block) => {
    const { text } = await placed(t, block.text);
    assert.match(await programs.prints(text), expected);
  };
}

/** Starts a block that stays, and returns how its daemon answers. */
async function started(t, block) {
  const { server, text } = await placed(t, block.text);
  const daemon = startProcess(t, text);
  assert.equal(await daemon.line(), 'ready');
  const ask = async (command, payload, responseType = 'json') => {
    const requestId = `r-${command}-${responseType}`;
    await server.do('command', { fields: { requestId, command, responseType, payload } });
    const place = await server.seen(({ record, message }) => record === 'message' && message.requestId === requestId);
    return server.records[place].message;
  };
  return { server, daemon, ask };
}

async function handles(t, block) {
  const { ask } = await started(t, block);
  const removed = await ask('container.remove', { id: 'b' });
  assert.equal(removed.status, 202);
  assert.deepEqual(removed.headers, { 'x-trace': removed.requestId });
  assert.deepEqual(removed.data.data, { removed: 'b', by: 'container.remove' });
  assert.deepEqual((await ask('container.list')).data, { status: 'success', data: ['a', 'b'] });
  const { ok, status, message } = await ask('container.stop', { id: 'a' });
  assert.deepEqual([ok, status, message], [false, 409, 'it is being removed']);
  assert.equal((await ask('file.read', undefined, 'buffer')).bodyBase64, 'AAEC');
}

async function tunnels(t, block) {
  const { server } = await started(t, block);
  await server.do('send', { words: [{ type: 'tunnel-open', sessionId: 's', accessMode: 'tcp' }] });
  await server.do('send', { words: [{ type: 'tunnel-data', sessionId: 's', chunk: { $bytes: 'YWJj' }, isBinary: true }] });
  const said = async (type) => {
    const place = await server.seen(({ record, message }) => record === 'message' && message.type === type);
    return server.records[place].message;
  };
  assert.deepEqual(await said('tunnel-state'), { type: 'tunnel-state', sessionId: 's', status: 'open' });
  assert.deepEqual((await said('tunnel-data')).chunk, { $bytes: 'YWJj' });
}

async function streams(t, block) {
  const { server, ask } = await started(t, block);
  const { streamId, headers } = await ask('logs.follow', {}, 'stream');
  assert.deepEqual(headers, { 'content-type': 'text/plain' });
  await streamed(server, streamId, 'one\ntwo\n');
  const path = new URL(import.meta.url).pathname;
  await streamed(server, (await ask('file.download', { path }, 'stream')).streamId, readFileSync(path, 'utf8'));
}

async function streamed(server, streamId, expected) {
  const end = await server.seen(({ message }) => message?.type === 'stream-end' && message.streamId === streamId);
  const chunks = server.records.slice(0, end).filter(({ message }) => message?.type === 'stream' && message.streamId === streamId);
  const bytes = chunks.map(({ message }) => Buffer.from(message.chunkBase64, 'base64'));
  assert.equal(Buffer.concat(bytes).toString(), expected);
}

async function leaves(t, block) {
  const { server, daemon } = await started(t, block);
  daemon.child.kill('SIGTERM');
  assert.equal(await daemon.exited, 0);
  await server.seen(({ record, reason }) => record === 'left' && reason === 'client namespace disconnect');
}

function replacesTheImport(_t, { text }) {
  assert.match(text, /^-import \{ ClusterDaemonClient \} from '@voltstack\/daemon-cluster-client';\n\+.* from 'moorline\/volt';\n$/);
}
