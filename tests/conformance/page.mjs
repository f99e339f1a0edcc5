// What the executor for WebAssembly has in the place of a page: WebSockets and exchanges that only the
// script moves, and its clocks. No timer ever rings: the script says when time is over.

export const page = { now: [0, 0], sockets: [], exchanges: [] };

export class Socket {
  static OPEN = 1;
  readyState = 0;
  /** What was sent has never left: the script says when it has. */
  bufferedAmount = 1;
  constructor() {
    page.sockets.push(this);
  }
  send() {}
  close() {}
}

/** An answer whose head and body come when the script says so. */
class Exchange {
  #parts = [];
  #wake = () => {};
  status = 200;
  ok = true;
  headers = [];
  constructor({ signal }) {
    this.answer = new Promise((resolve, reject) => {
      this.head = () => resolve(this);
      signal.addEventListener('abort', () => reject(signal.reason));
    });
    page.exchanges.push(this);
  }
  get body() {
    return { getReader: () => ({ read: () => this.#read(), cancel() {} }) };
  }
  async #read() {
    while (this.#parts.length === 0) await new Promise((resolve) => (this.#wake = resolve));
    return this.#parts.shift();
  }
  part(part) {
    this.#parts.push(part);
    this.head();
    this.#wake();
  }
}

/** Puts it all in the place of what Node has. */
export function enter() {
  globalThis.WebSocket = Socket;
  globalThis.fetch = (_url, options) => new Exchange(options).answer;
  globalThis.setTimeout = () => ({});
  globalThis.clearTimeout = () => {};
  performance.now = () => page.now[0];
  Date.now = () => page.now[1];
}

const bytes = ({ text, base64 }) => (text === undefined ? Buffer.from(base64, 'base64') : Buffer.from(text));

/** Lets an input happen to what is open; says whether it can happen in a page just so. */
export function happens({ kind, conn, http, frame, body, code, reason, status, headers, error }, open) {
  const socket = open.sockets.get(conn);
  const exchange = open.exchanges.get(http);
  if (kind === 'opened' && socket?.onopen) {
    socket.readyState = Socket.OPEN;
    socket.onopen();
  } else if (kind === 'received' && socket?.onmessage && (frame === 'text' || frame === 'binary')) {
    socket.onmessage({ data: frame === 'text' ? body.text : Uint8Array.from(bytes(body)).buffer });
  } else if (kind === 'closed' && socket?.onclose && socket.readyState === Socket.OPEN && !error && !status && code !== 1006) {
    socket.onclose({ code: code ?? 1000, reason: reason ?? '' });
  } else if (kind === 'http_part' && exchange) {
    exchange.part({ value: bytes(body) });
  } else if (kind === 'http_replied' && exchange && !error && (body === 'streaming' || !exchange.streams)) {
    Object.assign(exchange, { status, ok: status >= 200 && status < 300, headers: headers ?? [] });
    if (body !== 'streaming') exchange.part({ value: bytes(body) });
    exchange.part({ done: true });
  } else return false;
  return true;
}
