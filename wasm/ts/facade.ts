/** Moorline for browsers: workers and dispatchers with the names that they have in Node. */

export { Dispatcher } from '../../bindings-node/ts/dispatcher.js';
export type { CallArguments, EnqueueArguments, Reply, WorkRequest } from '../../bindings-node/ts/dispatcher.js';
export { MoorlineError } from '../../bindings-node/ts/errors.js';
export { ERROR_CODES } from '../../bindings-node/ts/generated.js';
export type {
  CallOptions,
  DispatcherOptions,
  ErrorCode,
  ErrorInfo,
  Fault,
  WorkerOptions,
} from '../../bindings-node/ts/generated.js';
export type { Draining, EndpointEvents, Logger, Lost, Ready } from '../../bindings-node/ts/base.js';
export { Hub } from './hub.js';
export { Worker } from '../../bindings-node/ts/worker.js';
export type { Handler, HandlerMeta, WorkContext } from '../../bindings-node/ts/worker.js';
