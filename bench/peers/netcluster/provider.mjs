// The Node package's provider, which sends back what comes; prints its port. Its argument is the package's folder.
import { createRequire } from 'node:module';

const [folder] = process.argv.slice(2);
const { Provider } = createRequire(import.meta.url)(`${folder}/dist/network-cluster`);

const provider = new Provider({ port: 0, max_connections: 20_000 });
provider.on('message', (connection, message) => connection.send(message));
await provider.ready();
console.log(provider.port);
