/** Runs handlers and hands their answers to whoever carries them. */

import { type ByteString, toBytes } from '../byte_strings.js';
import { isA, looked, messageOf, type MoorlineError } from '../errors.js';
import { ResponseType } from '../generated.js';
import { attempt, Item } from '../work.js';
import { DaemonClientError, DaemonRejection } from './errors.js';
import { discard, open, type Source } from '../source.js';
import type { CommandContext, CommandHandler, CommandResult } from './types.js';

/** An answer that says more than its data; made with `envelope`. */
export class Envelope<Data = unknown> {
  /** What it says. */
  readonly result: CommandResult & { readonly data?: Data };

  constructor(result: CommandResult & { readonly data?: Data }) {
    this.result = result;
  }
}

/** Lets a handler that is a function answer with a status, headers, a body or a stream. */
export function envelope<Data = unknown>(result: CommandResult & { readonly data?: Data }): Envelope<Data> {
  return new Envelope(result);
}

/** A command as it arrived. */
export interface Request {
  readonly command: string;
  readonly requestId: string;
  readonly responseType: ResponseType;
  readonly payload: unknown;
}

/** The beginning of an answer. */
export interface Head {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, string>> | undefined;
}

/** Carries the answer to one command. What `json` throws becomes a failure of the handler. */
export interface Answer {
  json(head: Head, data: unknown): void;
  body(head: Head, body: ByteString): void;
  refuse(status: number, message: string): void;
  /** The handler failed; the cause is not for the server. */
  fail(error: DaemonClientError): void;
  begin(head: Head): void;
  chunk(bytes: ByteString): void;
  end(message?: string): void;
  /** Resolves once there is room for a further chunk. */
  room(): PromiseLike<void> | undefined;
  /** The answer is over, or nobody waits for it any more. */
  over(): void;
}

/** Who is told that a handler failed. */
export interface Reporter {
  fail(error: DaemonClientError): void;
}

/** One running handler. */
export class Run extends Item implements CommandContext {
  readonly command: string;
  readonly requestId: string;
  readonly #responseType: ResponseType;
  readonly #answer: Answer;
  readonly #reporter: Reporter;
  readonly #wanted: () => boolean;
  #source: Source | undefined;

  /** `wanted` tells whether a failure is to be reported. */
  constructor({ command, requestId, responseType }: Request, answer: Answer, reporter: Reporter, wanted: () => boolean) {
    super();
    this.command = command;
    this.requestId = requestId;
    this.#responseType = responseType;
    this.#answer = answer;
    this.#reporter = reporter;
    this.#wanted = wanted;
  }

  // Getters of the class, so that a context in JSON is the command and the id.
  get responseType(): ResponseType {
    return this.#responseType;
  }

  /** Runs the handler; settles exactly once unless it is withdrawn. */
  start(handler: CommandHandler, payload: unknown): void {
    const plain = typeof handler === 'function';
    attempt(
      () => (plain ? handler(payload, this) : handler.handle(payload, this)),
      (value) => this.#returned(value, plain),
      (thrown) => this.#threw(thrown),
    );
  }

  /** Nobody waits for the answer any more. */
  override withdraw(reason: MoorlineError): void {
    if (this.isOver) return;
    super.withdraw(reason);
    this.#answer.over();
  }

  protected override stop(): void {
    this.#source?.cancel();
  }

  #returned(value: unknown, plain: boolean): void {
    try {
      const result = resultOf(value, plain);
      const { stream, body } = result;
      const streams = stream !== undefined && stream !== null;
      if (streams && (this.isOver || this.#responseType !== ResponseType.Stream)) discard(stream);
      if (this.isOver) return;
      const head = checked(result);
      if (streams && this.#responseType === ResponseType.Stream) {
        this.#source = open(stream);
        this.#answer.begin(head);
        void this.#pump(this.#source);
        return;
      }
      if (this.#responseType === ResponseType.Buffer && body !== undefined && body !== null) {
        this.#answer.body(head, toBytes(body));
      } else this.#answer.json(head, result.data);
    } catch (thrown) {
      return this.#threw(thrown);
    }
    this.#settled();
  }

  #threw(thrown: unknown): void {
    // A handler that stops because it was told to has not failed.
    const isAbort = () => (thrown as { name?: unknown } | null)?.name === 'AbortError';
    if (this.isOver && (thrown === this.reason || looked(isAbort))) return;
    const status = isA(thrown, DaemonRejection) ? looked(() => thrown.status) : undefined;
    const error = Number.isInteger(status) ? undefined : DaemonClientError.handlerError(this.command, thrown);
    if (!this.isOver) {
      try {
        if (error === undefined) this.#answer.refuse(status as number, messageOf(thrown));
        else this.#answer.fail(error);
      } catch {
        // Who carries answers cannot carry this one either.
      }
      this.#settled();
    }
    if (error !== undefined && this.#wanted()) this.#reporter.fail(error);
  }

  async #pump(source: Source): Promise<void> {
    let message;
    try {
      for (;;) {
        const { done, value } = await source.next();
        if (this.isOver || done) break;
        this.#answer.chunk(toBytes(value));
        await this.#answer.room();
        if (this.isOver) break;
      }
    } catch (thrown) {
      source.cancel();
      message = messageOf(thrown);
    }
    if (this.isOver) return;
    this.#answer.end(message);
    this.#settled();
  }

  #settled(): void {
    this.settle();
    this.#answer.over();
  }
}

function resultOf(value: unknown, plain: boolean): CommandResult {
  if (value instanceof Envelope) return value.result;
  if (!plain) return (value ?? {}) as CommandResult;
  if (typeof (value as { [Symbol.asyncIterator]?: unknown } | null)?.[Symbol.asyncIterator] === 'function') {
    discard(value);
    throw new TypeError('a stream is no data: return envelope({ stream })');
  }
  return { data: value ?? undefined };
}

function checked({ status, headers }: CommandResult): Head {
  if (status !== undefined && !Number.isInteger(status)) throw new TypeError('status: an integer is wanted');
  if (headers !== undefined && (typeof headers !== 'object' || headers === null)) throw new TypeError('headers: an object is wanted');
  return { status, headers };
}
