/**
 * The browser's driver: performs a machine's actions with WebSocket, fetch and setTimeout, and feeds
 * it what happens. It knows no dialect.
 *
 * Every entry is one turn: feed the machine, perform its actions, arm its timer, ring the doorbell.
 *
 * What a page cannot do shows here: it sets no header fields on a WebSocket and no cookies anywhere,
 * and it sends no pings. Cookies go by themselves, to the page's own origin. Instead of a pong the
 * machine gets a sign that all that was sent before has left this program.
 */

import { MoorlineError, wrapped } from '../../bindings-node/ts/errors.js';
import type { ErrorCode, NativeError } from '../../bindings-node/ts/generated.js';
import { later, soon } from '../../bindings-node/ts/host.js';
import type { Native } from '../../bindings-node/ts/native.js';
import type { Machine } from '../pkg/web/moorline.js';
import { fromBase64 } from './byte_strings.js';

// Taken at load: test tools put fakes in their place later, and what those were asked for may never come.
const { setTimeout, clearTimeout } = globalThis;
const clock = performance.now.bind(performance);

type Header = [name: string, value: string];

/** What an exchange may take. */
interface Bounds {
  readonly timeout_ms: number;
  readonly max_body: number;
  /** The answer is wanted in parts, as they come. */
  readonly streams: boolean;
}

/** What `Machine.actions` lists; see `src/actions.rs`. */
type Action =
  | ['dial', conn: number, url: string, timeoutMs: number, maxMessage: number, maxSendQueue: number, pulses: string[]]
  | ['limits', conn: number, maxMessage: number, maxSendQueue: number]
  | ['text', conn: number, text: string]
  | ['binary', conn: number, base64: string]
  | ['ping', conn: number, base64: string]
  | ['ask_sent', conn: number]
  | ['close', conn: number, code: number, reason: string]
  | ['http', http: number, method: string, url: string, headers: Header[], body: string, isBase64: boolean, bounds: Bounds]
  | ['http_cancel', http: number];

interface Link {
  readonly socket: WebSocket;
  /** Ends a dial or a close that takes too long. */
  patience: ReturnType<typeof setTimeout>;
  maxMessage: number;
  maxSendQueue: number;
  /** Messages that are taken however many events wait. */
  readonly pulses: readonly string[];
  /** Whether somebody is to be told when all that was sent has left. */
  asksSent: boolean;
  isOpen: boolean;
  isClosing: boolean;
}

/** The longest delay that timers take. */
const LONGEST_DELAY = 2 ** 31 - 1;
/** How long a browser may take for the closing handshake. */
const CLOSE_PATIENCE_MS = 2_000;
/** How often to look whether what was sent has left, after a look at once. */
const FLUSH_CHECK_MS = 20;

/** One endpoint in a page. */
export class Driver implements Native {
  #machine: Machine | undefined;
  readonly #links = new Map<number, Link>();
  readonly #exchanges = new Map<number, AbortController>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #due = Infinity;
  #ring: (() => void) | undefined;
  /** When the doorbell was rung; events wait since then. */
  #rungAt: number | undefined;
  /** Events that waited when the machine was closed. */
  readonly #left: string[] = [];

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  submit(turn: string): void {
    const machine = this.#machine;
    if (machine === undefined) throw new MoorlineError('STOPPED');
    try {
      machine.submit(turn, mono(), Date.now());
    } catch (error) {
      throw thrown(error);
    }
    this.#turn(machine);
  }

  drain(): string {
    const text = this.#machine?.events() ?? this.#left.shift() ?? '[]';
    if (!this.more) this.#rungAt = undefined;
    return text;
  }

  get more(): boolean {
    return this.#machine?.has_events() ?? this.#left.length > 0;
  }

  onDoorbell(ring: () => void): void {
    this.#ring = ring;
    this.#notify();
  }

  hold(): void {
    // A page lives as long as it is open.
  }

  close(): void {
    const machine = this.#machine;
    if (machine === undefined) return;
    clearTimeout(this.#timer);
    for (const link of this.#links.values()) detach(link);
    for (const exchange of this.#exchanges.values()) exchange.abort();
    this.#links.clear();
    this.#exchanges.clear();
    while (machine.has_events()) this.#left.push(machine.events());
    this.#machine = undefined;
    machine.free();
  }

  /** Feeds the machine, unless it is gone. */
  #feed(input: (machine: Machine) => void): void {
    const machine = this.#machine;
    if (machine === undefined) return;
    input(machine);
    this.#turn(machine);
  }

  #turn(machine: Machine): void {
    this.#performAll(machine);
    // Timers of hidden pages are held back for up to a minute; what comes in is not.
    const due = machine.deadline() ?? Infinity;
    if (due <= mono()) this.#expire(machine, due);
    this.#arm(machine);
    this.#notify();
  }

  #performAll(machine: Machine): void {
    for (let text = machine.actions(); text !== ''; text = machine.actions()) {
      for (const action of JSON.parse(text) as Action[]) this.#perform(action);
    }
  }

