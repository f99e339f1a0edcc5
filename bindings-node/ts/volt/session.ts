/** One native session of a daemon: from a `connect()` to the next, or to `disconnect()`. */

import type { EndpointEvents, RoleEvent } from '../base.js';
import { base64Length, type ByteString, toBase64, utf8Length } from '../byte_strings.js';
import { packed, restored } from '../bytes.js';
import { failureOf, messageOf, MoorlineError } from '../errors.js';
import { type DaemonOptions, type NativeError, OPTION_KEYS, type ResponseType, type WorkEvent } from '../generated.js';
import { stringified, written } from '../json.js';
import { renamed } from '../options.js';
import { ChunkWindow, type OtherEvent, type Running, WorkEndpoint } from '../work.js';
import type { Link, Reverse } from './bridge.js';
import { clientError, type DaemonClientError, unsendable } from './errors.js';
import type { Answer, Head, Run } from './handlers.js';
import { Pace } from './pace.js';

/** Texts from so many characters on are counted, not estimated. */
const COUNTED = 256;

/** Whom a session tells what happens to it. */
export interface Owner {
  registered(): void;
  lost(reason: string): void;
  noticed(error: MoorlineError): void;
  ended(error: MoorlineError | null): void;
  enrolled(password: string): void;
  /** Makes the payload of a heartbeat. */
  beat(): Promise<unknown>;
}

