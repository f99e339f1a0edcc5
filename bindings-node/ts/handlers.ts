/** Roles that offer handlers by name and go on until they are told to end: workers, ws-daemons. */

import type { EndpointEvents, Ready } from './base.js';
import { failureOf, isA, MoorlineError, textOf, wrapped } from './errors.js';
import { SubjectField, type WorkEvent } from './generated.js';
import { onStop } from './host.js';
import { written } from './json.js';
import { checkHandler } from './native.js';
import { noTime } from './options.js';
import { onAbort } from './signals.js';
import { attempt, Item, WorkEndpoint } from './work.js';

/** What a handler gets beside its payload. */
export interface WorkContext {
  /** The work item's number in this process. */
  readonly work: number;
  /** The key under which the handler was registered. */
  readonly key: string;
  /** The envelope of the item without the payload. */
  readonly meta: unknown;
  /** When the item expires by this machine's clock; `null` without a limit. */
  readonly deadline: Date | null;
  /** Aborted when the item is no longer wanted; the reason is a `MoorlineError` that tells why. */
  readonly signal: AbortSignal;
  /** Reports progress, such as `{ Percent: 50, Message: 'half-way' }`. */
  progress(report: object): void;
  /** Adds a line to the log that goes with the result. */
  log(line: string): void;
}

/** User code that runs a work item. What it returns is the result, what it throws the failure. */
export type Handler<Payload, Result> = (payload: Payload, context: WorkContext) => Result | PromiseLike<Result>;

/** An endpoint that offers handlers. */
export abstract class Offers<Events extends EndpointEvents> extends WorkEndpoint<Events> {
  readonly #dialect: string;
  readonly #role: string;
  readonly #handlers = new Map<string, Handler<any, unknown>>();

  protected constructor(dialect: string, role: string, options: Record<string, unknown>) {
    super(dialect, role, options, true);
    this.#dialect = dialect;
    this.#role = role;
  }

  /** Offers a handler, with what is said of it; throws ARGUMENT_INVALID for a key that is none, STOPPED after the end. */
  protected register(key: string, handler: Handler<any, unknown>, about: object): this {
    if (this.isOver) throw new MoorlineError('STOPPED', `handle() comes too late: the ${this.#role} was told to end`);
    if (typeof key !== 'string' || typeof handler !== 'function') {
      throw new MoorlineError('ARGUMENT_INVALID', 'handle(key, handler) takes a text and a function');
    }
    try {
      checkHandler(this.#dialect, this.#role, key, written(about));
    } catch (thrown) {
      throw wrapped(thrown, 'ARGUMENT_INVALID');
    }
    this.offer(key, about);
    this.#handlers.set(key, handler);
    return this;
  }

  /** Withdraws a handler. */
  unhandle(key: string): this {
    this.#handlers.delete(key);
    this.takeBack(key);
    return this;
  }

  /**
   * Connects. Resolves when the worker is registered; rejects when the session ends before, or when
   * `signal` is aborted, which closes the worker.
   */
  connect({ signal }: { readonly signal?: AbortSignal } = {}): Promise<Ready> {
    const ready = this.ready();
    if (signal === undefined) {
      this.begin();
      return ready;
    }
    if (signal.aborted) this.close();
    const release = onAbort(signal, () => this.close());
    this.begin();
    return ready.catch((error) => Promise.reject(signal.aborted ? this.because(signal.reason) : error)).finally(release);
  }

  /**
   * Connects and goes on until the end. The first SIGTERM or SIGINT drains for `drainMs`, without it for the core's
   * default; a second one ends at once, and so does one before the first registration. The same signal twice within
   * 100 ms counts once. Rejects with what ended the worker, and with DRAIN_TIMEOUT when handlers were cut short.
   */
  async run({ drainMs }: { readonly drainMs?: number } = {}): Promise<void> {
    const wrong = noTime(drainMs);
    if (wrong !== undefined) throw wrong;
    let isTold = false;
    const release = onStop(() => {
      this.drain(isTold ? 0 : drainMs).catch(() => {});
      isTold = true;
    });
    try {
      await this.connect();
      await this.whenEnded;
    } catch (error) {
      // Whoever was told to end has not failed.
      if (!isTold || !isA(error, MoorlineError) || error.code !== 'STOPPED') throw error;
    } finally {
      release();
    }
  }

  protected override perform(event: WorkEvent): void {
    const report = (body: string) => this.submit('progress', event.work, body);
    const context = new Context(event, report);
    this.keep(context);
    attempt(
      () => {
        const handler = this.#handlers.get(event.key);
        if (handler === undefined) throw new MoorlineError('HANDLER_UNKNOWN');
        return handler(event.payload, context);
      },
      (value) => this.#done(context, value),
      (error) => this.#failed(context, error),
    );
  }

  #done(context: Context, value: unknown): void {
    let text;
    try {
      text = written(value);
      if (text === undefined && value !== undefined) throw new MoorlineError('ARGUMENT_INVALID', `not JSON: a ${typeof value}`);
    } catch (error) {
      return this.#failed(context, error);
    }
    const log = context.lines === undefined ? '' : `,"log":${JSON.stringify(context.lines)}`;
    this.#settle(context, 'done', `{"value":${text ?? null}${log}}`);
  }

  #failed(context: Context, error: unknown): void {
    if (context.isWanted) this.say(`the handler of ${context.key} failed (${context.wireId}):`, error);
    this.#settle(context, 'failed', JSON.stringify({ message: failureOf(error) }));
  }

  #settle(context: Context, outcome: 'done' | 'failed', body: string): void {
    if (!this.over(context.work)) return;
    if (context.settle()) this.submit(outcome, context.work, body);
    else this.submit('cancelled', context.work, 'null');
  }
}

/** One running work item. */
class Context extends Item implements WorkContext {
  readonly work: number;
  readonly key: string;
  readonly meta: unknown;
  /** By which hash the control plane knows the item. */
  get wireId(): unknown {
    return (this.meta as { readonly [SubjectField.WorkItem]?: unknown } | undefined)?.[SubjectField.WorkItem];
  }

  /** The log so far. */
  lines: string[] | undefined;
  readonly #expires: number | null;
  readonly #report: (body: string) => void;

  constructor({ work, key, meta, timeout_ms }: WorkEvent, report: (body: string) => void) {
    super();
    this.work = work;
    this.key = key;
    this.meta = meta;
    this.#expires = timeout_ms === null ? null : Date.now() + timeout_ms;
    this.#report = report;
  }

  get id(): number {
    return this.work;
  }

  get deadline(): Date | null {
    return this.#expires === null ? null : new Date(this.#expires);
  }

  get isWanted(): boolean {
    return !this.isOver;
  }

  progress(report: object): void {
    const body = written(report as unknown);
    if (!body?.startsWith('{')) throw new MoorlineError('ARGUMENT_INVALID', 'progress() takes an object');
    if (!this.isOver) this.#report(body);
  }

  log(line: string): void {
    (this.lines ??= []).push(textOf(line));
  }

  drained(): void {}
}
