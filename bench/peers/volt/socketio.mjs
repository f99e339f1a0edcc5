// A daemon on the official `socket.io-client`. With the argument `listeners` behind the others each pending
// call has a listener of its own, as in release 1.0.0 of the original client; otherwise one listener serves
// all calls from a Map, as in its release 1.1.0.
import { randomUUID } from 'node:crypto';
import { io } from 'socket.io-client';

import * as measure from './measure.mjs';

const MESSAGE = 'team-cluster-daemon:message';
const TIMEOUT_MS = 30_000;
const perCall = process.argv[7] === 'listeners';

const socket = io(measure.url, { transports: ['websocket'], forceNew: true, reconnection: false });
socket.on('connect', () => {
  const credentials = { teamClusterId: 'cluster-abc123', daemonPassword: 'rotated-pw-xyz' };
  socket.emit('team-cluster-daemon:register', credentials);
});
const tick = { count: 0 };
// Commands may stand right behind the registration.
if (measure.mode === 'commands') {
  socket.on(MESSAGE, (message) => {
    if (message?.type !== 'command') return;
    tick.count += 1;
    void handle(message);
  });
}
await new Promise((resolve) => socket.once('team-cluster-daemon:registered', resolve));

function frame(requestId, command, payload) {
  return { type: 'command', requestId, command, responseType: 'json', payload };
}

function outcome(response, resolve, reject) {
  if (response.ok) resolve(response.data?.data);
  else reject(new Error(response.message));
}

function callWithListener(payload) {
  return new Promise((resolve, reject) => {
    const requestId = randomUUID();
    const onMessage = (message) => {
      if (message?.type !== 'response' || message.requestId !== requestId) return;
      clearTimeout(timer);
      socket.off(MESSAGE, onMessage);
      outcome(message, resolve, reject);
    };
    const timer = setTimeout(() => {
      socket.off(MESSAGE, onMessage);
      reject(new Error('timeout'));
    }, TIMEOUT_MS);
    socket.on(MESSAGE, onMessage);
    socket.emit(MESSAGE, frame(requestId, 'jobs.list', payload));
  });
}

const pending = new Map();

function callFromMap(payload) {
  return new Promise((resolve, reject) => {
    const requestId = randomUUID();
    const timer = setTimeout(() => {
      pending.delete(requestId);
      reject(new Error('timeout'));
    }, TIMEOUT_MS);
    pending.set(requestId, { resolve, reject, timer });
    socket.emit(MESSAGE, frame(requestId, 'jobs.list', payload));
  });
}

function serveMap() {
  socket.on(MESSAGE, (message) => {
    if (message?.type !== 'response') return;
    const call = pending.get(message.requestId);
    if (!call) return;
    pending.delete(message.requestId);
    clearTimeout(call.timer);
    outcome(message, call.resolve, call.reject);
  });
}

async function handle({ requestId, payload }) {
  const data = { status: 'success', data: { job: payload.job } };
  socket.emit(MESSAGE, { type: 'response', requestId, ok: true, status: 200, data });
}

switch (measure.mode) {
  case 'calls':
    if (!perCall) serveMap();
    await measure.calls(perCall ? callWithListener : callFromMap);
    break;
  case 'commands':
    await measure.commands(tick);
    break;
  case 'events':
    await measure.events(
      (listener) => socket.on(MESSAGE, listener),
      () => socket.emit(MESSAGE, { type: 'more' }),
    );
    break;
  case 'block':
    await measure.block();
    break;
  default:
    throw new Error(`no such mode: ${measure.mode}`);
}
