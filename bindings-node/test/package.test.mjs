// The packages as a user installs them: they load, in both module systems, and their types hold.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
let folder;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'moorline-installed-'));
  const packages = join(folder, 'packages');
  run(process.execPath, [join(root, 'scripts/package.mjs'), packages], root);
  writeFileSync(join(folder, 'package.json'), '{"name":"consumer","private":true}');
  // The guide's own command, with the registry replaced by what was built here.
  const page = readFileSync(join(root, '../docs/node.md'), 'utf8');
  const [, install] = /^```sh\n(npm install) moorline\n```/m.exec(page);
  run('sh', ['-c', `${install} --offline --silent --no-audit --no-fund ${packages}/*.tgz`], folder);
});

after(() => rmSync(folder, { recursive: true, force: true }));

test('two packages are installed: the main one, and the platform\'s', () => {
  assert.ok(readdirSync(join(folder, 'node_modules/moorline/dist')).every((file) => !file.endsWith('.node')));
  assert.equal(readdirSync(join(folder, 'node_modules/@moorline')).length, 1);
});

test('it loads as an ES module and as a CommonJS module', () => {
  const esm = `import { Hub } from 'moorline'; const hub = new Hub({ listen: '127.0.0.1:0' }); hub.close(); console.log(typeof Hub)`;
  assert.equal(run(process.execPath, ['--input-type=module', '--eval', esm], folder).trim(), 'function');
  const cjs = `const { Hub } = require('moorline'); const hub = new Hub({ listen: '127.0.0.1:0' }); hub.close(); console.log(typeof Hub)`;
  assert.equal(run(process.execPath, ['--eval', cjs], folder).trim(), 'function');
  const both = `import('moorline/volt').then((esm) => console.log(esm.ClusterDaemonClient === require('moorline/volt').ClusterDaemonClient))`;
  assert.equal(run(process.execPath, ['--eval', both], folder).trim(), 'true');
});

test('without an add-on for the platform the error names it and the fix', () => {
  const hidden = join(folder, 'node_modules/@moorline');
  renameSync(hidden, `${hidden}-away`);
  const { status, stderr } = spawnSync(process.execPath, ['--eval', 'require("moorline")'], { cwd: folder, encoding: 'utf8' });
  renameSync(`${hidden}-away`, hidden);
  assert.notEqual(status, 0);
  assert.match(stderr, new RegExp(`moorline has no add-on for ${process.platform}-${process.arch}`));
  assert.match(stderr, /npm install @moorline\/node-/);
});

for (const [resolution, module, extensions] of [
  ['node16', 'node16', ['mts', 'cts']],
  ['bundler', 'esnext', ['ts']],
  ['node10', 'commonjs', ['ts']],
]) {
  test(`the types hold in strict programs, resolved by ${resolution}`, () => {
    const project = join(folder, `types-${resolution}`);
    mkdirSync(project);
    for (const extension of extensions) {
      for (const name of ['program', 'volt', 'volt_contracts', 'network_cluster', 'wsdaemon']) {
        copyFileSync(join(root, `test/consumer/${name}.ts`), join(project, `${name}-${extension}.${extension}`));
      }
    }
    const compilerOptions = {
      module,
      moduleResolution: resolution,
      target: 'ES2022',
      lib: ['ES2022', 'ESNext.Disposable'],
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      noPropertyAccessFromIndexSignature: true,
      isolatedModules: true,
      skipLibCheck: false,
      noEmit: true,
      types: ['node'],
      typeRoots: [join(root, 'node_modules/@types')],
    };
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['.'] }));
    run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', project], folder);
  });
}

function run(command, args, cwd) {
  try {
    return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    throw new Error(`${command} ${args.join(' ')}\n${error.stdout}${error.stderr}`);
  }
}