  #arm(machine: Machine): void {
    const due = machine.deadline() ?? Infinity;
    if (due === this.#due) return;
    this.#due = due;
    clearTimeout(this.#timer);
    if (due === Infinity) return;
    const delay = Math.min(Math.max(0, Math.ceil(due - clock())), LONGEST_DELAY);
    this.#timer = setTimeout(() => this.#timeout(), delay);
  }

  #timeout(): void {
    const machine = this.#machine;
    if (machine === undefined) return;
    this.#due = Infinity;
    this.#turn(machine);
  }

  /** Acts on deadlines: the first of them was `due`. */
  #expire(machine: Machine, due: number): void {
    const now = mono();
    // Timers are late when the page is busy; events wait when it does not come to read them.
    const lag = Math.max(0, now - due, now - (this.#rungAt ?? now));
    machine.timeout(lag, now, Date.now());
    this.#performAll(machine);
  }

  #notify(): void {
    if (this.#ring === undefined || this.#rungAt !== undefined || !this.more) return;
    this.#rungAt = mono();
    soon(this.#ring);
  }

  #perform(action: Action): void {
    switch (action[0]) {
      case 'dial':
        return this.#dial(action);
      case 'limits': {
        const link = this.#links.get(action[1]);
        if (link === undefined) return;
        [, , link.maxMessage, link.maxSendQueue] = action;
        return;
      }
      case 'text':
        return this.#send(action[1], action[2]);
      case 'binary': {
        return this.#send(action[1], fromBase64(action[2]));
      }
      case 'ping': {
        const [, conn, payload] = action;
        return this.#whenSent(conn, (machine) => machine.ponged(conn, fromBase64(payload), mono(), Date.now()));
      }
      case 'ask_sent':
        return this.#askSent(action[1]);
      case 'close':
        return this.#close(action[1], action[2], action[3]);
      case 'http':
        return void this.#http(action);
      case 'http_cancel':
        this.#exchanges.get(action[1])?.abort();
        this.#exchanges.delete(action[1]);
        return;
      default:
        action satisfies never;
    }
  }

  #dial([, conn, url, timeoutMs, maxMessage, maxSendQueue, pulses]: Extract<Action, ['dial', ...unknown[]]>): void {
    let socket: WebSocket;
    try {
      socket = new WebSocket(url);
    } catch (error) {
      const { message } = wrapped(error, 'CONNECT_FAILED');
      soon(() => this.#feed((m) => m.failed(conn, 'CONNECT_FAILED', message, mono(), Date.now())));
      return;
    }
    socket.binaryType = 'arraybuffer';
    const late = () => this.#lose(conn, 'CONNECT_TIMEOUT', `no connection within ${timeoutMs} ms`);
    const patience = setTimeout(late, Math.min(timeoutMs, LONGEST_DELAY));
    const state = { asksSent: false, isOpen: false, isClosing: false };
    const link: Link = { socket, patience, maxMessage, maxSendQueue, pulses, ...state };
    this.#links.set(conn, link);
    socket.onopen = () => {
      clearTimeout(link.patience);
      link.isOpen = true;
      this.#feed((machine) => machine.opened(conn, mono(), Date.now()));
    };
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => this.#received(conn, link, data);
    socket.onclose = ({ code, reason }) => this.#closed(conn, link, code, reason);
    // A close follows every error. Node's `ws` wants somebody to listen all the same.
    socket.onerror = () => {};
  }

  #received(conn: number, link: Link, data: string | ArrayBuffer): void {
    const size = typeof data === 'string' ? data.length : data.byteLength;
    if (size > link.maxMessage) {
      return this.#lose(conn, 'TOO_LARGE', `a message exceeds max_message_bytes: ${size}`);
    }
    if (this.#machine?.is_overloaded() && !(typeof data === 'string' && link.pulses.includes(data))) {
      return this.#lose(conn, 'OVERLOADED', 'more events wait than runtime.max_event_bytes allows');
    }
    if (typeof data === 'string') {
      this.#feed((machine) => machine.received_text(conn, data, mono(), Date.now()));
    } else {
      this.#feed((machine) => machine.received_binary(conn, new Uint8Array(data), mono(), Date.now()));
    }
  }

  #send(conn: number, data: string | Uint8Array<ArrayBuffer>): void {
    const link = this.#links.get(conn);
    if (link === undefined || link.socket.readyState !== WebSocket.OPEN) return;
    // One message always passes, however large.
    if (link.socket.bufferedAmount > link.maxSendQueue) {
      soon(() => this.#lose(conn, 'OVERLOADED', 'more bytes wait than max_send_queue_bytes allows'));
      return;
    }
    link.socket.send(data);
  }

