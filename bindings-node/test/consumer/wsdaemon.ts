// What a strict TypeScript program may write of ws-daemon. Compiled, never run.

import { type CallArguments, Daemon, type DaemonOptions, type HandlerContext, type PeerJoined } from 'moorline/wsdaemon';

const options: DaemonOptions = {
  mode: 'server',
  listen: '127.0.0.1:0',
  token: 'secret',
  scripts: { folder: 'scripts', environment: ['HOME'] },
  handlers: { timeoutMs: 1000 },
};
// @ts-expect-error: options are in camel case
const wrong: DaemonOptions = { server_url: 'ws://h' };
// @ts-expect-error: a daemon is a client or a server
const neither: DaemonOptions = { mode: 'both' };

export async function program(): Promise<void> {
  const server = new Daemon(options);
  server.handle<{ name: string }>('greet', ({ name }, { signal, deadline }: HandlerContext) => (signal.aborted || !deadline ? name.length : 0));
  server.on('peerJoined', ({ peer, name }: PeerJoined) => console.log(peer, name));
  server.on('message', (message: unknown) => console.log(message, wrong, neither));
  const { id } = await server.connect();
  const client = new Daemon({ serverUrl: `ws://${id}`, local: { socketPath: 'x.sock' } });
  const how: CallArguments = { timeoutMs: 1000 };
  const status: number | null = await client.call('greet', { name: 'Ada' }, how);
  client.tell({ status });
  client.pause(0);
  server.sendAway(0);
  await client.drain(1000);
  server.close();
}
