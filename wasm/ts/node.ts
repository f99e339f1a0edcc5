/** The entry for Node. */

export * from './facade.js';
export { default } from './load_node.js';
