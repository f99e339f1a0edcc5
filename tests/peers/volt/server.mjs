// The official socket.io server, scripted as a VOLT server.
//
// The options are one JSON argument. The first line printed is `{"port":N}`. Each line read is
// `{"id":N,"do":"…",…}` and is answered by `{"id":N,…}`, or `{"id":N,"error":"…"}`. What the server sees is
// printed as `{"record":"…","at":MILLISECONDS,…}` in the order in which it saw it: an answer stands behind
// everything that was seen before it. The process ends with its standard input.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { Server } from 'socket.io';

import { Control } from './control.mjs';
import { healthcheck } from './healthcheck.mjs';

const options = {
  cluster: 'cluster-abc123',
  password: 'rotated-pw-xyz',
  token: 'enroll-tok-1',
  namespaces: ['/'],
  engine: {},
  ...JSON.parse(process.argv[2] ?? '{}'),
};
const clusters = new Map([
  [options.cluster, { password: options.password, token: options.token, seen: undefined }],
]);

const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const record = (kind, fields) => print({ record: kind, at: Date.now(), ...fields });

/** One run of the server, from listening to its shutdown. */
class Run {
  #connections = new Set();

  static async start(port) {
    const run = new Run();
    run.http = createServer((request, response) =>
      healthcheck(options, clusters, request, response, record),
    );
    run.http.on('connection', (connection) => {
      run.#connections.add(connection);
      connection.on('close', () => run.#connections.delete(connection));
      connection.on('error', () => {});
    });
    run.io = new Server(run.http, {
      pingInterval: 25_000,
      pingTimeout: 60_000,
      maxHttpBufferSize: 1e7,
      ...options.engine,
    });
    run.#front();
    run.io.engine.on('connection', (conn) => {
      const compressed = conn.transport.socket?.extensions?.includes('permessage-deflate') ?? false;
      record('open', { transport: conn.transport.name, query: conn.request._query, compressed });
      conn.on('close', (reason) => record('close', { reason }));
    });
    run.control = new Control(options, clusters, record);
    for (const name of options.namespaces) run.control.serve(run.io.of(name));
    await once(run.http.listen(port, '127.0.0.1'), 'listening');
    // The WebSocket part has taken its limit over by now; handshakes tell this one.
    if (options.announced) run.io.engine.opts.maxHttpBufferSize = options.announced;
    return run;
  }

  /** Stands before the library: networks that refuse upgrades, balancers that want their cookie. */
  #front() {
    if (options.refuseUpgrades) {
      this.http.removeAllListeners('upgrade');
      this.http.on('upgrade', (request, socket) => {
        record('upgrade refused', { target: request.url });
        socket.destroy();
      });
    }
    if (!options.sticky) return;
    const ask = this.http.listeners('request');
    this.http.removeAllListeners('request');
    this.http.on('request', (request, response) => {
      const known = (request.headers.cookie ?? '').includes('stick=here');
      if (request.url.includes('sid=') && !known) {
        record('not sticky', { target: request.url });
        return response.writeHead(400).end('{"code":1,"message":"Session ID unknown"}');
      }
      response.setHeader('Set-Cookie', 'stick=here; Path=/; HttpOnly');
      for (const listener of ask) listener(request, response);
    });
  }

  /** Breaks every TCP connection. */
  cut() {
    for (const connection of this.#connections) connection.destroy();
  }

  /** Ends as the VOLT gateway does: `41` to everybody, then the port closes. */
  async shutdown() {
    this.io.disconnectSockets(true);
    const closed = once(this.http, 'close');
    this.io.close();
    this.http.closeIdleConnections();
    await closed;
  }

  /** Ends without a word. */
  async crash() {
    this.cut();
    const closed = once(this.http, 'close');
    this.io.close();
    this.cut();
    await closed;
  }
}

let run = await Run.start(options.port ?? 0);
const { port } = run.http.address();
print({ port });

const cluster = (line) => line.cluster ?? options.cluster;
const ACTIONS = {
  /** Changes options while the server runs; those of the engine count from the next run on. */
  set: ({ options: changes }) => void Object.assign(options, changes),
  password: (line) => void (clusters.get(cluster(line)).password = line.password),
  command: (line) => run.control.command(cluster(line), line.fields),
  send: (line) => run.control.send(cluster(line), line.words, line.channel),
  reply: (line) => run.control.reply(cluster(line), line.requestId, line.fields),
  leave: () => run.control.leave(),
  cut: () => run.cut(),
  'close transports': () => run.control.closeTransports(),
  hush: () => run.control.hush(),
  presence: (line) => run.control.presence(cluster(line)),
  shutdown: () => run.shutdown(),
  crash: () => run.crash(),
  start: async () => void (run = await Run.start(port)),
  /** Does nothing: its answer tells that everything seen before it was printed. */
  fence: () => {},
};

for await (const text of createInterface({ input: process.stdin })) {
  const line = JSON.parse(text);
  try {
    const action = ACTIONS[line.do];
    if (!action) throw new Error(`unknown: ${line.do}`);
    print({ id: line.id, ...(await action(line)) });
  } catch (error) {
    print({ id: line.id, error: String(error.message ?? error) });
  }
}
process.exit(0);
