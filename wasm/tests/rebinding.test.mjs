// DNS rebinding in Chromium: a page is loaded from a stranger, then its name leads to an open hub on loopback.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';

import { startHub } from './hub.mjs';
import { startChromium } from './page.mjs';

/** The most lines of one kind that the hub's log has for an address within a minute. */
const LOGGED = 5;

/** What the page tries at its own origin, which is the hub by then. */
const ASKED = [
  ['GET', '/'],
  ['GET', '/status'],
  ['GET', '/Moorline/Status'],
  ['GET', '/Beacon'],
  ['GET', '/Beacon/Work'],
  ['GET', '/Beacon/Actions'],
  ['POST', '/Beacon/Register', { Name: 'evil', Capabilities: ['Shell'] }],
  ['POST', '/Beacon/Work/Enqueue', { Capability: 'Shell', Action: 'Execute', Settings: {} }],
  ['POST', '/Beacon/Work/Dispatch', { Capability: 'Shell', Action: 'Execute', Settings: {} }],
  ['DELETE', '/Beacon/bcn-1'],
  ['POST', '/1.0/Authenticate', { UserName: 'a', Password: 'b' }],
  ['GET', '/Moorline/Volt/Tokens'],
  ['POST', '/Moorline/Volt/Tokens', { TeamClusterID: 'evil' }],
  ['POST', '/api/team-clusters/evil/healthcheck', { enrollmentToken: 'x' }],
  ['GET', '/socket.io/?EIO=4&transport=polling'],
];
const SOCKETS = ['/', '/socket.io/?EIO=4&transport=websocket'];

/** Runs in the page. */
async function attack([asked, sockets, hub]) {
  const answers = [];
  for (const [method, path, content] of asked) {
    const body = content && JSON.stringify(content);
    const headers = body && { 'content-type': 'application/json' };
    const answer = await fetch(path, { method, body, headers, signal: AbortSignal.timeout(10_000) });
    answers.push({ what: `${method} ${path}`, status: answer.status, allowed: answer.headers.get('access-control-allow-origin') });
  }
  // By its address the hub is another origin: no page of that one needs to ask before it posts a plain text.
  const body = JSON.stringify({ Capability: 'Shell', Action: 'Execute', Settings: {} });
  await fetch(`${hub}/Beacon/Work/Enqueue`, { method: 'POST', mode: 'no-cors', body }).catch(() => {});
  const readable = await fetch(`${hub}/Beacon/Work`).then(
    () => true,
    () => false,
  );
  const opened = await Promise.all(
    sockets.map(
      (path) =>
        new Promise((resolve) => {
          const socket = new WebSocket(`ws://${location.host}${path}`);
          socket.onopen = () => resolve(path);
          socket.onerror = () => resolve(null);
        }),
    ),
  );
  return { answers, readable, opened };
}

test('a page whose name was made to lead to an open hub gets nothing', { timeout: 120_000 }, async (t) => {
  const evil = createServer((_, answer) => answer.writeHead(200, { 'content-type': 'text/html' }).end('<title>Evil</title>'));
  await once(evil.listen(0, '127.0.0.1'), 'listening');
  const { port } = evil.address();
  const browser = await startChromium('--no-proxy-server', '--host-resolver-rules=MAP evil.example 127.0.0.1');
  t.after(() => browser.close());
  const page = await browser.context.newPage();
  await page.goto(`http://evil.example:${port}/`);

  const closed = once(evil.close(), 'close');
  // Chromium keeps connections, and one that nothing was asked on yet counts for none of its own.
  evil.closeAllConnections();
  await closed;
  const hub = await startHub(`127.0.0.1:${port}`, '--log-level', 'warn', '--log-format', 'json');
  t.after(() => hub.kill());

  const { answers, readable, opened } = await page.evaluate(attack, [ASKED, SOCKETS, hub.url]);
  const refused = ASKED.map(([method, path]) => ({ what: `${method} ${path}`, status: 403, allowed: null }));
  assert.deepEqual(answers, refused);
  assert.equal(readable, false);
  assert.deepEqual(opened, SOCKETS.map(() => null));

  const work = await (await fetch(`${hub.url}/Beacon/Work`)).json();
  assert.deepEqual(work, [], 'nothing was put into the queue');
  const workers = await (await fetch(`${hub.url}/Beacon`)).json();
  assert.deepEqual(workers, [], 'nobody was registered');
  await hub.kill();
  const lines = hub.log.filter((line) => line.includes('evil.example'));
  assert.ok(lines.length > 0 && lines.length <= LOGGED, `${lines.length} lines for ${ASKED.length + 4} requests`);
  assert.match(lines[0], /Host not allowed/);
  assert.match(lines[0], /127\.0\.0\.1/);
});
