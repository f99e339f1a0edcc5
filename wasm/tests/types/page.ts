// What a page's program sees, without the types of Node: compiled by `tsc`, never run.

import init, { Dispatcher, Hub, MoorlineError, Worker } from '@moorline/web';
import netcluster, { Consumer, type ConsumerOptions } from '@moorline/web/network-cluster';
import volt, { ClusterDaemonClient, type CommandContext, envelope, type ReverseChannelMessage } from '@moorline/web/volt';

export async function page(): Promise<number> {
  await init();
  await volt(new URL('moorline_bg.wasm', location.href));
  const worker = new Worker({ serverUrl: location.origin, name: 'page' });
  worker.handle<{ Name: string }>('Page/Greet', ({ Name }, { signal }) => (signal.aborted ? null : { Name }));
  const { transport } = await worker.connect();
  const reply = await new Dispatcher().call('Page/Greet', { Name: transport });

  const client = new ClusterDaemonClient({
    serverUrl: location.origin,
    controlSocketUrl: location.origin,
    credentials: { teamClusterId: 'lab', daemonPassword: String(reply.Outputs) },
    socket: { transports: ['polling', 'websocket'] },
  });
  client.registerHandler('page.shot', async (payload: { type: string }, { responseType }: CommandContext) =>
    envelope({ status: 200, stream: new Blob([payload.type, responseType]).stream(), body: new Uint8Array(3) }),
  );
  client.onMessage((message: ReverseChannelMessage) => {
    if (message.type === 'tunnel-data') client.emit({ type: 'tunnel-drain', size: message.chunk?.byteLength });
  });
  // @ts-expect-error The client has no such option.
  void new ClusterDaemonClient({ serverUrl: '', controlSocketUrl: '', credentials: {}, polling: true });
  await client.connect();
  const answer = await client.sendCommand<{ count: number }>('jobs.count', {}, 1_000).catch((error: unknown) => {
    throw error instanceof MoorlineError ? error : new Hub();
  });
  return answer?.count ?? 0;
}

export async function consume(): Promise<boolean> {
  await netcluster();
  const options: ConsumerOptions = { host: location.hostname, parameters: { key: 'SECRET' }, reconnect: { interval: 1_000 } };
  const consumer = new Consumer(options);
  consumer.on('message', (message) => console.log(typeof message === 'string' ? message : message.byteLength));
  // @ts-expect-error There is no such event.
  consumer.on('error', () => {});
  await consumer.connect();
  const outcome: 'sent' | 'queued' | 'dropped' = await consumer.deliver(new Uint8Array(3));
  return outcome === 'sent' && consumer.send('text');
}
