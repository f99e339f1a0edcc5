// What the VOLT server of each generation does with its daemons, on the official socket.io server.

import { freeze, thaw } from './bytes.mjs';
import { unwrapped, wrapped } from './envelope.mjs';

const REGISTER = 'team-cluster-daemon:register';
const REGISTERED = 'team-cluster-daemon:registered';
const MESSAGE = 'team-cluster-daemon:message';

/** The control plane: registrations, messages, commands and presence, all of them recorded. */
export class Control {
  #sockets = new Map();
  #daemons = new Map();
  #count = 0;
  /** The bytes of streams under way, by request. */
  #sums = new Map();

  constructor(options, clusters, record) {
    this.options = options;
    this.clusters = clusters;
    this.record = record;
  }

  /** Serves a namespace. */
  serve(namespace) {
    namespace.use((socket, next) => {
      const refusal = this.options.middleware;
      if (!refusal) return next();
      this.record('refused', { namespace: namespace.name });
      next(Object.assign(new Error(refusal.message), { data: refusal.data }));
    });
    namespace.on('connection', (socket) => this.#join(namespace.name, socket));
  }

  #join(namespace, socket) {
    const number = (this.#count += 1);
    this.#sockets.set(number, socket);
    const { conn } = socket;
    this.record('joined', { socket: number, namespace, transport: conn.transport.name });
    conn.on('upgrade', ({ name }) => this.record('upgraded', { socket: number, transport: name }));
    conn.on('packetCreate', ({ type }) => type === 'ping' && this.record('ping', { socket: number }));
    conn.on('heartbeat', () => this.record('pong', { socket: number }));
    socket.on(REGISTER, (payload, ack) => this.#register(number, socket, payload, ack));
    socket.on(MESSAGE, (...words) => this.#message(number, socket, words));
    socket.on('disconnect', (reason) => {
      this.#sockets.delete(number);
      for (const [id, daemon] of this.#daemons) {
        if (daemon.socket === socket) this.#daemons.delete(id);
      }
      this.record('left', { socket: number, reason });
    });
    if (this.options.dropAfterJoin) socket.disconnect(this.options.dropAfterJoin === 'transport');
  }

  #register(number, socket, payload, ack) {
    const answer = (words) => typeof ack === 'function' && ack(words);
    const note = (outcome) => {
      const withAck = typeof ack === 'function';
      this.record('register', { socket: number, payload: freeze(payload), outcome, ack: withAck });
    };
    const details = complaint(payload, this.options.generation);
    if (details) {
      note('invalid');
      const code = 'Validation::InvalidInput';
      socket.emit('error', { code, message: code, details });
      return answer({ ok: true });
    }
    const id = payload.teamClusterId.trim();
    const cluster = this.clusters.get(id);
    if (!cluster) {
      note('unknown');
      return answer({ ok: false, error: 'Team cluster not found' });
    }
    if (cluster.password !== payload.daemonPassword.trim()) {
      note('wrong password');
      return answer({ ok: false, error: 'Invalid daemon credentials' });
    }
    if (this.options.dropAtRegister) {
      note('dropped');
      return socket.disconnect(true);
    }
    note('accepted');
    cluster.seen = Date.now();
    const { generation = 1 } = this.options;
    const channel = payload.channel ?? 'control';
    this.#daemons.set(place(id, channel), { id, socket, number });
    socket.emit(REGISTERED, generation === 1 ? { teamClusterId: id } : { teamClusterId: id, channel });
    answer({ ok: true });
  }

  #message(number, socket, words) {
    const ack = typeof words.at(-1) === 'function' ? words.pop() : undefined;
    const [message] = words;
    const id = [...this.#daemons.values()].find((daemon) => daemon.socket === socket)?.id;
    if (id === undefined) {
      this.record('ignored', { socket: number, message: freeze(message) });
      return ack?.({ ok: true });
    }
    if (message?.type === 'command') this.#answer(number, socket, id, message);
    else if (this.options.generation === 3) this.#take(number, id, message);
    else this.#note(number, message);
    ack?.({ ok: true });
  }

  /** Takes a message as the third generation does: beats without an answer, bytes in envelopes alone. */
  #take(number, id, message) {
    if (message?.type === 'runtime-heartbeat') {
      const { type, ...payload } = message;
      const accepted = payload.teamClusterId === id && payload.daemonPassword === this.clusters.get(id).password;
      if (accepted) this.clusters.get(id).seen = Date.now();
      return this.record('heartbeat', { socket: number, payload: freeze(payload), accepted, by: 'message' });
    }
    if (!('chunk' in Object(message))) return this.#note(number, message);
    try {
      this.#note(number, { ...message, chunk: unwrapped(message.chunk) });
    } catch (error) {
      this.record('unreadable', { socket: number, type: message.type, why: error.message });
    }
  }

  /** Records a message; of streams only their sums, where that is wanted. */
  #note(number, message) {
    const { type, requestId, chunk, chunkBase64 } = Object(message);
    if (!this.options.sums || !['stream', 'stream-end'].includes(type)) {
      return this.record('message', { socket: number, message: freeze(message) });
    }
    const bytes = (this.#sums.get(requestId) ?? 0) + (chunk ?? Buffer.from(chunkBase64 ?? '', 'base64')).length;
    this.#sums.set(requestId, bytes);
    if (type === 'stream-end') this.record('streamed', { socket: number, requestId, bytes });
  }

  /** Answers a command as the table of answers says; what is not in it is unknown. */
  #answer(number, socket, id, { requestId, command, payload }) {
    const { answers = {}, heartbeat = 'authenticate', heartbeatAnswer } = this.options;
    const reply = (fields) => socket.emit(MESSAGE, thaw({ type: 'response', requestId, ...fields }));
    if (command === 'runtime.heartbeat' && this.options.generation === 3) {
      this.record('unknown heartbeat', { socket: number });
      return reply({ ok: false, status: 404, message: `Unknown daemon server command: ${command}` });
    }
    if (command === 'runtime.heartbeat') {
      const right =
        payload?.teamClusterId === id && payload?.daemonPassword === this.clusters.get(id).password;
      const accepted = heartbeat !== 'reject' && (heartbeat !== 'authenticate' || right);
      this.record('heartbeat', { socket: number, payload: freeze(payload), accepted });
      if (heartbeat === 'ignore') return;
      if (!accepted) return reply({ ok: false, status: 401, message: 'Invalid daemon credentials' });
      this.clusters.get(id).seen = Date.now();
      const data = heartbeatAnswer ?? { teamCluster: { _id: id, status: 'connected' } };
      return reply({ ok: true, status: 200, data: { status: 'success', data } });
    }
    this.record('command', { socket: number, requestId, command, payload: freeze(payload) });
    if (!Object.hasOwn(answers, command)) {
      const message = `Unknown daemon server command: ${command}`;
      return reply({ ok: false, status: 404, message });
    }
    const script = answers[command];
    if (script === 'echo') {
      return reply({ ok: true, status: 200, data: { status: 'success', data: payload } });
    }
    for (const one of script) {
      const whole = one.verbatim ?? { type: 'response', requestId, ...one };
      socket.emit(MESSAGE, thaw(whole));
    }
  }

