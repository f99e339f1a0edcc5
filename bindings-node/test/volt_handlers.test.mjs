// Handlers, bytes and streams above a scripted add-on.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';

import { scripted } from './scripted.mjs';

const require = createRequire(import.meta.url);
const { ClusterDaemonClient, DaemonRejection, envelope } = require('../dist/volt/index.js');

const READY = { event: 'ready', id: 'c', transport: 'websocket', max_message: null };

/** A registered client with those handlers. */
async function serving(t, handlers) {
  const native = scripted(t);
  const daemon = new ClusterDaemonClient({
    serverUrl: 'http://volt.test',
    controlSocketUrl: 'ws://volt.test',
    credentials: { teamClusterId: 'c', daemonPassword: 'pw' },
  });
  const errors = [];
  daemon.onError((error) => errors.push(error));
  for (const [command, handler] of Object.entries(handlers)) daemon.registerHandler(command, handler);
  const promise = daemon.connect();
  await turn();
  native.tell([READY]);
  await promise;
  native.taken();
  let works = 0;
  /** Delivers a command and returns what crossed until the turn after the next. */
  const ask = async (key, { type: response_type = 'json', ...rest } = {}) => {
    works += 1;
    const meta = { request_id: `req-${works}`, response_type };
    native.tell([{ event: 'work', work: works, key, timeout_ms: null, meta, ...rest }]);
    await turn();
    await turn();
    return native.taken().map(([name, , body]) => [name, body]);
  };
  return { daemon, native, errors, ask };
}

const done = (value) => [['done', { value }]];

test('objects return envelopes, functions return data', async (t) => {
  const { ask, errors } = await serving(t, {
    'h.data': { handle: (payload, ctx) => ({ data: { echo: payload ?? null, ctx } }) },
    'h.status': { handle: async () => ({ status: 202, data: { removed: true }, headers: { 'x-trace': '1' } }) },
    'h.empty': { handle: () => ({}) },
    'h.nothing': { handle: () => undefined },
    'h.null': { handle: () => null },
    'h.nulldata': { handle: () => ({ data: null }) },
    'f.data': (payload, { command, requestId, responseType }) => ({ payload, command, requestId, responseType }),
    'f.keys': () => ({ data: 1, status: 500 }),
    'f.nothing': () => {},
    'f.null': async () => null,
    'f.falsy': () => 0,
    'f.envelope': () => envelope({ status: 201, data: { made: true } }),
  });
  assert.deepEqual(await ask('h.data', { payload: { foo: 'bar' } }), done({ data: { echo: { foo: 'bar' }, ctx: { command: 'h.data', requestId: 'req-1' } } }));
  assert.deepEqual(await ask('h.data'), done({ data: { echo: null, ctx: { command: 'h.data', requestId: 'req-2' } } }));
  assert.deepEqual(await ask('h.status'), done({ status: 202, headers: { 'x-trace': '1' }, data: { removed: true } }));
  for (const command of ['h.empty', 'h.nothing', 'h.null', 'f.nothing', 'f.null']) assert.deepEqual(await ask(command), done({}), command);
  assert.deepEqual(await ask('h.nulldata'), done({ data: null }));
  assert.deepEqual(await ask('f.data', { payload: [1] }), done({ data: { payload: [1], command: 'f.data', requestId: 'req-10', responseType: 'json' } }));
  assert.deepEqual(await ask('f.keys'), done({ data: { data: 1, status: 500 } }));
  assert.deepEqual(await ask('f.falsy'), done({ data: 0 }));
  assert.deepEqual(await ask('f.envelope'), done({ status: 201, data: { made: true } }));
  assert.deepEqual(errors, []);
});

