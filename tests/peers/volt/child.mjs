// Starts the scripted server as a child process.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('server.mjs', import.meta.url));

/** Starts a server; it is ended when the test ends. */
export async function startServer(t, options = {}) {
  const child = spawn(process.execPath, [PROGRAM, JSON.stringify(options)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const records = [];
  const answers = new Map();
  const waiting = new Set();
  let ids = 0;
  let listening;
  const port = new Promise((resolve) => (listening = resolve));
  createInterface({ input: child.stdout }).on('line', (text) => {
    const line = JSON.parse(text);
    if (line.port !== undefined) listening(line.port);
    else if (line.record === undefined) answers.get(line.id)(line);
    else {
      records.push(line);
      for (const look of waiting) look();
    }
  });
  return {
    port: await port,
    records,
    /** Has the server do something; everything it saw before is among the records then. */
    async do(action, fields = {}) {
      const id = (ids += 1);
      child.stdin.write(`${JSON.stringify({ id, do: action, ...fields })}\n`);
      const answer = await new Promise((resolve) => answers.set(id, resolve));
      if (answer.error !== undefined) throw new Error(`${action}: ${answer.error}`);
      return answer;
    },
    /** Waits for a record at or behind `from` that `fits`, and returns its place. */
    seen(fits, from = 0) {
      return new Promise((resolve) => {
        const look = () => {
          const place = records.findIndex((record, index) => index >= from && fits(record));
          if (place === -1) return;
          waiting.delete(look);
          resolve(place);
        };
        waiting.add(look);
        look();
      });
    },
  };
}
