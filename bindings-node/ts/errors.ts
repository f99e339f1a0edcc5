/** The one error class of the package. */

import { ERROR_CODES, type ErrorCode, type Fault, type NativeError, OPTION_KEYS, type OptionKeys } from './generated.js';

/** Whatever Moorline reports, with a code that never changes its meaning. */
export class MoorlineError extends Error {
  /** The stable code, such as `CALL_TIMEOUT`. */
  readonly code: ErrorCode;
  /** The stable number of the code. */
  readonly number: number;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  /** Whose fault it is. */
  readonly fault: Fault;
  /** One sentence on what to do. */
  readonly fix: string;
  /** The status that the other side gave its refusal. */
  declare readonly status?: number;

  constructor(code: ErrorCode, message?: string, options?: { cause?: unknown; status?: number | undefined }) {
    const { number, retryable, fault, meaning, fix } = ERROR_CODES[code];
    super(message ?? meaning, options);
    this.code = code;
    this.number = number;
    this.retryable = retryable;
    this.fault = fault;
    this.fix = fix;
    if (options?.status !== undefined) this.status = options.status;
  }

  static {
    Object.defineProperty(this.prototype, 'name', { value: 'MoorlineError', configurable: true, writable: true });
  }
}

/** Makes the error of an event. `isSpelled` says that options are called here as inside. */
export function received({ code, message, status }: NativeError, isSpelled = false): MoorlineError {
  return new MoorlineError(code, isSpelled ? message : spelled(code, message), { status });
}

/** Spells the options in a message as they are written here. */
function spelled(code: ErrorCode, message: string): string {
  if (code !== 'CONFIG_INVALID' && code !== 'ARGUMENT_INVALID') return message;
  return message.replace(/\b[a-z]+(?:_[a-z0-9]+)+\b/g, (name) => SPELLINGS.get(name) ?? name);
}

const SPELLINGS = new Map<string, string>();
for (const keys of Object.values<OptionKeys>(OPTION_KEYS)) collect(keys);

function collect(keys: OptionKeys): void {
  for (const [name, key] of Object.entries(keys)) {
    if (typeof key === 'string') SPELLINGS.set(key, name);
    else collect(key[1]);
  }
}

/**
 * Makes an error whose `stack` is its name and message alone. Where an event is read there is nothing
 * of the application on the stack, and looking would be most of the cost when a lost connection
 * rejects thousands of calls.
 */
export function frameless<Made extends Error>(make: () => Made): Made {
  const limit = Error.stackTraceLimit;
  // It cannot be set where the intrinsics are frozen.
  if (!Reflect.set(Error, 'stackTraceLimit', 0)) return make();
  try {
    return make();
  } finally {
    Error.stackTraceLimit = limit;
  }
}

/**
 * Makes a Moorline error of whatever was thrown; `code` is for what carries none of ours. `isSpelled` says
 * that options are called here as inside.
 */
export function wrapped(thrown: unknown, code: ErrorCode, isSpelled = false): MoorlineError {
  if (isA(thrown, MoorlineError)) return thrown;
  const own = looked(() => (thrown as { code?: unknown } | null | undefined)?.code);
  if (isCode(own)) return new MoorlineError(own, isSpelled ? messageOf(thrown) : spelled(own, messageOf(thrown)));
  return new MoorlineError(code, messageOf(thrown), { cause: thrown });
}

/** Returns the message of whatever was thrown, fit to cross; never throws itself. */
export function messageOf(thrown: unknown): string {
  return textOf(isA(thrown, Error) ? looked(() => thrown.message, NO_TEXT) : thrown);
}

/** Says a failure: its class, or our code, and its message; never throws itself. */
export function failureOf(thrown: unknown): string {
  const message = messageOf(thrown);
  if (isA(thrown, MoorlineError)) return `${textOf(looked(() => thrown.code))}: ${message}`;
  if (!isA(thrown, Error)) return message;
  const kind = looked(() => (thrown.name === 'Error' ? thrown.constructor.name : thrown.name), 'Error');
  // The base class says nothing.
  return message === '' || kind !== 'Error' ? [textOf(kind), message].filter(Boolean).join(': ') : message;
}

/** Returns a value as text without surrogates that stand alone; never throws itself. */
export function textOf(value: unknown): string {
  return looked(() => String(value).replace(/\p{Surrogate}/gu, '\ufffd'), NO_TEXT);
}

/** Tells whether a value of the application is of a class; never throws itself. */
export function isA<Class extends abstract new (...given: any) => unknown>(
  value: unknown,
  known: Class,
): value is InstanceType<Class> {
  return looked(() => value instanceof known, false);
}

/** Looks at a value of the application, which may throw whatever it is asked. */
export function looked<Seen, Otherwise = undefined>(look: () => Seen, otherwise?: Otherwise): Seen | Otherwise {
  try {
    return look();
  } catch {
    return otherwise as Otherwise;
  }
}

/** What is said where nothing else can be. */
const NO_TEXT = 'something was thrown that has no text';

function isCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERROR_CODES, code);
}
