// A worker written by hand on `ws`: the frames of the protocol and nothing else.
import WebSocket from 'ws';

const [url, maxConcurrent] = process.argv.slice(2);
const socket = new WebSocket(url.replace(/^http/, 'ws'));

async function echo(settings) {
  return { Result: settings.Text };
}

socket.on('open', () => {
  socket.send(JSON.stringify({
    Action: 'BeaconRegister',
    Name: 'ws-worker',
    Capabilities: ['Bench'],
    ActionSchemas: [{ Capability: 'Bench', Action: 'Echo', Description: '', SettingsSchema: [] }],
    MaxConcurrent: Number(maxConcurrent),
    Tags: {},
    HostID: 'bench',
    SharedMounts: [],
  }));
});

socket.on('message', (data) => {
  const frame = JSON.parse(data.toString());
  if (frame.EventType !== 'WorkItem') return;
  const { WorkItemHash, Settings } = frame.WorkItem;
  echo(Settings).then((Outputs) => {
    socket.send(JSON.stringify({ Action: 'WorkComplete', WorkItemHash, Outputs, Log: [] }));
  });
});

socket.on('close', () => process.exit(0));
