// Runs scenarios against daemons of Node. `open(options, hear)` makes a daemon; see README.md.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import { freeze } from './bytes.mjs';
import { startServer } from './child.mjs';

const read = (name) => JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8'));
const answers = read('answers.json');

/** Every scenario. */
export const { scenarios } = read('scenarios.json');

/** Runs one. */
export async function run(t, scenario, open) {
  const server = await startServer(t, { answers, ...scenario.server });
  const base = `http://127.0.0.1:${server.port}`;
  const names = new Map();
  const pending = new Map();
  const daemons = new Map();
  let place = 0;

  const daemon = (name = 'a') => {
    if (!daemons.has(name)) daemons.set(name, start(t, scenario, base, name, open));
    return daemons.get(name);
  };
  daemon();

  for (const step of scenario.steps) {
    const told = JSON.stringify(step);
    if (step.op !== undefined) {
      const outcome = perform(daemon(step.who), expand(step, names));
      if (step.as === undefined) settle(await outcome, step, names, told);
      else pending.set(step.as, outcome);
    } else if (step.settles !== undefined) {
      settle(await pending.get(step.settles), step, names, told);
    } else if (step.event !== undefined) {
      await daemon(step.who).next((event) => fits(step.event, event, names));
    } else if (step['no event'] !== undefined) {
      const wanted = step['no event'];
      const found = daemon(step.who).events.find((event) => fits(wanted, event, names));
      assert.equal(found, undefined, told);
    } else if (step.server !== undefined) {
      const { server: action, gives, ...fields } = freeze(expand(step, names));
      const { id, ...answer } = await server.do(action, fields);
      if (gives) assert.deepEqual(answer, gives, told);
    } else if (step.record !== undefined) {
      const from = step.from === 'start' ? 0 : place;
      const found = await server.seen((record) => fits(step.record, record, names), from);
      if (step.from !== 'start') place = found + 1;
    } else {
      const wanted = step['no record'];
      assert.ok(wanted, told);
      await server.do('fence');
      const found = server.records.find((record) => fits(wanted, record, names));
      assert.equal(found, undefined, told);
    }
  }
}

function start(t, scenario, base, name, open) {
  const options = {
    server_url: base,
    control_socket_url: base + (scenario.path ?? ''),
    team_cluster_id: 'cluster-abc123',
    daemon_password: 'rotated-pw-xyz',
    'reconnect.base_delay_ms': 20,
    'reconnect.max_delay_ms': 200,
    ...scenario.options,
    ...scenario.daemons?.[name],
  };
  if (scenario.enroll) {
    options['enrollment.url'] = `${base}/api/team-clusters/${options.team_cluster_id}/healthcheck`;
  }
  const events = [];
  let seen = 0;
  let wake = () => {};
  const daemon = open(options, (event) => {
    events.push(event);
    wake();
  });
  t.after(() => daemon.disconnect());
  return {
    ...daemon,
    events,
    async next(wanted) {
      for (;;) {
        while (seen < events.length) {
          seen += 1;
          if (wanted(events[seen - 1])) return;
        }
        await new Promise((resolve) => (wake = resolve));
      }
    },
  };
}

/** Performs an operation; comes to its value or to its error, and never rejects. */
async function perform(daemon, { op, ...fields }) {
  try {
    return { value: await daemon[op](fields) };
  } catch (error) {
    return { error };
  }
}

function settle(outcome, step, names, told) {
  const { error } = outcome;
  if (step.error !== undefined) {
    assert.ok(error, `${told} succeeded`);
    const { code, message, status } = error;
    assert.ok(fits(step.error, { code, message, status }, names), `${told}: ${code}: ${message}`);
    return;
  }
  if (error) throw new Error(`${told}: ${error.code}: ${error.message}`, { cause: error });
  if (step.op === 'connect' || step.op === 'disconnect') return;
  assert.deepEqual(freeze(outcome.value), freeze(expand(step.value, names)), told);
}

/** Tells whether what happened has the wanted fields. */
function fits(wanted, found, names) {
  const bound = new Map(names);
  const all = Object.entries(wanted).every(([key, value]) => equals(value, freeze(found[key]), bound));
  if (all) for (const [name, value] of bound) names.set(name, value);
  return all;
}

function equals(wanted, found, names) {
  if (wanted === '*') return found !== undefined;
  if (typeof wanted === 'string' && wanted.startsWith('~')) {
    return typeof found === 'string' && found.includes(wanted.slice(1));
  }
  if (typeof wanted === 'string' && wanted.startsWith('=')) {
    if (!names.has(wanted)) names.set(wanted, found);
    return names.get(wanted) === found;
  }
  if (wanted === null || typeof wanted !== 'object') return wanted === found;
  if (found === null || typeof found !== 'object') return false;
  if (Array.isArray(wanted) !== Array.isArray(found)) return false;
  const { '*': more, ...members } = wanted;
  const keys = Object.keys(members);
  return (
    keys.every((key) => Object.hasOwn(found, key) && equals(members[key], found[key], names)) &&
    (more === true || Object.keys(found).length === keys.length)
  );
}

/** Puts in what marks stand for: bytes, long texts, bound names. */
function expand(value, names) {
  if (typeof value === 'string' && value.startsWith('=') && names.has(value)) return names.get(value);
  if (Array.isArray(value)) return value.map((part) => expand(part, names));
  if (value === null || typeof value !== 'object') return value;
  if (value.$bytes !== undefined) return Buffer.from(value.$bytes, 'base64');
  if (value.$repeat !== undefined) return value.$repeat.repeat(value.times);
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, expand(part, names)]));
}
