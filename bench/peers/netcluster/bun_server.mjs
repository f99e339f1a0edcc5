// Bun's own server, which sends back what comes; prints its port.
const { port } = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  fetch: (request, server) => (server.upgrade(request) ? undefined : new Response('', { status: 426 })),
  websocket: { message: (socket, message) => void socket.send(message) },
});
console.log(port);
