// Rust asks an async function by a thread-safe function and awaits its promise: no connection, no protocol.
// The add-on is the sixth argument.
import { createRequire } from 'node:module';

import * as measure from './measure.mjs';

const { ask } = createRequire(import.meta.url)(measure.folder);

const tick = { count: 0 };
const handler = async (text) => {
  tick.count += 1;
  const { job } = JSON.parse(text);
  return JSON.stringify({ job });
};
ask(handler, JSON.stringify(measure.PAYLOAD), measure.inFlight);
await measure.commands(tick);
