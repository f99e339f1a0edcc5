/** What the facades use of Node's globals, for pages. */

const channel = new MessageChannel();
const waiting: (() => void)[] = [];
channel.port1.onmessage = () => waiting.shift()?.();

/** A turn of the event loop without the delay that timers have. */
export function setImmediate(run: () => void): void {
  waiting.push(run);
  channel.port2.postMessage(null);
}

/** A page gets no signals. */
const unheard = (): void => {};

export const process = { nextTick: (run: () => void): void => queueMicrotask(run), on: unheard, off: unheard };
