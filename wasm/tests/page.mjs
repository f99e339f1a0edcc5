// What a browser test needs: a page, a server of one origin for it and the hub, and Chromium.

import { createReadStream, mkdtempSync, rmSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';

import { chromium } from 'playwright-core';

import { root } from './hub.mjs';

const TYPES = { '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm' };

/** Serves `module` as a page at `/`, the package below `/pkg/` and modules of tests; the rest is the hub's. */
export async function startPages(hub, module) {
  const html = `<!doctype html><meta charset="utf-8"><title>Moorline</title>
<script type="importmap">{ "imports": { "@moorline/web": "/pkg/web.js", "@moorline/web/volt": "/pkg/volt.js", "@moorline/web/network-cluster": "/pkg/network_cluster.js" } }</script>
<script type="module">\n${module}\n</script>`;
  const { hostname, port } = new URL(hub.url);

  const server = createServer((asked, answer) => {
    const { pathname } = new URL(asked.url, 'http://page');
    if (pathname === '/' || pathname === '/favicon.ico') {
      answer.writeHead(200, { 'content-type': 'text/html' }).end(pathname === '/' ? html : '');
    } else if (pathname.startsWith('/pkg/') || pathname.endsWith('.mjs')) {
      const file = createReadStream(join(root, pathname.endsWith('.mjs') ? '' : 'wasm', normalize(pathname)));
      file.once('error', () => answer.writeHead(404).end());
      file.once('open', () => answer.writeHead(200, { 'content-type': TYPES[extname(pathname)] }));
      file.pipe(answer);
    } else {
      const { method, url: path, headers } = asked;
      const onward = request({ hostname, port, method, path, headers }, (answered) => {
        answer.writeHead(answered.statusCode, answered.headers);
        answered.pipe(answer);
      });
      onward.once('error', () => answer.writeHead(502).end());
      answer.once('close', () => onward.destroy());
      asked.pipe(onward);
    }
  });
  server.on('upgrade', (asked, client, head) => {
    const onward = connect(Number(port), hostname, () => {
      const fields = asked.rawHeaders.reduce((text, part, at) => text + part + (at % 2 ? '\r\n' : ': '), '');
      onward.write(`GET ${asked.url} HTTP/1.1\r\n${fields}\r\n`);
      onward.write(head);
      onward.pipe(client).pipe(onward);
    });
    onward.on('error', () => client.destroy());
    client.on('error', () => onward.destroy());
    client.once('close', () => onward.destroy());
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** Starts Chromium with a folder of its own, and with `more` arguments. */
export async function startChromium(...more) {
  const folder = mkdtempSync(join(tmpdir(), 'moorline-chromium-'));
  const context = await chromium.launchPersistentContext(folder, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...more,
    ],
  });
  return {
    context,
    async close() {
      await context.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Opens `url` and collects what the page says, until it says `last` (a text, or what finds it) or something fails. */
export async function consoleUntil(context, url, last) {
  const page = await context.newPage();
  const lines = [];
  const said = new Promise((resolve, reject) => {
    page.on('pageerror', reject);
    page.on('console', (message) => {
      // Chromium's own remarks on requests that failed are of type error.
      if (message.type() !== 'error') lines.push(message.text());
      if (typeof last === 'string' ? message.text() === last : last(message.text())) resolve();
    });
  });
  await Promise.all([said, page.goto(url)]);
  return { page, lines };
}
