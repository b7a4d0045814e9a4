// The devices of the event: newest fix, trail, how stale, and where the marker is drawn. Pure: it
// is told the time (`nowMs`, monotonic) and knows neither the page nor the network.
//
// How old a fix is, is told by the server's clock, which comes with each `subscribed`: a browser's
// own clock may be minutes off.

import { glided, reckoned } from "./motion.js";
import { shortName } from "./words.js";

export const TRAIL_POINTS = 200;

/** Older than this a device is quiet, silent, gone: levels 1, 2, 3. */
export const STALE_MS = [60_000, 300_000, 1_800_000];

/** A hole this long in a trail is not bridged: nobody knows which way was taken. */
export const HOLE_MS = 120_000;

export class Fleet {
  #devices = new Map();
  #server = null;
  #steppedMs = null;

  get size() {
    return this.#devices.size;
  }

  /** The newest fix's time, of all devices; null while there is none. */
  newestTs = null;

  get(id) {
    return this.#devices.get(id);
  }

  [Symbol.iterator]() {
    return this.#devices.values();
  }

  /** What the server's clock shows, in ms since the epoch. */
  serverNow(nowMs) {
    return this.#server ? this.#server.time + (nowMs - this.#server.atMs) : Date.now();
  }

  /** A snapshot, with trails where we asked for them. Devices that it lacks are kept: they fade. */
  subscribed({ serverTime, snapshot = [], trails = {} }, nowMs) {
    if (Number.isFinite(serverTime)) this.#server = { time: serverTime, atMs: nowMs };
    for (const [id, fixes] of Object.entries(trails)) {
      const trail = fixes.map((fix) => read({ ...fix, deviceId: id })).filter(Boolean);
      if (trail.length === 0) continue;
      const newest = trail.at(-1);
      const device = this.#devices.get(id) ?? this.#add(newest, nowMs);
      device.trail = merged(trail, device.trail);
      this.#put(device, newest, nowMs, false);
    }
    for (const fix of snapshot) this.take(fix, nowMs, { moving: false });
  }

  /**
   * A fix that has come. False if it is none, or not newer than the one shown. The marker drives
   * on from a fix of the stream, unless that is an old one, sent late; not from a snapshot's.
   */
  take(message, nowMs, { moving = true } = {}) {
    const fix = read(message);
    if (fix === null) return false;
    const known = this.#devices.get(fix.id);
    if (known && fix.ts <= known.fix.ts) return false;
    const device = known ?? this.#add(fix, nowMs);
    if (device.trail.at(-1).ts < fix.ts) device.trail.push(fix);
    if (device.trail.length > TRAIL_POINTS) device.trail.shift();
    device.count += 1;
    this.#put(device, fix, nowMs, moving && this.serverNow(nowMs) - fix.ts < STALE_MS[0]);
    return true;
  }

