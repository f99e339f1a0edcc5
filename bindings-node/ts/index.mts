/**
 * The ES module entry. It hands on the CommonJS build instead of being a second one, so that a
 * program which loads both has one `MoorlineError` class and one copy of everything.
 */

export * from './index.js';