  /** Sends a message to the daemon of a cluster, over one of its connections; the words are its arguments. */
  send(cluster, words, channel) {
    const daemon = this.#daemons.get(place(cluster, channel));
    if (!daemon) throw new Error(`no daemon of ${cluster} is registered`);
    const wrap = (word) =>
      this.options.generation === 3 && word?.chunk ? { ...word, chunk: wrapped(word.chunk) } : word;
    daemon.socket.emit(MESSAGE, ...thaw(words).map(wrap));
  }

  /** Answers a command that was left open. */
  reply(cluster, requestId, fields) {
    this.send(cluster, [{ type: 'response', requestId, ...fields }]);
  }

  /** Asks the daemon of a cluster; the answer is recorded as a message. */
  command(cluster, fields) {
    this.send(cluster, [{ type: 'command', ...fields }]);
  }

  /** Says `41` to every daemon; its transport stays open. */
  leave() {
    for (const socket of this.#sockets.values()) socket.disconnect(false);
  }

  /** Closes every transport without a word of Socket.IO. */
  closeTransports() {
    for (const socket of this.#sockets.values()) socket.conn.close();
  }

  /** Sends no further ping. */
  hush() {
    for (const { conn } of this.#sockets.values()) {
      clearTimeout(conn.pingIntervalTimer);
      clearTimeout(conn.pingTimeoutTimer);
    }
  }

  /** Tells how the server sees a cluster: disconnected after a minute without a sign of life. */
  presence(id) {
    const { seen } = this.clusters.get(id);
    const { presenceMs = 60_000 } = this.options;
    const connected = seen !== undefined && Date.now() - seen <= presenceMs;
    return { connected, registered: this.#daemons.has(id), sockets: this.#sockets.size };
  }
}

/** By what a connection of a daemon is known: commands go over that for control. */
const place = (id, channel = 'control') => (channel === 'control' ? id : `${id}/${channel}`);

/** Says what the strict reader finds wrong with a registration; later generations take a channel. */
function complaint(payload, generation = 1) {
  if (payload === null || typeof payload !== 'object' || Array.isArray(payload)) {
    return 'Invalid input: expected object';
  }
  const wanted = ['teamClusterId', 'daemonPassword'];
  for (const key of wanted) {
    const value = payload[key];
    if (typeof value !== 'string') return `${key}: Invalid input: expected string`;
    if (value.trim() === '') return `${key}: Too small: expected string to have >=1 characters`;
  }
  const known = generation === 1 ? wanted : [...wanted, 'channel'];
  const extra = Object.keys(payload).find((key) => !known.includes(key));
  return extra === undefined ? undefined : `Unrecognized key: "${extra}"`;
}
