/** The messages of the reverse channel, and what applications hand to the daemon client. */

import type { ByteString } from '../byte_strings.js';
import type { LimitsOptions, RuntimeOptions, SessionKind, TerminalTarget, TunnelSessionStatus } from '../generated.js';
import type { ProgressStageType, ResponseType } from '../generated.js';

/** A container of bytes. */
export type Bytes = Uint8Array | ArrayBufferView | ArrayBuffer | SharedArrayBuffer;

/** Who the daemon is. */
export interface DaemonCredentials {
  /** The id under which it registers. */
  readonly teamClusterId: string;
  /** Its password; may be empty when it enrolls. */
  readonly daemonPassword: string;
  /** The one-time token that enrolls it. */
  readonly enrollmentToken?: string | undefined;
  /** Its version, told when it enrolls. */
  readonly installedVersion?: string | undefined;
}

/** How the token becomes a password. */
export interface EnrollmentOptions {
  /** The whole address. Without it, it is derived from `serverUrl` and the cluster's id. */
  readonly url?: string | undefined;
  /** Whether to enroll when there is a token. Default: `true`. */
  readonly enabled?: boolean | undefined;
  /** What to do when the token was used before. Default: `use-password` for a derived address, else `error`. */
  readonly onAlreadyEnrolled?: 'error' | 'use-password' | undefined;
  /** Milliseconds for the exchange, redirects included. Default: 30000. */
  readonly timeout?: number | undefined;
  /** Whether to try again when the server is not there or answers 429 or 5xx. Default: `false`. */
  readonly retry?: boolean | undefined;
}

/** Heartbeats. */
export interface HeartbeatOptions {
  /** Milliseconds from the end of one beat to the next. Default: 30000. */
  readonly interval?: number | undefined;
  /** The most milliseconds that a random amount adds to each interval. Default: 0. */
  readonly jitter?: number | undefined;
  /** Makes the payload of each beat; one that throws skips its beat. */
  readonly payloadFactory?: (() => object | PromiseLike<object>) | undefined;
  /** Whether to put the credentials into the payload; the server refuses beats without them. Default: `false`. */
  readonly includeCredentials?: boolean | undefined;
  /** How a beat travels. Default: `auto`, as a command until the server does not know it, then as a message. */
  readonly mode?: 'auto' | 'command' | 'message' | undefined;
  /** Whether to beat at all. Default: `true`. */
  readonly enabled?: boolean | undefined;
}

/** The control socket. */
export interface SocketOptions {
  /** Whether to connect again after a loss. Default: `true`. */
  readonly reconnect?: boolean | undefined;
  /** Failed attempts in a row before giving up; 0 never gives up. Default: `Infinity`. */
  readonly maxReconnectAttempts?: number | undefined;
  /** The first delay in milliseconds; 0 stands for 1000. Default: 500. */
  readonly reconnectBaseDelayMs?: number | undefined;
  /** The largest delay in milliseconds; 0 stands for 5000. Default: 30000. */
  readonly reconnectMaxDelayMs?: number | undefined;
  /** How far a delay is spread at random, from 0 to 1; anything else spreads nothing. Default: 0.3. */
  readonly randomizationFactor?: number | undefined;
  /** The HTTP path of the Socket.IO server. Default: `/socket.io/`. */
  readonly path?: string | undefined;
  /** Whether to offer compression of messages of 1,024 bytes and more. Default: `false`. */
  readonly compression?: boolean | undefined;
  /** Which transports may be used, and which first. Default: `['websocket', 'polling']`. */
  readonly transports?: readonly ('websocket' | 'polling')[] | undefined;
  /** The most messages that wait for a registration; beyond, the oldest is dropped. Default: 1024. */
  readonly maxQueued?: number | undefined;
  /** The most bytes of messages that wait for a registration; beyond, the oldest are dropped. Default: 8388608. */
  readonly maxQueuedBytes?: number | undefined;
  /** Milliseconds for a connection: name look-up, TLS, transport, namespace. Default: 20000. */
  readonly connectTimeout?: number | undefined;
}

/** What a daemon client is made of. */
export interface ClusterDaemonClientOptions {
  /** The server: scheme, host and port. */
  readonly serverUrl: string;
  /** The control socket; its path is the Socket.IO namespace. */
  readonly controlSocketUrl: string;
  /** Who the daemon is. */
  readonly credentials: DaemonCredentials;
  /** How the token becomes a password. */
  readonly enrollment?: EnrollmentOptions | undefined;
  /** Heartbeats. */
  readonly heartbeat?: HeartbeatOptions | undefined;
  /** The control socket. */
  readonly socket?: SocketOptions | undefined;
  /** Milliseconds for the answer to a command, unless the call says otherwise. Default: 30000. */
  readonly commandTimeout?: number | undefined;
  /** Milliseconds for the server to confirm the registration. Default: 10000. */
  readonly registrationTimeout?: number | undefined;
  /** Which generation of the protocol the server speaks. Default: `auto`, it is learnt. */
  readonly generation?: 'auto' | '1' | '2' | '3' | undefined;
  /** What the connection is for; servers of the first generation refuse who tells it. Default: `none`, not told. */
  readonly channel?: 'none' | 'control' | 'heartbeat' | 'events' | 'object-gateway' | undefined;
  /** Further connections: for heartbeats, for streams that the daemon opens, for tunnels to its object gateway. */
  readonly planes?: { readonly heartbeat?: boolean; readonly events?: boolean; readonly objectGateway?: boolean } | undefined;
  /** Whether to ask for an acknowledgement of the registration, so that a refusal is known at once. Default: `false`. */
  readonly registerWithAck?: boolean | undefined;
  /** Whether to connect again after the server itself ended the session. Default: `true`. */
  readonly reconnectOnServerDisconnect?: boolean | undefined;
  /** The most commands run at once; further ones are answered with status 503. Default: 4096. */
  readonly maxConcurrent?: number | undefined;
  /** Limits of the link. */
  readonly limits?: LimitsOptions | undefined;
  /** Certificates, proxy, the file that keeps a rotated password, the flight recorder. */
  readonly runtime?: RuntimeOptions | undefined;
}

