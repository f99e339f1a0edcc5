// Bundles the facades of the Node package over the browser's driver, and prints what a page loads.

import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { build } from 'esbuild';

import { besideNode, standIns } from './stand_ins.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const pkg = join(here, 'pkg');

/** Makes one bundle of each entry; what they share is a file of its own. */
async function bundle(entries, options) {
  const { metafile } = await build({
    entryPoints: entries.map((name) => join(here, `ts/${name}.ts`)),
    outdir: pkg,
    bundle: true,
    splitting: true,
    chunkNames: 'shared-[hash]',
    format: 'esm',
    target: 'es2022',
    plugins: [standIns],
    metafile: true,
    logLevel: 'warning',
    ...options,
  });
  return metafile.outputs;
}

for (const name of readdirSync(pkg)) if (/\.c?js$/.test(name)) rmSync(join(pkg, name));
await bundle(['node', 'volt_node', 'network_cluster_node'], {});
// What the Node package takes along for machines without an add-on.
await bundle(['fallback'], { plugins: [besideNode], format: 'cjs', splitting: false, platform: 'node', outExtension: { '.js': '.cjs' } });
const outputs = await bundle(['web', 'volt', 'network_cluster'], { minify: true, inject: [join(here, 'ts/globals.ts')] });
// Types are not bundled: those of a stand-in are sent to by the file in whose place it stands.
writeFileSync(join(pkg, 'types/bindings-node/ts/byte_strings.d.ts'), "export * from '../../wasm/ts/byte_strings.js';\n");
const emitting = join(pkg, 'types/bindings-node/ts/emitting.d.ts');
writeFileSync(emitting, readFileSync(emitting, 'utf8').replace("'node:events'", "'../../wasm/ts/emitter.js'"));

const kib = (bytes) => `${(bytes / 1024).toFixed(1)} KiB`.padStart(10);
const print = (name, parts) => {
  const bytes = parts.map((part) => readFileSync(join(pkg, part)));
  const sum = (sizes) => kib(sizes.reduce((all, size) => all + size, 0));
  console.log(name.padEnd(34), sum(bytes.map(({ length }) => length)), sum(bytes.map((part) => gzipSync(part, { level: 9 }).length)), 'gzip');
};
print('web/moorline_bg.wasm', ['web/moorline_bg.wasm']);
for (const entry of ['web.js', 'volt.js', 'network_cluster.js']) {
  const [, { imports }] = Object.entries(outputs).find(([path]) => path.endsWith(`pkg/${entry}`));
  const shared = imports.filter(({ external }) => !external).map(({ path }) => path.slice(path.lastIndexOf('/') + 1));
  print(`${entry} and its imports`, [entry, ...shared, 'web/moorline.js']);
}
