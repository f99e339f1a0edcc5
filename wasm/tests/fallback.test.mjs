// The Node package on a machine without an add-on: it says so, and goes on with WebAssembly.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { program, root, startHub } from './hub.mjs';

const pkg = join(root, 'wasm/pkg');
let folder;
let hub;

before(async () => {
  hub = await startHub();
  folder = mkdtempSync(join(tmpdir(), 'moorline-fallback-'));
  const installed = join(folder, 'node_modules/moorline');
  const isAddOn = (path) => path.endsWith('.node');
  cpSync(join(root, 'bindings-node/dist'), join(installed, 'dist'), { recursive: true, filter: (path) => !isAddOn(path) });
  cpSync(join(root, 'bindings-node/package.json'), join(installed, 'package.json'));
  // As scripts/package.mjs packs it.
  mkdirSync(join(installed, 'dist/fallback'), { recursive: true });
  cpSync(join(pkg, 'fallback.cjs'), join(installed, 'dist/fallback/index.js'));
  for (const file of ['moorline.js', 'moorline_bg.wasm']) cpSync(join(pkg, 'nodejs', file), join(installed, 'dist/fallback', file));
});

after(async () => {
  await hub.kill();
  rmSync(folder, { recursive: true, force: true });
});

function run(program) {
  const file = join(folder, 'program.mjs');
  writeFileSync(file, program);
  return spawnSync(process.execPath, [file, hub.url], { cwd: folder, encoding: 'utf8', timeout: 60_000 });
}

test('a worker and a dispatcher do what they do with the add-on', () => {
  const { stdout, stderr, status } = run(`
    import { Dispatcher, Worker } from 'moorline';
    const [serverUrl] = process.argv.slice(2);
    const worker = new Worker({ serverUrl, name: 'without-add-on' });
    worker.handle('Echo/Say', (settings) => ({ Text: settings.Text }));
    await worker.connect();
    const { Outputs } = await new Dispatcher({ serverUrl }).call('Echo/Say', { Text: 'hello' });
    console.log(Outputs.Text);
    await worker.drain();
  `);
  assert.equal(stdout, 'hello\n', stderr);
  assert.equal(status, 0);
  assert.match(stderr, new RegExp(`MOORLINE_WEBASSEMBLY.*no add-on for ${process.platform}-${process.arch}`));
});

test('a process with a connected worker stays, and its errors are those of the package', () => {
  const queued = spawnSync(program, ['dispatch', 'Stop/Now', '--enqueue', '--url', hub.url], { encoding: 'utf8' });
  assert.equal(queued.status, 0, queued.stderr);
  const { stdout, status } = run(`
    import { MoorlineError, Worker } from 'moorline';
    const worker = new Worker({ serverUrl: process.argv[2], name: 'stays' });
    try {
      worker.handle('no key', () => {});
    } catch (error) {
      console.log(error instanceof MoorlineError, error.code);
    }
    worker.handle('Stop/Now', () => void worker.drain().then(() => console.log('drained')));
    await worker.connect();
  `);
  assert.equal(stdout, 'true ARGUMENT_INVALID\ndrained\n');
  assert.equal(status, 0);
});

test('what WebAssembly has not is refused by name', () => {
  const { stdout } = run(`
    import { Hub } from 'moorline';
    try {
      new Hub({ listen: '127.0.0.1:0' });
    } catch (error) {
      console.log(error.code);
    }
  `);
  assert.equal(stdout, 'UNSUPPORTED\n');
});
