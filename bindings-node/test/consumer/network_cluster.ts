// What a strict TypeScript program may write of network-cluster. Compiled, never run.

import { COMPRESSORS, Consumer, type Connection, type MoorlineError, Provider } from 'moorline/network-cluster';
import type { AdmissionRequest, ConsumerOptions, ProviderOptions, Received } from 'moorline/network-cluster';

const options: ProviderOptions = {
  port: 0,
  path: '/connect',
  host: '127.0.0.1',
  allow_plaintext: false,
  ws: { compressor: COMPRESSORS.DISABLED, max_backpressure: 1024 * 1024, max_payload_length: 32 * 1024, on_backlog: 'block' },
  auth: {
    parameters: { key: 'SECRET_KEY', level: 5, plain: true },
    handler: async (request: AdmissionRequest, parameters: Received) => request.ip !== '' && parameters['key'] === 'SECRET_KEY',
    timeout_ms: 1000,
  },
  ssl: { key: 'key.pem', cert: 'cert.pem', passphrase: '', prefer_low_memory_usage: true },
  heartbeat: { interval: 10_000, max_strikes: 2 },
};
const consumerOptions: ConsumerOptions = {
  host: 'h',
  ssl: true,
  parameters: { key: 'SECRET_KEY' },
  reconnect: { interval: 1000, max_attempts: Infinity, jitter_percent: 10 },
  connect_timeout_ms: 1000,
  runtime: { ca_file: 'ca.pem' },
};
// @ts-expect-error: options are spelled as the original spells them
const wrong: ProviderOptions = { allowPlaintext: true };

export async function program(): Promise<void> {
  const provider = new Provider(options);
  provider.on('open', (connection: Connection) => void connection.subscribe('news'));
  provider.on('message', (connection, message) => {
    const size: number = typeof message === 'string' ? message.length : message.byteLength;
    const sent: boolean = connection.send(`${size}`) && connection.send(new Uint8Array(1), true, true);
    const outcome: Promise<'sent' | 'queued' | 'dropped'> = connection.deliver(message, typeof message !== 'string');
    console.log(outcome, connection.getRemoteAddress().byteLength);
    if (!sent) connection.end(4000, 'too slow');
  });
  provider.on('close', (connection, code: number, reason: string) => console.log(connection.id, code, reason));
  // @ts-expect-error: there is no such event
  provider.on('error', () => {});
  provider.set_error_handler((error: MoorlineError) => console.log(error.code));
  await provider.ready();
  const port: number = provider.port;

  const consumer = new Consumer({ ...consumerOptions, port, reconnect: false });
  consumer.once('open', () => console.log(consumer.heartbeat_cutoff, consumer.last_heartbeat, wrong));
  consumer.on('message', (message) => console.log(typeof message === 'string' ? message : message.length));
  consumer.on('disconnect', (code, reason) => console.log(code, reason));
  await consumer.connect();
  const sent: boolean = consumer.send('text');
  console.log(sent, consumer.connected, consumer.in_flight, Object.keys(provider.connections));
  await consumer.destroy();
  await provider.destroy(1000);
}
