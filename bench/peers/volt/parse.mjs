// `JSON.parse` of messages as the fast responder sends them, and nothing else.
import * as measure from './measure.mjs';

const texts = Array.from({ length: measure.inFlight }, (_, number) => {
  const n = String(number).padStart(6, '1');
  return `{"type":"session-input","sessionId":"s-0001","chunkBase64":"bHMgLWxhCg==","isBinary":false,"n":${n}}`;
});

let listener = () => {};
const more = () =>
  setImmediate(() => {
    for (const text of texts) listener(JSON.parse(text));
  });
await measure.events((each) => (listener = each), more);
