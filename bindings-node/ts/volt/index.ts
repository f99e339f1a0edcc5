/**
 * Moorline as a daemon of a VOLT team cluster: what `@voltstack/daemon-cluster-client` exports, on
 * the native core.
 */

import { ResponseType, SessionKind, TerminalTarget, TunnelSessionStatus } from '../generated.js';

export { DaemonClientErrorCode, DaemonSocketEvent, ProgressStageType } from '../generated.js';
export { ReverseChannelBridge } from './bridge.js';
export { ClusterDaemonClient } from './client.js';
export { ControlSocketManager } from './control_socket.js';
export type { ControlSocketCallbacks } from './control_socket.js';
export { EnrollmentClient } from './enrollment.js';
export type { Enrollment } from './enrollment.js';
export { DaemonClientError, DaemonClientErrorName, DaemonRejection } from './errors.js';
export { Envelope, envelope } from './handlers.js';
export { HeartbeatManager } from './heartbeat.js';
export type { SocketLike } from './socket_answer.js';
export type * from './types.js';

/** The words of the reverse channel. */
export const REVERSE_CHANNEL = { ResponseType, SessionKind, TerminalTarget, TunnelSessionStatus } as const;
