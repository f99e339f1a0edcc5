/** `setImmediate` for pages: a turn of the event loop without the delay that timers have. */

const channel = new MessageChannel();
const waiting: (() => void)[] = [];
channel.port1.onmessage = () => waiting.shift()?.();

export function setImmediate(run: () => void): void {
  waiting.push(run);
  channel.port2.postMessage(null);
}
