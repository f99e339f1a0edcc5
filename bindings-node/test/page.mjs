// Reads the code blocks of a page and makes programs of them.

import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));

/** Returns the blocks of a page of `docs`, each with the section that it stands in. */
export function blocksOf(name) {
  const page = readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
  return [...page.matchAll(/^## ([^\n]+)|^```(\w+)\n(.*?)^```/gms)].reduce(
    ({ section, found }, [, heading, language, text]) =>
      heading === undefined
        ? { section, found: [...found, { section, language, text }] }
        : { section: heading, found },
    { section: '', found: [] },
  ).found;
}

/** A folder in which programs find `moorline`; it is removed after the tests. */
export function folderOfPrograms() {
  const folder = mkdtempSync(join(tmpdir(), 'moorline-docs-'));
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root, join(folder, 'node_modules/moorline'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  let programs = 0;

  /** Writes the block to a file that node can run. */
  function program(text, language = 'js', suffix = '') {
    const name = join(folder, `block-${(programs += 1)}${suffix}`);
    writeFileSync(`${name}.mjs`, text);
    if (language === 'ts') {
      writeFileSync(`${name}.mts`, text);
      const tsc = join(root, 'node_modules/typescript/bin/tsc');
      const types = ['--types', 'node', '--typeRoots', join(root, 'node_modules/@types')];
      const options = ['--module', 'node16', '--target', 'es2022', '--lib', 'es2022,esnext.disposable', '--strict', '--skipLibCheck', ...types];
      execFileSync(process.execPath, [tsc, ...options, `${name}.mts`], { stdio: ['ignore', 'inherit', 'inherit'] });
    }
    return `${name}.mjs`;
  }

  return {
    program,
    /** Runs a block to its end and returns what it prints. */
    async prints(text, language) {
      const { stdout } = await run(process.execPath, [program(text, language)], { cwd: folder, timeout: 30_000 });
      return stdout;
    },
    /** Runs a block that is a test and returns the summary. */
    async tests(text, language) {
      const env = { ...process.env };
      delete env.NODE_TEST_CONTEXT;
      const { stdout } = await run(process.execPath, ['--test', program(text, language, '.test')], { cwd: folder, env });
      return stdout;
    },
  };
}
