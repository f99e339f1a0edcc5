/** A worker: offers handlers to a control plane and runs its work items. */

import type { EndpointEvents, Ready } from './base.js';
import { failureOf, isA, MoorlineError, textOf, wrapped } from './errors.js';
import { OPTION_KEYS, SubjectField, type WorkEvent, type WorkerOptions } from './generated.js';
import { onStop } from './host.js';
import { written } from './json.js';
import { checkHandler } from './native.js';
import { noTime, renamed } from './options.js';
import { onAbort } from './signals.js';
import { attempt, Item, type OtherEvent, WorkEndpoint } from './work.js';

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

/** What the control plane is told about a handler. */
export interface HandlerMeta {
  /** One sentence. */
  readonly description?: string;
  /** The settings that the handler takes. */
  readonly settingsSchema?: readonly object[];
}

/** Offers capabilities to a control plane and runs its work items. */
export class Worker extends WorkEndpoint<EndpointEvents> {
  readonly #handlers = new Map<string, Handler<unknown, unknown>>();

  /** Checks the options; connects nothing. */
  constructor(options: WorkerOptions = {}) {
    super('beacon', 'worker', renamed(options, OPTION_KEYS.worker), true);
  }

  /** Offers a handler under `Capability/Action`; throws ARGUMENT_INVALID for another key, STOPPED after the end. */
  handle<Payload = unknown, Result = unknown>(
    key: string,
    handler: Handler<Payload, Result>,
    meta: HandlerMeta = {},
  ): this {
    if (this.isOver) throw new MoorlineError('STOPPED', 'handle() comes too late: the worker was told to end');
    const { description, settingsSchema: settings_schema } = meta;
    const about = { description, settings_schema };
    if (typeof key !== 'string' || typeof handler !== 'function') {
      throw new MoorlineError('ARGUMENT_INVALID', 'handle(key, handler) takes a text and a function');
    }
    try {
      checkHandler('beacon', 'worker', key, written(about));
    } catch (thrown) {
      throw wrapped(thrown, 'ARGUMENT_INVALID');
    }
    this.offer(key, about);
    this.#handlers.set(key, handler as Handler<unknown, unknown>);
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

  protected override hear(event: OtherEvent): void {
    switch (event.event) {
      case 'message':
      case 'peer_joined':
      case 'peer_left':
      case 'enrolled':
      case 'beat_asked':
        return;
      default:
        event satisfies never;
    }
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
