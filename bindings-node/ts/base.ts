/**
 * The engine below every role. It forwards and keeps promises; what happens on the wire, and when,
 * is decided below it.
 *
 * Commands of one turn are collected as text and cross together at its end. Events arrive behind a
 * doorbell, one parse per drain; between drains the event loop has its turn.
 */

import { EventEmitter } from 'node:events';

import { packed, restored } from './bytes.js';
import { Deferred } from './deferred.js';
import { failureOf, frameless, isA, looked, MoorlineError, received, textOf, wrapped } from './errors.js';
import type { EndedEvent, NativeError, NativeEvent } from './generated.js';
import { later, nextTick, soon, uncaught } from './host.js';
import { stringified, written } from './json.js';
import { Native } from './native.js';
import { noTime } from './options.js';
import { Ring } from './ring.js';
import { onAbort } from './signals.js';
import { apiece } from './turn.js';

/** The link is up and registered, or the listener is bound. */
export interface Ready {
  /** Our id at the control plane, or the address listened on. */
  readonly id: string;
  /** What carries frames. */
  readonly transport: string;
  /** The most bytes of one message that the control plane accepts; `null` where it does not say. */
  readonly maxMessage: number | null;
}

/** The link is down; the session tries again by itself. */
export interface Lost {
  /** Why. */
  readonly reason: MoorlineError;
  /** Milliseconds until the next attempt. */
  readonly retryMs: number;
  /** The number of the next attempt, from 1. */
  readonly attempt: number;
}

/** A drain began, or made progress. */
export interface Draining {
  /** Work items still running. */
  readonly inFlight: number;
  /** Outcomes not yet taken by the control plane. */
  readonly outbox: number;
}

/** The events of every role, and what their listeners are called with. */
export interface EndpointEvents {
  /** The link is up. */
  ready: Ready;
  /** The link is down. */
  lost: Lost;
  /** Something worth knowing that needs no answer. */
  notice: MoorlineError;
  /** A drain makes progress. */
  draining: Draining;
  /** The last event; `null` after a stop that lost nothing. */
  ended: MoorlineError | null;
}

/** Events of roles whose messages are text or bytes instead of JSON. */
export type ContentEvent = Extract<
  NativeEvent,
  { event: 'received' | 'closed' | 'admission_asked' | 'backlog' | 'heartbeat' }
>;

/** Events that only some roles have. */
export type RoleEvent = Exclude<
  NativeEvent,
  ContentEvent | { event: 'ready' | 'lost' | 'call_done' | 'call_part' | 'notice' | 'draining' | 'ended' }
>;

/** Where an endpoint says what happens to it, such as `console`. */
export interface Logger {
  warn(message: string, ...rest: unknown[]): void;
}

/** What a call is told besides its name, payload and options. */
export interface CallHooks {
  /** Gets progress and parts of the reply. */
  readonly onPart?: ((part: unknown) => void) | undefined;
  /** Cancels the call; its reason becomes the rejection. */
  readonly signal?: AbortSignal | undefined;
}

interface Settle<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

interface PendingCall extends Settle<unknown> {
  readonly id: number;
  /** Most calls have none. */
  readonly hooks: (CallHooks & { readonly release: (() => void) | undefined }) | undefined;
}

/** One endpoint. Its constructor connects nothing. */
export abstract class Endpoint<Events extends EndpointEvents> {
  readonly #native: Native;
  readonly #listeners = new EventEmitter();
  readonly #calls = new Ring<PendingCall>();
  readonly #ended = new Deferred<void>();
  readonly #persistent: boolean;
  readonly #isSpelled: boolean;
  #whenReady: Deferred<Ready> | undefined;
  /** A line for each command; see `parse_turn` in the core. */
  #turn: string[] = [];
  #like = '';
  #next = 0;
  #lastCall = 0;
  /** The last name and time of a call, and what calls like it have in common. */
  #name = '';
  #timeout: number | undefined;
  #alike = '{"name":""}';
  #listening = false;
  #wasReady = false;
  #lost: MoorlineError | undefined;
  #held = false;
  /** Rejects the drains that were asked for, should the command to stop be refused. */
  readonly #drains: ((reason: MoorlineError) => void)[] = [];
  /** Work was taken away from its handlers when the time of a drain was over. */
  #cutShort: MoorlineError | undefined;
  #state: 'idle' | 'running' | 'ended' = 'idle';

