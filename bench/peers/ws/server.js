'use strict';
// A plain Node server: Redis Stream to WebSockets with ioredis and ws. Read what is new, make the
// text of each entry once, hand it to `send` of every client. The text is a Buffer, which ws frames
// without encoding it again for each client. Nothing is kept from a client that does not read.

const { parseArgs } = require('node:util');
const Redis = require('ioredis');
const { WebSocketServer } = require('ws');

const { values: args } = parseArgs({
  options: {
    redis: { type: 'string' },
    stream: { type: 'string' },
    event: { type: 'string' },
    port: { type: 'string' },
    'batch-ms': { type: 'string' },
  },
});

const topic = `event:${args.event}`;
const single = new Set();
const batch = new Set();
let moved = new Map();

function send(message, clients) {
  const text = Buffer.from(JSON.stringify(message));
  for (const client of clients) client.send(text, { binary: false });
}

function take(payload) {
  const p = JSON.parse(payload);
  const fix = {
    deviceId: p.device_id, lat: p.latitude, lon: p.longitude, ts: Date.parse(p.timestamp),
  };
  if (p.speed) fix.speed = p.speed;
  if (p.angle) fix.course = p.angle;
  if (single.size) send({ type: 'position', topic, ...fix }, single);
  if (batch.size) {
    moved.delete(fix.deviceId);
    moved.set(fix.deviceId, fix);
  }
}

setInterval(() => {
  if (!moved.size) return;
  send({ type: 'positions', topic, positions: [...moved.values()] }, batch);
  moved = new Map();
}, Number(args['batch-ms']));

async function read(redis) {
  let lastId = '0-0';
  for (;;) {
    const reply = await redis.xread('COUNT', 500, 'BLOCK', 1000, 'STREAMS', args.stream, lastId);
    if (reply === null) continue;
    for (const [id, fields] of reply[0][1]) {
      take(fields[7]);
      lastId = id;
    }
  }
}

const server = new WebSocketServer({
  host: '127.0.0.1', port: Number(args.port), path: '/ws-live', perMessageDeflate: false, backlog: 1024,
});
server.on('connection', (client) => {
  client.once('message', (data) => {
    const audience = JSON.parse(data).frames === 'batch' ? batch : single;
    client.send(JSON.stringify({ type: 'subscribed', topic }));
    audience.add(client);
    client.on('close', () => audience.delete(client));
  });
});

process.on('SIGTERM', () => process.exit(0));
read(new Redis(args.redis)).catch((error) => {
  console.error(error);
  process.exit(1);
});
