// The executor for Node: `node node.mjs FOLDER`, where FOLDER is that of the built package. See README.md.

import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';

import { play } from './host.mjs';

const require = createRequire(import.meta.url);
const dist = join(resolve(process.argv[2]), 'dist');
const { Scripted } = require(join(dist, readdirSync(dist).find((file) => file.endsWith('.node'))));
const addOn = require(join(dist, 'native.js'));
const { Endpoint } = require(join(dist, 'base.js'));
const { restored } = require(join(dist, 'bytes.js'));

/** The endpoint, and word of when the application has taken everything that waited. */
function watched(native, onDrained) {
  const watched = Object.create(null);
  for (const name of ['submit', 'onDoorbell', 'hold', 'close']) watched[name] = (...args) => native[name](...args);
  Object.defineProperty(watched, 'more', { get: () => native.more });
  watched.drain = () => {
    const text = native.drain();
    if (!native.more) onDrained();
    return text;
  };
  return watched;
}

function open(first) {
  let script;
  let drained;
  let wait = new Promise((resolve) => (drained = resolve));
  addOn.Native = {
    open(dialect, role, options) {
      script = Scripted.open(dialect, role, options, first);
      return watched(script.native(), () => drained());
    },
  };
  return {
    begin: (line) => script.begin(line),
    end: () => script.end(),
    async drained() {
      await wait;
      wait = new Promise((resolve) => (drained = resolve));
    },
  };
}

await play({ Endpoint, restored, open });
