// The official socket.io server as a VOLT server that counts what arrives, and can stand still.
//
// The first line printed is `{"port":N}`. Each line read is `{"id":N,"do":"…",…}` and is answered by
// `{"id":N,…}`. The process ends with its standard input.

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { Server } from 'socket.io';

const MESSAGE = 'team-cluster-daemon:message';

/** How often each kind of message came, and how many connections ended. */
const counts = {};
const count = (kind) => (counts[kind] = (counts[kind] ?? 0) + 1);
/** Who waits for how many of a kind. */
let waiting = [];
let http;
let io;
let daemon;

const take = (message) => {
  count(message.type);
  if (message.type === 'command') {
    daemon.emit(MESSAGE, { type: 'response', requestId: message.requestId, ok: true, status: 200, data: {} });
  }
  waiting = waiting.filter(({ kind, least, resolve }) => (counts[kind] ?? 0) < least || void resolve());
};

async function start(port) {
  http = createServer();
  io = new Server(http, { pingInterval: 25_000, pingTimeout: 60_000, maxHttpBufferSize: 1e7 });
  io.on('connection', (socket) => {
    socket.on('team-cluster-daemon:register', ({ teamClusterId }) => {
      daemon = socket;
      socket.emit('team-cluster-daemon:registered', { teamClusterId });
    });
    socket.on(MESSAGE, take);
    socket.on('disconnect', () => count('disconnect'));
  });
  await once(http.listen(port, '127.0.0.1'), 'listening');
  return http.address().port;
}

const port = await start(0);
const ACTIONS = {
  /** Waits until so many of a kind have come; answers all counts. */
  async until({ kind, least }) {
    if ((counts[kind] ?? 0) < least) await new Promise((resolve) => waiting.push({ kind, least, resolve }));
    return { counts };
  },
  /** Does nothing at all for so long. */
  stall: ({ ms }) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms),
  /** Asks so many commands at once. */
  ask({ n, command, responseType, payload }) {
    for (let i = 0; i < n; i += 1) {
      daemon.emit(MESSAGE, { type: 'command', requestId: randomUUID(), command, responseType, payload });
    }
  },
  async leave() {
    const closed = once(http, 'close');
    io.close();
    await closed;
  },
  start: () => void start(port),
};

process.stdout.write(`${JSON.stringify({ port })}\n`);
for await (const text of createInterface({ input: process.stdin })) {
  const line = JSON.parse(text);
  void Promise.resolve(ACTIONS[line.do](line)).then((answer) => {
    process.stdout.write(`${JSON.stringify({ id: line.id, ...answer })}\n`);
  });
}
process.exit();
