/** Moorline for Node: workers, dispatchers and an in-process hub of the beacon dialect. */

export { Dispatcher } from './dispatcher.js';
export type { CallArguments, EnqueueArguments, Reply, WorkRequest } from './dispatcher.js';
export { MoorlineError } from './errors.js';
export { ERROR_CODES } from './generated.js';
export type {
  CallOptions,
  DispatcherOptions,
  ErrorCode,
  ErrorInfo,
  Fault,
  HubOptions,
  WorkerOptions,
} from './generated.js';
export type { Draining, EndpointEvents, Logger, Lost, Ready } from './base.js';
export { Hub } from './hub.js';
export type { HubEvents, PeerJoined, PeerLeft } from './hub.js';
export { Worker } from './worker.js';
export type { Handler, HandlerMeta, WorkContext } from './worker.js';
