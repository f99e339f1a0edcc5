/** VOLT daemons: the entry for Node. */

export * from '../../bindings-node/ts/volt/index.js';
export { default } from './load_node.js';
