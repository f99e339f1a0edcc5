/** Endpoints whose messages are text or bytes. A facade of another shape holds one. */

import { type ContentEvent, Endpoint, type EndpointEvents, type RoleEvent } from './base.js';
import { type ByteString, fromBase64, isBytes, toBase64, toBytes } from './byte_strings.js';
import { MoorlineError } from './errors.js';
import type { AdmissionAskedEvent, ClosedEvent, HeartbeatEvent, PeerJoinedEvent } from './generated.js';
import { stringified } from './json.js';

/** What became of a message: it was handed to the network, it waits behind others, there was no room. */
export type Outcome = 'sent' | 'queued' | 'dropped';

/** A peer of a server, as its endpoint knows it. */
export interface Peer {
  /** @internal */
  readonly peer: number;
  /** @internal Bytes that had not left when that was told last; while there are any, messages are dropped or wait. */
  backlog: number;
}

/** What a facade is told; the other end of a client's link is no peer. */
export interface ContentHooks<Known extends Peer> {
  /** Throws for a message that the protocol keeps for itself; of bytes the beginning is given, as text. */
  refuse(text: string, isBinary: boolean): unknown;
  received(message: string | ByteString, peer: Known | undefined): void;
  closed(event: ClosedEvent, peer: Known | undefined): void;
  heartbeat(event: HeartbeatEvent, peer: Known | undefined): void;
  /** Makes what the peer is known by from here on, and then `greeted` tells of it. */
  joined?(event: PeerJoinedEvent): Known;
  greeted?(peer: Known): void;
  /** Decides who is let in: `true`, also of a promise. What it throws is told to `failed`, and refuses. */
  admit?(request: unknown): unknown;
  failed?(error: unknown): void;
}

/** One native endpoint; its owner hears what happens, and says it. */
export class ContentEndpoint<Known extends Peer> extends Endpoint<EndpointEvents> {
  readonly peers = new Map<number, Known>();
  readonly #hooks: ContentHooks<Known>;
  readonly #waits: boolean;
  #backlog = 0;

  /** `waits` says that messages wait for room instead of being dropped. */
  constructor(dialect: string, role: string, options: Record<string, unknown>, waits: boolean, hooks: ContentHooks<Known>) {
    super(dialect, role, options, true, true);
    this.#hooks = hooks;
    this.#waits = waits;
    this.logger = null;
  }

  start(): void {
    this.begin();
  }

  async whenReady(): Promise<void> {
    await this.ready();
  }

  /** Ends, and waits up to `ms` until what was sent has left; rejects only where a time was given. */
  async leave(ms: number | undefined): Promise<void> {
    try {
      await this.drain(ms ?? 0);
    } catch (error) {
      // A time that is none ends nothing.
      this.close();
      if (ms !== undefined) throw error;
    }
  }

  /** Gives a command; `body` is JSON text. */
  command(name: string, id: number, body: string): void {
    if (!this.isOver) this.submit(name, id, body);
  }

  /** Sends; `body` is JSON text. Tells `false` if the message is known to be dropped. */
  send(body: string, peer?: Known): boolean {
    this.command('send', 0, body);
    return this.#waits || (peer?.backlog ?? this.#backlog) === 0;
  }

  /** Sends one message to many; tells whether there are any. */
  sendTo(peers: readonly Known[], message: string, compress: boolean): boolean {
    const numbers = peers.map(({ peer }) => peer);
    if (peers.length > 0) this.command('send', 0, `{"peers":[${numbers}],${message},"compress":${compress}}`);
    return peers.length > 0;
  }

  /** Sends, and waits for the outcome. */
  deliver(body: string): Promise<Outcome> {
    return this.sent(body) as Promise<Outcome>;
  }

  /**
   * Writes a message as a member of a body. Throws ARGUMENT_INVALID for what is neither text nor bytes, for bytes
   * that are no UTF-8 where text is wanted, and for what the protocol keeps.
   */
  write(data: unknown, isBinary: boolean): string {
    const value = data === undefined ? '' : data;
    if (typeof value !== 'string' && !isBytes(value)) {
      throw new MoorlineError('ARGUMENT_INVALID', 'Text and data can only be passed by String, ArrayBuffer or TypedArray.');
    }
    if (isBinary) {
      const bytes = toBytes(value);
      this.#hooks.refuse(lenient.decode(bytes.subarray(0, LOOKED_AT)), true);
      return `"bytes":"${toBase64(bytes)}"`;
    }
    const text = typeof value === 'string' ? value : utf8(toBytes(value));
    this.#hooks.refuse(text, false);
    return `"text":${stringified(text)}`;
  }

  protected override hearContent(event: ContentEvent): void {
    if (event.event === 'admission_asked') return void this.#decide(event);
    const peer = this.peers.get(event.peer ?? 0);
    switch (event.event) {
      case 'received':
        return this.#hooks.received(event.text ?? fromBase64(event.bytes ?? ''), peer);
      case 'closed':
        this.#behind(0, peer);
        this.peers.delete(event.peer ?? 0);
        return this.#hooks.closed(event, peer);
      case 'backlog':
        return this.#behind(event.bytes, peer);
      case 'heartbeat':
        return this.#hooks.heartbeat(event, peer);
      default:
        event satisfies never;
    }
  }

  protected override receive(event: RoleEvent): void {
    if (event.event !== 'peer_joined') return;
    const peer = this.#hooks.joined?.(event);
    if (peer === undefined) return;
    this.peers.set(event.peer, peer);
    this.#hooks.greeted?.(peer);
    // Behind what was sent there.
    this.command('greet', event.peer, 'null');
  }

  protected override release(): void {}

  #behind(bytes: number, peer: Known | undefined): void {
    if (peer === undefined) this.#backlog = bytes;
    else peer.backlog = bytes;
  }

  async #decide({ peer, request }: AdmissionAskedEvent): Promise<void> {
    let verdict: unknown;
    try {
      verdict = await this.#hooks.admit?.(request);
    } catch (thrown) {
      this.#hooks.failed?.(thrown);
    }
    this.command(verdict === true ? 'admit' : 'refuse', peer, 'null');
  }
}

/** So much of a message tells whether it is one of a protocol. */
const LOOKED_AT = 64;
const lenient = new TextDecoder('utf-8', { ignoreBOM: true });
const strict = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true });

function utf8(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes);
  } catch (cause) {
    throw new MoorlineError('ARGUMENT_INVALID', 'these bytes are no UTF-8: pass true for is_binary', { cause });
  }
}
