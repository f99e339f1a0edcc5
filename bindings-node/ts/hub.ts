/** A hub in this process: a control plane for tests and small fleets. */

import { Endpoint, type EndpointEvents, type RoleEvent } from './base.js';
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
  #url: string | undefined;

  /** Checks the options; listens on nothing. */
  constructor(options: HubOptions = {}) {
    super('hub', renamed(options, OPTION_KEYS.hub), true);
    this.once('ready', ({ id }) => (this.#url = id));
  }

  /** What workers and dispatchers take as `serverUrl`; undefined until the hub listens. */
  get url(): string | undefined {
    return this.#url;
  }

  /** Listens. Returns the URL. */
  async start(): Promise<string> {
    this.begin();
    return (await this.ready()).id;
  }

  protected override receive(event: RoleEvent): void {
    if (event.event === 'peer_joined') this.emit('peerJoined', { peer: event.peer, name: event.name });
    else if (event.event === 'peer_left') {
      this.emit('peerLeft', { peer: event.peer, name: event.name, reason: event.reason });
    }
  }

  protected override release(): void {}
}
