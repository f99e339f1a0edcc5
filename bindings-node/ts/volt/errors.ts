/** The error classes of the VOLT daemon client. */

import { MoorlineError, messageOf, received } from '../errors.js';
import { DaemonClientErrorCode, type NativeError, VOLT_CODES } from '../generated.js';

/** The member name of each code: the list of codes, read in the other direction. */
export const DaemonClientErrorName = Object.fromEntries(
  Object.entries(DaemonClientErrorCode).map(([name, code]) => [code, name]),
) as Readonly<Record<DaemonClientErrorCode, keyof typeof DaemonClientErrorCode>>;

/** Whatever the daemon client reports. */
export class DaemonClientError extends Error {
  /** What happened, such as `COMMAND_TIMEOUT`. */
  readonly code: DaemonClientErrorCode;
  /** The status that the server gave its refusal. */
  declare readonly status?: number;

  constructor(code: DaemonClientErrorCode, message: string, cause?: unknown, status?: number) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    if (status !== undefined) this.status = status;
  }

  static {
    Object.defineProperty(this.prototype, 'name', { value: 'DaemonClientError', configurable: true, writable: true });
  }

  /** The server did not enroll the daemon. */
  static enrollmentFailed(message: string, cause?: unknown): DaemonClientError {
    return new DaemonClientError(DaemonClientErrorCode.EnrollmentFailed, message, cause);
  }

  /** The control socket could not be opened. */
  static socketConnectionFailed(message: string, cause?: unknown): DaemonClientError {
    return new DaemonClientError(DaemonClientErrorCode.SocketConnectionFailed, message, cause);
  }

  /** The control socket is open but the server did not confirm the registration. */
  static socketRegistrationFailed(message: string, cause?: unknown): DaemonClientError {
    return new DaemonClientError(DaemonClientErrorCode.SocketRegistrationFailed, message, cause);
  }

  /** No answer to a command came in time. */
  static commandTimeout(command: string): DaemonClientError {
    const message = `Timed out waiting for response to command "${command}"`;
    return new DaemonClientError(DaemonClientErrorCode.CommandTimeout, message);
  }

  /** The server refused a command, perhaps with a message of its own. */
  static commandRejected(command: string, serverMessage?: string): DaemonClientError {
    const message = serverMessage || `Command "${command}" was rejected by the server`;
    return new DaemonClientError(DaemonClientErrorCode.CommandRejected, message);
  }

  /** The client is not registered. */
  static socketNotReady(): DaemonClientError {
    return new DaemonClientError(DaemonClientErrorCode.SocketNotReady, 'The control socket is not ready');
  }

  /** A handler threw `cause`. */
  static handlerError(command: string, cause?: unknown): DaemonClientError {
    const message = `Handler for command "${command}" threw an unhandled error`;
    return new DaemonClientError(DaemonClientErrorCode.HandlerError, message, cause);
  }

  /** A message could not be handed over. */
  static emitFailed(): DaemonClientError {
    const message = 'Cannot emit message: control socket is not connected';
    return new DaemonClientError(DaemonClientErrorCode.EmitFailed, message);
  }

  /** A heartbeat could not be made: its payload factory threw `cause`. */
  static heartbeatFailed(cause?: unknown): DaemonClientError {
    const message = cause === undefined ? 'Heartbeat failed' : `Heartbeat failed: ${messageOf(cause)}`;
    return new DaemonClientError(DaemonClientErrorCode.HeartbeatFailed, message, cause);
  }
}

/** Thrown by a handler that refuses a command: the server is told this status and this message. */
export class DaemonRejection extends Error {
  /** The status that the server is told. */
  readonly status: number;

  constructor(status: number, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.status = status;
  }

  static {
    Object.defineProperty(this.prototype, 'name', { value: 'DaemonRejection', configurable: true, writable: true });
  }
}

/** Says an error in the words of the daemon client; failures to connect keep the other as cause. */
export function clientError(error: MoorlineError | NativeError): DaemonClientError {
  const code = VOLT_CODES[error.code];
  const kept =
    code === DaemonClientErrorCode.EnrollmentFailed ||
    code === DaemonClientErrorCode.SocketConnectionFailed ||
    code === DaemonClientErrorCode.SocketRegistrationFailed;
  const cause = kept && !(error instanceof MoorlineError) ? received(error) : error;
  return new DaemonClientError(code, error.message, kept ? cause : undefined, error.status);
}

/** Makes the error of something that cannot be sent. */
export function unsendable(thrown: unknown): DaemonClientError {
  const message = `Cannot emit message: ${messageOf(thrown)}`;
  return new DaemonClientError(DaemonClientErrorCode.EmitFailed, message, thrown);
}
