/**
 * The original's names of what crosses the reverse channel, in the shapes of its version 1.0.0, so that
 * programs written for it compile with the import changed. `ReverseChannelMessage` says more: what later
 * generations send.
 */

import { ResponseType, SessionKind, TerminalTarget, TunnelSessionStatus } from '../generated.js';
import type { ProgressStageType } from '../generated.js';
import type { Enrollment } from './enrollment.js';
import type { CommandResult, Exposure, SessionAttachPayload } from './types.js';

/** The words of the reverse channel. */
export const REVERSE_CHANNEL = { ResponseType, SessionKind, TerminalTarget, TunnelSessionStatus } as const;

/** What a connection of a daemon is for, where there are several. */
export const TEAM_CLUSTER_DAEMON_SOCKET_CHANNEL = {
  Heartbeat: 'heartbeat',
  Control: 'control',
  ObjectGateway: 'object-gateway',
  Events: 'events',
} as const;

/** One of these channels. */
export type TeamClusterDaemonSocketChannel =
  (typeof TEAM_CLUSTER_DAEMON_SOCKET_CHANNEL)[keyof typeof TEAM_CLUSTER_DAEMON_SOCKET_CHANNEL];

/** What an enrollment gives. */
export type EnrollmentResult = Enrollment;

/** What an enrollment says. */
export interface EnrollmentRequestBody {
  enrollmentToken: string;
  installedVersion?: string | undefined;
}

/** What the answer to it is about. */
export interface EnrollmentResponseData {
  teamCluster: Record<string, unknown>;
  daemonPassword: string;
}

/** The answer. */
export interface EnrollmentApiResponse {
  status: string;
  data?: EnrollmentResponseData;
  code?: string;
  message?: string;
}

/** What a handler is told besides the payload; ours are told more, see `CommandContext`. */
export interface HandlerContext {
  command: string;
  requestId: string;
}

/** A handler as an object. */
export interface ReverseChannelHandler<Payload = any, Result = unknown> {
  handle(payload: Payload, context: HandlerContext): Promise<CommandResult<Result>> | CommandResult<Result>;
}

/** What happens to a daemon's runtime. */
export type RuntimeLifecycleEventType =
  | 'starting'
  | 'services-ready'
  | `heartbeat-${'succeeded' | 'failed'}`
  | `cloud-socket-${'connected' | 'disconnected'}`
  | `${'uninstall' | 'update'}-${'requested' | 'completed' | 'failed'}`;

/** Says that it happened. */
export interface RuntimeLifecycleEvent {
  type: RuntimeLifecycleEventType;
  teamClusterId: string;
  timestamp: string;
  connectedToCloud: boolean;
  details?: string;
}

/** Says how far an action has come. */
export interface RuntimeProgressEvent {
  action: string;
  stage: ProgressStageType;
  timestamp: string;
  details?: string;
  payload?: Record<string, unknown>;
}

/** Forms of an answer. */
export type TeamClusterDaemonResponseType = ResponseType;
/** Kinds of a session. */
export type TeamClusterDaemonSessionKind = SessionKind;
/** What a terminal is opened in. */
export type TeamClusterDaemonTerminalTarget = TerminalTarget;
/** How a tunnel stands. */
export type TeamClusterTunnelSessionStatus = TunnelSessionStatus;

/** Header fields of an answer. */
export interface TeamClusterDaemonSocketHeaders {
  [name: string]: string;
}

/** What a registration says. */
export interface TeamClusterDaemonRegisterPayload {
  teamClusterId: string;
  daemonPassword: string;
  channel?: TeamClusterDaemonSocketChannel;
}

/** A command, in either direction. */
export interface TeamClusterDaemonCommandMessage {
  type: 'command';
  requestId: string;
  command: string;
  responseType?: TeamClusterDaemonResponseType;
  payload?: unknown;
}

interface Request {
  requestId: string;
}

interface Session {
  sessionId: string;
}

interface Part {
  streamId: string;
}

/** Base64; generations that send bytes have them in `chunk`. */
interface Encoded {
  chunkBase64: string;
  chunk?: Uint8Array;
}

interface Chunk extends Session, Encoded {
  isBinary: boolean;
}

