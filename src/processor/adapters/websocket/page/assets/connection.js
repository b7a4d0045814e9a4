// The WebSocket to /ws-live: connects, subscribes, notices that it is dead, comes back.
//
//   connecting -> live -> lost, restarting, busy, refused (each with `retryAt`) -> connecting ..
//   forbidden, not-found, ended: the end, until `retryNow`
//
// What a close means and how long to wait is decided in closing.js; here it is done. The world
// (sockets, timers, chance) is handed in, so that a test can be it.

import { TRAIL_POINTS } from "./fleet.js";
import { afterClose, afterError } from "./closing.js";

/** The contract: an answer to a subscribe comes within 5 s, else it does not come. */
const ANSWER_MS = 5000;

/** A handshake waits for the server's own question to Directus, 5 s, with some for the way. */
const HANDSHAKE_MS = 12_000;

/** A page sees no pings. After so long a silence it asks for a sign of life. */
const SILENCE_MS = 30_000;

/** So long alive, a connection has proved itself: waits start from the shortest again. */
const PROVED_MS = 10_000;

/** A session is checked each minute: one that outlives two of these was renewed for good. */
const RENEWED_MS = 150_000;

/** Nobody subscribes to it, so to unsubscribe from it changes nothing and is answered. */
const NO_TOPIC = "event:00000000-0000-0000-0000-000000000000";

export const browser = {
  open: (url) => new WebSocket(url),
  reachable: () =>
    fetch("page.json", { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) })
      .then((answer) => answer.ok, () => false),
  now: () => performance.now(),
  after: (ms, what) => {
    const timer = setTimeout(what, ms);
    return () => clearTimeout(timer);
  },
  chance: () => Math.random(),
};

export class Connection {
  #socket = null;
  #world;
  #timers = new Map();
  #attempt = 0;
  #renewing = false;
  #asked = 0;

  /** `onMessage` gets what the subscription brings, `onState` each change of `state`. */
  constructor({ url, event, onMessage, onState, world = browser }) {
    this.url = url;
    this.topic = `event:${event}`;
    this.state = { name: "connecting", retryAt: null };
    this.#world = world;
    this.tell = onMessage;
    this.show = onState;
  }

  start() {
    this.#enter("connecting");
    const socket = this.#world.open(this.url);
    this.#socket = socket;
    let opened = false;
    this.#in("answer", HANDSHAKE_MS, () => this.#end(socket, 1006, opened));
    socket.onopen = () => {
      opened = true;
      this.#subscribe();
      this.#in("answer", ANSWER_MS, () => this.#end(socket, 1006, opened));
    };
    socket.onmessage = ({ data }) => this.#read(data);
    socket.onclose = ({ code }) => this.#end(socket, code, opened);
  }

  /** Somebody does not want to wait, or the network is back. */
  retryNow() {
    if (this.state.name === "live" || this.state.name === "connecting") return;
    if (this.state.retryAt === null) this.#renewing = false;
    this.#drop();
    this.start();
  }

  /** The machine woke up, or the network came back: is anybody there? */
  check() {
    if (this.state.name === "live") this.#askForLife();
    else if (this.state.retryAt !== null) this.retryNow();
  }

  #subscribe() {
    this.#asked += 1;
    this.#send({
      type: "subscribe", topic: this.topic, id: `s${this.#asked}`,
      frames: "batch", history: TRAIL_POINTS,
    });
  }

  #askForLife() {
    const socket = this.#socket;
    this.#send({ type: "unsubscribe", topic: NO_TOPIC, id: "alive" });
    this.#in("silence", ANSWER_MS, () => this.#end(socket, 1006, true));
  }

  #send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  #read(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return; // not ours to mend; the next one may be fine
    }
    if (this.state.name === "live") this.#in("silence", SILENCE_MS, () => this.#askForLife());
    if (message?.topic !== this.topic && message?.id !== `s${this.#asked}`) return;
    if (message.type === "subscribed") {
      this.#cancel("answer");
      this.#in("proved", PROVED_MS, () => (this.#attempt = 0));
      this.#in("renewed", RENEWED_MS, () => (this.#renewing = false));
      this.#in("silence", SILENCE_MS, () => this.#askForLife());
      this.tell(message);
      this.#enter("live");
    } else if (message.type === "error") {
      this.#leave(afterError(message.code, this.#attempt, this.#world.chance()));
    } else {
      this.tell(message);
    }
  }

  async #end(socket, code, opened) {
    if (socket !== this.#socket) return; // one that we let go of ourselves
    this.#drop();
    const reachable = opened || (await this.#world.reachable());
    if (this.#socket !== null) return; // somebody did not want to wait
    const known = { opened, reachable, renewing: this.#renewing, attempt: this.#attempt };
    this.#leave(afterClose(code, known, this.#world.chance()));
  }

  #leave({ state, waitMs }) {
    this.#drop();
    this.#attempt += 1;
    if (state === "renewing") this.#renewing = true;
    if (waitMs !== null) this.#in("retry", waitMs, () => this.start());
    this.#enter(state, waitMs === null ? null : this.#world.now() + waitMs);
  }

  #enter(name, retryAt = null) {
    this.state = { name, retryAt };
    this.show(this.state);
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #in(name, ms, what) {
    this.#cancel(name);
    this.#timers.set(name, this.#world.after(ms, what));
  }

  #cancel(name) {
    this.#timers.get(name)?.();
    this.#timers.delete(name);
  }
}
