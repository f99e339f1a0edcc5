// Every scenario of `tests/peers/volt` with the official socket.io server: the package under Node, and
// in pages of Chromium.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { WebSocket } from 'ws';

import { freeze, thaw } from '../../tests/peers/volt/bytes.mjs';
import { startServer } from '../../tests/peers/volt/child.mjs';
import { opener } from '../../tests/peers/volt/daemon.mjs';
import { run, scenarios } from '../../tests/peers/volt/runner.mjs';
import init, * as volt from '../pkg/volt_node.js';
import { startChromium, startPages } from './page.mjs';

globalThis.WebSocket ??= WebSocket;

const patience = { timeout: 60_000 };
let browser;
before(async () => {
  [browser] = await Promise.all([startChromium(), init()]);
});
after(() => browser?.close());

// What a WebSocket of the host offers is the host's own affair.
const HOSTS_OWN = 'messages are not compressed where the daemon does not want it';

for (const scenario of scenarios.filter(({ name }) => name !== HOSTS_OWN)) {
  test(`in Chromium: ${scenario.name}`, patience, (t) => run(t, scenario, inPage(t)));
  test(`in Node: ${scenario.name}`, patience, (t) => run(t, scenario, opener(volt)));
}

test('a stream is read only as fast as it leaves', patience, async (t) => {
  const usual = globalThis.WebSocket;
  globalThis.WebSocket = Slow;
  t.after(() => (globalThis.WebSocket = usual));
  const server = await startServer(t);
  const base = `http://127.0.0.1:${server.port}`;
  const client = new volt.ClusterDaemonClient({
    serverUrl: base,
    controlSocketUrl: base,
    credentials: { teamClusterId: 'cluster-abc123', daemonPassword: 'rotated-pw-xyz' },
    limits: { maxSendQueueBytes: 1 << 20 },
  });
  t.after(() => client.disconnect());
  client.registerHandler('big', () => volt.envelope({ stream: Array(32).fill(new Uint8Array(1 << 17)) }));
  await client.connect();
  await server.do('command', { fields: { command: 'big', requestId: 'r1', responseType: 'stream' } });
  await server.seen(({ record, message }) => record === 'left' || (record === 'message' && message.type === 'stream-end'));
  const parts = server.records.filter(({ message }) => message?.type === 'stream');
  const bytes = parts.map(({ message }) => Buffer.from(message.chunkBase64, 'base64').length);
  assert.equal(bytes.reduce((all, size) => all + size, 0), 32 << 17);
});

/** Lets one message leave in each turn of the event loop. */
class Slow extends WebSocket {
  #waiting = [];

  get bufferedAmount() {
    return this.#waiting.reduce((all, size) => all + size, 0);
  }

  send(message) {
    this.#waiting.push(message.length);
    super.send(message);
    setImmediate(() => this.#waiting.shift());
  }
}

const MODULE = `
  import init, * as volt from '@moorline/web/volt';
  import { opener } from '/tests/peers/volt/daemon.mjs';
  import { freeze, thaw } from '/wasm/tests/page_bytes.mjs';
  await init();
  globalThis.open = (options) => {
    const daemon = opener(volt)(options, (event) => hear(freeze(event)));
    globalThis.perform = async (op, fields) => {
      try {
        return { value: freeze(await daemon[op](thaw(fields))) };
      } catch ({ code, message, status }) {
        return { error: { code, message, status } };
      }
    };
  };
  loaded();`;

/** Opens daemons in pages, each of one origin with the server that it talks to. */
function inPage(t) {
  return (options, hear) => {
    const opening = openPage(t, options, hear);
    const perform = (op) => async (fields) => {
      const page = await opening;
      if (page.isClosed()) return undefined;
      const { value, error } = await page.evaluate(([op, fields]) => perform(op, fields), [op, freeze(fields ?? {})]);
      if (error !== undefined) throw Object.assign(new Error(error.message), error);
      return thaw(value);
    };
    const ops = ['connect', 'disconnect', 'ready', 'password', 'call', 'emit', 'stream', 'endstream', 'unhandle', 'release'];
    return Object.fromEntries(ops.map((op) => [op, perform(op)]));
  };
}

async function openPage(t, options, hear) {
  const pages = await startPages({ url: options.server_url }, MODULE);
  const page = await browser.context.newPage();
  t.after(async () => {
    await page.close();
    pages.close();
  });
  await page.exposeFunction('hear', (event) => hear(thaw(event)));
  let loaded;
  const whole = new Promise((resolve, reject) => {
    loaded = resolve;
    page.on('pageerror', reject);
  });
  await page.exposeFunction('loaded', () => loaded());
  await Promise.all([whole, page.goto(pages.url)]);
  const moved = Object.entries(options).map(([name, value]) => [
    name,
    typeof value === 'string' ? value.replace(options.server_url, pages.url) : value,
  ]);
  await page.evaluate((options) => open(options), Object.fromEntries(moved));
  return page;
}