/** How something ended. */
interface Ending {
  code?: number;
  message?: string;
}

/** The answer to a command. */
export interface TeamClusterDaemonSocketResponsePayload<Data = any> extends Request, Partial<Part> {
  type: 'response';
  ok: boolean;
  status: number;
  data?: Data;
  bodyBase64?: string;
  headers?: TeamClusterDaemonSocketHeaders;
  message?: string;
}

/** A part of an answer. */
export interface TeamClusterDaemonSocketStreamPayload extends Request, Part, Encoded {
  type: 'stream';
}

/** The end of an answer in parts. */
export interface TeamClusterDaemonSocketStreamStatePayload extends Request, Part {
  type: 'stream-end';
  message?: string;
}

/** What the command that attaches a session asks for. */
export type TeamClusterDaemonSessionAttachPayload = SessionAttachPayload;

/** What is typed into a session. */
export interface TeamClusterDaemonSessionInputPayload extends Chunk {
  type: 'session-input';
}

/** The new size of a terminal. */
export interface TeamClusterDaemonSessionResizePayload extends Session {
  type: 'session-resize';
  rows: number;
  cols: number;
}

/** Nobody looks at a session any more. */
export interface TeamClusterDaemonSessionDetachPayload extends Session {
  type: 'session-detach';
}

/** What a session prints. */
export interface TeamClusterDaemonSessionDataPayload extends Chunk {
  type: 'session-data';
}

/** The end of a session. */
export interface TeamClusterDaemonSessionEndPayload extends Session, Ending {
  type: 'session-end';
  error?: string;
}

/** All that is offered over the reverse channel. */
export interface TeamClusterDaemonExposureSnapshotPayload {
  type: 'exposure-snapshot';
  exposures: readonly Exposure[];
}

/** What is offered anew or otherwise. */
export interface TeamClusterDaemonExposureUpsertPayload {
  type: 'exposure-upsert';
  exposures: readonly Exposure[];
}

/** What is offered no more. */
export interface TeamClusterDaemonExposureRemovePayload {
  type: 'exposure-remove';
  exposureIds: readonly string[];
}

/** Asks for a tunnel to an exposure, or to an address. */
export interface TeamClusterDaemonTunnelOpenPayload extends Session {
  type: 'tunnel-open';
  accessMode: Exposure['accessModes'][number];
  exposureId?: string;
  targetHost?: string;
  targetPort?: number;
  relay?: unknown;
}

/** How a tunnel stands now. */
export interface TeamClusterDaemonTunnelStatePayload extends Session {
  type: 'tunnel-state';
  status: TeamClusterTunnelSessionStatus;
  message?: string;
  error?: string;
}

/** What passes through a tunnel. */
export interface TeamClusterDaemonTunnelDataPayload extends Chunk {
  type: 'tunnel-data';
  sequence?: number;
  requiresAck?: boolean;
}

/** The end of a tunnel. */
export interface TeamClusterDaemonTunnelClosePayload extends Session, Ending {
  type: 'tunnel-close';
}

/** A tunnel lives. */
export interface TeamClusterDaemonTunnelHeartbeatPayload extends Session {
  type: 'tunnel-heartbeat';
  occurredAt: string;
}

/** Every message of the reverse channel. */
export type TeamClusterDaemonMessage =
  | TeamClusterDaemonCommandMessage
  | TeamClusterDaemonSocketResponsePayload
  | TeamClusterDaemonSocketStreamPayload
  | TeamClusterDaemonSocketStreamStatePayload
  | TeamClusterDaemonSessionInputPayload
  | TeamClusterDaemonSessionResizePayload
  | TeamClusterDaemonSessionDetachPayload
  | TeamClusterDaemonSessionDataPayload
  | TeamClusterDaemonSessionEndPayload
  | TeamClusterDaemonExposureSnapshotPayload
  | TeamClusterDaemonExposureUpsertPayload
  | TeamClusterDaemonExposureRemovePayload
  | TeamClusterDaemonTunnelOpenPayload
  | TeamClusterDaemonTunnelStatePayload
  | TeamClusterDaemonTunnelDataPayload
  | TeamClusterDaemonTunnelClosePayload
  | TeamClusterDaemonTunnelHeartbeatPayload;