test('what handlers throw is reported here and not there; rejections are for the server', async (t) => {
  const circle = {};
  circle.circle = circle;
  const { ask, errors } = await serving(t, {
    'h.throw': {
      handle() {
        throw new Error('secret detail');
      },
    },
    'h.reject': async () => Promise.reject('plain string'),
    'h.circle': () => circle,
    'h.status': { handle: () => ({ status: 'fine' }) },
    'h.refuse': async () => {
      throw new DaemonRejection(409, 'already running');
    },
  });
  assert.deepEqual(await ask('h.throw'), [['failed', { message: 'secret detail' }]]);
  assert.deepEqual(await ask('h.reject'), [['failed', { message: 'plain string' }]]);
  assert.equal((await ask('h.circle'))[0][0], 'failed');
  assert.equal((await ask('h.status'))[0][0], 'failed');
  assert.deepEqual(
    errors.map(({ code, message }) => [code, message]),
    ['h.throw', 'h.reject', 'h.circle', 'h.status'].map((name) => ['HANDLER_ERROR', `Handler for command "${name}" threw an unhandled error`]),
  );
  assert.equal(errors[0].cause.message, 'secret detail');
  assert.equal(errors[1].cause, 'plain string');
  assert.deepEqual(await ask('h.refuse'), done({ reject: { status: 409, message: 'already running' } }));
  assert.equal(errors.length, 4);
});

test('handlers are replaced and withdrawn; only the first and the last change crosses', async (t) => {
  const { daemon, native, ask } = await serving(t, { h: () => 1 });
  daemon.registerHandler('h', () => 2).unregisterHandler('unknown');
  assert.deepEqual(await ask('h'), done({ data: 2 }));
  daemon.unregisterHandler('h');
  await turn();
  assert.deepEqual(native.taken(), [['unhandle', 0, { key: 'h' }]]);
  assert.deepEqual(await ask('h'), done({ reject: { status: 404, message: 'Unknown daemon command: h' } }));
  assert.deepEqual(await ask('toString'), done({ reject: { status: 404, message: 'Unknown daemon command: toString' } }));
});

test('bodies of every container of bytes cross in base64, for requests that want them', async (t) => {
  const bytes = Uint8Array.of(0, 1, 2, 253, 254, 255);
  const inside = new Uint8Array([9, ...bytes, 9]).subarray(1, 7);
  const shared = new SharedArrayBuffer(6);
  new Uint8Array(shared).set(bytes);
  for (const body of [Buffer.from(bytes), inside, bytes.buffer, shared, new DataView(bytes.buffer), [...bytes]]) {
    const { ask } = await serving(t, { h: { handle: () => ({ body, headers: { a: 'b' } }) } });
    assert.deepEqual(await ask('h', { type: 'buffer' }), done({ headers: { a: 'b' }, body: 'AAEC/f7/' }));
    assert.deepEqual(await ask('h'), done({ headers: { a: 'b' } }));
  }
  const { ask } = await serving(t, {
    empty: { handle: () => ({ body: Buffer.alloc(0) }) },
    text: { handle: () => ({ body: 'é' }) },
    data: { handle: () => ({ data: 'x' }) },
    number: { handle: () => ({ body: 5 }) },
  });
  assert.deepEqual(await ask('empty', { type: 'buffer' }), done({ body: '' }));
  assert.deepEqual(await ask('text', { type: 'buffer' }), done({ body: 'w6k=' }));
  assert.deepEqual(await ask('data', { type: 'buffer' }), done({ data: 'x' }));
  assert.equal((await ask('number', { type: 'buffer' }))[0][0], 'failed');
});

