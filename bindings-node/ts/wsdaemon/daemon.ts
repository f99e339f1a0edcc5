/** A ws-daemon, client or server. */

import type { EndpointEvents } from '../base.js';
import { DaemonOrder, OPTION_KEYS, type RequestOptions, type WsdaemonDaemonOptions } from '../generated.js';
import { Offers, type WorkContext } from '../handlers.js';
import type { PeerJoined, PeerLeft } from '../hub.js';
import { written } from '../json.js';
import { renamed } from '../options.js';
import type { OtherEvent } from '../work.js';

/** What a handler gets beside its parameters. */
export type HandlerContext = Pick<WorkContext, 'work' | 'key' | 'meta' | 'deadline' | 'signal'>;

/** How something is asked for. */
export interface CallArguments extends RequestOptions {
  /** Asks for the status no longer when it is aborted; what runs goes on. */
  readonly signal?: AbortSignal | undefined;
}

/** The events of a daemon. */
export interface DaemonEvents extends EndpointEvents {
  /** A client connected to this server; its name is its address. */
  peerJoined: PeerJoined;
  /** A client is gone. */
  peerLeft: PeerLeft;
  /** What the other side says to local programs, while there is none. */
  message: unknown;
}

/** Runs scripts and handlers for programs of other machines, and asks for theirs. */
export class Daemon extends Offers<DaemonEvents> {
  /** Checks the options; connects nothing. */
  constructor(options: WsdaemonDaemonOptions = {}) {
    super('wsdaemon', 'daemon', renamed(options, OPTION_KEYS.wsdaemonDaemon));
  }

  /**
   * Offers a handler, in the place of a script of that name; its status is what it returns: a whole number, or the
   * `status` of an object, else 0; a failure is 1. Throws ARGUMENT_INVALID for what is no name, STOPPED after the end.
   */
  handle<Params = unknown>(name: string, handler: (params: Params, context: HandlerContext) => unknown): this {
    return this.register(name, handler, {});
  }

  /**
   * Has the other side run a script or handler, and resolves with its exit code; `null` if a signal ended it, a
   * negative number for what the other side could not run. A server asks its clients in turn, a client keeps what it
   * asks until it is connected. Rejects with NOT_READY if a server has no client, CALL_TIMEOUT, CONNECTION_LOST or
   * STOPPED if the status cannot come any more, OVERLOADED.
   */
  async call(name: string, params?: unknown, { signal, ...options }: CallArguments = {}): Promise<number | null> {
    const answer = await this.request(name, params, renamed(options, OPTION_KEYS.request), { signal });
    return (answer as { readonly status: number | null }).status;
  }

  /** Writes data to the programs of the other side; nothing answers. */
  tell(data: unknown): void {
    this.#order(DaemonOrder.Remote, DaemonOrder.Status, data);
  }

  /** Sends the client at the other end away for a while, if it honours that. */
  sendAway(ms: number): void {
    this.#order(DaemonOrder.Remote, DaemonOrder.Pause, ms);
  }

  /** Disconnects this client for a while; a server goes on. */
  pause(ms: number): void {
    this.#order(DaemonOrder.Local, DaemonOrder.Pause, ms);
  }

  protected override hear(event: OtherEvent): void {
    switch (event.event) {
      case 'message':
        return this.emit('message', event.payload);
      case 'peer_joined':
        return this.emit('peerJoined', { peer: event.peer, name: event.name });
      case 'peer_left':
        return this.emit('peerLeft', { peer: event.peer, name: event.name, reason: event.reason });
      case 'enrolled':
      case 'beat_asked':
        return;
      default:
        event satisfies never;
    }
  }

  #order(name: string, code: string, data: unknown): void {
    this.submit('emit', 0, written({ name, payload: { code, data } }));
  }
}
