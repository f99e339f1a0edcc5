// What a program of the original's version 1.0.0 writes with its type names. Compiled, never run.

import {
  ClusterDaemonClient,
  EnrollmentClient,
  REVERSE_CHANNEL,
  ReverseChannelBridge,
  TEAM_CLUSTER_DAEMON_SOCKET_CHANNEL,
} from 'moorline/volt';
import type {
  ClusterDaemonClientOptions,
  CommandResult,
  DaemonCredentials,
  EnrollmentApiResponse,
  EnrollmentOptions,
  EnrollmentRequestBody,
  EnrollmentResponseData,
  EnrollmentResult,
  HandlerContext,
  HeartbeatOptions,
  ReverseChannelHandler,
  RuntimeLifecycleEvent,
  RuntimeLifecycleEventType,
  RuntimeProgressEvent,
  SocketOptions,
  TeamClusterDaemonCommandMessage,
  TeamClusterDaemonExposureRemovePayload,
  TeamClusterDaemonExposureSnapshotPayload,
  TeamClusterDaemonExposureUpsertPayload,
  TeamClusterDaemonMessage,
  TeamClusterDaemonRegisterPayload,
  TeamClusterDaemonResponseType,
  TeamClusterDaemonSessionAttachPayload,
  TeamClusterDaemonSessionDataPayload,
  TeamClusterDaemonSessionDetachPayload,
  TeamClusterDaemonSessionEndPayload,
  TeamClusterDaemonSessionInputPayload,
  TeamClusterDaemonSessionKind,
  TeamClusterDaemonSessionResizePayload,
  TeamClusterDaemonSocketChannel,
  TeamClusterDaemonSocketHeaders,
  TeamClusterDaemonSocketResponsePayload,
  TeamClusterDaemonSocketStreamPayload,
  TeamClusterDaemonSocketStreamStatePayload,
  TeamClusterDaemonTerminalTarget,
  TeamClusterDaemonTunnelClosePayload,
  TeamClusterDaemonTunnelDataPayload,
  TeamClusterDaemonTunnelHeartbeatPayload,
  TeamClusterDaemonTunnelOpenPayload,
  TeamClusterDaemonTunnelStatePayload,
  TeamClusterTunnelSessionStatus,
} from 'moorline/volt';

interface Job {
  id: string;
}

class Alive implements ReverseChannelHandler {
  async handle(_payload: unknown, context: HandlerContext): Promise<CommandResult> {
    return { data: { alive: context.command, id: context.requestId } };
  }
}

class Remove implements ReverseChannelHandler<Job, string> {
  handle({ id }: Job): CommandResult<string> {
    const headers: TeamClusterDaemonSocketHeaders = { a: 'b' };
    return { status: 202, data: id, headers, body: Buffer.from(id) };
  }
}

class Sessions {
  constructor(private readonly client: ClusterDaemonClient) {}

  take(message: Exclude<TeamClusterDaemonMessage, { type: 'command' }>): void {
    switch (message.type) {
      case 'session-input':
        this.input(message);
        break;
      case 'session-resize':
        this.resize(message);
        break;
      case 'session-detach':
        this.detach(message);
        break;
      case 'tunnel-open':
        this.open(message);
        break;
      case 'tunnel-data':
        this.data(message);
        break;
      case 'exposure-snapshot':
        this.exposures(message);
        break;
    }
  }

  input(message: TeamClusterDaemonSessionInputPayload): void {
    const text = Buffer.from(message.chunkBase64, 'base64').toString();
    const said: TeamClusterDaemonSessionDataPayload = {
      type: 'session-data',
      sessionId: message.sessionId,
      chunkBase64: Buffer.from(text).toString('base64'),
      isBinary: message.isBinary,
    };
    this.client.emit(said);
  }

  resize({ rows, cols }: TeamClusterDaemonSessionResizePayload): number {
    return rows * cols;
  }

  detach({ sessionId }: TeamClusterDaemonSessionDetachPayload): void {
    const end: TeamClusterDaemonSessionEndPayload = { type: 'session-end', sessionId, code: 0 };
    this.client.emit(end);
  }

  open({ sessionId, targetHost, targetPort }: TeamClusterDaemonTunnelOpenPayload): void {
    const status: TeamClusterTunnelSessionStatus = REVERSE_CHANNEL.TunnelSessionStatus.Open;
    const state: TeamClusterDaemonTunnelStatePayload = { type: 'tunnel-state', sessionId, status };
    const beat: TeamClusterDaemonTunnelHeartbeatPayload = { type: 'tunnel-heartbeat', sessionId, occurredAt: '' };
    console.log(targetHost, targetPort?.toFixed());
    for (const message of [state, beat] satisfies TeamClusterDaemonMessage[]) this.client.emit(message);
  }

