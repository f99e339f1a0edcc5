// What a strict TypeScript program may write. Compiled, never run.

import { Dispatcher, ERROR_CODES, Hub, MoorlineError, Worker } from 'moorline';
import type { ErrorCode, Handler, Lost, Reply, WorkContext, WorkerOptions } from 'moorline';

interface Said {
  readonly Text: string;
}

export async function program(): Promise<void> {
  await using hub = new Hub({ listen: '127.0.0.1:0', users: [{ name: 'ann', password: 'secret' }] });
  const serverUrl: string = await hub.start();

  const options: WorkerOptions = { serverUrl, maxConcurrent: 4, reconnect: { baseDelayMs: 250 } };
  await using worker = new Worker(options);
  const say: Handler<Said, Said> = async ({ Text }, { signal }) => {
    signal.throwIfAborted();
    return { Text };
  };
  worker
    .handle('Echo/Say', say, { description: 'Says it.', settingsSchema: [{ Name: 'Text', DataType: 'String' }] })
    .handle('Echo/Count', (payload: { n: number }, context: WorkContext) => {
      context.progress({ Percent: 50 });
      context.log('half-way');
      const left: number = context.deadline === null ? Infinity : context.deadline.getTime() - Date.now();
      return { n: payload.n + 1, left };
    })
    .on('lost', ({ reason, retryMs, attempt }: Lost) => console.error(reason.code, retryMs, attempt))
    .once('ended', (error: MoorlineError | null) => console.error(error?.code));
  const { id, transport } = await worker.connect({ signal: AbortSignal.timeout(5_000) });
  console.log(id, transport);

  const dispatcher = new Dispatcher({ serverUrl });
  const reply: Reply<Said> = await dispatcher.call<Said>(
    'Echo/Say',
    { Text: 'hi' },
    { timeoutMs: 1_000, idempotencyKey: 'k', signal: new AbortController().signal, onPart: (part: unknown) => part },
  );
  console.log(reply.Outputs.Text);
  try {
    await dispatcher.call('Echo/Nobody');
  } catch (error) {
    if (error instanceof MoorlineError) {
      const code: ErrorCode = error.code;
      console.log(code, error.number, error.retryable, error.fault, ERROR_CODES[code].fix);
    }
  }
  dispatcher.close();
}

// @ts-expect-error an option that does not exist
new Worker({ serverURL: 'x' });
// @ts-expect-error a value of the wrong type
new Worker({ maxConcurrent: '4' });
// @ts-expect-error an event that does not exist
new Worker().on('redy', () => {});
// @ts-expect-error an event of another role
new Worker().on('peerJoined', () => {});
// @ts-expect-error progress is asked for by onPart
void new Dispatcher().call('Echo/Say', {}, { stream: true });
