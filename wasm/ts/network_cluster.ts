/** Consumers of network-cluster in browsers. `await init()` first. */

export * from './network_cluster_facade.js';
export { default } from './load.js';
