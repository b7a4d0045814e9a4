// What a connection's end means, and when to try again. Pure: chance is handed in.
//
// A browser tells a page nothing of a refused handshake but that there is no connection: no status,
// no sentence. So after one the page asks for /page.json: if that answers, the server is there and
// did not let us in, most often because nobody is logged in.

/** The first wait; each further one is twice as long. */
const FIRST_MS = 1000;

/** Nobody waits longer for a server that is back than this. */
const LONGEST_MS = 30_000;

/** A server that restarts closes everybody within this; we come back as spread out as we went. */
const SPREAD_MS = 5000;

/** After `attempt` tries in vain (0, 1, ..): between half the wait and all of it, so that browsers
    which lost the same server do not come back together. */
export function backoff(attempt, chance) {
  const wait = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 10));
  return wait * (0.5 + 0.5 * chance);
}

/**
 * The state after a close, and the wait before the next try; null: not before somebody asks for it.
 *
 * `known` says: opened (the handshake went through), reachable (/page.json answers; only asked
 * where it did not), renewing (we reconnected because the session had ended), attempt.
 */
export function afterClose(code, known, chance) {
  const wait = backoff(known.attempt, chance);
  if (!known.opened) {
    if (!known.reachable) return { state: "lost", waitMs: wait };
    if (known.renewing) return { state: "ended", waitMs: null };
    return { state: "refused", waitMs: Math.max(5000, wait) };
  }
  switch (code) {
    case 1012:
      return { state: "restarting", waitMs: 500 + (SPREAD_MS - 500) * chance };
    case 1013:
      return { state: "busy", waitMs: Math.max(5000, wait) + SPREAD_MS * chance };
    case 4401:
      return known.renewing ? { state: "ended", waitMs: null } : { state: "renewing", waitMs: 0 };
    case 4403:
      return { state: "forbidden", waitMs: null };
    case 4429:
      return { state: "busy", waitMs: LONGEST_MS * (0.5 + 0.5 * chance) };
    default:
      return { state: "lost", waitMs: wait };
  }
}

/** The state after a subscribe was refused, or a subscription was ended. */
export function afterError(code, attempt, chance) {
  switch (code) {
    case "forbidden":
      return { state: "forbidden", waitMs: null };
    case "not-found":
    case "unknown-topic":
      return { state: "not-found", waitMs: null };
    case "too-many-subscriptions":
    case "rate-limited":
    case "unavailable":
      return { state: "busy", waitMs: Math.max(5000, backoff(attempt, chance)) };
    default:
      return { state: "lost", waitMs: backoff(attempt, chance) };
  }
}
