/** Consumers of network-cluster: the entry for Node. */

export * from './network_cluster_facade.js';
export { default } from './load_node.js';
