// The scripted server answers as the recorded one did: the daemon's half of the transcripts is played to it.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { WebSocket } from 'ws';

import { startServer } from './child.mjs';

const VECTORS = new URL('../../vectors/volt/', import.meta.url);
const answers = JSON.parse(readFileSync(new URL('answers.json', import.meta.url)));

/** The transcripts that a server can be held to, and its options for each. */
const PLAYED = {
  '01': {},
  '04': {},
  '05': {},
  '06': {},
  '07': { namespaces: ['/', '/control'], heartbeatAnswer: {} },
  '08': { answers },
  13: { answers },
  15: { heartbeat: 'authenticate' },
  28: {
    middleware: {
      message: 'Authentication::Unauthorized',
      data: { code: 'Authentication::Unauthorized', reason: 'invalid_token' },
    },
  },
  32: { answers: { 'runtime.config.get': [] } },
  40: {},
};

for (const [number, options] of Object.entries(PLAYED)) {
  const { name, lines } = transcript(number);
  test(`the server answers as recorded: ${name}`, async (t) => {
    const server = await startServer(t, { heartbeat: 'accept', ...options });
    const links = new Map();
    for (const [index, { dir, conn, data }] of lines.entries()) {
      if (!links.has(conn)) links.set(conn, await open(t, server.port));
      const link = links.get(conn);
      if (dir === 'c2s') {
        link.send(data);
        continue;
      }
      await volunteer(server, data, lines.slice(index + 1));
      assert.deepEqual(same(await link.next()), same(data));
    }
    await server.do('fence');
    const rest = [...links.values()].flatMap((link) => link.rest());
    assert.deepEqual(rest, [], 'the server said more than was recorded');
  });
}

/** Returns the Socket.IO packets of a transcript, whatever transport they took. */
function transcript(number) {
  const name = readdirSync(VECTORS).find((file) => file.startsWith(`${number}-`));
  const lines = readFileSync(new URL(name, VECTORS), 'utf8').trim().split('\n');
  const packet = ({ kind, data }) =>
    kind === 'eio' && (typeof data !== 'string' || data.startsWith('4'));
  return { name, lines: lines.map((line) => JSON.parse(line)).filter(packet) };
}

/** Replaces what changes on every run. */
function same(data) {
  if (typeof data !== 'string') return data;
  return data.replace(/^(40[^{]*)\{"sid":"[^"]+"\}$/, '$1{"sid":"…"}');
}

/** Has the server say what no packet of the daemon makes it say. */
async function volunteer(server, data, following) {
  const [, text] = /^4[25](?:\d+-)?\["team-cluster-daemon:message",(\{.*\})\]$/s.exec(data) ?? [];
  if (text === undefined) return;
  const message = JSON.parse(text);
  if (message.type === 'response' && !/^slow\.|^too late/.test(message.data?.data)) return;
  const bytes = (value) => {
    if (value === null || typeof value !== 'object') return value;
    if (Array.isArray(value)) return value.map(bytes);
    if (value._placeholder) return { $bytes: following[value.num].data.base64 };
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, bytes(part)]));
  };
  // What the daemon sent before is answered first.
  await server.do('fence');
  await server.do('send', { words: [bytes(message)] });
}

/** Connects over WebSocket; hears nothing but packets of Socket.IO. */
async function open(t, port) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/socket.io/?EIO=4&transport=websocket`);
  t.after(() => socket.terminate());
  const heard = [];
  let wake = () => {};
  socket.on('message', (data, binary) => {
    const text = binary ? { base64: data.toString('base64') } : data.toString();
    if (binary || text.startsWith('4')) heard.push(text);
    wake();
  });
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
  return {
    send: (data) => socket.send(typeof data === 'string' ? data : Buffer.from(data.base64, 'base64')),
    async next() {
      while (heard.length === 0) await new Promise((resolve) => (wake = resolve));
      return heard.shift();
    },
    rest: () => heard,
  };
}