  /** Where lost links, notices and what handlers throw are said; `null` says them nowhere. */
  logger: Logger | null = console;

  /**
   * A persistent endpoint keeps the process alive until it ends; others only during calls. `isSpelled` says that
   * the application gave the options by their names inside.
   */
  protected constructor(
    dialect: string,
    role: string,
    options: Record<string, unknown>,
    persistent: boolean,
    isSpelled = false,
  ) {
    this.#persistent = persistent;
    this.#isSpelled = isSpelled;
    this.#ended.promise.catch(() => {});
    try {
      this.#native = Native.open(dialect, role, written(options));
    } catch (error) {
      throw wrapped(error, 'INTERNAL', isSpelled);
    }
  }

  /** Calls `listener` for every event of that kind. */
  on<Kind extends keyof Events & string>(kind: Kind, listener: (event: Events[Kind]) => void): this {
    this.#listeners.on(kind, listener);
    return this;
  }

  /** Calls `listener` for the next event of that kind. */
  once<Kind extends keyof Events & string>(kind: Kind, listener: (event: Events[Kind]) => void): this {
    this.#listeners.once(kind, listener);
    return this;
  }

  /** Removes a listener. */
  off<Kind extends keyof Events & string>(kind: Kind, listener: (event: Events[Kind]) => void): this {
    this.#listeners.off(kind, listener);
    return this;
  }

  /** Returns the present state: link, ids, counters. */
  snapshot(): Promise<unknown> {
    return this.#await('snapshot', 'null', {});
  }

