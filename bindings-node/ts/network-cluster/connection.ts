/** A consumer as its provider sees it. */

import { isBytes, toBase64, toBytes } from '../byte_strings.js';
import type { ContentEndpoint, Outcome, Peer } from '../content.js';
import { MoorlineError } from '../errors.js';
import type { HeartbeatEvent } from '../generated.js';
import { written } from '../json.js';
import { bytesOfAddress, type Received } from '../requests.js';
import type { Topics } from '../topics.js';

/** A connected consumer. After its end, commands do nothing. */
export class Connection implements Peer {
  /** Whether it has answered the last heartbeat. */
  alive = true;
  /** How many intervals it has left one unanswered. */
  strikes = 0;
  /** When it answered last, in milliseconds of the epoch; before that, when it connected. */
  last_ping = Date.now();
  /** @internal */
  backlog = 0;
  #isOver = false;
  readonly #link: ContentEndpoint<Connection>;
  readonly #topics: Topics<Connection>;

  /** @internal */
  constructor(
    link: ContentEndpoint<Connection>,
    topics: Topics<Connection>,
    /** @internal */ readonly peer: number,
    /** A UUID that is never sent. */
    readonly id: string,
    /** The address that it comes from. */
    readonly ip: string,
    /** The parameters that it came with. */
    readonly parameters: Received,
  ) {
    this.#link = link;
    this.#topics = topics;
  }

  /**
   * Sends text, or bytes if `is_binary`. Returns `false` if the message is known to be dropped: the connection is
   * over, or the consumer has not read what is before, unless `ws.on_backlog` is `block`. Throws ARGUMENT_INVALID
   * for what cannot be sent.
   */
  send(data?: unknown, is_binary = false, compress = false): boolean {
    const body = this.#message(data, is_binary, compress);
    return !this.#isOver && this.#link.send(body, this);
  }

  /** Sends as `send` does, and resolves with what became of the message; rejects with INPUT_GONE after the end. */
  async deliver(data?: unknown, is_binary = false, compress = false): Promise<Outcome> {
    return this.#link.deliver(this.#message(data, is_binary, compress));
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

  /** The bytes of `ip`: 4, or 16 for IPv6. */
  getRemoteAddress(): ArrayBuffer {
    return bytesOfAddress(this.ip);
  }

  /** `ip` as the bytes of its text. */
  getRemoteAddressAsText(): ArrayBuffer {
    return new TextEncoder().encode(this.ip).slice().buffer as ArrayBuffer;
  }

  /** Gets what others publish to `topic` from now on. */
  subscribe(topic: string): boolean {
    if (!this.#isOver) this.#topics.add(topic, this);
    return !this.#isOver;
  }

  /** Gets it no longer; tells whether it did. */
  unsubscribe(topic: string): boolean {
    return this.#topics.remove(topic, this);
  }

  /** Sends to all that subscribed to `topic` but this one; tells whether there are any. */
  publish(topic: string, data?: unknown, is_binary = false, compress = false): boolean {
    return this.#link.sendTo(this.#topics.of(topic, this), this.#link.write(data, is_binary), compress);
  }

  isSubscribed(topic: string): boolean {
    return this.#topics.has(topic, this);
  }

  getTopics(): string[] {
    return this.#topics.named(this);
  }

  /** @internal A heartbeat of it was told. */
  beat({ sign, value }: HeartbeatEvent): void {
    if (sign === 'pong') Object.assign(this, { alive: true, strikes: 0, last_ping: Date.now() });
    else if (sign === 'ping') this.alive = false;
    else if (sign === 'strike') this.strikes = value;
  }

  /** @internal */
  over(): void {
    for (const topic of this.getTopics()) this.unsubscribe(topic);
    this.#isOver = true;
  }

  #message(data: unknown, isBinary: boolean, compress: boolean): string {
    return `{"peer":${this.peer},${this.#link.write(data, isBinary)},"compress":${compress}}`;
  }

  #say(command: string, body: string): void {
    if (!this.#isOver) this.#link.command(command, this.peer, body);
  }
}