  #add(fix, nowMs) {
    const device = {
      id: fix.id,
      name: shortName(fix.id),
      fix,
      arrivedMs: nowMs,
      drives: false,
      shown: { lon: fix.lon, lat: fix.lat },
      trail: [fix],
      count: 0, // of fixes that came: what anchors a thinned trail, so that it does not shimmer
      level: 0,
    };
    this.#devices.set(fix.id, device);
    return device;
  }

  #put(device, fix, nowMs, drives) {
    if (fix.ts < device.fix.ts) return;
    Object.assign(device, { fix, arrivedMs: nowMs, drives });
    device.level = this.levelOf(device, nowMs);
    this.newestTs = Math.max(this.newestTs ?? fix.ts, fix.ts);
  }

  ageMs(device, nowMs) {
    return Math.max(0, this.serverNow(nowMs) - device.fix.ts);
  }

  /** 0 fresh, 1 after a minute, 2 after five, 3 after thirty. */
  levelOf(device, nowMs) {
    const ageMs = this.ageMs(device, nowMs);
    return STALE_MS.filter((limit) => ageMs >= limit).length;
  }

  /** Renew every level; whether any changed. */
  fade(nowMs) {
    let changed = false;
    for (const device of this) {
      const level = this.levelOf(device, nowMs);
      changed ||= level !== device.level;
      device.level = level;
    }
    return changed;
  }

  /** Move every marker on by one picture; whether any moved. Calm: from fix to fix, no gliding. */
  step(nowMs, { calm = false } = {}) {
    const sinceLastMs = this.#steppedMs === null ? 0 : nowMs - this.#steppedMs;
    this.#steppedMs = nowMs;
    let changed = false;
    for (const device of this) {
      const { fix, shown } = device;
      const elapsedMs = device.drives ? nowMs - device.arrivedMs : 0;
      const next = calm ? fix : glided(shown, reckoned(fix, elapsedMs), fix, sinceLastMs);
      if (next.lon === shown.lon && next.lat === shown.lat) continue;
      device.shown = { lon: next.lon, lat: next.lat };
      changed = true;
    }
    return changed;
  }

  /** [[west, south], [east, north]] of the newest fixes; null without any. */
  bounds() {
    let box = null;
    for (const { fix: { lon, lat } } of this) {
      box ??= [[lon, lat], [lon, lat]];
      box = [
        [Math.min(box[0][0], lon), Math.min(box[0][1], lat)],
        [Math.max(box[1][0], lon), Math.max(box[1][1], lat)],
      ];
    }
    return box;
  }
}

/** A trail as lines without holes, and of every `stride`th fix only; its ends are always there. */
export function lines(device, stride = 1) {
  const { trail, count } = device;
  const parts = [];
  let part = [];
  for (let i = 0; i < trail.length; i++) {
    if (i > 0 && trail[i].ts - trail[i - 1].ts > HOLE_MS) {
      parts.push(part);
      part = [];
    }
    const anchored = (count - (trail.length - 1 - i)) % stride === 0;
    if (anchored || i === 0 || i === trail.length - 1) part.push(trail[i]);
  }
  parts.push(part);
  return parts.filter((each) => each.length > 1);
}

/**
 * The same lines cut into pieces that fade from the head (share 1) to the oldest: [{share, line}].
 * The head reaches to the marker, which may be ahead of the newest fix.
 */
export function fading(device, stride, pieces) {
  const cut = [];
  const whole = lines(device, stride);
  const { trail, shown, fix } = device;
  const began = trail[0].ts;
  const lasted = Math.max(1, fix.ts - began);
  const pieceOf = (ts) => Math.min(pieces - 1, Math.floor(((ts - began) / lasted) * pieces));
  for (const line of whole) {
    let piece = null;
    for (let i = 1; i < line.length; i++) {
      const number = pieceOf(line[i].ts);
      if (piece === null || piece.number !== number) {
        piece = { number, share: (number + 1) / pieces, line: [line[i - 1]] };
        cut.push(piece);
      }
      piece.line.push(line[i]);
    }
  }
  if (cut.length > 0 && cut.at(-1).line.at(-1).ts === fix.ts) cut.at(-1).line.push({ ...fix, ...shown });
  return cut;
}

/** A fix of the wire, or null where it is none. Speed and course are left out when they are 0. */
function read({ deviceId, lat, lon, ts, speed = 0, course = 0 }) {
  const numbers = [lat, lon, ts, speed, course];
  if (typeof deviceId !== "string" || deviceId === "" || !numbers.every(Number.isFinite)) return null;
  if (Math.abs(lat) > 90 || Math.abs(lon) > 180) return null;
  return { id: deviceId, lat, lon, ts, speed, course };
}

/** Two trails as one, from old to new, each instant once. */
function merged(one, other) {
  const byTime = new Map([...one, ...other].map((fix) => [fix.ts, fix]));
  return [...byTime.values()].sort((a, b) => a.ts - b.ts).slice(-TRAIL_POINTS);
}
