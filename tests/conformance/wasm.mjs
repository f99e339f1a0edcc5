// The executor for WebAssembly: the page's driver and facades around a module that `wasm/build.sh --scripted` has built,
// with WebSockets, exchanges, clocks and timers of the script. See README.md.

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { play } from './host.mjs';
import { enter, happens, page } from './page.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const require = createRequire(join(root, 'wasm/package.json'));
const { standIns } = await import(join(root, 'wasm/stand_ins.mjs'));
const bundle = join(root, 'target/conformance/wasm/bundle.mjs');
const lines = ['base', 'bytes'].map((name) => `export * from './bindings-node/ts/${name}.js';`);
await require('esbuild').build({
  stdin: { contents: [...lines, `export * from './wasm/ts/native.js';`].join('\n'), resolveDir: root },
  outfile: bundle,
  bundle: true,
  format: 'esm',
  inject: [join(root, 'wasm/ts/globals.ts')],
  plugins: [standIns],
});

enter();
const { Endpoint, Native, provide, restored } = await import(bundle);
const { Machine } = require(join(root, 'target/conformance/wasm/nodejs/moorline.js'));

function open(first) {
  const open = { sockets: new Map(), exchanges: new Map() };
  let [machine, native, drained, over] = [];
  let wait = new Promise((resolve) => (drained = resolve));
  Object.assign(page, { sockets: [], exchanges: [] });
  provide({
    open(dialect, role, options) {
      machine = Machine.scripted(dialect, role, options, first);
      const events = machine.events.bind(machine);
      machine.events = () => {
        const text = events();
        if (!machine.has_events()) drained();
        return text;
      };
      // The driver lets go of it as soon as it has ended, which is before the script has heard it out.
      const free = machine.free.bind(machine);
      machine.free = () => (over = free);
      return machine;
    },
  });
  const opened = Native.open;
  Native.open = (...role) => ((Native.open = opened), (native = opened(...role)));
  return {
    async begin(line) {
      const told = JSON.parse(line);
      page.now = told.at;
      if (told.command) return true;
      if (told.timeout || !happens(told.in, open)) native.submit(line);
      await new Promise(setImmediate);
      return false;
    },
    end() {
      const said = machine.said();
      for (const line of said.split('\n').slice(0, -1)) {
        const { kind, conn, http, limits } = JSON.parse(line).out ?? {};
        if (kind === 'dial') open.sockets.set(conn, page.sockets.shift());
        if (kind === 'http_call') open.exchanges.set(http, Object.assign(page.exchanges.shift(), { streams: limits[1] === 1 }));
      }
      over?.();
      return said;
    },
    async drained() {
      await wait;
      wait = new Promise((resolve) => (drained = resolve));
    },
  };
}

await play({ Endpoint, restored, open });
// The channel that stands for a page's turns would keep the process.
process.exit();
