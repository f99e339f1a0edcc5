/** Consumers of network-cluster, as they are in Node; providers listen, which a page cannot. */

export { Consumer } from '../../bindings-node/ts/network-cluster/consumer.js';
export type { ConsumerEvents, ConsumerOptions, Parameters, ReconnectOptions } from '../../bindings-node/ts/network-cluster/types.js';
export { MoorlineError } from '../../bindings-node/ts/errors.js';
