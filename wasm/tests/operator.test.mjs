// The operator's page in Chromium, against real hubs: what it shows, what it lets whom do, and that nothing
// that a peer says becomes markup. With SCREENSHOTS=FOLDER it leaves pictures there.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { WebSocket } from 'ws';

import { startHub } from './hub.mjs';
import { startChromium } from './page.mjs';

const patience = { timeout: 120_000 };
const EVIL = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>';
let browser;
before(async () => {
  browser = await startChromium();
});
after(() => browser?.close());

/** A worker that takes what it is given and says what it is told. */
async function startWorker(hub, name, capabilities, slots = 1, more = {}) {
  const socket = new WebSocket(hub.url.replace('http', 'ws'));
  const given = [];
  const waiting = [];
  await new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.on('message', (data) => {
      const { EventType, WorkItem } = JSON.parse(data);
      if (EventType === 'BeaconRegistered') resolve();
      if (EventType !== 'WorkItem') return;
      const waiter = waiting.shift();
      if (waiter) waiter(WorkItem);
      else given.push(WorkItem);
    });
    socket.once('open', () =>
      socket.send(JSON.stringify({ Action: 'BeaconRegister', Name: name, Capabilities: capabilities, MaxConcurrent: slots, Moorline: { Acks: true }, ...more })),
    );
  });
  return {
    say: (Action, fields) => socket.send(JSON.stringify({ Action, ...fields })),
    work: () => (given.length ? given.shift() : new Promise((resolve) => waiting.push(resolve))),
    cut: () => socket.terminate(),
  };
}

async function post(hub, path, body) {
  const answer = await fetch(hub.url + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  return answer.json();
}

/** Opens the page of a hub; fails on everything that a page must not do. */
async function openPage(t, hub, scheme = 'light') {
  const page = await browser.context.newPage();
  t.after(() => page.close());
  const faults = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => {
    if (/Content Security Policy|TrustedHTML/i.test(message.text())) faults.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(hub.url)) faults.push(`asked for ${request.url()}`);
  });
  await page.emulateMedia({ colorScheme: scheme });
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.goto(hub.url);
  t.after(() => assert.deepEqual(faults, []));
  return page;
}

