// Builds the add-on and puts it beside the compiled TypeScript, named after the platform.
// Arguments go to cargo, which builds the package of this folder unless they name others too; without any it
// builds what is released.

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const given = process.argv.slice(2);
const flags = given.length > 0 ? given : ['--release'];
const messages = execFileSync(
  'cargo',
  ['build', '--message-format', 'json-render-diagnostics', ...flags],
  { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 28 },
);
const library = messages
  .split('\n')
  .filter((line) => line.startsWith('{'))
  .map((line) => JSON.parse(line))
  .filter(({ reason, target }) => reason === 'compiler-artifact' && target.name === 'moorline_node')
  .flatMap(({ filenames }) => filenames)
  .find((file) => /\.(so|dylib|dll)$/.test(file));
if (library === undefined) throw new Error('cargo built no add-on');

const { platform, arch, report } = process;
const musl = platform === 'linux' && !report.getReport().header.glibcVersionRuntime;
const suffix = { linux: musl ? '-musl' : '-gnu', win32: '-msvc' }[platform] ?? '';
const place = join(root, 'dist', `moorline.${platform}-${arch}${suffix}.node`);
mkdirSync(join(root, 'dist'), { recursive: true });
// A loaded add-on must not be written over: the rename leaves the old file to those who have it.
copyFileSync(library, `${place}.new`);
renameSync(`${place}.new`, place);
console.log(`built ${place}`);
