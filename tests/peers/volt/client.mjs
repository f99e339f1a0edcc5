// A hub of ours as a child process, and the official client as its daemon.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { io } from 'socket.io-client';

export const REGISTER = 'team-cluster-daemon:register';
export const REGISTERED = 'team-cluster-daemon:registered';
export const MESSAGE = 'team-cluster-daemon:message';
export const CREDENTIALS = { teamClusterId: 'lab', daemonPassword: 'pw-lab' };

const PROGRAM =
  process.env.MOORLINE_BIN ??
  fileURLToPath(new URL('../../../target/debug/moorline', import.meta.url));

/** Starts a hub that knows the daemon `lab`; `options` are lines of its table `volt`. */
export async function startHub(t, { options = '', listen = '127.0.0.1:0' } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'moorline-hub-'));
  const config = join(folder, 'hub.toml');
  const daemon = `[[volt.daemons]]\nteam_cluster_id = "lab"\npassword = "pw-lab"\n`;
  writeFileSync(config, `listen = "${listen}"\n[volt]\n${options}\n${daemon}`, { mode: 0o600 });
  // Every other variable of this kind would be an option of the hub.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('MOORLINE_')),
  );
  const stdio = ['ignore', 'pipe', 'pipe'];
  const child = spawn(PROGRAM, ['hub', '--config', config], { env, stdio });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true });
  });
  const log = [];
  createInterface({ input: child.stderr }).on('line', (line) => log.push(line));
  const url = await new Promise((resolve, reject) => {
    child.once('exit', () => reject(new Error(log.join('\n'))));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const [, found] = /^moorline hub listening on (\S+)$/.exec(line) ?? [];
      if (found) resolve(found);
    });
  });
  const ask = async (path, body, method = body === undefined ? 'GET' : 'POST') =>
    fetch(url + path, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  return {
    url,
    log,
    ask,
    /** The most memory that it had at once, in bytes. */
    peak: () => {
      const [, kilobytes] = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'));
      return Number(kilobytes) * 1024;
    },
    /** Has `moorline call` run a command of `lab`; returns what it printed, piece by piece. */
    cli: (command, form) => run(['call', 'lab', command, '--response-type', form, '--url', url], env),
    /** Has the daemon `lab` carry a command out; returns status and body. */
    async call(Command, more = {}) {
      const answer = await ask('/Moorline/Volt/Daemons/lab/Call', { Command, ...more });
      return { status: answer.status, ...(await answer.json()) };
    },
    message: (Message, more = {}) =>
      ask('/Moorline/Volt/Daemons/lab/Message', { Message, ...more }),
    daemons: async () => (await ask('/Moorline/Volt/Daemons')).json(),
    /** Ends it in order; settles when it is gone. */
    async stop() {
      child.kill('SIGTERM');
      return ended;
    },
  };
}

/** Runs the command line; returns its exit status, the hash and the length of what it printed, and its complaints. */
async function run(args, env) {
  const child = spawn(PROGRAM, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const hash = createHash('sha256');
  let bytes = 0;
  let told = '';
  child.stdout.on('data', (data) => {
    hash.update(data);
    bytes += data.length;
  });
  child.stderr.on('data', (data) => (told += data));
  const [status] = await next(child, 'close');
  return { status, bytes, hash: hash.digest('hex'), told };
}

/** Connects the official client over these transports. */
export function connect(t, url, transports, more = {}) {
  const socket = io(url, { transports, forceNew: true, reconnection: false, ...more });
  t.after(() => socket.disconnect());
  return socket;
}

/** Waits for an event of a socket, or of anything with `once`. */
export const next = (emitter, event) =>
  new Promise((resolve) => emitter.once(event, (...values) => resolve(values)));

/** Connects a daemon, registers it, and has it answer commands with `answer`. */
export async function daemon(t, url, transports, answer = () => ({}), more = {}) {
  const socket = connect(t, url, transports, more);
  socket.on(MESSAGE, (message) => {
    if (message?.type !== 'command') return;
    const { requestId } = message;
    socket.emit(MESSAGE, { type: 'response', requestId, ok: true, status: 200, ...answer(message) });
  });
  socket.on('connect', () => socket.emit(REGISTER, CREDENTIALS));
  await next(socket, REGISTERED);
  return socket;
}
