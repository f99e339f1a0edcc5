/** Providers: many consumers, whose messages are text or bytes. */

import { apart } from '../base.js';
import { toBytes } from '../byte_strings.js';
import { ContentEndpoint } from '../content.js';
import { Emitting, warn } from '../emitting.js';
import { type HeartbeatEvent, OPTION_DEFAULTS, ReservedText } from '../generated.js';
import { uncaught } from '../host.js';
import { type Pair, received, shown } from '../requests.js';
import { Topics } from '../topics.js';
import { Connection } from './connection.js';
import { kept, providerOptions } from './options.js';
import type { ProviderEvents, ProviderOptions } from './types.js';

/** Listens from its construction until it is destroyed, and keeps the process alive. */
export class Provider extends Emitting<ProviderEvents> {
  /** The connected consumers by their ids. */
  readonly connections: Record<string, Connection> = {};
  /** The path that consumers ask for. */
  readonly path: string;
  readonly #link: ContentEndpoint<Connection>;
  readonly #topics = new Topics<Connection>();
  #listens: number;
  #isDestroyed = false;

  /** Throws CONFIG_INVALID with every problem of the options. */
  constructor(options: ProviderOptions = {}) {
    super();
    const given = providerOptions(options);
    this.path = options.path ?? OPTION_DEFAULTS.provider.path;
    this.#listens = options.port ?? OPTION_DEFAULTS.provider.port;
    const link: ContentEndpoint<Connection> = new ContentEndpoint('netcluster', 'provider', given, options.ws?.on_backlog === 'block', {
      refuse: options.allow_reserved ? () => {} : refused,
      joined: ({ peer, name, meta }) => {
        const { ip, parameters } = meta as { ip: string; parameters: readonly Pair[] };
        return (this.connections[name] = new Connection(link, this.#topics, peer, name, ip, received(parameters)));
      },
      greeted: (connection) => {
        this.debug('CONNECTION_UPGRADE', connection.id, connection.ip);
        this.debug('CONNECTION_OPEN', connection.id);
        this.tell('open', connection);
      },
      received: (data, connection) => {
        if (connection === undefined) return;
        const message = typeof data === 'string' ? data : new Uint8Array(toBytes(data)).buffer;
        this.debug('CONNECTION_MESSAGE', connection.id, message);
        this.tell('message', connection, message);
      },
      closed: ({ code, reason }, connection) => {
        if (connection === undefined) return;
        delete this.connections[connection.id];
        connection.over();
        this.debug('CONNECTION_CLOSE', connection.id, code, reason);
        this.tell('close', connection, code, reason);
      },
      heartbeat: (event, connection) => {
        connection?.beat(event);
        this.debug(`HEARTBEAT_${TOKENS[event.sign]}`, connection?.id ?? event.value);
      },
      admit: (asked) => {
        const request = shown(asked);
        return options.auth?.handler?.(request, request.query_parameters);
      },
      failed: (error) => this.fault(error),
    });
    this.#link = link;
    link.on('ready', ({ id }) => this.debug('SERVER_ACTIVE', (this.#listens = Number(id.slice(id.lastIndexOf(':') + 1)))));
    link.on('notice', (error) => {
      if (error.code !== 'PEER_REFUSED') return this.fault(error);
      const [address, why] = error.message.split(': refused: ');
      if (!this.debug('REJECT_CONNECTION', address, this.path, why)) apart(() => warn(error));
    });
    // Nobody would notice that nothing listens.
    link.on('ended', (error) => error !== null && !this.#isDestroyed && this.fault(error, uncaught));
    link.start();
  }

  /** The port; once it listens, the one that was chosen if that was left open. */
  get port(): number {
    return this.#listens;
  }

  /** Resolves once it listens. Rejects with LISTEN_FAILED if it cannot, which the error handler is told too. */
  ready(): Promise<void> {
    return this.#link.whenReady();
  }

  /** Sends to every consumer that subscribed to `topic`; tells whether there are any. */
  publish(topic: string, data?: unknown, is_binary = false, compress = false): boolean {
    return this.#link.sendTo(this.#topics.of(topic), this.#link.write(data, is_binary), compress);
  }

  /**
   * Ends every connection and listens no longer. With `ms` it waits as long until what was sent has left, and
   * rejects with DRAIN_TIMEOUT if it has not.
   */
  async destroy(ms?: number): Promise<void> {
    this.#isDestroyed = true;
    await this.#link.leave(ms).finally(() => this.events.removeAllListeners());
  }
}

const TOKENS: { readonly [Sign in HeartbeatEvent['sign']]?: string } = {
  cycle: 'CYCLE', ping: 'SEND', pong: 'ALIVE', strike: 'STRIKE', end: 'KILL',
};

/** Consumers take it for one of the protocol also as bytes. */
const refused = (text: string): unknown => (text === ReservedText.Ping || text.startsWith(ReservedText.Announcement)) && kept();
