// What a strict TypeScript program may write of a daemon. Compiled, never run.

import { Readable } from 'node:stream';
import {
  ClusterDaemonClient,
  ControlSocketManager,
  DaemonClientError,
  DaemonClientErrorCode,
  DaemonClientErrorName,
  DaemonRejection,
  DaemonSocketEvent,
  EnrollmentClient,
  envelope,
  HeartbeatManager,
  ProgressStageType,
  REVERSE_CHANNEL,
  ReverseChannelBridge,
} from 'moorline/volt';
import type {
  ClusterDaemonClientOptions,
  CommandContext,
  CommandHandler,
  CommandResult,
  ReverseChannelMessage,
  SessionAttachPayload,
} from 'moorline/volt';

interface Job {
  readonly id: string;
}

export async function program(): Promise<void> {
  const options: ClusterDaemonClientOptions = {
    serverUrl: 'http://volt.test',
    controlSocketUrl: 'ws://volt.test',
    credentials: { teamClusterId: 'c', daemonPassword: '', enrollmentToken: process.env['TOKEN'], installedVersion: '1' },
    enrollment: { url: 'http://volt.test/e', onAlreadyEnrolled: 'use-password' },
    heartbeat: { interval: 10_000, payloadFactory: async () => ({ metrics: {} }), includeCredentials: true },
    socket: { maxReconnectAttempts: Infinity, transports: ['polling', 'websocket'], maxQueued: 10 },
    registerWithAck: true,
    runtime: { storePath: 'daemon.db', caFile: 'ca.pem' },
  };
  const client = new ClusterDaemonClient(options);
  const remove: CommandHandler<Job> = {
    async handle({ id }: Job, { command, requestId, signal, responseType }: CommandContext): Promise<CommandResult> {
      signal.throwIfAborted();
      return { status: 202, data: { id, command, requestId, plain: responseType === 'json' }, headers: { a: 'b' } };
    },
  };
  const listener = (message: ReverseChannelMessage): void => {
    switch (message.type) {
      case 'response':
        console.log(message.requestId, message.ok, message.status);
        break;
      case 'tunnel-data':
        console.log(message.chunk?.length ?? message.chunkBase64, message.sequence);
        break;
      case 'session-resize':
        console.log(message.rows * message.cols);
        break;
      default:
        console.log(message.type);
    }
  };
  client
    .registerHandler('job.remove', remove)
    .registerHandler('job.list', async ({ id }: Job) => [id])
    .registerHandler('job.nothing', { handle() {} })
    .registerHandler('job.read', { handle: () => ({ body: new Uint8Array(1) }) })
    .registerHandler('job.follow', { handle: () => ({ stream: Readable.from(['a']) }) })
    .registerHandler('job.web', () => envelope({ stream: new Blob(['a']).stream() }))
    .registerHandler('session.attach', (payload: SessionAttachPayload) => {
      if (payload.kind === REVERSE_CHANNEL.SessionKind.Tunnel) throw new DaemonRejection(400, 'no tunnels');
      return { attached: true };
    })
    .unregisterHandler('job.list')
    .onMessage(listener)
    .off(listener)
    .onConnected(() => console.log(client.isReady()))
    .onDisconnected((reason: string) => console.log(reason))
    .onError((error: DaemonClientError) => console.error(DaemonClientErrorName[error.code], error.status, error.cause));
  await client.connect();
  const jobs: Job[] | undefined = await client.sendCommand<Job[]>('jobs.list', { page: 1 }, 1_000);
  console.log(jobs?.[0]?.id, client.getTeamClusterId(), client.getDaemonPassword());
  client.emit({ type: 'runtime-progress', action: 'a', stage: ProgressStageType.Running, timestamp: '', payload: Buffer.of(1) });
  client.setDaemonPassword('new').disconnect();

  try {
    const { daemonPassword } = await new EnrollmentClient({ url: 'http://volt.test' }).enroll('token', '1.0');
    console.log(daemonPassword);
  } catch (error) {
    if (error instanceof DaemonClientError) {
      const code: DaemonClientErrorCode = error.code;
      console.log(code === DaemonClientErrorCode.EnrollmentFailed, DaemonSocketEvent.TeamClusterDaemonMessage);
    }
  }
  const socket = new ControlSocketManager('ws://volt.test', { reconnect: false }, { onError: (error) => console.error(error.code) });
  socket.setBridge(new ReverseChannelBridge().registerHandler('x', () => 1));
  await socket.connect('c', 'pw');
  const beats = new HeartbeatManager({ interval: 5 }, (payload) => socket.sendCommand('runtime.heartbeat', payload), console.error);
  beats.start();
  beats.stop();
}

// @ts-expect-error an option that does not exist
new ClusterDaemonClient({ serverUrl: '', controlSocketUrl: '', credentials: { teamClusterId: '', daemonPassword: '' }, heartBeat: {} });
// @ts-expect-error credentials are required
new ClusterDaemonClient({ serverUrl: '', controlSocketUrl: '' });
// @ts-expect-error a handler that is none
new ReverseChannelBridge().registerHandler('x', 5);
// @ts-expect-error a body that is no container of bytes
envelope({ body: 5 });
