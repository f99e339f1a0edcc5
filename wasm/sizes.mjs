// Prints how large the module of each set of features is, and what fills it.
//
//   node sizes.mjs FOLDER      FOLDER/SET/web/moorline_bg.wasm, with its names

import { readdirSync, readFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const [folder] = process.argv.slice(2);
const optimiser = join(dirname(fileURLToPath(import.meta.url)), 'node_modules/.bin/wasm-opt');
/** Groups below this share are not named. */
const LEAST = 0.015;

/** Reads the numbers, texts and sections of a module. */
class Reader {
  constructor(bytes, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  get done() {
    return this.at >= this.bytes.length;
  }

  number() {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.bytes[this.at++];
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  }

  part() {
    const length = this.number();
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  text() {
    return this.part().toString();
  }

  byte() {
    return this.bytes[this.at++];
  }
}

const IMPORT = 2;
const CODE = 10;
const DATA = 11;

/** Returns the bytes of each function by its name, and those of the data. */
function contents(module) {
  const reader = new Reader(module, 8);
  const sections = new Map();
  const names = new Map();
  while (!reader.done) {
    const id = reader.byte();
    const section = new Reader(reader.part());
    if (id !== 0) sections.set(id, section);
    else if (section.text() === 'name') readNames(section, names);
  }
  let index = importedFunctions(sections.get(IMPORT));
  const code = sections.get(CODE);
  const sizes = [['data', sections.get(DATA).bytes.length]];
  for (let left = code.number(); left > 0; left -= 1) sizes.push([names.get(index++) ?? '', code.part().length]);
  return sizes;
}

function readNames(section, names) {
  while (!section.done) {
    const kind = section.byte();
    const part = new Reader(section.part());
    if (kind !== 1) continue;
    for (let left = part.number(); left > 0; left -= 1) names.set(part.number(), part.text());
  }
}

/** A module of wasm-bindgen imports functions alone. */
function importedFunctions(section) {
  return section?.number() ?? 0;
}

/** Where a function belongs: its crate, and the module inside ours. */
function group(name) {
  if (name === 'data') return 'data: texts, tables';
  if (name.startsWith('core::ptr::drop_')) return 'drop of values';
  const path = /([a-z_][a-z0-9_]*(?:::[a-z_][a-z0-9_]*)*)/i.exec(name.replace(/^[<&\s]*(mut |dyn )*/, ''))?.[1] ?? name;
  const parts = path.split('::');
  if (parts[0] !== 'moorline_core') return parts[0];
  return parts.slice(0, parts[1] === 'dialect' ? 4 : 3).join('::');
}

const kib = (bytes) => `${(bytes / 1024).toFixed(1)} KiB`.padStart(10);
for (const set of readdirSync(folder).sort((one, other) => one.length - other.length)) {
  const path = join(folder, set, 'web/moorline_bg.wasm');
  const named = readFileSync(path);
  const stripped = join(folder, set, 'web/stripped.wasm');
  execFileSync(optimiser, ['--strip-debug', '--strip-producers', path, '-o', stripped]);
  const module = readFileSync(stripped);
  console.log(`${set.padEnd(36)} ${kib(module.length)} ${kib(gzipSync(module, { level: 9 }).length)} gzip`);
  const groups = new Map();
  let all = 0;
  for (const [name, size] of contents(named)) {
    groups.set(group(name), (groups.get(group(name)) ?? 0) + size);
    all += size;
  }
  const rows = [...groups].sort(([, one], [, other]) => other - one);
  for (const [name, size] of rows) {
    if (size >= all * LEAST) console.log(`  ${name.padEnd(34)} ${kib(size)} ${((100 * size) / all).toFixed(1).padStart(8)} %`);
  }
}
