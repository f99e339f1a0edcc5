/** A hub in this process: a control plane for tests and small fleets. */

import { Endpoint, type EndpointEvents, type RoleEvent } from './base.js';
import { MoorlineError } from './errors.js';
import { type HubOptions, OPTION_KEYS } from './generated.js';
import { renamed } from './options.js';

/** A worker registered at the hub. */
export interface PeerJoined {
  /** The worker's number at this hub. */
  readonly peer: number;
  /** Its name. */
  readonly name: string;
}

/** A worker is gone. */
export interface PeerLeft extends PeerJoined {
  /** Why. */
  readonly reason: string;
}

/** The events of a hub. */
export interface HubEvents extends EndpointEvents {
  /** A worker registered. */
  peerJoined: PeerJoined;
  /** A worker is gone. */
  peerLeft: PeerLeft;
}

/** Accepts workers, queues and leases work, answers dispatchers. */
export class Hub extends Endpoint<HubEvents> {
  readonly #scheme: 'http' | 'https';
  #address: string | undefined;

  /** Checks the options; listens on nothing. */
  constructor(options: HubOptions = {}) {
    super('beacon', 'hub', renamed(options, OPTION_KEYS.hub), true);
    this.#scheme = options.runtime?.certFile ? 'https' : 'http';
    this.once('ready', ({ id }) => (this.#address = id));
  }

  /** What workers and dispatchers take as `serverUrl`. Throws before the hub listens. */
  get url(): string {
    if (this.#address === undefined) throw new MoorlineError('NOT_STARTED');
    return `${this.#scheme}://${this.#address}`;
  }

  /** Listens; resolves to the URL. */
  async start(): Promise<string> {
    this.begin();
    await this.ready();
    return this.url;
  }

  protected override receive(event: RoleEvent): void {
    switch (event.event) {
      case 'peer_joined':
        return this.emit('peerJoined', { peer: event.peer, name: event.name });
      case 'peer_left':
        return this.emit('peerLeft', { peer: event.peer, name: event.name, reason: event.reason });
      case 'work':
      case 'work_withdrawn':
      case 'work_drained':
      case 'message':
      case 'enrolled':
      case 'beat_asked':
        return;
      default:
        event satisfies never;
    }
  }

  protected override release(): void {}
}
