/**
 * The reverse channel: handlers by command and listeners of other messages. A session of the native
 * core brings them work; `bindToSocket` does the same with any object that has `on` and `emit`.
 */

import { MoorlineError, messageOf, textOf } from '../errors.js';
import { DaemonSocketEvent, ResponseType } from '../generated.js';
import { Callbacks } from '../callbacks.js';
import { uncaught } from '../host.js';
import type { TeamClusterDaemonMessage } from './contracts.js';
import { DaemonClientError } from './errors.js';
import { type Answer, type Request, Run } from './handlers.js';
import { SocketAnswer, type SocketLike } from './socket_answer.js';
import type { CommandHandler, ReverseChannelMessage } from './types.js';

/** Who brings work, and wants to know for which commands there is somebody. */
export interface Link {
  handled(command: string): void;
  unhandled(command: string): void;
  /** Whether somebody listens to messages. */
  listening(wanted: boolean): void;
}

/** What a bridge and a client share: handlers, listeners, links. */
export class Reverse {
  readonly #handlers = new Map<string, CommandHandler>();
  readonly #links = new Set<Link>();
  readonly #messages = new Callbacks<ReverseChannelMessage>('onMessage', (kind, thrown) => this.threw(kind, thrown));
  readonly #errors = new Callbacks<DaemonClientError>('onError', (_, thrown) => uncaught(thrown));

  /** `active` tells whether callbacks may be called. */
  constructor(readonly active: () => boolean = () => true) {}

  readonly fail = (error: DaemonClientError): void => this.#errors.call(error, this.active);

  /** Reports what a callback threw; without an onError it is uncaught. */
  threw(kind: string, thrown: unknown): void {
    if (!this.active()) return;
    if (this.#errors.size === 0) return uncaught(thrown);
    const message = `A callback of ${kind} failed: ${messageOf(thrown)}`;
    this.fail(new DaemonClientError('HANDLER_ERROR', message, thrown));
  }

  add(command: string, handler: CommandHandler): void {
    const known = this.#handlers.has(command);
    this.#handlers.set(command, handler);
    if (!known) for (const link of this.#links) link.handled(command);
  }

  remove(command: string): void {
    if (this.#handlers.delete(command)) for (const link of this.#links) link.unhandled(command);
  }

  onMessage(callback: (message: ReverseChannelMessage) => unknown): void {
    this.#messages.add(callback);
    if (this.#messages.size === 1) for (const link of this.#links) link.listening(true);
  }

  onError(callback: (error: DaemonClientError) => unknown): void {
    this.#errors.add(callback);
  }

  off(callback: unknown): void {
    const before = this.#messages.size;
    this.#messages.remove(callback);
    this.#errors.remove(callback);
    if (before > 0 && this.#messages.size === 0) for (const link of this.#links) link.listening(false);
  }

  /** Tells a new link what there is, and from then on what changes. */
  join(link: Link): void {
    this.#links.add(link);
    for (const command of this.#handlers.keys()) link.handled(command);
    if (this.#messages.size > 0) link.listening(true);
  }

  leave(link: Link): void {
    this.#links.delete(link);
  }

  message(message: unknown, wanted?: () => boolean): void {
    this.#messages.call(message as ReverseChannelMessage, wanted);
  }

  /** Runs the handler; `wanted` tells whether its failure is to be reported. */
  run(request: Request, answer: Answer, wanted: () => boolean): Run {
    const run = new Run(request, answer, this, wanted);
    const handler = this.#handlers.get(request.command);
    if (handler === undefined) {
      answer.refuse(404, `Unknown daemon command: ${request.command}`);
      answer.over();
    } else run.start(handler, request.payload);
    return run;
  }
}

let reverseOf: (bridge: ReverseChannelBridge) => Reverse;

/** Dispatches commands to handlers and other messages to listeners. */
export class ReverseChannelBridge {
  readonly #reverse = new Reverse();
  /** Each lets go of a socket, and tells so, unless it is the active one. */
  readonly #bound = new Set<() => boolean>();

  static {
    reverseOf = (bridge) => bridge.#reverse;
  }

  /** Runs `handler` for that command from now on. */
  registerHandler<Payload = any>(command: string, handler: CommandHandler<Payload>): this {
    this.#reverse.add(command, handler);
    return this;
  }

  /** Answers that command with status 404 from now on. */
  unregisterHandler(command: string): this {
    this.#reverse.remove(command);
    return this;
  }

  /** Calls `callback` with every message that is not a command. */
  onMessage(callback: (message: ReverseChannelMessage) => unknown): this;
  /** The same with the original's names of messages. */
  onMessage(callback: (message: Exclude<TeamClusterDaemonMessage, { type: 'command' }>) => unknown): this;
  onMessage(callback: (message: any) => unknown): this {
    this.#reverse.onMessage(callback);
    return this;
  }

  /** Calls `callback` with the errors of handlers and callbacks. */
  onError(callback: (error: DaemonClientError) => unknown): this {
    this.#reverse.onError(callback);
    return this;
  }

  /** Removes a callback. */
  off(callback: (value: any) => unknown): this {
    this.#reverse.off(callback);
    return this;
  }

  /** Serves `socket` as long as `getActiveSocketId` returns `socketId`. */
  bindToSocket(socket: SocketLike, socketId: unknown, getActiveSocketId: () => unknown): this {
    const runs = new Set<Run>();
    let bound = true;
    const listener = (message: unknown) => {
      if (!bound || message === null || message === undefined || getActiveSocketId() !== socketId) return;
      const request = requestOf(message);
      if (request === undefined) return this.#reverse.message(message);
      if (typeof request.requestId !== 'string') {
        return this.#reverse.fail(new DaemonClientError('HANDLER_ERROR', 'A command without requestId was dropped'));
      }
      const current = () => bound && getActiveSocketId() === socketId;
      const answer = new SocketAnswer(socket, request.requestId, current, () => run !== undefined && runs.delete(run));
      let run: Run | undefined;
      run = this.#reverse.run(request, answer, current);
      if (answer.open) runs.add(run);
    };
    this.#bound.add(() => {
      if (getActiveSocketId() === socketId) return false;
      bound = false;
      socket.off?.(DaemonSocketEvent.TeamClusterDaemonMessage, listener);
      for (const run of [...runs]) run.withdraw(new MoorlineError('CONNECTION_LOST'));
      return true;
    });
    socket.on(DaemonSocketEvent.TeamClusterDaemonMessage, listener);
    return this;
  }

  /** Lets go of sockets that are not the active one any more, and of what runs for them; all else stays. */
  cleanup(): void {
    for (const release of [...this.#bound]) if (release()) this.#bound.delete(release);
  }
}

/** The inner part of a bridge. */
export function inside(bridge: ReverseChannelBridge): Reverse {
  return reverseOf(bridge);
}

function requestOf(message: unknown): Request | undefined {
  const { type, command, requestId, responseType, payload } = message as Record<string, unknown>;
  if (type !== 'command') return undefined;
  const known = responseType === ResponseType.Buffer || responseType === ResponseType.Stream;
  return {
    command: textOf(command),
    requestId: requestId as string,
    responseType: known ? responseType : ResponseType.Json,
    payload,
  };
}
