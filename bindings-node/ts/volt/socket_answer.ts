/** Answers over a socket that is not ours: a bridge bound by the application. */

import { randomUUID } from 'node:crypto';

import { type ByteString, toBase64 } from '../byte_strings.js';
import { DaemonSocketEvent } from '../generated.js';
import type { DaemonClientError } from './errors.js';
import type { Answer, Head } from './handlers.js';

/** Any object that has `on` and `emit`, such as a socket of socket.io-client. */
export interface SocketLike {
  on(event: string, listener: (message: any) => void): unknown;
  emit(event: string, message: unknown): unknown;
  off?(event: string, listener: (message: any) => void): unknown;
}

/** Writes the messages of an answer in the documented order of their members. */
export class SocketAnswer implements Answer {
  readonly #socket: SocketLike;
  readonly #requestId: string;
  readonly #current: () => boolean;
  readonly #ended: () => void;
  readonly #streamId = randomUUID();
  /** Whether there is something left to be said. */
  open = true;

  constructor(socket: SocketLike, requestId: string, current: () => boolean, ended: () => void) {
    this.#socket = socket;
    this.#requestId = requestId;
    this.#current = current;
    this.#ended = ended;
  }

  json(head: Head, data: unknown): void {
    this.#good(head, { data: { status: 'success', ...(data !== undefined && { data }) } });
  }

  body(head: Head, body: ByteString): void {
    this.#good(head, { bodyBase64: toBase64(body) });
  }

  refuse(status: number, message: string): void {
    this.#say({ type: 'response', requestId: this.#requestId, ok: false, status, message });
  }

  fail(error: DaemonClientError): void {
    this.refuse(500, error.message);
  }

  begin(head: Head): void {
    this.#good(head, { streamId: this.#streamId });
  }

  chunk(bytes: ByteString): void {
    this.#part('stream', { chunkBase64: toBase64(bytes) });
  }

  end(message?: string): void {
    this.#part('stream-end', message === undefined ? {} : { message });
  }

  room(): undefined {}

  over(): void {
    this.open = false;
    this.#ended();
  }

  #good({ status = 200, headers }: Head, rest: object): void {
    const head = { type: 'response', requestId: this.#requestId, ok: true, status };
    this.#say({ ...head, ...(headers !== undefined && { headers }), ...rest });
  }

  #part(type: string, rest: object): void {
    this.#say({ type, requestId: this.#requestId, streamId: this.#streamId, ...rest });
  }

  #say(message: object): void {
    if (this.open && this.#current()) this.#socket.emit(DaemonSocketEvent.TeamClusterDaemonMessage, message);
  }
}