async function picture(page, name) {
  if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`) });
}

const cell = (page, words) => page.locator('.row:visible', { hasText: words });
const tab = (page, name) => page.locator(`[data-kind="${name}"]`);

test('it shows the fleet, the queue, what runs and what failed, as text', patience, async (t) => {
  const hub = await startHub();
  t.after(() => hub.kill());
  const worker = await startWorker(hub, EVIL, ['Video', EVIL], 2);
  const other = await startWorker(hub, 'edge-8', ['Text', 'Audio']);
  const leaver = await startWorker(hub, 'edge-9', ['Text']);
  const enqueue = (Capability, Action) => post(hub, '/Beacon/Work/Enqueue', { Capability, Action, Settings: {} });
  await enqueue('Video', 'Render');
  const running = await worker.work();
  const progress = { Percent: 40, Message: EVIL, Step: 2, TotalSteps: 5 };
  worker.say('WorkProgress', { WorkItemHash: running.WorkItemHash, ProgressData: progress });
  await enqueue('Video', EVIL);
  const failing = await worker.work();
  worker.say('WorkError', { WorkItemHash: failing.WorkItemHash, ErrorMessage: EVIL, AttemptNumber: 1 });
  for (let n = 0; n < 3; n++) await enqueue('Nobody', 'Can');
  leaver.cut();

  for (const scheme of ['light', 'dark']) {
    const page = await openPage(t, hub, scheme);
    await cell(page, EVIL).waitFor();
    assert.equal(await page.locator('#link').textContent(), 'live');
    assert.match(await cell(page, EVIL).textContent(), /Online.*websocket.*1 \/ 2/);
    await picture(page, `fleet-${scheme}`);
    await tab(page, 'Work').click();
    const row = cell(page, 'Video/Render');
    await row.waitFor();
    assert.match(await row.textContent(), /Running.*40 % step 2 of 5: <img/);
    assert.equal(await cell(page, 'Nobody/Can').count(), 3);
    await picture(page, `work-${scheme}`);
    await tab(page, 'Queue').click();
    assert.match(await cell(page, 'Nobody').textContent(), /NobodyCan300/);
    await tab(page, 'Failures').click();
    assert.match(await cell(page, 'Video/<img').textContent(), /Error.*<img src=x/);
    await tab(page, 'Away').click();
    assert.match(await cell(page, 'edge-9').textContent(), /ago.*dropped the connection/);
    await tab(page, 'Work').click();
    await row.click();
    await page.locator('#dialog[open]').waitFor();
    assert.match(await page.locator('#facts').textContent(), /Progress.*onerror/);
    await picture(page, `item-${scheme}`);
    await page.keyboard.press('Escape');
    assert.notEqual(await page.title(), 'owned');
    assert.equal(await page.locator('img').count(), 0);
  }
  other.cut();
});

test('an operator drains, resumes and cancels, and a hub that comes back is shown again', patience, async (t) => {
  let hub = await startHub();
  t.after(() => hub.kill());
  let worker = await startWorker(hub, 'edge-7', ['Text']);
  await post(hub, '/Beacon/Work/Enqueue', { Capability: 'Text', Action: 'Count', Settings: {} });
  const { WorkItemHash } = await worker.work();
  const page = await openPage(t, hub);
  const row = cell(page, 'edge-7');
  await row.getByRole('button', { name: 'Drain' }).click();
  await page.locator('#act').click();
  await row.getByText('Draining').waitFor();
  await row.getByRole('button', { name: 'Resume' }).click();
  await page.keyboard.press('Enter');
  await row.getByRole('button', { name: 'Drain' }).waitFor();

  await tab(page, 'Work').click();
  await cell(page, 'Text/Count').getByRole('button', { name: 'Cancel' }).click();
  await page.locator('#act').click();
  await cell(page, 'Text/Count').waitFor({ state: 'detached' }).catch(() => {});
  await page.waitForFunction(() => ![...document.querySelectorAll('.row')].some((it) => !it.hidden));
  const result = await (await fetch(`${hub.url}/Beacon/Work/${encodeURIComponent(WorkItemHash)}/Result`)).json();
  assert.equal(result.Status, 'Canceled');

  await hub.kill();
  await page.getByText('not connected; trying again').waitFor();
  hub = await startHub(hub.address);
  worker = await startWorker(hub, 'edge-7b', ['Text']);
  await tab(page, 'Workers').click();
  await cell(page, 'edge-7b').waitFor();
  assert.equal(await page.locator('.row:visible').count(), 1, 'what was there before is gone');
});

test('a secured hub asks for a login, and a reader may only look', patience, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'moorline-operator-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const config = join(folder, 'hub.toml');
  const user = (name, roles) => `[[users]]\nname = "${name}"\npassword = "pw"\nroles = ${roles}\n`;
  const text = `access = "secured"\njoin_secret = "join-me"\nreader_roles = ["reader"]\n${user('ada', '[]')}${user('eve', '["reader"]')}`;
  writeFileSync(config, text, { mode: 0o600 });
  const hub = await startHub('127.0.0.1:0', '--config', config);
  t.after(() => hub.kill());
  await startWorker(hub, 'edge-7', ['Text'], 1, { JoinSecret: 'join-me' });
  const page = await openPage(t, hub, 'dark');
  const enter = async (name, password) => {
    await page.getByLabel('User').fill(name);
    await page.getByLabel('Password').fill(password);
    await page.keyboard.press('Enter');
  };
  await page.getByLabel('User').waitFor();
  await picture(page, 'login-dark');
  await enter('ada', 'wrong');
  await page.getByText('Authentication failed.').waitFor();
  assert.equal(await page.locator('.row').count(), 0);
  await enter('ada', 'pw');
  const row = cell(page, 'edge-7');
  await row.getByRole('button', { name: 'Drain' }).waitFor();
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByLabel('User').waitFor();
  assert.equal(await page.locator('#board').isVisible(), false);
  await enter('eve', 'pw');
  await row.waitFor();
  await page.getByText('eve (may look)').waitFor();
  assert.equal(await row.getByRole('button').count(), 0);
  await row.click();
  assert.equal(await page.locator('#act').isVisible(), false);
  const drained = await page.evaluate(async () => {
    const [worker] = await (await fetch('Beacon')).json();
    const headers = { 'content-type': 'application/json' };
    return (await fetch(`Beacon/${worker.BeaconID}/Drain`, { method: 'POST', headers, body: '{}' })).status;
  });
  assert.equal(drained, 403);
});

test('ten thousand workers are a list that keys go through', patience, async (t) => {
  const hub = await startHub('127.0.0.1:0', '--set', 'lease_ms=600000');
  t.after(() => hub.kill());
  const names = Array.from({ length: 10_000 }, (_, n) => `worker-${String(n).padStart(5, '0')}`);
  for (let at = 0; at < names.length; at += 100) {
    const some = names.slice(at, at + 100);
    await Promise.all(some.map((Name) => post(hub, '/Beacon/Register', { Name, Capabilities: ['Text', 'Audio', 'Video'], MaxConcurrent: 4 })));
  }
  const page = await openPage(t, hub);
  await cell(page, 'worker-00000').waitFor();
  await page.getByRole('tab', { name: 'Workers 10,000' }).waitFor();
  const rows = page.locator('#rows');
  await rows.focus();
  await page.keyboard.press('End');
  await cell(page, 'worker-09999').waitFor();
  await page.keyboard.press('ArrowUp');
  await page.locator('.row.active', { hasText: 'worker-09998' }).waitFor();
  assert.equal(await rows.getAttribute('aria-activedescendant'), 'row-9998');
  assert.ok((await page.locator('.row').count()) < 60, 'only what can be seen is there');
  await page.keyboard.press('Enter');
  await page.locator('#dialog[open] h2', { hasText: 'worker-09998' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByLabel('Filter the list').fill('worker-0777');
  await cell(page, 'worker-07770').waitFor();
  assert.equal(await page.locator('.row:visible').count(), 10);
  await page.getByLabel('Filter the list').fill('');
  await cell(page, 'worker-00000').waitFor();
  await page.getByRole('button', { name: 'Name' }).click();
  await cell(page, 'worker-09999').waitFor();
  await picture(page, 'many-light');
});