/** A session; it belongs to its owner until it is left. */
export class DaemonSession extends WorkEndpoint<EndpointEvents> implements Link {
  #reverse: Reverse;
  readonly #wanted = (): boolean => this.#owner !== undefined;
  readonly #port: Port = {
    submit: (name, work, body) => this.submit(name, work, body),
    over: (work) => void this.over(work),
    failed: (command, cause) => this.say(`the handler of ${command} failed:`, cause),
  };
  readonly #pace: Pace;
  #owner: Owner | undefined;
  #maxMessage: number | null = null;

  constructor(options: DaemonOptions, reverse: Reverse, owner: Owner) {
    super('volt', 'daemon', renamed(options, OPTION_KEYS.daemon), true);
    this.#reverse = reverse;
    this.#owner = owner;
    this.#pace = new Pace(options.limits?.maxSendQueueBytes, () => this.askAlike('{"name":"$sent"}', ''));
    this.on('ready', ({ maxMessage }) => {
      this.#maxMessage = maxMessage;
      this.#owner?.registered();
    });
    this.on('lost', ({ reason }) => {
      this.#pace.release();
      this.#owner?.lost(reason.message);
    });
    this.on('notice', (error) => this.#owner?.noticed(error));
    this.on('ended', (error) => {
      this.#reverse.leave(this);
      this.#owner?.ended(error);
    });
  }

  start(): void {
    this.#reverse.join(this);
    this.begin();
  }

  /** Serves other handlers. */
  serve(reverse: Reverse): void {
    this.#reverse.leave(this);
    this.#reverse = reverse;
    reverse.join(this);
  }

  /** Says farewell and ends; the owner hears nothing more, and what waits is settled at once. */
  leave(reason: string): void {
    this.#owner = undefined;
    this.#reverse.leave(this);
    this.#pace.release();
    this.forsake(new MoorlineError('NOT_READY', reason));
    this.drain(0).catch(() => {});
    this.flush();
  }

  /** Whether it has ended, or drains. */
  override get isOver(): boolean {
    return super.isOver;
  }

  command(name: string, payload: unknown, timeout: number | undefined): Promise<unknown> {
    try {
      return this.askNamed(name, payload, timeout);
    } catch (thrown) {
      return Promise.reject(unsendable(thrown));
    }
  }

  /** Throws what tells why `message` cannot be sent; `name` says what it is, if it is no message. */
  send(message: unknown, name: '' | '$stream' = ''): void {
    const { value, blobs } = packed(message);
    const text = stringified(value);
    if (text === undefined) throw new TypeError('a message is an object');
    const size = Math.max(sizeOf(text, this.#maxMessage), ...(blobs ?? []).map(base64Length));
    if (this.#maxMessage !== null && size > this.#maxMessage) {
      throw new RangeError(`${size} bytes are more than the ${this.#maxMessage} that the server accepts`);
    }
    this.#pace.take(weightOf(text, blobs));
    const rest = blobs === undefined ? '' : `,"blobs":${JSON.stringify(blobs)}`;
    this.submit('emit', 0, `{"name":"${name}","payload":${text}${rest}}`);
  }

  /** Resolves when everything has left that was handed over before. */
  flushed(): Promise<void> {
    return this.#pace.flushed();
  }

  password(password: string): void {
    this.submit('emit', 0, written({ name: '$password', payload: { password } }));
  }

  handled(key: string): void {
    this.offer(key, {});
  }

  unhandled(key: string): void {
    this.takeBack(key);
  }

  listening(wanted: boolean): void {
    if (wanted) this.offer('*', { messages: true });
    else this.takeBack('*');
  }

  protected override hold(text: string, blobs: readonly string[] | undefined): Promise<void> | undefined {
    return this.#pace.hold(weightOf(text, blobs));
  }

  protected override rejection(error: MoorlineError | NativeError): DaemonClientError {
    return clientError(error);
  }

  protected override receive(event: RoleEvent): void {
    if (this.#owner !== undefined) super.receive(event);
  }

  protected override hear(event: OtherEvent): void {
    switch (event.event) {
      case 'message':
        return this.message(restored(event.payload, event.blobs));
      case 'beat_asked':
        return void this.#beat(event.beat);
      case 'enrolled':
        return this.#owner?.enrolled(event.password);
      case 'peer_joined':
      case 'peer_left':
        return;
      default:
        event satisfies never;
    }
  }

  protected override message(payload: unknown): void {
    if (this.#owner !== undefined) this.#reverse.message(payload, this.#wanted);
  }

  protected override perform({ work, key, payload, blobs, meta }: WorkEvent): void {
    const { request_id: requestId, response_type: responseType } = meta as { request_id: string; response_type: ResponseType };
    const answer = new NativeAnswer(work, key, this.#port);
    this.keep(answer);
    const request = { command: key, requestId, responseType, payload: restored(payload, blobs) };
    answer.run = this.#reverse.run(request, answer, this.#wanted);
  }

  async #beat(beat: number): Promise<void> {
    const owner = this.#owner;
    let outcome: 'done' | 'failed' = 'done';
    let body;
    try {
      const { value, blobs } = packed(await owner?.beat());
      body = written({ value: value ?? {}, blobs });
    } catch (thrown) {
      outcome = 'failed';
      body = JSON.stringify({ message: messageOf(thrown) });
    }
    if (this.#owner === owner) this.submit(outcome, beat, body);
  }
}

/** What the answers of a session share. */
interface Port {
  submit(name: 'done' | 'failed' | 'progress', work: number, body: string): void;
  over(work: number): void;
  /** Says what a handler threw. */
  failed(command: string, cause: unknown): void;
}

/** Carries an answer to the core, which writes it. */
class NativeAnswer implements Answer, Running {
  readonly id: number;
  readonly #command: string;
  readonly #port: Port;
  readonly #window = new ChunkWindow();
  run: Run | undefined;

  constructor(work: number, command: string, port: Port) {
    this.id = work;
    this.#command = command;
    this.#port = port;
  }

  json({ status, headers }: Head, data: unknown): void {
    const { value, blobs } = packed(data);
    if (status === undefined && headers === undefined && blobs === undefined) {
      const text = written(value);
      this.#submit('done', text === undefined ? '{"value":{}}' : `{"value":{"data":${text}}}`);
    } else this.#submit('done', written({ value: { status, headers, data: value }, blobs }));
  }

  body({ status, headers }: Head, body: ByteString): void {
    this.#submit('done', written({ value: { status, headers, body: toBase64(body) } }));
  }

  refuse(status: number, message: string): void {
    this.#submit('done', JSON.stringify({ value: { reject: { status, message } } }));
  }

  fail({ cause }: DaemonClientError): void {
    this.#port.failed(this.#command, cause);
    this.#submit('failed', JSON.stringify({ message: failureOf(cause) }));
  }

  begin(open: Head): void {
    this.#submit('progress', written({ open }));
  }

  chunk(bytes: ByteString): void {
    this.#window.given();
    this.#submit('progress', `{"chunk":"${toBase64(bytes)}"}`);
  }

  end(message?: string): void {
    if (message === undefined) this.#submit('done', '{"value":{}}');
    else this.#submit('failed', JSON.stringify({ message }));
  }

  room(): Promise<void> | undefined {
    return this.#window.room();
  }

  withdraw(reason: MoorlineError): void {
    this.run?.withdraw(reason);
  }

  drained(chunks: number): void {
    this.#window.drained(chunks);
  }

  over(): void {
    this.#port.over(this.id);
    this.#window.wake();
  }

  #submit(name: 'done' | 'failed' | 'progress', body: string): void {
    this.#port.submit(name, this.id, body);
  }
}

/** How many bytes a message has: exactly, for all that are not short. */
function weightOf(text: string, blobs: readonly string[] | undefined): number {
  const bytes = text.length < COUNTED ? text.length * 3 : utf8Length(text);
  return (blobs ?? []).reduce((sum, blob) => sum + base64Length(blob), bytes);
}

/** A text of JSON has at most three bytes for each of its units: most need no count. */
function sizeOf(text: string, limit: number | null): number {
  return limit === null || text.length * 3 <= limit ? 0 : utf8Length(text);
}
