/** Sources of chunks: Node streams, web streams, iterables. */

import { isThenable } from './work.js';

/** Something that gives chunks until it ends or is cancelled. */
export interface Source {
  next(): Promise<IteratorResult<unknown>>;
  /** Tells the source that nobody wants more. Never throws. */
  cancel(): void;
}

/** Opens a source; throws a TypeError for what is none. */
export function open(stream: unknown): Source {
  const like = stream as {
    destroy?: () => void;
    getReader?: () => ReadableStreamDefaultReader<unknown>;
    [Symbol.asyncIterator]?: () => AsyncIterator<unknown>;
    [Symbol.iterator]?: () => Iterator<unknown>;
  };
  if (typeof like?.getReader === 'function') {
    const reader = like.getReader();
    return { next: async () => (await reader.read()) as IteratorResult<unknown>, cancel: quietly(() => reader.cancel()) };
  }
  const iterator = like?.[Symbol.asyncIterator]?.() ?? like?.[Symbol.iterator]?.();
  if (iterator === undefined || typeof stream === 'string') throw new TypeError('stream: a readable stream or an iterable is wanted');
  // A stream ends at once; a generator ends when it is resumed.
  const end = typeof like.destroy === 'function' ? () => like.destroy?.() : () => iterator.return?.();
  return { next: async () => iterator.next(), cancel: quietly(end) };
}

/** Cancels a source that was returned where none is wanted. */
export function discard(stream: unknown): void {
  try {
    open(stream).cancel();
  } catch {
    // It was no source.
  }
}

function quietly(end: () => unknown): () => void {
  return () => {
    try {
      const result = end();
      if (isThenable(result)) result.then(undefined, () => {});
    } catch {
      // What fails while it ends has ended.
    }
  };
}
