// A Node worker as a user would write it.
import { Worker } from 'moorline';

const worker = new Worker(JSON.parse(process.env.FLEET_OPTIONS ?? '{}'));
worker.handle('Node/Echo', (settings) => ({ from: 'node', text: settings.text }));
process.once('SIGTERM', () => worker.drain());
await worker.connect();
console.log('ready');
