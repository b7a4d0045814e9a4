// Where a marker is drawn between two fixes.
//
// A fix says where a car was; until the next one comes the car drives on. So the marker drives on
// as well, with the fix's speed and course, but for two seconds at most: then we no longer know.
// When the next fix lies behind what was drawn (the car braked), the marker waits for it rather
// than going backwards. Only a car that stands settles onto its fix, since that is where it is.

export const RECKONING_MS = 2000;

/** A marker takes this long to cover 63 % of what it is off: no jerk, and no delay to be seen. */
const GLIDE_MS = 150;

/** A car that stands has time. */
const SETTLE_MS = 600;

/** Farther off than this, it was not driven there: the marker is put where it belongs. */
const JUMP_M = 500;

/** Nearer than this nobody sees it, and nothing has to be drawn. */
const STILL_M = 0.05;

const METRES_PER_DEGREE = 111_320;

const radians = (degrees) => (degrees * Math.PI) / 180;
const narrowing = (lat) => Math.max(0.01, Math.cos(radians(lat)));

/** How far `to` is from `from`, in metres to the east and to the north. */
export function offset(from, to) {
  return {
    east: (to.lon - from.lon) * METRES_PER_DEGREE * narrowing(from.lat),
    north: (to.lat - from.lat) * METRES_PER_DEGREE,
  };
}

function moved(from, east, north) {
  return {
    lon: from.lon + east / (METRES_PER_DEGREE * narrowing(from.lat)),
    lat: from.lat + north / METRES_PER_DEGREE,
  };
}

/** Where a car is that goes on as its fix says, `elapsedMs` after the fix came. */
export function reckoned(fix, elapsedMs) {
  const metres = (fix.speed / 3.6) * (Math.min(Math.max(elapsedMs, 0), RECKONING_MS) / 1000);
  const heading = radians(fix.course);
  return moved(fix, metres * Math.sin(heading), metres * Math.cos(heading));
}

/** The marker's next place on its way from `shown` to `target`; `shown` itself if it stays. */
export function glided(shown, target, fix, sinceLastMs) {
  let { east, north } = offset(shown, target);
  if (Math.hypot(east, north) > JUMP_M) return target;
  const moving = fix.speed > 0;
  if (moving) {
    const ahead = { east: Math.sin(radians(fix.course)), north: Math.cos(radians(fix.course)) };
    const along = east * ahead.east + north * ahead.north;
    if (along < 0) {
      east -= along * ahead.east;
      north -= along * ahead.north;
    }
  }
  if (Math.hypot(east, north) < STILL_M) return shown;
  const share = 1 - Math.exp(-sinceLastMs / (moving ? GLIDE_MS : SETTLE_MS));
  return moved(shown, east * share, north * share);
}
