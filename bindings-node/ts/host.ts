/**
 * What is taken from the host when the package is loaded. Test tools put fakes in the place of these
 * functions later, and what a fake one was asked for may never come.
 */

export const { nextTick } = process;
export const soon = queueMicrotask;
export const later = setImmediate;

/** Makes an exception uncaught, as if nobody had been in between. */
export function uncaught(thrown: unknown): void {
  soon(() => {
    throw thrown;
  });
}
