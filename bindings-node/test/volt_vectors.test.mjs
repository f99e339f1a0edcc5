// The recorded transcripts of the original, seen from the application's side: the server of each says again
// what it said, and the client must come to what the original's came to, or differ as docs/volt.md says.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { ClusterDaemonClient, DaemonRejection } from 'moorline/volt';

import { freeze } from '../../tests/peers/volt/bytes.mjs';
import { startServer } from '../../tests/peers/volt/child.mjs';

const MESSAGE = 'team-cluster-daemon:message';
const CLUSTER = 'cluster-abc123';

/** The messages in one direction and what the application saw, in order. Bytes stand as `{"$bytes":…}`. */
function transcript(name) {
  const text = readFileSync(new URL(`../../tests/vectors/volt/${name}.jsonl`, import.meta.url), 'utf8');
  const lines = text.trim().split('\n').map((line) => JSON.parse(line));
  const messages = (dir) => {
    const found = [];
    const frames = lines.filter((line) => line.kind === 'eio' && line.dir === dir && line.via === 'websocket').map(({ data }) => data);
    for (const [index, frame] of frames.entries()) {
      const [, attachments, json] = /^4(?:2|5(\d+)-)(\[.*)$/s.exec(typeof frame === 'string' ? frame : '') ?? [];
      if (json === undefined) continue;
      const blobs = frames.slice(index + 1, index + 1 + Number(attachments ?? 0)).map(({ base64 }) => ({ $bytes: base64 }));
      const [event, ...words] = JSON.parse(json, (_, value) => (value?._placeholder ? blobs[value.num] : value));
      if (event === MESSAGE) found.push(words);
    }
    return found;
  };
  return { sent: messages('c2s').map(([message]) => message), received: messages('s2c'), seen: lines.filter(({ kind }) => kind === 'api').map(({ data }) => data) };
}

/** Starts the official server and a registered client with a log of its callbacks. */
async function connected(t, answers, handlers = {}) {
  const server = await startServer(t, { answers });
  const client = new ClusterDaemonClient({
    serverUrl: `http://127.0.0.1:${server.port}`,
    controlSocketUrl: `ws://127.0.0.1:${server.port}`,
    credentials: { teamClusterId: CLUSTER, daemonPassword: 'rotated-pw-xyz' },
    heartbeat: { enabled: false },
    commandTimeout: 150,
  });
  t.after(() => client.disconnect());
  const log = [];
  client.onMessage((message) => log.push({ callback: 'onMessage', message }));
  client.onError(({ name, code, message, cause }) => log.push({ callback: 'onError', error: { name, code, message, cause: cause?.message ?? cause } }));
  for (const [command, handler] of Object.entries(handlers)) client.registerHandler(command, handler);
  await client.connect();
  return { server, client, log };
}

test('08: every shape of an answer settles the command as it did', async (t) => {
  const { sent, received, seen } = transcript('08-send-command');
  const answers = {};
  for (const { requestId, command } of sent) {
    // Of the strays before an answer, only those of the same request count here.
    const replies = received.filter(([message]) => message?.requestId === requestId).map(([{ requestId: _, ...rest }]) => rest);
    answers[command] ??= command === 'late' ? [] : replies;
  }
  const { client } = await connected(t, answers);
  const calls = seen.filter(({ call }) => /sendCommand\('/.test(call ?? ''));
  assert.ok(calls.length >= 18);
  for (const { call, ok, result, error } of calls) {
    const [, command] = /sendCommand\('([^']+)'/.exec(call);
    const timeout = { late: 30, 'zero timeout': 0 }[command];
    const [payload] = sent.filter((message) => message.command === command).map((message) => message.payload);
    const name = command === 'zero timeout' ? 'ok.full' : command;
    const reply = client.sendCommand(name, payload, timeout);
    if (ok) assert.deepEqual(await reply, result === '<undefined>' ? undefined : result, call);
    else {
      const { code, message } = error;
      // Our own texts are others, but name the command in double quotes as well.
      const expected = message.includes(`"${name}"`) ? new RegExp(`"${name}"`) : message;
      await assert.rejects(reply, { name: 'DaemonClientError', code, message: expected }, call);
    }
  }
});

/** The handlers that the recorder registered; `h.function` has become one that counts. */
const HANDLERS = {
  'h.data': { handle: (payload, ctx) => ({ data: { echo: payload ?? null, ctx } }) },
  'h.async': { handle: async () => ({ data: 'later' }) },
  'h.status': { handle: () => ({ status: 202, data: { removed: true }, headers: { 'x-trace': '1' } }) },
  'h.status400': { handle: () => ({ status: 400, data: { status: 'error', message: 'bad payload' } }) },
  'h.empty': { handle: () => ({}) },
  'h.throw': {
    handle() {
      throw new Error('secret detail');
    },
  },
  'h.reject': { handle: () => Promise.reject('plain string') },
  'h.buffer': { handle: () => ({ body: Buffer.from('000102fdfeff', 'hex'), headers: { 'content-type': 'application/octet-stream' } }) },
  'h.emptybuffer': { handle: () => ({ body: Buffer.alloc(0) }) },
  'h.stream': { handle: () => ({ status: 206, headers: { 'content-type': 'text/plain' }, stream: ['hello ', 'world'] }) },
  'h.streamerr': { handle: () => ({ stream: failing() }) },
  'h.function': () => {
    throw new DaemonRejection(418, 'functions are handlers');
  },
};

async function* failing() {
  yield Buffer.of(1, 2, 3);
  throw new Error('disk gone');
}

test('09: commands of the server are answered as they were, member for member', async (t) => {
  const { sent, received, seen } = transcript('09-inbound-commands');
  const { server, client, log } = await connected(t, {}, HANDLERS);
  const differs = { 'req-18': { type: 'response', requestId: 'req-18', ok: false, status: 418, message: 'functions are handlers' } };
  for (const words of received.filter(([{ type }]) => type === 'command')) {
    const [{ requestId }] = words;
    if (requestId === 'req-19') client.unregisterHandler('h.data');
    if (requestId === 'req-20') client.registerHandler('h.async', () => 'replaced');
    const expected = (differs[requestId] ? [differs[requestId]] : sent.filter((message) => message.requestId === requestId)).map(unnamed);
    await server.do('send', { words });
    const ours = () => server.records.flatMap(({ record, message }) => (record === 'message' && message.requestId === requestId ? [unnamed(message)] : []));
    await server.seen(() => ours().length >= expected.length);
    assert.deepEqual(ours().map((message) => JSON.stringify(message)), expected.map((message) => JSON.stringify(message)), requestId);
  }
  // The one complaint too many of the original was about the function.
  const errors = seen.filter(({ callback, error }) => callback === 'onError' && !error.message.includes('h.function'));
  assert.deepEqual(log.filter(({ callback }) => callback === 'onError'), errors);
});

/** Ids of streams are made anew each time. */
const unnamed = ({ streamId, ...rest }) => (streamId === undefined ? rest : { ...rest, streamId: typeof streamId });

test('10: malformed messages end nothing', async (t) => {
  const { received, seen } = transcript('10-inbound-malformed');
  const nothing = { handle: () => undefined };
  const { server, client, log } = await connected(t, { 'runtime.config.get': [{ ok: true, status: 200 }] });
  for (const [message] of received) if (message?.type === 'command' && message.command !== undefined) client.registerHandler(message.command, nothing);
  for (const words of received.filter(([message]) => message?.type !== 'response')) await server.do('send', { words });
  assert.equal(await client.sendCommand('runtime.config.get', {}), undefined);
  const told = ({ callback, message }) => callback === 'onMessage' && message?.type !== 'response';
  assert.deepEqual(log.filter(told), seen.filter(told));
  assert.equal(log.filter(({ callback }) => callback === 'onError').length, 1, 'the command without an id is reported');
});

for (const name of ['11-noncommand-inbound', '13-binary-attachments']) {
  test(`${name.slice(0, 2)}: messages of the server reach onMessage as they did`, async (t) => {
    const { received, seen } = transcript(name);
    const { server, client, log } = await connected(t, {});
    const told = ({ callback, message }) => callback === 'onMessage' && message?.type !== 'response';
    for (const words of received.filter(([message]) => !['response', 'command'].includes(message?.type))) await server.do('send', { words });
    const expected = seen.filter(told);
    await server.do('fence');
    await client.sendCommand('nobody', {}).catch(() => {});
    assert.ok(expected.length > 0);
    assert.deepEqual(JSON.parse(JSON.stringify(log.filter(told))), expected);
  });
}

for (const name of ['12-emit-outbound', '13-binary-attachments']) {
  test(`${name.slice(0, 2)}: emitted messages arrive as they did`, async (t) => {
    const { sent } = transcript(name);
    const { server, client } = await connected(t, {});
    const messages = sent.filter(({ type }) => type !== 'command' && type !== 'response');
    const bytes = (value) =>
      JSON.parse(JSON.stringify(value), (_, part) => (typeof part?.$bytes === 'string' ? Buffer.from(part.$bytes, 'base64') : part));
    for (const message of messages) client.emit(bytes(message));
    await server.seen(() => server.records.filter(({ record }) => record === 'message').length === messages.length);
    const arrived = server.records.filter(({ record }) => record === 'message').map(({ message }) => JSON.stringify(message));
    assert.ok(messages.length > 3);
    assert.deepEqual(arrived, freeze(messages).map((message) => JSON.stringify(message)));
  });
}
