// Runs every code block of docs/node.md as its reader would.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { blocksOf, folderOfPrograms } from './page.mjs';
import { openDispatcher, startHub, startProcess, startWorker } from './support.mjs';

const blocks = blocksOf('node.md');
const programs = folderOfPrograms();
const echo = { 'Echo/Say': (settings) => ({ Text: settings.Text }) };

/** What is done with each block, in the order of the page; package.test.mjs installs. */
const readers = [
  ['Install', 'sh', () => {}],
  ['Worker', 'js', answers],
  ['Worker', 'js', prints(/^registered as .+ over websocket\n$/)],
  ['Worker', 'js', prints(/^hello\n$/, echo)],
  ['Handlers', 'js', prints(/^50\n100\n2 resizing 2 files\n$/)],
  ['Errors', 'js', prints(/^REMOTE_ERROR 403 peer false\n.*no luck.*\n.+\n$/, { 'Echo/Fail': fails })],
  ['Drain', 'js', drains],
  ['Drain', 'ts', prints(/^drained\n$/)],
  ['Testing', 'js', passes],
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

async function answers(t, { text }) {
  const { url } = await startHub(t);
  const { line, child, exited } = startProcess(t, text.replaceAll('http://127.0.0.1:54321', url));
  assert.equal(await line(), 'ready');
  const { Outputs } = await openDispatcher(t, url).call('Echo/Say', { Text: 'hi' });
  assert.deepEqual(Outputs, { Text: 'hi' });
  child.kill();
  await exited;
}

async function drains(t, { text }) {
  const { url } = await startHub(t);
  const { line, child, exited } = startProcess(t, text.replaceAll('http://127.0.0.1:54321', url));
  assert.equal(await line(), 'ready');
  const reply = openDispatcher(t, url).call('Polite/Wait');
  assert.equal(await line(), 'waiting');
  child.kill('SIGTERM');
  assert.deepEqual((await reply).Outputs, { Waited: true });
  assert.equal(await exited, 0);
}

function prints(expected, handlers) {
  return async (t, { text, language }) => {
    const { url } = await startHub(t);
    if (handlers !== undefined) await startWorker(t, url, handlers, { name: 'for-the-docs' });
    assert.match(await programs.prints(text.replaceAll('http://127.0.0.1:54321', url), language), expected);
  };
}

async function passes(_t, { text, language }) {
  assert.match(await programs.tests(text, language), /# pass 1\n/);
}

function fails() {
  throw new Error('no luck');
}
