// Packs what was built: the main package, and one package per platform with its add-on.
// Usage: npm run package FOLDER, which builds what is released before; with --fallback behind it the main package
// takes along what the web package (wasm/build.sh) has for machines without an add-on.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const out = resolve(process.argv[2] ?? join(root, 'dist/packages'));
const staging = mkdtempSync(join(tmpdir(), 'moorline-package-'));
const { scripts: _scripts, devDependencies: _devDependencies, ...manifest } = JSON.parse(
  readFileSync(join(root, 'package.json'), 'utf8'),
);
const { name, version, license, repository, engines } = manifest;

const addOns = readdirSync(join(root, 'dist')).filter((file) => file.endsWith('.node'));
if (addOns.length === 0) throw new Error('there is no add-on in dist: run "npm run build" first');
const platforms = addOns.map((file) => {
  const [os, cpu, abi] = file.split('.')[1].split('-');
  const libc = { gnu: ['glibc'], musl: ['musl'] }[abi];
  const platform = {
    name: `${manifest.napi.packageName}-${file.split('.')[1]}`,
    version,
    description: `The add-on of ${name} for ${file.split('.')[1]}`,
    license,
    repository,
    engines,
    os: [os],
    cpu: [cpu],
    ...(libc && { libc }),
    main: file,
    files: [file],
  };
  pack(platform, [[join(root, 'dist', file), file]]);
  return platform;
});
manifest.optionalDependencies = Object.fromEntries(platforms.map(({ name }) => [name, version]));
const web = join(root, '../wasm/pkg');
const fallback = [
  [join(web, 'fallback.cjs'), 'dist/fallback/index.js'],
  [join(web, 'nodejs/moorline.js'), 'dist/fallback/moorline.js'],
  [join(web, 'nodejs/moorline_bg.wasm'), 'dist/fallback/moorline_bg.wasm'],
];
pack(manifest, [
  [join(root, 'dist'), 'dist'],
  [join(root, 'README.md'), 'README.md'],
  ...(process.argv.includes('--fallback') ? fallback : []),
]);
rmSync(staging, { recursive: true });

function pack(manifest, files) {
  const folder = join(staging, manifest.name);
  mkdirSync(folder, { recursive: true });
  mkdirSync(out, { recursive: true });
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  for (const [from, to] of files) cpSync(from, join(folder, to), { recursive: true });
  for (const licence of ['LICENSE-MIT', 'LICENSE-APACHE']) cpSync(join(root, '..', licence), join(folder, licence));
  execFileSync('npm', ['pack', '--silent', '--pack-destination', out], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  console.log(`packed ${manifest.name} ${manifest.version} into ${out}`);
}
