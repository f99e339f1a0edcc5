/** A dispatcher: asks a control plane to run work items and waits for their results. */

import { type CallHooks, Endpoint, type EndpointEvents, type RoleEvent } from './base.js';
import { type CallOptions, type DispatcherOptions, OPTION_KEYS, SubjectField } from './generated.js';
import { renamed } from './options.js';

/** What a finished work item gives back. */
export interface Reply<Outputs = unknown> {
  /** The work item. */
  readonly [SubjectField.WorkItem]: string;
  /** What the handler returned. */
  readonly Outputs: Outputs;
  /** What the handler logged. */
  readonly Log: readonly string[];
}

/** How a call is made. */
export interface CallArguments extends Omit<CallOptions, 'stream'>, CallHooks {}

/** A work item to be put in the queue without waiting for it. */
export interface WorkRequest {
  readonly Capability: string;
  readonly Action: string;
  readonly Settings?: object;
  readonly Priority?: number;
  readonly [field: string]: unknown;
}

/** How an item is put in the queue. */
export interface EnqueueArguments extends Pick<CallOptions, 'idempotencyKey' | 'timeoutMs'>, CallHooks {}

/** Asks a control plane to run work items and waits for their results. Connects when first used. */
export class Dispatcher extends Endpoint<EndpointEvents> {
  /** Checks the options; connects nothing. */
  constructor(options: DispatcherOptions = {}) {
    super('beacon', 'dispatcher', renamed(options, OPTION_KEYS.dispatcher), false);
  }

  /**
   * Runs `Capability/Action` and returns what its handler returned. While the control plane is away
   * the call waits and is repeated under one idempotency key until its deadline.
   */
  call<Outputs = unknown>(name: string, payload: object = {}, options?: CallArguments): Promise<Reply<Outputs>> {
    return this.#ask(name, payload, options) as Promise<Reply<Outputs>>;
  }

  /** Puts an item in the queue without waiting for it; see `result`. */
  enqueue(item: WorkRequest, options?: EnqueueArguments): Promise<{ readonly [SubjectField.WorkItem]: string }> {
    return this.#ask('$enqueue', item, options) as Promise<{ readonly [SubjectField.WorkItem]: string }>;
  }

  /** Looks up the state and, once it is there, the result of an item. */
  result(workItemHash: string): Promise<unknown> {
    return this.#ask('$result', { [SubjectField.WorkItem]: workItemHash });
  }

  /** Cancels an item. */
  cancel(workItemHash: string, reason?: string): Promise<unknown> {
    return this.#ask('$cancel', { [SubjectField.WorkItem]: workItemHash, Reason: reason });
  }

  /** Returns the control plane's own state: workers, queue, counters. */
  status(): Promise<unknown> {
    return this.#ask('$status');
  }

  /** Lists the workers. */
  beacons(): Promise<unknown> {
    return this.#ask('$beacons');
  }

  /** Lists the work items. */
  work(): Promise<unknown> {
    return this.#ask('$work');
  }

  /** Lists the capabilities on offer. */
  capabilities(): Promise<unknown> {
    return this.#ask('$capabilities');
  }

  /** Begins a run, to which later items can refer. */
  runStart(run: object = {}): Promise<unknown> {
    return this.#ask('$run_start', run);
  }

  /** Ends a run. */
  runEnd(runId: string, state?: string): Promise<unknown> {
    return this.#ask('$run_end', { [SubjectField.Run]: runId, State: state });
  }

  /** Lets a worker finish what it runs and gives it no more until its farewell; `false` gives it work again. */
  drainWorker(beaconId: string, draining = true): Promise<unknown> {
    return this.#ask('$drain', { [SubjectField.Beacon]: beaconId, Draining: draining });
  }

  protected override receive(event: RoleEvent): void {
    switch (event.event) {
      case 'work':
      case 'work_withdrawn':
      case 'work_drained':
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

  protected override release(): void {}

  #ask(name: string, payload: object = {}, options?: CallArguments): Promise<unknown> {
    if (options === undefined) return this.request(name, payload, undefined, {});
    const { onPart, signal, ...rest } = options;
    const stream = onPart === undefined ? undefined : true;
    return this.request(name, payload, renamed({ ...rest, stream }, OPTION_KEYS.call), { onPart, signal });
  }
}
