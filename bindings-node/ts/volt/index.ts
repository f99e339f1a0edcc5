/**
 * Moorline as a daemon of a VOLT team cluster: what `@voltstack/daemon-cluster-client` exports, on
 * the native core.
 */

export { DaemonClientErrorCode, DaemonSocketEvent, ProgressStageType } from '../generated.js';
export { ReverseChannelBridge } from './bridge.js';
export { ClusterDaemonClient } from './client.js';
export { REVERSE_CHANNEL, TEAM_CLUSTER_DAEMON_SOCKET_CHANNEL } from './contracts.js';
export type * from './contracts.js';
export { ControlSocketManager } from './control_socket.js';
export type { ControlSocketCallbacks } from './control_socket.js';
export { EnrollmentClient } from './enrollment.js';
export type { Enrollment } from './enrollment.js';
export { DaemonClientError, DaemonClientErrorName, DaemonRejection } from './errors.js';
export { Envelope, envelope } from './handlers.js';
export { HeartbeatManager } from './heartbeat.js';
export type { SocketLike } from './socket_answer.js';
export type * from './types.js';
