import { Dispatcher, Hub, Worker } from 'moorline';

const hub = new Hub({ listen: '127.0.0.1:0' });
const serverUrl = await hub.start();
const worker = new Worker({ serverUrl, name: 'first-node' });
worker.handle('Echo/Say', (settings) => ({ Text: settings.Text }));
await worker.connect();
const reply = await new Dispatcher({ serverUrl }).call('Echo/Say', { Text: 'hello' });
console.log(reply.Outputs.Text);
await worker.drain().then(() => hub.close());
