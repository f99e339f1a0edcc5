// A daemon on the Node package. The package's folder is the sixth argument.
import { createRequire } from 'node:module';

import * as measure from './measure.mjs';

const { ClusterDaemonClient } = createRequire(import.meta.url)(`${measure.folder}/dist/volt`);

const client = new ClusterDaemonClient({
  serverUrl: measure.url,
  controlSocketUrl: measure.url,
  credentials: { teamClusterId: 'cluster-abc123', daemonPassword: 'rotated-pw-xyz' },
  heartbeat: { includeCredentials: true },
});
const call = (payload) => client.sendCommand('jobs.list', payload);
const tick = { count: 0 };
client.registerHandler('bench.echo', async ({ job }) => {
  tick.count += 1;
  return { job };
});
await client.connect();

switch (measure.mode) {
  case 'calls':
    await measure.calls(call);
    break;
  case 'settle':
    await measure.settle(call);
    break;
  case 'commands':
    await measure.commands(tick);
    break;
  case 'events':
    await measure.events(
      (listener) => client.onMessage(listener),
      () => client.emit({ type: 'more' }),
    );
    break;
  case 'block':
    await measure.block();
    break;
  default:
    throw new Error(`no such mode: ${measure.mode}`);
}