/** What a handler is told besides the payload. */
export interface CommandContext {
  /** The command's name. */
  readonly command: string;
  /** The server's id of the request. */
  readonly requestId: string;
  /** The form of answer that the server asked for. */
  readonly responseType: ResponseType;
  /** Aborted when the answer is no longer wanted; the reason is a `MoorlineError` that tells why. */
  readonly signal: AbortSignal;
}

/** A source of chunks. */
export type StreamSource = ReadableStream<unknown> | AsyncIterable<Bytes | string> | Iterable<Bytes | string>;

/** The answer to a command. */
export interface CommandResult<Data = unknown> {
  /** The status. Default: 200. */
  readonly status?: number | undefined;
  /** The answer to requests for json. */
  readonly data?: Data | undefined;
  /** The answer to requests for a buffer; a text counts as UTF-8. */
  readonly body?: Bytes | readonly number[] | string | null | undefined;
  /** Header fields. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** The answer to requests for a stream. */
  readonly stream?: StreamSource | null | undefined;
}

/** A handler as an object: what it returns is an envelope. */
export interface CommandHandlerObject<Payload = any> {
  handle(
    payload: Payload,
    context: CommandContext,
  ): CommandResult | null | undefined | void | PromiseLike<CommandResult | null | undefined | void>;
}

/** A handler as a function: what it returns is the data, unless it is made with `envelope`. */
export type CommandHandlerFunction<Payload = any> = (payload: Payload, context: CommandContext) => unknown;

/** Runs a command. */
export type CommandHandler<Payload = any> = CommandHandlerFunction<Payload> | CommandHandlerObject<Payload>;

/** An offer to be reached over the reverse channel. */
export interface Exposure {
  readonly id: string;
  readonly teamClusterId: string;
  readonly teamId: string;
  readonly sourceKind: 'container' | 'daemon';
  readonly exposureName: string;
  readonly accessModes: readonly ('http' | 'tcp' | 'websocket')[];
  readonly targetHost: string;
  readonly targetPort: number;
  readonly status: 'active' | 'unavailable';
  readonly labels: unknown;
  readonly containerId?: string;
  readonly containerName?: string;
  readonly containerPort?: number;
}

/** Bytes of a session or tunnel: base64 in the first generation, raw in later ones. */
interface Chunk {
  readonly sessionId: string;
  readonly chunkBase64?: string;
  readonly chunk?: ByteString;
  readonly isBinary: boolean;
}

/** Every message that is not a command, told apart by `type`; servers may send others too. */
export type ReverseChannelMessage =
  | {
      readonly type: 'response';
      readonly requestId: string;
      readonly ok: boolean;
      readonly status: number;
      readonly data?: unknown;
      readonly bodyBase64?: string;
      readonly headers?: Readonly<Record<string, string>>;
      readonly message?: string;
      readonly streamId?: string;
    }
  | { readonly type: 'stream'; readonly requestId: string; readonly streamId: string; readonly chunkBase64?: string; readonly chunk?: ByteString }
  | { readonly type: 'stream-end'; readonly requestId: string; readonly streamId: string; readonly message?: string }
  | ({ readonly type: 'session-input' } & Chunk)
  | ({ readonly type: 'session-data' } & Chunk)
  | { readonly type: 'session-resize'; readonly sessionId: string; readonly rows: number; readonly cols: number }
  | { readonly type: 'session-detach'; readonly sessionId: string }
  | { readonly type: 'session-end'; readonly sessionId: string; readonly code?: number; readonly message?: string; readonly error?: string }
  | { readonly type: 'exposure-snapshot' | 'exposure-upsert'; readonly exposures: readonly Exposure[] }
  | { readonly type: 'exposure-remove'; readonly exposureIds: readonly string[] }
  | {
      readonly type: 'tunnel-open';
      readonly sessionId: string;
      readonly accessMode: 'http' | 'tcp' | 'websocket';
      readonly exposureId?: string;
      readonly targetHost?: string;
      readonly targetPort?: number;
      readonly relay?: unknown;
    }
  | { readonly type: 'tunnel-state'; readonly sessionId: string; readonly status: TunnelSessionStatus; readonly message?: string; readonly error?: string }
  | ({ readonly type: 'tunnel-data'; readonly sequence?: number; readonly requiresAck?: boolean } & Chunk)
  | { readonly type: 'tunnel-drain'; readonly sessionId: string; readonly sequence: number }
  | { readonly type: 'tunnel-close'; readonly sessionId: string; readonly code?: number; readonly message?: string }
  | { readonly type: 'tunnel-heartbeat'; readonly sessionId: string; readonly occurredAt: string }
  | { readonly type: 'runtime-progress'; readonly action: string; readonly stage: ProgressStageType; readonly timestamp: string; readonly payload?: unknown };

/** What the command `session.attach` asks for. */
export interface SessionAttachPayload {
  readonly sessionId: string;
  readonly kind: SessionKind;
  readonly terminalTarget?: TerminalTarget;
  readonly containerId?: string;
  readonly targetUrl?: string;
  readonly protocols?: readonly string[];
}