  data({ sessionId, chunkBase64, isBinary }: TeamClusterDaemonTunnelDataPayload): void {
    const back: TeamClusterDaemonTunnelDataPayload = { type: 'tunnel-data', sessionId, chunkBase64, isBinary };
    const close: TeamClusterDaemonTunnelClosePayload = { type: 'tunnel-close', sessionId };
    this.client.emit(back);
    this.client.emit(close);
  }

  exposures(message: TeamClusterDaemonExposureSnapshotPayload | TeamClusterDaemonExposureUpsertPayload): number {
    return message.exposures.length;
  }
}

export async function program(credentials: DaemonCredentials): Promise<void> {
  const enrollment: EnrollmentOptions = { url: 'http://volt.test/e' };
  const heartbeat: HeartbeatOptions = { interval: 10_000 };
  const socket: SocketOptions = { reconnect: true };
  const options: ClusterDaemonClientOptions = {
    serverUrl: 'http://volt.test',
    controlSocketUrl: 'ws://volt.test',
    credentials,
    enrollment,
    heartbeat,
    socket,
  };
  const client = new ClusterDaemonClient(options);
  const sessions = new Sessions(client);
  const attach: ReverseChannelHandler<TeamClusterDaemonSessionAttachPayload> = {
    handle: ({ kind, terminalTarget }) => ({ data: target(kind, terminalTarget) }),
  };
  client.registerHandler('runtime.alive', new Alive());
  client.registerHandler('job.remove', new Remove());
  client.registerHandler('session.attach', attach);
  client.onMessage((message: Exclude<TeamClusterDaemonMessage, { type: 'command' }>) => sessions.take(message));
  client.onMessage((message) => console.log(message.type));
  await client.connect();

  const bridge = new ReverseChannelBridge();
  bridge.registerHandler('runtime.alive', new Alive());
  bridge.onMessage((message: Exclude<TeamClusterDaemonMessage, TeamClusterDaemonCommandMessage>) => sessions.take(message));
  bridge.cleanup();

  const result: EnrollmentResult = await new EnrollmentClient({ url: 'http://volt.test' }).enroll('token', '1.0');
  console.log(result.daemonPassword, result.teamCluster);
}

function target(kind: TeamClusterDaemonSessionKind, target: TeamClusterDaemonTerminalTarget | undefined): string {
  return kind === REVERSE_CHANNEL.SessionKind.Terminal ? (target ?? REVERSE_CHANNEL.TerminalTarget.Host) : kind;
}

export function said(): unknown[] {
  const type: RuntimeLifecycleEventType = 'update-requested';
  const lifecycle: RuntimeLifecycleEvent = { type, teamClusterId: 'c', timestamp: '', connectedToCloud: true };
  const progress: RuntimeProgressEvent = { action: 'a', stage: 'running', timestamp: '', payload: { step: 1 } };
  const channel: TeamClusterDaemonSocketChannel = TEAM_CLUSTER_DAEMON_SOCKET_CHANNEL.ObjectGateway;
  const register: TeamClusterDaemonRegisterPayload = { teamClusterId: 'c', daemonPassword: 'p', channel };
  const responseType: TeamClusterDaemonResponseType = REVERSE_CHANNEL.ResponseType.Stream;
  const command: TeamClusterDaemonCommandMessage = { type: 'command', requestId: 'r', command: 'c', responseType };
  const response: TeamClusterDaemonSocketResponsePayload<{ status: string }> = {
    type: 'response',
    requestId: 'r',
    ok: true,
    status: 200,
    data: { status: 'success' },
  };
  const stream: TeamClusterDaemonSocketStreamPayload = { type: 'stream', requestId: 'r', streamId: 's', chunkBase64: '' };
  const end: TeamClusterDaemonSocketStreamStatePayload = { type: 'stream-end', requestId: 'r', streamId: 's' };
  const gone: TeamClusterDaemonExposureRemovePayload = { type: 'exposure-remove', exposureIds: ['e'] };
  const body: EnrollmentRequestBody = { enrollmentToken: 't', installedVersion: '1.0' };
  const data: EnrollmentResponseData = { teamCluster: {}, daemonPassword: 'p' };
  const answer: EnrollmentApiResponse = { status: 'success', data };
  return [lifecycle, progress, register, command, response, stream, end, gone, body, answer];
}

// @ts-expect-error an event of another runtime
export const wrong: RuntimeLifecycleEventType = 'heartbeat-requested';
// @ts-expect-error a handler that handles nothing
export const idle: ReverseChannelHandler = {};
