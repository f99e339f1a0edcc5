// Consumers of the Node package that keep messages at a provider. Mode: `CONSUMERSxBYTES`; the package's
// folder is the sixth argument.
import { createRequire } from 'node:module';

import * as measure from '../volt/measure.mjs';

const { Consumer } = createRequire(import.meta.url)(`${measure.folder}/dist/network-cluster`);

const [consumers, size] = measure.mode.split('x').map(Number);
const { hostname, port } = new URL(measure.url);
const text = 'x'.repeat(size);
let count = 0;
const all = Array.from({ length: consumers }, () => {
  const consumer = new Consumer({ host: hostname, port: Number(port) });
  consumer.on('message', (message) => {
    count += 1;
    consumer.send(message);
  });
  return consumer;
});
for (const consumer of all) await consumer.connect();
for (const consumer of all) {
  for (let number = 0; number < measure.inFlight; number += 1) consumer.send(text);
}
await measure.window(() => count);
