/** Providers: many consumers, whose messages are text or bytes. */

import { failureOf } from '../errors.js';
import { uncaught } from '../host.js';
import { fromBase64 } from '../byte_strings.js';
import { type AdmissionAskedEvent, OPTION_DEFAULTS } from '../generated.js';
import { Connection, type Port } from './connection.js';
import { content, Emitting, Link, type LinkEvent } from './link.js';
import { providerOptions } from './options.js';
import type { AdmissionRequest, ProviderEvents, ProviderOptions, Received } from './types.js';

interface Pair {
  readonly name: string;
  readonly value: string | null;
}

type Asked = Omit<AdmissionRequest, 'headers' | 'cookies' | 'query_parameters'> &
  Readonly<Record<'headers' | 'cookies' | 'parameters', readonly Pair[]>>;

/** Listens from its construction until it is destroyed, and keeps the process alive. */
export class Provider extends Emitting<ProviderEvents> {
  /** The connected consumers by their ids. */
  readonly connections: Record<string, Connection> = {};
  /** The path that consumers ask for. */
  readonly path: string;
  readonly #link: Link;
  readonly #peers = new Map<number, Connection>();
  readonly #port: Port;
  readonly #handler: NonNullable<ProviderOptions['auth']>['handler'];
  #listens: number;
  #isDestroyed = false;

  /** Throws CONFIG_INVALID with every problem of the options. */
  constructor(options: ProviderOptions = {}) {
    super();
    this.#link = new Link('provider', providerOptions(options), (event) => this.#hear(event));
    this.path = options.path ?? OPTION_DEFAULTS.provider.path;
    this.#listens = options.port ?? OPTION_DEFAULTS.provider.port;
    this.#handler = options.auth?.handler;
    this.#port = {
      command: (name, peer, body) => this.#link.command(name, name === 'send' ? 0 : peer, body),
      content: (data, isBinary) => content(data, isBinary, 'consumer', options.allow_reserved),
      publish: (topic, member, compress, except) => this.#publish(topic, member, compress, except),
      topics: new Map(),
    };
    this.#link.on('ready', ({ id }) => {
      this.#listens = Number(id.slice(id.lastIndexOf(':') + 1));
      this.debug('SERVER_ACTIVE', this.#listens);
    });
    this.#link.on('notice', (error) => {
      if (error.code === 'PEER_REFUSED') this.debug('REJECT_CONNECTION', error.message.split(': ', 1)[0], this.path);
      else this.fault(error, warn);
    });
    // Nobody would notice that nothing listens.
    this.#link.on('ended', (error) => error !== null && !this.#isDestroyed && this.fault(error, uncaught));
    this.#link.start();
  }

  /** The port; once it listens, the one that was chosen if that was left open. */
  get port(): number {
    return this.#listens;
  }

  /** Resolves once it listens. Rejects with LISTEN_FAILED if it cannot, which the error handler is told too. */
  async ready(): Promise<void> {
    await this.#link.whenReady();
  }

  /** Sends to every consumer that subscribed to `topic`; tells whether there are any. */
  publish(topic: string, data?: unknown, is_binary = false, compress = false): boolean {
    return this.#publish(topic, this.#port.content(data, is_binary), compress);
  }

  /**
   * Ends every connection and listens no longer. With `ms` it waits as long until what was sent has left, and
   * rejects with DRAIN_TIMEOUT if it has not.
   */
  async destroy(ms?: number): Promise<void> {
    this.#isDestroyed = true;
    try {
      await this.#link.leave(ms);
    } finally {
      this.events.removeAllListeners();
    }
  }

  #publish(topic: string, member: string, compress: boolean, except?: Connection): boolean {
    const peers = [];
    for (const connection of this.#port.topics.get(topic) ?? []) if (connection !== except) peers.push(connection.peer);
    if (peers.length === 0) return false;
    this.#link.command('send', 0, `{"peers":[${peers}],${member},"compress":${compress}}`);
    return true;
  }

  #hear(event: LinkEvent): void {
    if (event.event === 'admission_asked') return void this.#decide(event);
    if (event.event === 'peer_joined') {
      const { ip, parameters } = event.meta as { ip: string; parameters: readonly Pair[] };
      return this.#open(new Connection(this.#port, event.peer, event.name, ip, received(parameters)));
    }
    const connection = this.#peers.get(event.peer ?? 0);
    if (connection === undefined) return;
    switch (event.event) {
      case 'received': {
        const { text, bytes } = event;
        const message = text ?? detached(bytes ?? '');
        this.debug('CONNECTION_MESSAGE', connection.id, message);
        return this.tell('message', connection, message);
      }
      case 'closed':
        this.#peers.delete(connection.peer);
        delete this.connections[connection.id];
        connection.over();
        this.debug('CONNECTION_CLOSE', connection.id, event.code, event.reason);
        return this.tell('close', connection, event.code, event.reason);
      case 'backlog':
        connection.backlog = event.bytes;
        return;
      case 'heartbeat':
        return this.#beat(connection, event.sign, event.value);
      default:
        event satisfies never;
    }
  }

  #open(connection: Connection): void {
    this.#peers.set(connection.peer, connection);
    this.connections[connection.id] = connection;
    this.debug('CONNECTION_UPGRADE', connection.id, connection.ip);
    this.debug('CONNECTION_OPEN', connection.id);
    this.tell('open', connection);
    this.#link.command('greet', connection.peer, 'null');
  }

  #beat(connection: Connection, sign: string, value: number): void {
    if (sign === 'ping') {
      connection.alive = false;
      this.debug('HEARTBEAT_SEND', connection.id);
    } else if (sign === 'pong') {
      connection.alive = true;
      connection.strikes = 0;
      connection.last_ping = Date.now();
      this.debug('HEARTBEAT_ALIVE', connection.id);
    } else if (sign === 'strike') {
      connection.strikes = value;
      this.debug('HEARTBEAT_STRIKE', connection.id);
    } else this.debug('HEARTBEAT_KILL', connection.id);
  }

  async #decide({ peer, request }: AdmissionAskedEvent): Promise<void> {
    let verdict: unknown;
    try {
      const { headers, cookies, parameters, ...rest } = request as Asked;
      const query_parameters = received(parameters);
      const asked = { ...rest, headers: joined(headers), cookies: joined(cookies), query_parameters };
      verdict = await this.#handler?.(asked, query_parameters);
    } catch (thrown) {
      this.fault(thrown, warn);
    }
    this.#link.command(verdict === true ? 'admit' : 'refuse', peer, 'null');
  }
}

function warn(error: unknown): void {
  console.warn(`moorline: ${failureOf(error)}`);
}

/** Without a prototype: names are the peer's. */
function received(pairs: readonly Pair[]): Received {
  const all: Record<string, string | null | (string | null)[]> = Object.create(null);
  for (const { name, value } of pairs) {
    const known = all[name];
    all[name] = known === undefined ? value : Array.isArray(known) ? [...known, value] : [known, value];
  }
  return all;
}

function joined(pairs: readonly Pair[]): Record<string, string> {
  const all: Record<string, string> = Object.create(null);
  for (const { name, value } of pairs) all[name] = name in all ? `${all[name]}, ${value}` : (value ?? '');
  return all;
}

function detached(base64: string): ArrayBuffer {
  const { buffer, byteOffset, byteLength } = fromBase64(base64);
  return buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
}
