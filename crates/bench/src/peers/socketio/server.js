// One Socket.IO node: node server.js PORT REDIS_PORT
'use strict';
const http = require('node:http');
const { createAdapter } = require('@socket.io/redis-adapter');
const { createClient } = require('redis');
const { Server } = require('socket.io');

const [port, redisPort] = process.argv.slice(2).map(Number);

async function main() {
  const publisher = createClient({ url: `redis://127.0.0.1:${redisPort}` });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);

  const server = http.createServer();
  const io = new Server(server, {
    adapter: createAdapter(publisher, subscriber),
    // Only what is measured: no polling first, no compression, no files.
    transports: ['websocket'],
    perMessageDeflate: false,
    serveClient: false,
  });
  io.on('connection', (socket) => {
    socket.on('join', (room, done) => {
      socket.join(room);
      done();
    });
    socket.on('send', (room, body, done) => {
      io.to(room).emit('message', body);
      done();
    });
  });
  server.listen(port, '127.0.0.1');
}

main();