test('byte strings at any depth cross beside their text, both ways', async (t) => {
  const { daemon, native, ask } = await serving(t, {
    back: ({ chunk }) => ({ len: chunk.length, isBuffer: Buffer.isBuffer(chunk), back: chunk }),
    many: () => Array(11).fill(Buffer.of(1)),
  });
  const slot = (num) => ({ _placeholder: true, num });
  assert.deepEqual(await ask('back', { payload: { chunk: slot(0) }, blobs: ['YWJj'] }), [
    ['done', { value: { data: { len: 3, isBuffer: true, back: slot(0) } }, blobs: ['YWJj'] }],
  ]);
  assert.equal((await ask('many'))[0][0], 'failed');
  const twice = Buffer.from('dup');
  const when = new Date(0);
  daemon.emit({ type: 'x', a: Buffer.from('first'), deep: { list: [Uint8Array.of(9, 8), 'text'], when, none: undefined } });
  daemon.emit({ type: 'x', a: Buffer.alloc(0), b: new ArrayBuffer(1) });
  daemon.emit({ a: twice, b: twice, c: { toJSON: () => ({ d: twice }) } });
  const reply = daemon.sendCommand('bin.echo', { body: Buffer.of(0, 255) });
  await turn();
  assert.deepEqual(native.taken().map(([, , body]) => body), [
    { name: '', payload: { type: 'x', a: slot(0), deep: { list: [slot(1), 'text'], when: when.toJSON() } }, blobs: ['Zmlyc3Q=', 'CQg='] },
    { name: '', payload: { type: 'x', a: slot(0), b: slot(1) }, blobs: ['', 'AA=='] },
    { name: '', payload: { a: slot(0), b: slot(1), c: { d: slot(2) } }, blobs: ['ZHVw', 'ZHVw', 'ZHVw'] },
    { name: 'bin.echo', payload: { body: slot(0) }, blobs: ['AP8='] },
  ]);
  const messages = [];
  daemon.onMessage((message) => messages.push(message));
  native.tell([
    { event: 'message', peer: null, payload: { type: 'stream', a: slot(0), b: [slot(1), slot(7)] }, blobs: ['QQ==', 'Qg=='] },
    { event: 'message', peer: null, payload: { type: 'x', a: slot(0) } },
    { event: 'message', peer: null, payload: slot(0), blobs: ['QQ=='] },
    { event: 'call_done', call: 1, value: { body: slot(0) }, blobs: ['AP8='] },
  ]);
  assert.deepEqual(messages, [
    { type: 'stream', a: Buffer.from('A'), b: [Buffer.from('B'), slot(7)] },
    { type: 'x', a: slot(0) },
    Buffer.from('A'),
  ]);
  assert.deepEqual(await reply, { body: Buffer.of(0, 255) });
});

test('a received message of any depth is no danger', async (t) => {
  const { daemon, native } = await serving(t, {});
  const messages = [];
  daemon.onMessage((message) => messages.push(message));
  const depth = 100_000;
  native.drain = () => `[{"event":"message","peer":null,"payload":${'['.repeat(depth)}${']'.repeat(depth)},"blobs":["QQ=="]}]`;
  native.ring();
  assert.equal(messages.length, 1);
});

const base64 = (text) => Buffer.from(text).toString('base64');

for (const [name, stream] of [
  ['a Node stream', () => Readable.from(['hello ', Buffer.from('world')])],
  ['a web stream', () => new Blob(['hello world']).stream()],
  ['an async iterable', async function* () {
    yield Buffer.from('hello ');
    yield 'world';
  }],
  ['an iterable', () => ['hello ', Uint8Array.from(Buffer.from('world'))]],
]) {
  test(`${name} is sent chunk by chunk`, async (t) => {
    const { native, ask } = await serving(t, { h: { handle: () => ({ status: 206, headers: { a: 'b' }, stream: stream() }) } });
    const crossed = await ask('h', { type: 'stream' });
    for (let rest; (rest = native.taken()).length > 0 || crossed.at(-1)[0] === 'progress'; await turn()) {
      crossed.push(...rest.map(([word, , body]) => [word, body]));
    }
    assert.deepEqual(crossed[0], ['progress', { open: { status: 206, headers: { a: 'b' } } }]);
    assert.deepEqual(crossed.at(-1), ['done', { value: {} }]);
    const chunks = crossed.slice(1, -1).map(([word, { chunk }]) => (assert.equal(word, 'progress'), chunk));
    assert.equal(Buffer.concat(chunks.map((chunk) => Buffer.from(chunk, 'base64'))).toString(), 'hello world');
  });
}

