/**
 * What is taken from the host when the package is loaded. Test tools put fakes in the place of these
 * functions later, and what a fake one was asked for may never come.
 */

export const { nextTick } = process;
export const soon = queueMicrotask;
export const later = setImmediate;

/** What asks a program to end. */
const STOPS = ['SIGTERM', 'SIGINT'] as const;
/** Some programs signal a process and its group, so that one order arrives twice. */
const ECHO_MS = 100;

/** Calls `act` for each SIGTERM and SIGINT until what is returned is called; the same twice within 100 ms counts once. */
export function onStop(act: () => void): () => void {
  const latest = new Map<string, number>();
  const listener = (name: string): void => {
    const [before, now] = [latest.get(name) ?? -Infinity, performance.now()];
    latest.set(name, now);
    if (now - before >= ECHO_MS) act();
  };
  for (const name of STOPS) process.on(name, listener);
  return () => STOPS.forEach((name) => process.off(name, listener));
}

/** Makes an exception uncaught, as if nobody had been in between. */
export function uncaught(thrown: unknown): void {
  soon(() => {
    throw thrown;
  });
}
