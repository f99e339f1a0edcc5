// The official server for measuring: registers every daemon and answers every command at once, and nothing
// else. It prints its port.

import { createServer } from 'node:http';
import { Server } from 'socket.io';

const MESSAGE = 'team-cluster-daemon:message';
const http = createServer();
const io = new Server(http, { pingInterval: 25_000, pingTimeout: 60_000, maxHttpBufferSize: 1e7 });
const data = { status: 'success', data: { jobs: [{ id: 'j-12345', state: 'running' }], total: 1 } };

io.on('connection', (socket) => {
  socket.on('team-cluster-daemon:register', ({ teamClusterId }) =>
    socket.emit('team-cluster-daemon:registered', { teamClusterId }),
  );
  socket.on(MESSAGE, ({ type, requestId }) => {
    if (type === 'command') socket.emit(MESSAGE, { type: 'response', requestId, ok: true, status: 200, data });
  });
});
http.listen(0, '127.0.0.1', () => console.log(http.address().port));
