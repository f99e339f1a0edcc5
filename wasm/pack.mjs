// Bundles the facades of the Node package over the browser's driver, and prints what a page loads.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));

/** The facades import these; a page has something else in their place. */
const instead = {
  name: 'instead',
  setup({ onResolve }) {
    onResolve({ filter: /^\.\/native\.js$/ }, () => ({ path: join(here, 'ts/native.ts') }));
    onResolve({ filter: /^node:events$/ }, () => ({ path: join(here, 'ts/emitter.ts') }));
    onResolve({ filter: /^\.\.\/pkg\// }, ({ path }) => ({ path: path.replace('../pkg/', './'), external: true }));
  },
};

for (const name of ['web', 'node']) {
  await build({
    entryPoints: [join(here, `ts/${name}.ts`)],
    outfile: join(here, `pkg/${name}.js`),
    bundle: true,
    format: 'esm',
    target: 'es2022',
    minify: name === 'web',
    keepNames: false,
    inject: name === 'web' ? [join(here, 'ts/globals.ts')] : [],
    plugins: [instead],
    logLevel: 'warning',
  });
}

const kib = (bytes) => `${(bytes / 1024).toFixed(1)} KiB`;
for (const file of ['web/moorline_bg.wasm', 'web/moorline.js', 'web.js']) {
  const bytes = readFileSync(join(here, 'pkg', file));
  console.log(`${file.padEnd(22)} ${kib(bytes.length).padStart(10)} ${kib(gzipSync(bytes, { level: 9 }).length).padStart(10)} gzip`);
}
