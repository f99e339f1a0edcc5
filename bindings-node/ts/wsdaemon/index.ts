/** ws-daemons: programs of one machine run scripts and handlers on another. */

export { Daemon } from './daemon.js';
export type { CallArguments, DaemonEvents, HandlerContext } from './daemon.js';
export { MoorlineError } from '../errors.js';
export type { WsdaemonDaemonOptions as DaemonOptions } from '../generated.js';
export type { Draining, EndpointEvents, Logger, Lost, Ready } from '../base.js';
export type { PeerJoined, PeerLeft } from '../hub.js';
