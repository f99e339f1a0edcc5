/** Signals that many calls share: each has one listener of ours, however many wait for it. */

interface Waiting {
  readonly listener: () => void;
  readonly runs: Set<() => void>;
}

const waiting = new WeakMap<AbortSignal, Waiting>();

/** Calls `run` once `signal` is aborted, unless what is returned is called before. */
export function onAbort(signal: AbortSignal, run: () => void): () => void {
  const { listener, runs } = waiting.get(signal) ?? listen(signal);
  runs.add(run);
  return () => {
    if (!runs.delete(run) || runs.size > 0) return;
    signal.removeEventListener('abort', listener);
    waiting.delete(signal);
  };
}

function listen(signal: AbortSignal): Waiting {
  const runs = new Set<() => void>();
  const listener = () => [...runs].forEach((run) => run());
  signal.addEventListener('abort', listener, { once: true });
  const made = { listener, runs };
  waiting.set(signal, made);
  return made;
}
