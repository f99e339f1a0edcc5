// The quick-start of the original's documentation, as it is written for the original.

import { ClusterDaemonClient, DaemonClientError } from '@voltstack/daemon-cluster-client';

const client = new ClusterDaemonClient({
  serverUrl: process.env.VOLT_SERVER_URL,
  controlSocketUrl: process.env.VOLT_CONTROL_SOCKET_URL,
  credentials: {
    teamClusterId: process.env.TEAM_CLUSTER_ID,
    daemonPassword: process.env.DAEMON_PASSWORD ?? '',
    enrollmentToken: process.env.ENROLLMENT_TOKEN,
    installedVersion: '1.4.2',
  },
  heartbeat: {
    interval: 30_000,
    jitter: 5_000,
    payloadFactory: async () => ({
      teamClusterId: client.getTeamClusterId(),
      daemonPassword: client.getDaemonPassword(),
      installedVersion: '1.4.2',
    }),
  },
  socket: {
    reconnect: true,
    maxReconnectAttempts: Infinity,
    reconnectBaseDelayMs: 500,
    reconnectMaxDelayMs: 30_000,
    randomizationFactor: 0.3,
  },
  commandTimeout: 30_000,
});

client
  .registerHandler('jobs.list', async (payload) => ({ jobs: [], page: payload.page }))
  .registerHandler('runtime.status', {
    async handle(payload, { command, requestId }) {
      return { status: 200, data: { command, requestId, verbose: payload.verbose } };
    },
  });

client.onMessage((message) => {
  if (message.type === 'session-input') console.log(`input for ${message.sessionId}`);
});
client.onConnected(() => console.log('connected'));
client.onDisconnected((reason) => console.log(`disconnected: ${reason}`));
client.onError((error) => {
  if (error instanceof DaemonClientError) console.error(error.code, error.message);
});

await client.connect();

const config = await client.sendCommand('runtime.config.get', { teamClusterId: client.getTeamClusterId() }, 10_000);
console.log(`analysis: ${config.queueConcurrency.analysis}`);

client.emit({
  type: 'exposure-snapshot',
  exposures: [],
});

process.on('SIGTERM', () => client.disconnect());