  /** One answer serves whoever asks before it. */
  #askSent(conn: number): void {
    const link = this.#links.get(conn);
    if (link === undefined || link.asksSent) return;
    link.asksSent = true;
    this.#whenSent(conn, (machine) => {
      link.asksSent = false;
      machine.sent(conn, mono(), Date.now());
    });
  }

  /** Feeds the machine as soon as the browser has nothing left to send. */
  #whenSent(conn: number, input: (machine: Machine) => void): void {
    const link = this.#links.get(conn);
    const look = () => {
      if (link === undefined || this.#links.get(conn) !== link || link.socket.readyState !== WebSocket.OPEN) return;
      if (link.socket.bufferedAmount > 0) setTimeout(look, FLUSH_CHECK_MS);
      else this.#feed(input);
    };
    later(look);
  }

  #close(conn: number, code: number, reason: string): void {
    const link = this.#links.get(conn);
    if (link === undefined) return;
    link.isClosing = true;
    clearTimeout(link.patience);
    link.patience = setTimeout(() => this.#closed(conn, link, code, reason), CLOSE_PATIENCE_MS);
    // A page may send no other codes.
    if (code === 1000 || (code >= 3000 && code < 5000)) link.socket.close(code, reason);
    else link.socket.close();
  }

  #closed(conn: number, link: Link, code: number, reason: string): void {
    this.#links.delete(conn);
    detach(link);
    this.#feed((machine) => {
      if (link.isClosing) machine.closed_here(conn, mono(), Date.now());
      else if (!link.isOpen) machine.failed(conn, 'CONNECT_FAILED', 'the upgrade failed', mono(), Date.now());
      else if (code === 1006) machine.failed(conn, 'CONNECTION_LOST', 'the connection broke', mono(), Date.now());
      else machine.closed(conn, code, reason, mono(), Date.now());
    });
  }

  /** Ends a connection that cannot go on. */
  #lose(conn: number, code: ErrorCode, message: string): void {
    const link = this.#links.get(conn);
    if (link === undefined) return;
    this.#links.delete(conn);
    detach(link);
    this.#feed((machine) => machine.failed(conn, code, message, mono(), Date.now()));
  }

  async #http(action: Extract<Action, ['http', ...unknown[]]>): Promise<void> {
    const [, http, method, url, headers, body, isBase64, bounds] = action;
    const controller = new AbortController();
    this.#exchanges.set(http, controller);
    let reached: ErrorCode = 'CONNECT_TIMEOUT';
    const late = () => controller.abort(new MoorlineError(reached, `no answer within ${bounds.timeout_ms} ms`));
    const timer = setTimeout(late, Math.min(bounds.timeout_ms, LONGEST_DELAY));
    let input: (machine: Machine) => void;
    try {
      const { signal } = controller;
      const data = body === '' ? null : isBase64 ? fromBase64(body) : body;
      const response = await fetch(url, { method, headers, body: data, signal, cache: 'no-store', redirect: 'error' });
      reached = 'CALL_TIMEOUT';
      const parts = bounds.streams && response.ok;
      const bytes = await this.#body(http, response, bounds.max_body, parts);
      const fields = JSON.stringify([...response.headers]);
      input = (machine) => machine.http_replied(http, response.status, fields, bytes, mono(), Date.now());
    } catch (error) {
      const broken = reached === 'CALL_TIMEOUT' ? 'CONNECTION_LOST' : 'CONNECT_FAILED';
      const { code, message } = wrapped(error, broken);
      input = (machine) => machine.http_failed(http, code, message, mono(), Date.now());
    } finally {
      clearTimeout(timer);
    }
    // A cancelled exchange is no longer listed, and its outcome no longer wanted.
    if (this.#exchanges.delete(http)) this.#feed(input);
  }

  /** Reads a body up to its limit: as a whole, or handed to the machine in parts. */
  async #body(http: number, response: Response, limit: number, inParts: boolean): Promise<Uint8Array | undefined> {
    const chunks: Uint8Array[] = [];
    let size = 0;
    const reader = response.body?.getReader();
    for (let part = await reader?.read(); part !== undefined && !part.done; part = await reader?.read()) {
      const { value } = part;
      size += value.length;
      if (!inParts && size > limit) {
        await reader?.cancel();
        throw new MoorlineError('TOO_LARGE', `the answer exceeds the ${limit} bytes that are allowed`);
      }
      if (!inParts) chunks.push(value);
      else if (this.#exchanges.has(http)) this.#feed((machine) => machine.http_part(http, value, mono(), Date.now()));
      while (inParts && this.#machine?.is_overloaded()) await new Promise((resolve) => setTimeout(resolve, FLUSH_CHECK_MS));
    }
    return inParts ? undefined : joined(chunks, size);
  }
}

/** Whole milliseconds of the page's monotonic clock. */
function mono(): number {
  return Math.floor(clock());
}

/** Ends a WebSocket that nobody listens to any more. */
function detach({ socket, patience }: Link): void {
  clearTimeout(patience);
  socket.onopen = socket.onmessage = socket.onclose = null;
  socket.close();
}

function joined(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

/** Makes an error of the JSON text that the machine throws. */
export function thrown(error: unknown): MoorlineError {
  if (typeof error !== 'string') return wrapped(error, 'INTERNAL');
  const { code, message } = JSON.parse(error) as NativeError;
  return new MoorlineError(code, message);
}
