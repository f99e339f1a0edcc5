// The web output in Chromium: a page with a worker and a dispatcher against a real hub.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { startServer } from '../../tests/peers/volt/child.mjs';
import { consoleUntil, startChromium, startPages } from './page.mjs';
import { root, startHub } from './hub.mjs';

const patience = { timeout: 120_000 };
let hub;
let browser;
before(async () => {
  [hub, browser] = await Promise.all([startHub(), startChromium()]);
});
after(() => Promise.all([browser?.close(), hub?.kill()]));

/** The blocks of a language in docs/browser.md, as one module. */
function blocks(language) {
  const page = readFileSync(join(root, 'docs/browser.md'), 'utf8');
  const all = [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))];
  assert.ok(all.length > 0, `docs/browser.md has no ${language} block`);
  return all.map(([, text]) => text).join('\n');
}

test('a page works for a dispatcher outside, through a killed hub', patience, async () => {
  const pages = await startPages(
    hub,
    `import init, { Worker } from '@moorline/web';
    await init();
    const worker = new Worker({ serverUrl: location.origin, name: 'outside', reconnect: { baseDelayMs: 50, maxDelayMs: 50 } });
    worker.handle('Page/Shout', ({ Text }) => ({ Text: Text.toUpperCase(), Agent: navigator.userAgent }));
    worker.on('ready', ({ transport }) => console.log('ready by ' + transport));
    worker.on('lost', ({ reason }) => console.log('lost: ' + reason.code));
    await worker.connect();`,
  );
  const dispatch = async (Text) => {
    const answer = await fetch(`${hub.url}/Beacon/Work/Dispatch`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ Capability: 'Page', Action: 'Shout', Settings: { Text }, TimeoutMs: 20_000 }),
    });
    return (await answer.json()).Outputs;
  };
  const { page } = await consoleUntil(browser.context, pages.url, 'ready by websocket');
  const outputs = await dispatch('h\u00e9llo \u{1f30d}');
  assert.equal(outputs.Text, 'H\u00c9LLO \u{1f30d}');
  assert.match(outputs.Agent, /Chrome/);

  const said = (text) => page.waitForEvent('console', { predicate: (message) => message.text().startsWith(text) });
  const lost = said('lost: ');
  await hub.kill();
  await lost;
  const ready = said('ready by websocket');
  hub = await startHub(hub.address);
  await ready;
  assert.equal((await dispatch('again')).Text, 'AGAIN');
  await page.close();
  pages.close();
});

test('a hub serves pages of other origins that it allows, and refuses the rest', patience, async () => {
  const pages = await startPages(
    hub,
    `import init, { Dispatcher, Worker } from '@moorline/web';
    await init();
    const serverUrl = new URLSearchParams(location.search).get('hub');
    const reconnect = { baseDelayMs: 50, maxDelayMs: 50 };
    const worker = new Worker({ serverUrl, name: 'stranger', transport: 'websocket', reconnect });
    worker.handle('Far/Away', () => ({ From: location.origin }));
    worker.once('lost', ({ reason }) => console.log('lost: ' + reason.code));
    await worker.connect();
    const { Outputs } = await new Dispatcher({ serverUrl }).call('Far/Away');
    console.log('from ' + Outputs.From);
    worker.close();`,
  );
  const friend = await startHub('127.0.0.1:0', '--set', `allowed_origins=${JSON.stringify([pages.url])}`);
  const { page } = await consoleUntil(browser.context, `${pages.url}/?hub=${friend.url}`, `from ${pages.url}`);
  await page.close();
  await friend.kill();
  const stranger = await consoleUntil(browser.context, `${pages.url}/?hub=${hub.url}`, 'lost: CONNECT_FAILED');
  await stranger.page.close();
  pages.close();
});

test('docs/browser.md does what it says', patience, async () => {
  const pages = await startPages(hub, blocks('js'));
  const { page, lines } = await consoleUntil(browser.context, pages.url, 'drained');
  assert.deepEqual(lines, ['Hello, Ada', '3 3', 'REMOTE_ERROR no luck', 'drained']);
  await page.close();
  pages.close();
});

test('the daemon of docs/browser.md registers, asks and answers', patience, async (t) => {
  const data = { status: 'success', data: { queueConcurrency: { analysis: 2 } } };
  const answers = { 'runtime.config.get': [{ ok: true, status: 200, data }] };
  const server = await startServer(t, { answers });
  const pages = await startPages({ url: `http://127.0.0.1:${server.port}` }, blocks('js daemon'));
  const { page, lines } = await consoleUntil(browser.context, pages.url, (text) => text.startsWith('{'));
  assert.equal(lines.length, 1);
  await server.do('command', { fields: { command: 'page.title', requestId: 'r1', payload: null } });
  const place = await server.seen(({ record, message }) => record === 'message' && message.requestId === 'r1');
  assert.equal(server.records[place].message.data.data.title, 'Moorline');
  await page.close();
  await server.seen(({ record }) => record === 'left');
  pages.close();
});

test('its test passes in Node', patience, async () => {
  const file = join(root, 'wasm/pkg/page.test.mjs');
  writeFileSync(file, blocks('mjs'));
  const env = { ...process.env, MOORLINE_URL: hub.url };
  delete env.NODE_TEST_CONTEXT;
  const [code] = await once(spawn(process.execPath, ['--test', file], { env, stdio: 'inherit' }), 'exit');
  assert.equal(code, 0);
});
