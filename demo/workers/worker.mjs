// The worker in JavaScript: sorts lists. Started as `node worker.mjs URL NAME`.
import { setTimeout as pause } from 'node:timers/promises';
import { Worker } from 'moorline';

const [url, name] = process.argv.slice(2);
const worker = new Worker({
  serverUrl: url,
  name,
  maxConcurrent: 16,
  reconnect: { baseDelayMs: 200, maxDelayMs: 1000 },
});

worker.handle('List/Sort', async ({ Numbers }, { meta }) => {
  await pause(10);
  const Answer = [...Numbers].sort((one, other) => one - other);
  return { Answer, Worker: name, Attempt: meta.AttemptNumber };
});

process.once('SIGTERM', () => worker.drain(5000));
await worker.connect();
console.log('ready');
