/** Says the options of the original in those of the core. */

import type { DaemonOptions, DaemonReconnectOptions } from '../generated.js';
import type { ClusterDaemonClientOptions, SocketOptions } from './types.js';

/** What stands for 0 in the original. */
const ZERO_BASE_MS = 1000;
const ZERO_MAX_MS = 5000;
/** The longest time that the core takes: a day. */
const LONGEST_MS = 24 * 60 * 60 * 1000;
/** More attempts than these never end. */
const MOST_ATTEMPTS = 1_000_000;

/** Translates everything but the credentials that change: password and token. */
export function daemonOptions(options: ClusterDaemonClientOptions): DaemonOptions {
  const { credentials, enrollment, heartbeat } = options;
  return {
    serverUrl: options.serverUrl,
    ...socketOptions(options.controlSocketUrl, options.socket),
    teamClusterId: credentials.teamClusterId,
    installedVersion: credentials.installedVersion,
    enrollment: {
      enabled: enrollment?.enabled,
      url: enrollment?.url,
      onAlreadyEnrolled: enrollment?.onAlreadyEnrolled,
      timeoutMs: enrollment?.timeout,
      retry: enrollment?.retry,
    },
    heartbeat: {
      enabled: heartbeat?.enabled,
      intervalMs: whole(heartbeat?.interval, 1),
      jitterMs: whole(heartbeat?.jitter, 0),
      asks: heartbeat?.payloadFactory === undefined ? undefined : true,
      includeCredentials: heartbeat?.includeCredentials,
      mode: heartbeat?.mode,
    },
    generation: options.generation,
    channel: options.channel,
    planes: options.planes,
    registerWithAck: options.registerWithAck,
    registrationTimeoutMs: options.registrationTimeout,
    reconnectOnServerDisconnect: options.reconnectOnServerDisconnect,
    maxConcurrent: options.maxConcurrent,
    limits: options.limits,
    runtime: options.runtime,
  };
}

/** Translates the options of the control socket. */
export function socketOptions(controlSocketUrl: string, socket: SocketOptions = {}): DaemonOptions {
  return {
    controlSocketUrl,
    connectTimeoutMs: socket.connectTimeout,
    reconnectEnabled: socket.reconnect,
    path: socket.path,
    compression: socket.compression,
    transport: transport(socket.transports),
    maxQueued: socket.maxQueued,
    maxQueuedBytes: socket.maxQueuedBytes,
    reconnect: reconnect(socket),
  };
}

function reconnect(socket: SocketOptions): DaemonReconnectOptions {
  const attempts = socket.maxReconnectAttempts ?? undefined;
  const factor = socket.randomizationFactor ?? undefined;
  const max = socket.reconnectMaxDelayMs === 0 ? ZERO_MAX_MS : socket.reconnectMaxDelayMs;
  const base = socket.reconnectBaseDelayMs === 0 ? ZERO_BASE_MS : socket.reconnectBaseDelayMs;
  return {
    baseDelayMs: whole(base === undefined || max === undefined ? base : Math.min(base, max), 1),
    maxDelayMs: whole(max, 1),
    jitterPercent: factor === undefined ? undefined : factor > 0 && factor <= 1 ? Math.round(factor * 100) : 0,
    maxAttempts: attempts === undefined ? undefined : attempts > MOST_ATTEMPTS ? 0 : whole(attempts, 0),
  };
}

function transport(transports: SocketOptions['transports']): DaemonOptions['transport'] {
  const [first, second] = transports ?? [];
  if (first === undefined) return undefined;
  if (second === undefined || second === first) return first;
  return first === 'polling' ? 'upgrade' : 'auto';
}

/** What is absent and what is no number leave the default in force; an endless time is the longest there is. */
function whole(value: number | null | undefined, least: number): number | undefined {
  if (value === undefined || value === null || Number.isNaN(value)) return undefined;
  return Math.min(Math.max(Math.round(value), least), LONGEST_MS);
}
