// The Node package's worker. The package's folder is the third argument.
import { createRequire } from 'node:module';

const [url, maxConcurrent, folder] = process.argv.slice(2);
const { Worker } = createRequire(import.meta.url)(folder);

const worker = new Worker({ serverUrl: url, name: 'node-worker', maxConcurrent: Number(maxConcurrent) });
worker.handle('Bench/Echo', async (settings) => ({ Result: settings.Text }));
await worker.connect();
