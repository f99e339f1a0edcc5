// `moorline wsdaemon` as a child process, and what speaks with it: local programs, sockets of `ws`.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';

const PROGRAM =
  process.env.MOORLINE_BIN ??
  fileURLToPath(new URL('../../../target/debug/moorline', import.meta.url));

/**
 * Starts a daemon in a folder of its own with that `config.json` and further `files`. `set` are options,
 * `more` returns other arguments for the folder.
 */
export function startDaemon(t, config, { files = {}, set = {}, more = () => [] } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'wsdaemon-'));
  mkdirSync(join(folder, 'scripts'));
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  for (const [name, { text, mode }] of Object.entries(files)) {
    writeFileSync(join(folder, name), text, { mode });
  }
  // Every other variable of this kind would be an option of the daemon.
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('MOORLINE_'));
  const env = { ...Object.fromEntries(kept), WSDAEMON_PREFIX: folder };
  // Tests may run in a container, where the daemons would share one port.
  const options = Object.entries({ 'local.tcp_address': '', ...set });
  const words = options.flatMap(([name, value]) => ['--set', `${name}=${value}`]);
  const stdio = ['ignore', 'pipe', 'pipe'];
  const child = spawn(PROGRAM, ['wsdaemon', ...words, ...more(folder)], { env, stdio });
  const ended = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true });
  });
  const lines = [];
  const waiting = new Set();
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      for (const look of waiting) look();
    });
  }
  return {
    folder,
    path: join(folder, 'ws-daemon.sock'),
    /** Waits for a line of its output that contains `part`. */
    line(part) {
      return new Promise((resolve, reject) => {
        const look = () => {
          const found = lines.find((line) => line.includes(part));
          if (found === undefined) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        ended.then(() => reject(new Error(`it ended without ${part}:\n${lines.join('\n')}`)));
        look();
      });
    },
  };
}

/** A script that does what `lines` say. */
export function script(...lines) {
  return { text: ['#!/bin/sh', ...lines, ''].join('\n'), mode: 0o755 };
}

/** A port that nothing listens on. */
export async function freePort() {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Connects to where a daemon's programs ask, as soon as it is there. `hear()` awaits a line, its end included. */
export async function program(t, address) {
  let socket;
  do {
    socket = connect(address);
    await new Promise((resolve) => socket.once('connect', resolve).once('error', resolve));
  } while (socket.readyState !== 'open');
  t.after(() => socket.destroy());
  const queue = mailbox();
  let rest = '';
  socket.setEncoding('utf8').on('data', (text) => {
    const lines = (rest + text).split(/(?<=\n)/);
    rest = lines.at(-1).endsWith('\n') ? '' : lines.pop();
    lines.forEach(queue.put);
  });
  return { say: (text) => socket.write(text), hear: queue.take, end: () => socket.end() };
}

/** A socket of `ws`: `say` and `hear` messages; `closed` is the code of its end. */
export function speak(t, socket) {
  t.after(() => socket.terminate());
  const queue = mailbox();
  socket.on('message', (data, isBinary) => queue.put(isBinary ? data : String(data)));
  socket.on('error', () => {});
  const closed = new Promise((resolve) => socket.once('close', resolve));
  return { socket, say: (text) => socket.send(text), hear: queue.take, closed };
}

/** Connects a client of `ws`; resolves when it is let in, with the status of the answer otherwise. */
export async function enter(t, url, options = {}) {
  const client = speak(t, new WebSocket(url, options));
  const refused = new Promise((resolve) =>
    client.socket.once('unexpected-response', (_request, { statusCode }) => resolve(statusCode)),
  );
  const status = await Promise.race([once(client.socket, 'open').then(() => 101), refused]);
  return status === 101 ? client : { status };
}

function mailbox() {
  const kept = [];
  const waiting = [];
  return {
    put(what) {
      if (waiting.length > 0) waiting.shift()(what);
      else kept.push(what);
    },
    take() {
      return kept.length > 0
        ? Promise.resolve(kept.shift())
        : new Promise((resolve) => waiting.push(resolve));
    },
  };
}
