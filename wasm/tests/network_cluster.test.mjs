// Consumers of network-cluster with a provider that is a plain program of `ws`: the package under Node, and in pages
// of Chromium.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { WebSocket, WebSocketServer } from 'ws';

import init, { Consumer } from '../pkg/network_cluster_node.js';
import { root } from './hub.mjs';
import { consoleUntil, startChromium, startPages } from './page.mjs';
import { scenario } from './network_cluster_scenario.mjs';

globalThis.WebSocket ??= WebSocket;

const patience = { timeout: 60_000 };
let browser;
before(async () => {
  [browser] = await Promise.all([startChromium(), init()]);
});
after(() => browser?.close());

/** A provider that echoes, refuses who comes without the parameter, and ends on request. */
async function provide(t) {
  const asked = [];
  const server = new WebSocketServer({
    port: 0,
    host: '127.0.0.1',
    verifyClient: ({ req }, done) => (asked.push(req.url), done(req.url.includes('key=SECRET'), 403)),
  });
  t.after(() => (server.clients.forEach((client) => client.terminate()), server.close()));
  await once(server, 'listening');
  server.on('connection', (socket) => {
    const pongs = [];
    socket.send('PROVIDER_HEARTBEAT|1500');
    socket.send('PING');
    socket.on('message', (data, isBinary) => {
      if (String(data) === 'PONG') return pongs.push('PONG');
      if (String(data) === 'end') return socket.close(4001, 'as you like');
      if (String(data) === 'pongs') return socket.send(String(pongs.length));
      socket.send(data, { binary: isBinary });
    });
  });
  return { port: server.address().port, asked };
}

/** What the scenario says, in every executor. */
const EXPECTED = [
  'in flight: true',
  'open',
  'connected: true false',
  'sent: true true',
  'message: h\u00e9llo \u{1f30d}',
  'message: bytes 0,255,128',
  'message: 1',
  'heartbeat: 1500 3000',
  'refused: ARGUMENT_INVALID',
  'disconnect: 4001 as you like',
  'sent: false',
  'open',
  'message: again',
  'destroyed: NOT_READY false false',
];

test('in Node', patience, async (t) => {
  const { port, asked } = await provide(t);
  assert.deepEqual(await scenario(Consumer, { host: '127.0.0.1', port }), EXPECTED);
  assert.deepEqual(asked, ['/connect?key=SECRET&name=a%20b', '/connect?key=SECRET&name=a%20b']);
});

test('in Chromium', patience, async (t) => {
  const { port, asked } = await provide(t);
  const module = `
    import init, { Consumer } from '@moorline/web/network-cluster';
    import { scenario } from '/wasm/tests/network_cluster_scenario.mjs';
    await init();
    globalThis.play = (options) => scenario(Consumer, options);
    loaded();`;
  const pages = await startPages({ url: `http://127.0.0.1:${port}` }, module);
  t.after(() => pages.close());
  const page = await browser.context.newPage();
  t.after(() => page.close());
  let loaded;
  const whole = new Promise((resolve, reject) => {
    loaded = resolve;
    page.on('pageerror', reject);
  });
  await page.exposeFunction('loaded', () => loaded());
  await Promise.all([whole, page.goto(pages.url)]);
  assert.deepEqual(await page.evaluate((options) => globalThis.play(options), { host: '127.0.0.1', port }), EXPECTED);
  assert.deepEqual(asked, ['/connect?key=SECRET&name=a%20b', '/connect?key=SECRET&name=a%20b']);
});

test('a page is not told why it is refused: attempts are used up', patience, async (t) => {
  const { port, asked } = await provide(t);
  const consumer = new Consumer({ host: '127.0.0.1', port, reconnect: { interval: 1, max_attempts: 2 } });
  await assert.rejects(consumer.connect(), { code: 'CONNECT_FAILED' });
  assert.equal(asked.length, 3);
});

test('the consumer of docs/browser.md connects and is answered', patience, async (t) => {
  const { port } = await provide(t);
  const guide = readFileSync(join(root, 'docs/browser.md'), 'utf8');
  const [, block] = /^```js consumer\n(.*?)^```/ms.exec(guide);
  const pages = await startPages({ url: `http://127.0.0.1:${port}` }, block);
  t.after(() => pages.close());
  const { page, lines } = await consoleUntil(browser.context, pages.url, (text) => text.startsWith('provider'));
  assert.deepEqual(lines, ['provider sent: CONSUMER_READY']);
  await page.close();
});
