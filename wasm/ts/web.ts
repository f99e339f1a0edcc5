/** The entry for browsers: `await init()` first. */

export * from './facade.js';
export { default } from './load.js';