test('a source that fails ends its stream with the reason, and is no error of a handler', async (t) => {
  const { ask, errors } = await serving(t, {
    h: async () =>
      envelope({
        stream: (async function* () {
          yield 'one';
          throw new Error('disk gone');
        })(),
      }),
    object: { handle: () => ({ stream: [{ no: 'bytes' }] }) },
    none: { handle: () => ({ stream: 5 }) },
  });
  const open = ['progress', { open: {} }];
  assert.deepEqual(await ask('h', { type: 'stream' }), [open, ['progress', { chunk: base64('one') }], ['failed', { message: 'disk gone' }]]);
  assert.deepEqual(errors, []);
  const [, [word, { message }]] = await ask('object', { type: 'stream' });
  assert.equal(word, 'failed');
  assert.match(message, /bytes/);
  assert.equal((await ask('none', { type: 'stream' }))[0][0], 'failed');
  assert.equal(errors.length, 1);
});

test('at most four chunks are on their way; the source is asked for more when they have left', async (t) => {
  let given = 0;
  async function* endless() {
    for (;;) yield `${(given += 1)}`;
  }
  const { native, ask } = await serving(t, { h: { handle: () => ({ stream: endless() }) } });
  assert.equal((await ask('h', { type: 'stream' })).length, 5);
  assert.equal(given, 4);
  native.tell([{ event: 'work_drained', work: 1, chunks: 3 }]);
  await turn();
  assert.equal(native.taken().length, 3);
  assert.equal(given, 7);
});

test('a withdrawn command aborts its signal and cancels its source', async (t) => {
  const ended = [];
  async function* endless() {
    try {
      for (;;) yield 'x';
    } finally {
      ended.push('generator');
    }
  }
  const readable = new Readable({ read() {}, destroy: (error, done) => (ended.push('readable'), done(error)) });
  const web = new ReadableStream({ cancel: () => void ended.push('web') });
  let signal;
  const { native, ask, errors } = await serving(t, {
    generator: { handle: () => ({ stream: endless() }) },
    readable: { handle: () => ({ stream: readable }) },
    web: { handle: () => ({ stream: web }) },
    waits: (_, context) => ({ signal } = context).signal && new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    fails: (_, context) => new Promise((_, reject) => context.signal.addEventListener('abort', () => reject(new Error('cleaning up failed')))),
  });
  for (const command of ['generator', 'readable', 'web', 'waits', 'fails']) await ask(command, { type: 'stream' });
  native.tell([1, 2, 3, 4, 5].map((work) => ({ event: 'work_withdrawn', work, why: 'link_lost', error: { code: 'CONNECTION_LOST', message: 'transport close' } })));
  await turn();
  await turn();
  assert.deepEqual(ended.sort(), ['generator', 'readable', 'web']);
  assert.equal(signal.reason.code, 'CONNECTION_LOST');
  assert.deepEqual(native.taken(), []);
  assert.deepEqual(errors.map(({ cause }) => cause.message), ['cleaning up failed']);
});

test('a stream for a request that wants none is cancelled', async (t) => {
  const ended = [];
  const readable = new Readable({ read() {}, destroy: (error, done) => (ended.push('readable'), done(error)) });
  const { ask } = await serving(t, { h: { handle: () => ({ status: 206, stream: readable }) } });
  assert.deepEqual(await ask('h'), done({ status: 206 }));
  assert.deepEqual(ended, ['readable']);
});

test('a function that returns a bare stream is told how it is done', async (t) => {
  const readable = Readable.from(['x']);
  const { ask, errors } = await serving(t, { f: () => readable, g: async function* () {} });
  for (const command of ['f', 'g']) assert.equal((await ask(command, { type: 'stream' }))[0][0], 'failed');
  assert.ok(readable.destroyed);
  assert.match(errors[1].cause.message, /envelope/);
});

test('disconnect aborts what runs, and reports nothing of it', async (t) => {
  let signal;
  const { daemon, native, errors, ask } = await serving(t, {
    h: (_, context) => new Promise((_, reject) => (signal = context.signal).addEventListener('abort', () => reject(new Error('late')))),
  });
  await ask('h');
  daemon.disconnect();
  await turn();
  assert.ok(signal.aborted);
  assert.deepEqual(errors, []);
  assert.deepEqual(native.taken().map(([name]) => name), ['stop']);
});
