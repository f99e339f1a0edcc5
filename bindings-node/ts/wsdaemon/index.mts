/** The ES module entry; see `../index.mts`. */

export * from './index.js';
