// Numbers and instants as people read them. Times are those of the reader's own zone: the channel
// does not say the event's; UTC stands in the tooltip.

const CLOCK = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit", minute: "2-digit", second: "2-digit",
});
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const WINDS = ["N", "NE", "E", "SE", "S", "SW", "W", "NW"];

const DAY_MS = 86_400_000;

/** 12:04:31 */
export const clock = (ms) => CLOCK.format(ms);

/** 2026-05-03 10:04:31 UTC */
export const utc = (ms) => new Date(ms).toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC");

/** 0.4 s, 12 s, 3 min, 2 h: how old something is; a clock that is ahead makes nothing younger. */
export function age(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 2 * 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

/** last seen 12:04:31, and the day where it was not today. */
export function lastSeen(ts, now) {
  const day = now - ts < DAY_MS && DAY.format(ts) === DAY.format(now) ? "" : `${DAY.format(ts)} `;
  return `last seen ${day}${clock(ts)}`;
}

/** 63 km/h */
export const speed = (kmh) => `${Math.round(kmh)} km/h`;

/** NE 47° */
export const course = (degrees) =>
  `${WINDS[Math.round(degrees / 45) % 8]} ${Math.round(degrees) % 360}°`;

/** What stands beside the arrow: the end of an IMEI tells devices apart, its beginning the maker. */
export const shortName = (id) => id.slice(-4);

/** 45.25° N */
export function degrees(value, step, positive, negative) {
  const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  const sign = Math.abs(value) < step / 2 ? "" : ` ${value > 0 ? positive : negative}`;
  return `${Math.abs(value).toFixed(digits)}°${sign}`;
}
