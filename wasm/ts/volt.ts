/** VOLT daemons in browsers: what `moorline/volt` has in Node. `await init()` first. */

export * from '../../bindings-node/ts/volt/index.js';
export { default } from './load.js';
