// Consumers by hand on `ws` that keep messages at a provider. Mode: `CONSUMERSxBYTES`.
import { once } from 'node:events';
import WebSocket from 'ws';

import * as measure from '../volt/measure.mjs';

const [consumers, size] = measure.mode.split('x').map(Number);
const text = 'x'.repeat(size);
let count = 0;
const all = Array.from({ length: consumers }, () => {
  const socket = new WebSocket(`${measure.url.replace(/^http/, 'ws')}/connect`);
  socket.on('message', (data) => {
    const message = String(data);
    if (message === 'PING') return socket.send('PONG');
    if (message.startsWith('PROVIDER_HEARTBEAT|')) return;
    count += 1;
    socket.send(message);
  });
  return socket;
});
for (const socket of all) if (socket.readyState !== WebSocket.OPEN) await once(socket, 'open');
for (const socket of all) {
  for (let number = 0; number < measure.inFlight; number += 1) socket.send(text);
}
await measure.window(() => count);
