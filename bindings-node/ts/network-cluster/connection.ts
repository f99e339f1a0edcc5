/** A consumer as its provider sees it. */

import { isBytes, toBase64, toBytes } from '../byte_strings.js';
import { MoorlineError } from '../errors.js';
import { written } from '../json.js';
import type { Received } from './types.js';

/** What connections of one provider share. */
export interface Port {
  /** Says something about a peer, unless the provider has ended. */
  command(name: string, peer: number, body: string): void;
  /** Writes a message as a member of a command. */
  content(data: unknown, isBinary: boolean): string;
  publish(topic: string, member: string, compress: boolean, except: Connection): boolean;
  readonly topics: Map<string, Set<Connection>>;
}

/** A connected consumer. After its end, commands do nothing. */
export class Connection {
  /** A UUID that is never sent. */
  readonly id: string;
  /** The address that it comes from. */
  readonly ip: string;
  /** The parameters that it came with. */
  readonly parameters: Received;
  /** Whether it has answered the last heartbeat. */
  alive = true;
  /** How many intervals it has left one unanswered. */
  strikes = 0;
  /** When it answered last, in milliseconds of the epoch; before that, when it connected. */
  last_ping = Date.now();
  /** @internal */
  readonly peer: number;
  /** @internal Bytes told last; while there are any, messages are dropped or wait. */
  backlog = 0;
  readonly #port: Port;
  #topics: Set<string> | undefined = new Set();

  /** @internal */
  constructor(port: Port, peer: number, id: string, ip: string, parameters: Received) {
    this.#port = port;
    this.peer = peer;
    this.id = id;
    this.ip = ip;
    this.parameters = parameters;
  }

  /**
   * Sends text, or bytes if `is_binary`. Returns `false` if it is over or has not read what is before: the
   * message is dropped or waits, as `ws.on_backlog` says. Throws ARGUMENT_INVALID for what cannot be sent.
   */
  send(data?: unknown, is_binary = false, compress = false): boolean {
    const member = this.#port.content(data, is_binary);
    if (this.#topics === undefined) return false;
    this.#port.command('send', this.peer, `{"peer":${this.peer},${member},"compress":${compress}}`);
    return this.backlog === 0;
  }

  /** Closes in order; without a code its `close` has 0. */
  end(code?: number, reason?: string): void {
    this.#say('end', code === undefined ? 'null' : written({ code, reason: reason === undefined ? undefined : String(reason) }));
  }

  /** Cuts it off, without a farewell. */
  close(): void {
    this.#say('close', 'null');
  }

  /** Sends a ping of WebSocket with at most 125 bytes. */
  ping(data: unknown = ''): void {
    if (typeof data !== 'string' && !isBytes(data)) throw new MoorlineError('ARGUMENT_INVALID', 'a ping takes text or bytes');
    this.#say('ping', `{"bytes":"${toBase64(toBytes(data))}"}`);
  }

  /** Calls `send_all`: what is sent in one turn leaves together anyway. */
  cork(send_all: () => unknown): this {
    send_all();
    return this;
  }

  /** How many bytes had not left when that was told last; 0 below the limit. */
  getBufferedAmount(): number {
    return this.backlog;
  }

  /** `ip` as the bytes of its text. */
  getRemoteAddressAsText(): ArrayBuffer {
    return new TextEncoder().encode(this.ip).slice().buffer as ArrayBuffer;
  }

  /** Gets what others publish to `topic` from now on. */
  subscribe(topic: string): boolean {
    if (this.#topics === undefined) return false;
    const { topics } = this.#port;
    const members = topics.get(topic) ?? new Set();
    topics.set(topic, members.add(this));
    this.#topics.add(topic);
    return true;
  }

  /** Gets it no longer; tells whether it did. */
  unsubscribe(topic: string): boolean {
    const members = this.#port.topics.get(topic);
    if (members?.delete(this) && members.size === 0) this.#port.topics.delete(topic);
    return this.#topics?.delete(topic) ?? false;
  }

  /** Sends to all that subscribed to `topic` but this one; tells whether there are any. */
  publish(topic: string, data?: unknown, is_binary = false, compress = false): boolean {
    return this.#port.publish(topic, this.#port.content(data, is_binary), compress, this);
  }

  isSubscribed(topic: string): boolean {
    return this.#topics?.has(topic) ?? false;
  }

  getTopics(): string[] {
    return [...(this.#topics ?? [])];
  }

  /** @internal It is over. */
  over(): void {
    for (const topic of this.getTopics()) this.unsubscribe(topic);
    this.#topics = undefined;
    this.backlog = 0;
  }

  #say(command: string, body: string): void {
    if (this.#topics !== undefined) this.#port.command(command, this.peer, body);
  }
}
