/** Endpoints that run handlers: what workers and daemons share. */

import { Endpoint, type EndpointEvents, type RoleEvent } from './base.js';
import { type MoorlineError, received } from './errors.js';
import { MAX_CHUNKS_IN_FLIGHT, type WorkEvent } from './generated.js';
import { written } from './json.js';
import { Ring } from './ring.js';

/** The events of such roles that are not about work. */
export type OtherEvent = Exclude<RoleEvent, { event: 'work' | 'work_withdrawn' | 'work_drained' }>;

/** An item as its endpoint keeps it. */
export interface Running {
  readonly id: number;
  /** The item is no longer wanted. */
  withdraw(reason: MoorlineError): void;
  /** So many chunks of a streamed result have left so far. */
  drained(chunks: number): void;
}

/** An endpoint that runs handlers; each role says how. */
export abstract class WorkEndpoint<Events extends EndpointEvents> extends Endpoint<Events> {
  readonly #running = new Ring<Running>();

  /** Carries an item out. */
  protected abstract perform(event: WorkEvent): void;

  /** Receives an event that is not about work. */
  protected abstract hear(event: OtherEvent): void;

  /** Offers a handler; may be called at any time. */
  protected offer(key: string, meta: object): void {
    this.submit('handle', 0, written({ key, meta }));
  }

  /** Offers a handler no longer. */
  protected takeBack(key: string): void {
    this.submit('unhandle', 0, written({ key }));
  }

  /** Keeps an item until it is over. */
  protected keep(item: Running): void {
    this.#running.add(item);
  }

  /** The item is over; tells whether it was kept. */
  protected over(work: number): boolean {
    return this.#running.take(work) !== undefined;
  }

  protected override receive(event: RoleEvent): void {
    switch (event.event) {
      case 'work':
        return this.perform(event);
      case 'work_withdrawn':
        return this.#running.get(event.work)?.withdraw(received(event.error));
      case 'work_drained':
        return this.#running.get(event.work)?.drained(event.chunks);
      default:
        return this.hear(event);
    }
  }

  protected override release(reason: MoorlineError): void {
    for (const work of this.#running.ids()) this.#running.take(work)?.withdraw(reason);
  }
}

/** An item whose handler runs: whether its outcome is wanted, and the signal that tells the handler. */
export abstract class Item {
  #controller: AbortController | undefined;
  #reason: MoorlineError | undefined;
  #settled = false;

  /** Made on first use: most handlers never look at it. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** Nobody waits for the outcome any more. */
  withdraw(reason: MoorlineError): void {
    if (this.isOver) return;
    this.#reason = reason;
    this.stop();
    this.#controller?.abort(reason);
  }

  /** Marks the item as over; tells whether its outcome is still wanted. */
  settle(): boolean {
    this.#settled = true;
    return this.#reason === undefined;
  }

  /** Whether it was settled or withdrawn. */
  protected get isOver(): boolean {
    return this.#settled || this.#reason !== undefined;
  }

  /** Why it was withdrawn. */
  protected get reason(): MoorlineError | undefined {
    return this.#reason;
  }

  /** Ends what the item began itself, before its signal is aborted. */
  protected stop(): void {}
}

/** Counts the chunks of a streamed result, so that its source is read no faster than they leave. */
export class ChunkWindow {
  #given = 0;
  #left = 0;
  #awaited: (() => void) | undefined;

  /** One more chunk was handed over. */
  given(): void {
    this.#given += 1;
  }

  /** So many chunks have left so far. */
  drained(chunks: number): void {
    this.#left = chunks;
    if (this.#hasRoom) this.wake();
  }

  /** Resolves once there is room for a further chunk; `undefined` when there is. One waits at a time. */
  room(): Promise<void> | undefined {
    if (this.#hasRoom) return undefined;
    return new Promise((resolve) => (this.#awaited = resolve));
  }

  /** Lets who waits go on. */
  wake(): void {
    this.#awaited?.();
    this.#awaited = undefined;
  }

  get #hasRoom(): boolean {
    return this.#given - this.#left < MAX_CHUNKS_IN_FLIGHT;
  }
}

/** Runs a handler, whether it returns or promises; what `returned` throws is a failure as well. */
export function attempt(handler: () => unknown, returned: (value: unknown) => void, threw: (error: unknown) => void): void {
  try {
    const result = handler();
    if (isThenable(result)) result.then(returned, threw);
    else returned(result);
  } catch (error) {
    threw(error);
  }
}

/** Tells whether a value is a promise, of whatever make. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
}
