// Every scenario of `tests/peers/volt` with the official socket.io server.

import { test } from 'node:test';

import * as volt from 'moorline/volt';

import { opener } from '../../tests/peers/volt/daemon.mjs';
import { run, scenarios } from '../../tests/peers/volt/runner.mjs';

for (const scenario of scenarios) {
  test(scenario.name, { timeout: 30_000 }, (t) => run(t, scenario, opener(volt)));
}
