'use strict';
// A plain Node worker: Redis Stream to PostgreSQL with ioredis and pg. Read a batch as a member of
// the group, insert it with one multi-row statement, acknowledge it, read the next.
//
// Sentinels are revived as Node's documentation does it for buffers, in a JSON.parse reviver. That
// calls back for every member of every payload; `--tuned` looks at the attributes alone instead,
// as somebody would who has profiled it.

const { parseArgs } = require('node:util');
const Redis = require('ioredis');
const { Client } = require('pg');

const { values: args } = parseArgs({
  options: {
    redis: { type: 'string' },
    postgres: { type: 'string' },
    stream: { type: 'string' },
    group: { type: 'string' },
    batch: { type: 'string' },
    tuned: { type: 'boolean' },
  },
});

const COLUMNS = [
  'device_id', 'ts', 'latitude', 'longitude', 'altitude', 'angle', 'speed',
  'satellites', 'priority', 'codec', 'attributes',
];

const statements = new Map();

// The text depends on the number of rows only; a full batch reuses its prepared statement.
function statement(rows) {
  let found = statements.get(rows);
  if (found === undefined) {
    const width = COLUMNS.length;
    const tuples = Array.from({ length: rows }, (_, row) =>
      `(${COLUMNS.map((_, column) => `$${row * width + column + 1}`).join(',')})`);
    found = `INSERT INTO positions (${COLUMNS.join(',')}) VALUES ${tuples.join(',')} `
      + 'ON CONFLICT (device_id, ts) DO NOTHING';
    statements.set(rows, found);
  }
  return found;
}

const isSentinel = (value) => value !== null && typeof value === 'object'
  && (value.__bigint !== undefined || value.__buffer_b64 !== undefined);

const revived = (_, value) => (isSentinel(value) ? value.__bigint ?? value.__buffer_b64 : value);

function decode(payload) {
  if (!args.tuned) {
    const p = JSON.parse(payload, revived);
    p.timestamp = new Date(p.timestamp);
    return p;
  }
  const p = JSON.parse(payload);
  for (const id in p.attributes) {
    const value = p.attributes[id];
    if (isSentinel(value)) p.attributes[id] = value.__bigint ?? value.__buffer_b64;
  }
  return p;
}

const within = (value, low, high) => typeof value === 'number' && value >= low && value <= high;

function isPosition(p) {
  return typeof p.device_id === 'string' && !Number.isNaN(+new Date(p.timestamp))
    && within(p.latitude, -90, 90) && within(p.longitude, -180, 180)
    && Number.isFinite(p.altitude) && within(p.angle, 0, 360) && within(p.speed, 0, 10000)
    && Number.isInteger(p.satellites) && Number.isInteger(p.priority)
    && p.attributes !== null && typeof p.attributes === 'object';
}

function append(values, fields) {
  let codec;
  let payload;
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === 'codec') codec = fields[i + 1];
    else if (fields[i] === 'payload') payload = fields[i + 1];
  }
  const p = decode(payload);
  if (!isPosition(p)) throw new Error(`not a position: ${payload}`);
  values.push(
    p.device_id, p.timestamp, p.latitude, p.longitude, p.altitude, p.angle, p.speed,
    p.satellites, p.priority, codec, JSON.stringify(p.attributes),
  );
}

async function main() {
  const redis = new Redis(args.redis);
  const database = new Client({ connectionString: args.postgres });
  await database.connect();
  let running = true;
  process.on('SIGTERM', () => { running = false; });

  while (running) {
    const reply = await redis.xreadgroup(
      'GROUP', args.group, 'bench', 'COUNT', args.batch, 'BLOCK', 1000, 'STREAMS', args.stream, '>');
    if (reply === null) continue;
    const entries = reply[0][1];
    const values = [];
    const ids = [];
    for (const [id, fields] of entries) {
      append(values, fields);
      ids.push(id);
    }
    await database.query(statement(entries.length), values);
    await redis.xack(args.stream, args.group, ...ids);
  }
  redis.disconnect();
  await database.end();
}

main().catch((error) => { console.error(error); process.exit(1); });
