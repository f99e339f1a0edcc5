// A hub of its own for each test: the command line program, on a free port.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const program = process.env.MOORLINE ?? join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), 'debug/moorline');

/** Starts a hub; `listen` brings one back at an address where another was. Its `log` grows as it runs. */
export async function startHub(listen = '127.0.0.1:0', ...more) {
  const child = spawn(program, ['hub', '--listen', listen, ...more], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, MOORLINE_LOG_LEVEL: 'error' },
  });
  const log = [];
  child.stderr.pipe(process.stderr);
  const logged = createInterface(child.stderr).on('line', (line) => log.push(line));
  for await (const line of createInterface(child.stdout)) {
    const url = /listening on (http:\S+)/.exec(line)?.[1];
    if (url === undefined) continue;
    child.stdout.resume();
    const kill = async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await Promise.all([once(child, 'exit'), once(logged, 'close')]);
    };
    return { url, address: new URL(url).host, kill, log };
  }
  throw new Error(`${program} ended before it listened`);
}
