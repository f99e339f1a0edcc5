// What a page has in the place of modules that the facades import, for esbuild.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));

const STAND_INS = [
  [/\/native\.js$/, 'native'],
  [/\/byte_strings\.js$/, 'byte_strings'],
  [/^node:events$/, 'emitter'],
  [/^node:crypto$/, 'crypto'],
];
export const standIns = {
  name: 'stand-ins',
  setup({ onResolve }) {
    for (const [filter, name] of STAND_INS) onResolve({ filter }, () => ({ path: join(here, `ts/${name}.ts`) }));
    onResolve({ filter: /^\.\.\/pkg\// }, ({ path }) => ({ path: path.replace('../pkg/', './'), external: true }));
  },
};

/** For what lies in a folder beside the Node package's modules: its own are theirs, and stay where they are. */
export const besideNode = {
  name: 'beside-node',
  setup({ onResolve }) {
    const own = /^(?:\.\.\/)+bindings-node\/ts\/(.*)$/;
    onResolve({ filter: own }, ({ path }) => ({ path: path.replace(own, '../$1'), external: true }));
    onResolve({ filter: /^\.\.\/pkg\// }, () => ({ path: './moorline.js', external: true }));
  },
};