  /**
   * Takes no new work, lets running work finish for `ms`, flushes outcomes, says farewell and ends.
   * `Infinity` is as long as it needs. Rejects if something was lost, and with ARGUMENT_INVALID for what is
   * no time, which ends nothing. A second call with less time shortens the first.
   */
  drain(ms?: number): Promise<void> {
    const wrong = noTime(ms);
    if (wrong !== undefined) return Promise.reject(wrong);
    const ended = Promise.race([this.#ended.promise, new Promise<never>((_, reject) => this.#drains.push(reject))]);
    ended.catch(() => {});
    // Before the first registration there is nothing to wait for.
    const limit = this.#wasReady ? ms && Math.min(ms, Number.MAX_SAFE_INTEGER) : 0;
    if (this.#state === 'running') this.submit('stop', 0, JSON.stringify({ drain_ms: limit }));
    else this.close();
    return ended;
  }

  /** Ends at once, without drain. Safe to repeat. Calls that wait are rejected with `STOPPED`. */
  close(): void {
    if (this.#state === 'ended') return;
    this.#native.close();
    do this.#receiveAll();
    while (this.#native.more);
    this.#end(null);
  }

  /** Drains what has not ended, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state !== 'ended') await this.drain();
  }

  /** Settles with the end, as `drain` does. */
  protected get whenEnded(): Promise<void> {
    return this.#ended.promise;
  }

  /** Starts, unless that was done before. */
  protected begin(): void {
    if (this.#state !== 'idle') return;
    this.#state = 'running';
    this.#listen();
    this.submit('start', 0, 'null');
    this.#hold();
  }

  /** Resolves when the link is up for the first time; rejects if the session ends, or was told to. */
  protected ready(): Promise<Ready> {
    if (this.isOver) return Promise.reject(new MoorlineError('STOPPED'));
    return (this.#whenReady ??= new Deferred()).promise;
  }

  /** Whether it has ended, or drains. */
  protected get isOver(): boolean {
    return this.#state === 'ended' || this.#drains.length > 0;
  }

  /** Says what happens; a logger that throws costs nothing. */
  protected say(message: string, ...rest: unknown[]): void {
    try {
      this.logger?.warn(`moorline: ${message}`, ...rest);
    } catch {
      // There is nobody left to tell.
    }
  }

  /** Puts what the last attempt failed of behind an error, unless that has a cause of its own. */
  protected because(reason: unknown): unknown {
    if (this.#lost !== undefined && isA(reason, Error)) looked(() => (reason.cause ??= this.#lost));
    return reason;
  }

  /** Makes a call; the promise settles exactly once. */
  protected request(name: string, payload: unknown, options: unknown, hooks: CallHooks): Promise<unknown> {
    if (hooks.signal?.aborted) return Promise.reject(hooks.signal.reason);
    try {
      return this.ask(written({ name, payload, options }), hooks);
    } catch (error) {
      return Promise.reject(wrapped(error, 'ARGUMENT_INVALID'));
    }
  }

  /** Makes a call whose body is JSON text already. */
  protected ask(body: string, hooks: CallHooks): Promise<unknown> {
    return this.#await('call', body, hooks);
  }

  /** Sends a message whose outcome settles the promise; `body` is JSON text. */
  protected sent(body: string): Promise<unknown> {
    return this.#await('send', body, {});
  }

  /**
   * Makes a call without hooks that is like others: `like` is the body of a call, JSON text without
   * `payload`, and crosses once for all that follow each other. `payload` is empty for none.
   */
  protected askAlike(like: string, payload: string): Promise<unknown> {
    if (this.#state === 'ended') return this.#stopped();
    const id = ++this.#lastCall;
    const promise = new Promise(taken);
    this.#calls.add({ id, resolve: takenResolve, reject: takenReject, hooks: undefined });
    this.begin();
    if (like !== this.#like || id !== this.#next) {
      this.#add(`#["call",${id},${like}]`);
      this.#like = like;
    }
    this.#next = id + 1;
    this.#add(payload);
    this.#hold();
    return promise;
  }

  /**
   * Makes a call without hooks by its name; byte strings may stand anywhere in the payload. `timeout` is
   * in milliseconds. Throws what tells why the payload cannot be sent.
   */
  protected askNamed(name: string, payload: unknown, timeout: number | undefined): Promise<unknown> {
    const { value, blobs } = packed(payload);
    const text = stringified(value);
    // Programs have few names of calls, and make the same one again and again.
    if (name !== this.#name || timeout !== this.#timeout) {
      const options = timeout === undefined ? '' : `,"options":{"timeout_ms":${milliseconds(timeout)}}`;
      this.#alike = `{"name":${JSON.stringify(textOf(name))}${options}}`;
      this.#name = name;
      this.#timeout = timeout;
    }
    const alike = this.#alike;
    const held = this.hold(text ?? '', blobs);
    if (held !== undefined) return held.then(() => this.#askPacked(alike, text, blobs));
    return this.#askPacked(alike, text, blobs);
  }

  /** Holds a call while as much waits to be sent as may; `undefined` lets it go at once. */
  protected hold(_text: string, _blobs: readonly string[] | undefined): Promise<void> | undefined {
    return undefined;
  }

  /** What a call is rejected with; facades put their own error class here. */
  protected rejection(error: MoorlineError | NativeError): Error {
    return error instanceof MoorlineError ? error : received(error, this.#isSpelled);
  }

  /** Settles whatever waits, with `reason`, and gives up what the role keeps. */
  protected forsake(reason: MoorlineError): void {
    this.#whenReady?.reject(reason);
    for (const call of this.#calls.ids()) this.#settle(call, reason);
    this.release(reason);
  }

  /** Adds a command to this turn. `body` is JSON text. */
  protected submit(name: string, id: number, body: string): void {
    this.#add(`!["${name}",${id},${body}]`);
  }

  /** Hands over the commands of this turn without waiting for its end. */
  protected flush(): void {
    this.#flush();
  }

  /** Tells the listeners. What they throw becomes an uncaught exception, as with any emitter. */
  protected emit<Kind extends keyof Events & string>(kind: Kind, event: Events[Kind]): void {
    apart(() => this.#listeners.emit(kind, event));
  }

  /** Receives an event that only some roles have; kinds that the role ignores stand in one place there. */
  protected abstract receive(event: RoleEvent): void;

  /** Receives an event of a role whose messages are text or bytes. */
  protected hearContent(_event: ContentEvent): void {}

  /** Receives a message without byte strings. */
  protected message(payload: unknown): void {
    this.receive({ event: 'message', peer: null, payload });
  }

  /** Gives up what the role keeps for this session. */
  protected abstract release(reason: MoorlineError): void;

  #askPacked(alike: string, text: string | undefined, blobs: readonly string[] | undefined): Promise<unknown> {
    if (blobs === undefined) return this.askAlike(alike, text ?? '');
    return this.ask(`${alike.slice(0, -1)},"payload":${text},"blobs":${JSON.stringify(blobs)}}`, {});
  }

  #await(command: 'call' | 'snapshot' | 'send', body: string, { onPart, signal }: CallHooks): Promise<unknown> {
    if (this.#state === 'ended') return this.#stopped();
    const id = ++this.#lastCall;
    const promise = new Promise(taken);
    const [resolve, reject] = [takenResolve, takenReject];
    let release;
    if (signal !== undefined) release = onAbort(signal, () => this.submit('cancel', id, 'null'));
    this.#calls.add({ id, resolve, reject, hooks: { onPart, signal, release } });
    if (command === 'call') this.begin();
    else this.#listen();
    this.submit(command, id, body);
    this.#hold();
    return promise;
  }

  #stopped(): Promise<never> {
    return Promise.reject(this.rejection(new MoorlineError('STOPPED')));
  }

  #add(line: string): void {
    // A tick that a microtask asks for comes after all microtasks: what promises add goes along.
    if (this.#turn.push(line) === 1) soon(() => nextTick(this.#flush));
  }

  readonly #flush = (): void => {
    const turn = this.#turn;
    if (turn.length === 0) return;
    this.#turn = [];
    this.#like = '';
    this.#hand(turn);
  };

  #hand(turn: readonly string[]): void {
    try {
      this.#native.submit(turn.join('\n'));
    } catch (thrown) {
      this.#refused(turn, wrapped(thrown, 'INTERNAL'));
    }
  }

  /**
   * A turn is carried out as a whole or not at all: one malformed command must not cost the others,
   * and where there is no room for a call there still must be for an outcome.
   */
  #refused(turn: readonly string[], error: MoorlineError): void {
    const commands = apiece(turn);
    if (commands.length > 1 && error.code === 'ARGUMENT_INVALID') {
      for (const { lines } of commands) this.#hand(lines);
      return;
    }
    for (const { name, id, lines } of commands) {
      if (id !== 0 && CALLED.has(name)) this.#settle(id, error);
      else if (error.code === 'OVERLOADED') later(() => lines.forEach((line) => this.#add(line)));
      else if (name === 'done') this.submit('failed', id, JSON.stringify({ message: failureOf(error) }));
      else if (name === 'failed' && !lines[0]?.includes(LAST_WORDS)) this.submit('failed', id, LAST_WORDS);
      else {
        if (name === 'start') this.#whenReady?.reject(error);
        if (name === 'stop') for (const reject of this.#drains.splice(0)) reject(error);
        this.#notice(error);
      }
    }
  }

  readonly #drain = (): void => {
    if (this.#state === 'ended') return;
    this.#receiveAll();
    if (this.#native.more) later(this.#drain);
  };

  #receiveAll(): void {
    const events = JSON.parse(this.#native.drain()) as unknown[];
    for (let index = 0; index < events.length && this.#state !== 'ended'; index += 1) {
      const event = events[index];
      if (typeof event !== 'number') this.#receive(event as NativeEvent);
      else {
        const value = events[++index];
        if (event === 0) this.message(value);
        else this.#settle(event, undefined, value);
      }
    }
  }

  #receive(event: NativeEvent): void {
    switch (event.event) {
      case 'ready': {
        const ready = { id: event.id, transport: event.transport, maxMessage: event.max_message };
        this.#wasReady = true;
        this.#whenReady?.resolve(ready);
        return this.emit('ready', ready);
      }
      case 'lost': {
        const { retry_ms: retryMs, attempt } = event;
        const reason = (this.#lost = received(event.reason, this.#isSpelled));
        this.say(`the link is down: ${failureOf(reason)}; next attempt in ${retryMs} ms`);
        return this.emit('lost', { reason, retryMs, attempt });
      }
      case 'call_done':
        return this.#settle(event.call, event.error, restored(event.value, event.blobs));
      case 'call_part':
        return apart(() => this.#calls.get(event.call)?.hooks?.onPart?.(event.part));
      case 'notice':
        return this.#notice(received(event.error, this.#isSpelled));
      case 'draining':
        return this.emit('draining', { inFlight: event.in_flight, outbox: event.outbox });
      case 'ended':
        return this.#end(event);
      case 'work_withdrawn':
        if (event.why === 'draining') this.#cutShort = received(event.error, this.#isSpelled);
        return this.receive(event);
      case 'work':
      case 'message':
      case 'peer_joined':
      case 'peer_left':
      case 'enrolled':
      case 'work_drained':
      case 'beat_asked':
        return this.receive(event);
      case 'received':
      case 'closed':
      case 'admission_asked':
      case 'backlog':
      case 'heartbeat':
        return this.hearContent(event);
      default:
        event satisfies never;
    }
  }

  #notice(error: MoorlineError): void {
    this.say(failureOf(error));
    this.emit('notice', error);
  }

  #settle(call: number, error: MoorlineError | NativeError | undefined, value?: unknown): void {
    const pending = this.#calls.take(call);
    if (pending === undefined) return;
    const { hooks } = pending;
    hooks?.release?.();
    if (error === undefined) pending.resolve(value);
    else if (hooks?.signal?.aborted) pending.reject(hooks.signal.reason);
    else pending.reject(error instanceof MoorlineError ? this.rejection(error) : frameless(() => this.rejection(error)));
    this.#hold();
  }

  /** `event` is null when the application closed. */
  #end(event: EndedEvent | null): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    const error = event?.error ? received(event.error, this.#isSpelled) : null;
    const reason = error ?? new MoorlineError('STOPPED');
    this.#native.close();
    this.forsake(reason);
    const lost = error ?? this.#cutShort;
    if (lost === undefined) this.#ended.resolve();
    else this.#ended.reject(lost);
    this.emit('ended', error);
  }

  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    this.#native.onDoorbell(this.#drain);
  }

  #hold(): void {
    const wanted = this.#calls.size > 0 || (this.#persistent && this.#state === 'running');
    if (wanted === this.#held) return;
    this.#held = wanted;
    this.#native.hold(wanted);
  }
}

/** One function for all promises: a closure for each would be garbage of every call. */
const taken = (resolve: (value: unknown) => void, reject: (reason: unknown) => void): void => {
  takenResolve = resolve;
  takenReject = reject;
};
let takenResolve: (value: unknown) => void;
let takenReject: (reason: unknown) => void;

/** A time as it crosses: endless is the longest there is. */
function milliseconds(time: number): number {
  if (!(time > 0)) return 0;
  return Math.min(Math.ceil(time), Number.MAX_SAFE_INTEGER);
}

/** Commands that a promise waits for, if they have a number. */
const CALLED = new Set(['call', 'snapshot', 'send']);

/** A failure that cannot be refused: what is said when its own words were. */
const LAST_WORDS = '{"message":"the handler failed, and what it said cannot be carried"}';

/** Runs the application's code; what it throws must not stop the engine. */
export function apart(run: () => unknown): void {
  try {
    run();
  } catch (error) {
    uncaught(error);
  }
}
