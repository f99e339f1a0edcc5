// Runs every code block of docs/node.md as its reader would.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { openDispatcher, startHub, startProcess, startWorker } from './support.mjs';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const page = readFileSync(new URL('../../docs/node.md', import.meta.url), 'utf8');
const blocks = [...page.matchAll(/^## ([^\n]+)|^```(\w+)\n(.*?)^```/gms)].reduce(
  ({ section, found }, [, heading, language, text]) =>
    heading === undefined
      ? { section, found: [...found, { section, language, text }] }
      : { section: heading, found },
  { section: '', found: [] },
).found;

const folder = mkdtempSync(join(tmpdir(), 'moorline-docs-'));
mkdirSync(join(folder, 'node_modules'));
symlinkSync(root, join(folder, 'node_modules/moorline'));
after(() => rmSync(folder, { recursive: true, force: true }));

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
  const dispatcher = openDispatcher(t, url);
  const reply = dispatcher.call('Polite/Wait');
  while ((await dispatcher.status()).Queue.Running === 0);
  child.kill('SIGTERM');
  assert.deepEqual((await reply).Outputs, { Waited: true });
  assert.equal(await exited, 0);
}

function prints(expected, handlers) {
  return async (t, { text, language }) => {
    const { url } = await startHub(t);
    if (handlers !== undefined) await startWorker(t, url, handlers, { name: 'for-the-docs' });
    const file = program(text.replaceAll('http://127.0.0.1:54321', url), language);
    const { stdout } = await run(process.execPath, [file], { cwd: folder, timeout: 30_000 });
    assert.match(stdout, expected);
  };
}

async function passes(_t, { text, language }) {
  const env = { ...process.env };
  delete env.NODE_TEST_CONTEXT;
  const { stdout } = await run(process.execPath, ['--test', program(text, language, '.test')], { cwd: folder, env });
  assert.match(stdout, /# pass 1\n/);
}

function fails() {
  throw new Error('no luck');
}

let programs = 0;

/** Writes the block to a file that node can run. */
function program(text, language, suffix = '') {
  const name = join(folder, `block-${(programs += 1)}${suffix}`);
  writeFileSync(`${name}.mjs`, text);
  if (language === 'ts') {
    writeFileSync(`${name}.mts`, text);
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const types = ['--types', 'node', '--typeRoots', join(root, 'node_modules/@types')];
    const options = ['--module', 'node16', '--target', 'es2022', '--lib', 'es2022,esnext.disposable', '--strict', '--skipLibCheck', ...types];
    execFileSync(process.execPath, [tsc, ...options, `${name}.mts`], { stdio: ['ignore', 'inherit', 'inherit'] });
  }
  return `${name}.mjs`;
}
