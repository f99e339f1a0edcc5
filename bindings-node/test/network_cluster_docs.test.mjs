// Runs every code block of docs/netcluster-node.md as its reader would.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Provider } from 'moorline/network-cluster';

import { blocksOf, folderOfPrograms } from './page.mjs';
import { startProcess } from './support.mjs';

const blocks = blocksOf('netcluster-node.md');
const programs = folderOfPrograms();

/** What is done with each block, in the order of the page; package.test.mjs installs. */
const readers = [
  ['Install', 'sh', () => {}],
  ['Install', 'diff', (_t, { text }) => assert.match(text, /^-.*'network-cluster'.*\n\+.*'moorline\/network-cluster'.*\n$/)],
  ['Provider', 'js', serves],
  ['Consumer', 'js', asks],
  ['Admission', 'js', prints('ada is in\neve AUTHENTICATION_FAILED 403\n')],
  ['Messages', 'js', prints('<Buffer 01 02>\nfor all\nARGUMENT_INVALID\n')],
];

test('the page has these blocks and no others', () => {
  assert.deepEqual(
    blocks.map(({ section, language }) => [section, language]),
    readers.map(([section, language]) => [section, language]),
  );
});

for (const [index, [section, , read]] of readers.entries()) {
  test(`${section}, block ${index + 1}`, async (t) => read(t, blocks[index]));
}

/** The two examples of the original's page, with each other. */
async function serves(t, { text }) {
  const chosen = text.replace('port: 8080', 'port: 0') + 'await Provider.ready();\nconsole.log(Provider.port);\n';
  const provider = startProcess(t, chosen);
  const port = await provider.line();
  const [, , , { text: consumer }] = blocks;
  const said = await programs.prints(consumer.replace('8080', port));
  assert.equal(said, 'Successfully Connected To Provider! Ready For Work!\nProvider Sent: SOME_REPLY\n');
  assert.match(await provider.line(), /^Consumer [0-9a-f-]{36} Sent: CONSUMER_READY$/);
}

async function asks(t, { text }) {
  const provider = new Provider({ port: 0, auth: { parameters: { key: 'OTHER' } } });
  t.after(() => provider.destroy());
  await provider.ready();
  assert.match(await programs.prints(text.replace('8080', String(provider.port))), /^Failed To Connect.*\nMoorlineError: /);
}

function prints(expected) {
  return async (_t, { text }) => assert.equal(await programs.prints(text), expected);
}
