// The daemon of the scenarios, made of the client of a package: Node's or the browser's.

/** Where the options of core are in those of the original's client. */
const PLACES = {
  server_url: 'serverUrl',
  control_socket_url: 'controlSocketUrl',
  team_cluster_id: 'credentials.teamClusterId',
  daemon_password: 'credentials.daemonPassword',
  enrollment_token: 'credentials.enrollmentToken',
  installed_version: 'credentials.installedVersion',
  'enrollment.url': 'enrollment.url',
  'heartbeat.enabled': 'heartbeat.enabled',
  'heartbeat.interval_ms': 'heartbeat.interval',
  'heartbeat.include_credentials': 'heartbeat.includeCredentials',
  'heartbeat.mode': 'heartbeat.mode',
  generation: 'generation',
  channel: 'channel',
  'planes.heartbeat': 'planes.heartbeat',
  'planes.events': 'planes.events',
  'planes.object_gateway': 'planes.objectGateway',
  registration_timeout_ms: 'registrationTimeout',
  register_with_ack: 'registerWithAck',
  compression: 'socket.compression',
  transport: 'socket.transports',
  'reconnect.base_delay_ms': 'socket.reconnectBaseDelayMs',
  'reconnect.max_delay_ms': 'socket.reconnectMaxDelayMs',
};

const TRANSPORTS = { upgrade: ['polling', 'websocket'], polling: ['polling'] };

function placed(options) {
  const whole = {};
  for (const [name, value] of Object.entries(options)) {
    const path = PLACES[name].split('.');
    const last = path.pop();
    const place = path.reduce((object, key) => (object[key] ??= {}), whole);
    place[last] = name === 'transport' ? TRANSPORTS[value] : value;
  }
  return whole;
}

/** Makes what `run` in runner.mjs takes as `open`. */
export function opener({ ClusterDaemonClient, DaemonRejection }) {
  return (options, hear) => {
    const client = new ClusterDaemonClient(placed(options));
    let release;
    const released = new Promise((resolve) => (release = resolve));
    const handlers = {
      'h.data': (payload, { command, requestId }) => ({
        data: { echo: payload ?? null, ctx: { command, requestId } },
      }),
      'h.status': () => ({ status: 202, headers: { 'x-trace': '1' }, data: { removed: true } }),
      'h.empty': () => undefined,
      'h.throw': () => {
        throw new Error('secret detail');
      },
      'h.reject': async () => {
        throw new DaemonRejection(409, 'job already runs');
      },
      'h.buffer': () => ({
        headers: { 'content-type': 'application/octet-stream' },
        body: Uint8Array.of(0, 1, 2, 0xfd, 0xfe, 0xff),
      }),
      'h.stream': () => ({
        status: 206,
        headers: { 'content-type': 'text/plain' },
        stream: chunks(['hello ', 'world'].map((text) => new TextEncoder().encode(text))),
      }),
      'h.streamerr': () => ({ stream: chunks([Uint8Array.of(1, 2, 3)], 'disk gone') }),
      'h.large': ({ parts }) => ({ stream: chunks(Array.from({ length: parts }, () => new Uint8Array(65_536))) }),
      'h.bin': ({ chunk }) => ({ data: { len: chunk.length, back: chunk } }),
      'h.big': () => ({ data: 'x'.repeat(5_000) }),
      'h.wait': async () => {
        hear({ kind: 'handler', command: 'h.wait' });
        await released;
      },
    };
    for (const [command, handle] of Object.entries(handlers)) client.registerHandler(command, { handle });
    client.registerHandler('h.function', () => ({ data: 1 }));
    client
      .onConnected(() => hear({ kind: 'connected' }))
      .onDisconnected((reason) => hear({ kind: 'disconnected', reason }))
      .onError(({ code, message }) => hear({ kind: 'error', code, message }))
      .onMessage((message) => hear({ kind: 'message', message }));
    return {
      connect: () => client.connect(),
      disconnect: () => client.disconnect(),
      ready: () => client.isReady(),
      password: () => client.getDaemonPassword(),
      call: ({ command, payload, timeout_ms: timeout }) => client.sendCommand(command, payload, timeout),
      emit: ({ message }) => client.emit(message),
      stream: ({ stream, chunk }) => client.emitStream(stream, chunk),
      endstream: ({ stream }) => client.endStream(stream),
      unhandle: ({ command }) => void client.unregisterHandler(command),
      release: () => release(),
    };
  };
}

async function* chunks(parts, failure) {
  yield* parts;
  if (failure) throw new Error(failure);
}
