"""The live page's pure parts, each by itself, in the browser that will run them."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from processor.adapters.websocket.page import ASSETS, CONTENT_TYPES

pytestmark = pytest.mark.asyncio(loop_scope="module")

Run = Callable[..., Awaitable[Any]]

DEVICE = "356307042440001"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def run(browser: Any) -> AsyncIterator[Run]:
    """Run a function's body with `parts` (a module's exports) and `given`; what it returns."""
    context = await browser.new_context(timezone_id="Europe/Zagreb")

    async def serve(route: Any) -> None:
        name = route.request.url.rpartition("/")[2]
        if not name:
            await route.fulfill(body="<!doctype html>", content_type="text/html")
            return
        file = ASSETS / name
        await route.fulfill(body=file.read_bytes(), content_type=CONTENT_TYPES[file.suffix])

    await context.route("http://page.test/**", serve)
    page = await context.new_page()
    await page.goto("http://page.test/")

    async def run(module: str, body: str, **given: Any) -> Any:
        return await page.evaluate(
            f"async (given) => {{ const parts = await import('/{module}'); {body} }}", given
        )

    yield run
    await context.close()


def fix(ts: int, lat: float = 45.0, lon: float = 14.0, **members: float) -> dict[str, Any]:
    return {"deviceId": DEVICE, "ts": ts, "lat": lat, "lon": lon, **members}


# ---- fleet.js


async def test_only_a_newer_fix_is_taken(run: Run) -> None:
    taken = await run(
        "fleet.js",
        """const fleet = new parts.Fleet();
        return [given.fixes.map((fix) => fleet.take(fix, 0)), fleet.get(given.id).fix.lat,
          fleet.get(given.id).trail.length]""",
        id=DEVICE,
        fixes=[fix(2000, 45.2), fix(2000, 45.9), fix(1000, 45.1), fix(3000, 45.3)],
    )
    assert taken == [[True, False, False, True], 45.3, 2]


@pytest.mark.parametrize(
    "broken",
    [
        {"lat": None},
        {"lat": 91},
        {"lon": "14"},
        {"ts": None},
        {"deviceId": 7},
        {"deviceId": ""},
        {"speed": "fast"},
    ],
)
async def test_what_is_no_fix_is_passed_over(run: Run, broken: dict[str, Any]) -> None:
    body = "const fleet = new parts.Fleet(); return [fleet.take(given.fix, 0), fleet.size]"
    assert await run("fleet.js", body, fix=fix(1000) | broken) == [False, 0]


async def test_speed_and_course_are_nought_where_they_are_left_out(run: Run) -> None:
    body = """const fleet = new parts.Fleet(); fleet.take(given.fix, 0);
        const { speed, course } = fleet.get(given.id).fix; return [speed, course]"""
    assert await run("fleet.js", body, fix=fix(1000), id=DEVICE) == [0, 0]


async def test_a_trail_has_two_hundred_points_and_survives_a_reconnect(run: Run) -> None:
    trail = await run(
        "fleet.js",
        """const fleet = new parts.Fleet();
        for (let i = 0; i < 150; i++) fleet.take({ ...given.fix, ts: 1000 * i }, 0);
        const missed = [];
        for (let i = 100; i < 260; i++) missed.push({ ...given.fix, ts: 1000 * i });
        fleet.subscribed({ serverTime: 0, snapshot: [missed.at(-1)],
          trails: { [given.id]: missed } }, 0);
        return fleet.get(given.id).trail.map(({ ts }) => ts / 1000)""",
        fix=fix(0),
        id=DEVICE,
    )
    assert trail == list(range(60, 260))


async def test_a_snapshot_that_is_behind_takes_nothing_back(run: Run) -> None:
    body = """const fleet = new parts.Fleet(); fleet.take(given.newer, 0);
        fleet.subscribed({ serverTime: 0, snapshot: [given.older], trails: {
          [given.id]: [given.older] } }, 0);
        const device = fleet.get(given.id);
        return [device.fix.ts, device.trail.map(({ ts }) => ts), fleet.newestTs]"""
    given = {"newer": fix(5000), "older": fix(1000), "id": DEVICE}
    assert await run("fleet.js", body, **given) == [5000, [1000, 5000], 5000]


async def test_staleness_is_told_by_the_servers_clock(run: Run) -> None:
    """The browser's own clock is not asked: only the monotonic one, from `serverTime` on."""
    levels = await run(
        "fleet.js",
        """const fleet = new parts.Fleet();
        fleet.subscribed({ serverTime: 1_000_000, snapshot: [given.fix] }, 500);
        const device = fleet.get(given.id);
        return given.ages.map((age) => [fleet.ageMs(device, 500 + age),
          fleet.levelOf(device, 500 + age)])""",
        fix=fix(1_000_000),
        id=DEVICE,
        ages=[0, 59_999, 60_000, 299_999, 300_000, 1_799_999, 1_800_000],
    )
    assert [level for _, level in levels] == [0, 0, 1, 1, 2, 2, 3]
    assert levels[2][0] == 60_000


async def test_a_trail_does_not_bridge_a_hole(run: Run) -> None:
    body = """const fleet = new parts.Fleet();
        for (const ts of given.times) fleet.take({ ...given.fix, ts }, 0);
        return parts.lines(fleet.get(given.id)).map((line) => line.map(({ ts }) => ts))"""
    times = [0, 1000, 2000, 200_000, 201_000, 500_000]
    lines = await run("fleet.js", body, fix=fix(0), id=DEVICE, times=times)
    assert lines == [[0, 1000, 2000], [200_000, 201_000]]


async def test_a_thinned_trail_keeps_its_points_as_it_grows(run: Run) -> None:
    kept = await run(
        "fleet.js",
        """const fleet = new parts.Fleet(); const kept = [];
        for (let i = 0; i < 60; i++) {
          fleet.take({ ...given.fix, ts: 1000 * i }, 0);
          if (i > 50) kept.push(parts.lines(fleet.get(given.id), 10)[0].map(({ ts }) => ts / 1000));
        }
        return kept""",
        fix=fix(0),
        id=DEVICE,
    )
    for line in kept:
        assert line[0] == 0
        assert [each for each in line[1:-1] if each % 10 != 9] == []
    assert kept[0][-1] == 51


async def test_a_trail_fades_from_the_marker_to_its_oldest_fix(run: Run) -> None:
    pieces = await run(
        "fleet.js",
        """const fleet = new parts.Fleet();
        for (let i = 0; i < 61; i++) fleet.take({ ...given.fix, ts: 1000 * i }, 0);
        fleet.get(given.id).shown = { lon: 15, lat: 46 };
        return parts.fading(fleet.get(given.id), 1, 6)
          .map(({ share, line }) => [share, line[0].ts, line.at(-1).ts, line.at(-1).lon])""",
        fix=fix(0),
        id=DEVICE,
    )
    shares = [share for share, *_ in pieces]
    assert shares == pytest.approx([each / 6 for each in range(1, 7)])
    for (_, _, ended, _), (_, began, _, _) in itertools.pairwise(pieces):
        assert began == ended, "no hole between two pieces"
    assert pieces[0][1] == 0
    assert pieces[-1][2:] == [60_000, 15]


# ---- motion.js


async def test_a_marker_drives_on_for_two_seconds_and_no_further(run: Run) -> None:
    metres = await run(
        "motion.js",
        """const fix = { lat: 45, lon: 14, speed: 36, course: 90 };
        return [-500, 0, 1000, 2000, 60000].map((ms) =>
          parts.offset(fix, parts.reckoned(fix, ms)).east)""",
    )
    assert metres == pytest.approx([0, 0, 10, 20, 20], abs=0.01)


async def test_a_marker_never_goes_back_while_the_car_drives(run: Run) -> None:
    """Whatever speeds the fixes tell and however late they come: along a straight road every
    picture is where the last one was, or further on."""
    steps = await run(
        "fleet.js",
        """const { offset } = await import("/motion.js");
        const fleet = new parts.Fleet();
        let seed = 7;
        const chance = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
        fleet.subscribed({ serverTime: 1000, snapshot: [] }, 0);
        let [metres, ts, next, device, last] = [0, 1000, 0, null, null];
        const steps = [];
        for (let now = 0; now < 60000; now += 16) {
          if (now >= next) {
            const speed = 10 + 100 * chance();
            metres += (speed / 3.6) * 0.6;  // the fix tells of less than the speed promised
            fleet.take({ deviceId: "d", lat: 45 + metres / 111320, lon: 14, ts, speed }, now);
            ts += 1000;
            next = now + 300 + 2500 * chance();
          }
          fleet.step(now);
          const { shown } = fleet.get("d");
          if (last) steps.push(offset(last, shown).north);
          last = shown;
        }
        return steps""",
    )
    assert min(steps) >= -1e-6
    assert max(steps) < 5
    assert sum(steps) > 300


async def test_a_car_that_stands_settles_where_it_is(run: Run) -> None:
    metres = await run(
        "fleet.js",
        """const { offset } = await import("/motion.js");
        const fleet = new parts.Fleet();
        const at = { deviceId: "d", lat: 45, lon: 14 };
        fleet.subscribed({ serverTime: 1000, snapshot: [] }, 0);
        fleet.take({ ...at, ts: 1000, speed: 72, course: 90 }, 0);
        let now = 0;
        for (; now < 2000; now += 16) fleet.step(now);
        const ahead = offset(at, fleet.get("d").shown).east;
        fleet.take({ ...at, ts: 3000 }, now);
        const steps = [];
        for (let i = 0; i < 300; i++) { fleet.step((now += 16)); steps.push(fleet.get("d").shown); }
        const jumps = steps.slice(1).map((to, i) => Math.abs(offset(steps[i], to).east));
        return [ahead, Math.max(...jumps), offset(at, steps.at(-1)).east]""",
    )
    ahead, longest, left = metres
    assert ahead > 30
    assert longest < 1.5, "a glide, not a jump"
    assert left == pytest.approx(0, abs=0.2)


async def test_a_marker_that_is_far_off_is_put_where_it_belongs(run: Run) -> None:
    body = """const fleet = new parts.Fleet();
        fleet.take(given.one, 0); fleet.step(0);
        fleet.take(given.other, 100); fleet.step(116);
        return fleet.get(given.id).shown.lat"""
    one, other = fix(1000, 45.0), fix(2000, 45.1)
    assert await run("fleet.js", body, one=one, other=other, id=DEVICE) == 45.1


async def test_nothing_glides_for_those_who_want_it_calm(run: Run) -> None:
    body = """const fleet = new parts.Fleet(); fleet.take(given.fix, 0);
        return [0, 1000].map((now) => [fleet.step(now, { calm: true }),
          fleet.get(given.id).shown.lat])"""
    assert await run("fleet.js", body, fix=fix(1000, speed=90), id=DEVICE) == [
        [False, 45.0],
        [False, 45.0],
    ]


async def test_an_old_fix_that_is_sent_late_does_not_drive_on(run: Run) -> None:
    body = """const fleet = new parts.Fleet();
        fleet.subscribed({ serverTime: 10_000_000, snapshot: [] }, 0);
        fleet.take(given.fix, 0); fleet.step(0); fleet.step(1000);
        return fleet.get(given.id).shown.lat"""
    late = fix(10_000_000 - 61_000, 45.0, speed=90)
    assert await run("fleet.js", body, fix=late, id=DEVICE) == 45.0


# ---- closing.js and connection.js


@pytest.mark.parametrize(
    ("code", "known", "state", "waits"),
    [
        (1006, {"opened": True}, "lost", (500, 1000)),
        (1006, {"opened": True, "attempt": 3}, "lost", (4000, 8000)),
        (1006, {"opened": True, "attempt": 99}, "lost", (15_000, 30_000)),
        (1012, {"opened": True, "attempt": 9}, "restarting", (500, 5000)),
        (1013, {"opened": True}, "busy", (5000, 10_000)),
        (4429, {"opened": True}, "busy", (15_000, 30_000)),
        (4499, {"opened": True}, "lost", (500, 1000)),
        (4401, {"opened": True}, "renewing", (0, 0)),
        (4401, {"opened": True, "renewing": True}, "ended", None),
        (4403, {"opened": True}, "forbidden", None),
        (1006, {"opened": False, "reachable": False}, "lost", (500, 1000)),
        (1006, {"opened": False, "reachable": True}, "refused", (5000, 5000)),
        (1006, {"opened": False, "reachable": True, "renewing": True}, "ended", None),
    ],
)
async def test_what_a_close_means(
    run: Run, code: int, known: dict[str, Any], state: str, waits: tuple[int, int] | None
) -> None:
    known = {"reachable": True, "renewing": False, "attempt": 0} | known
    body = "return [0, 1].map((chance) => parts.afterClose(given.code, given.known, chance))"
    ends = await run("closing.js", body, code=code, known=known)
    assert {end["state"] for end in ends} == {state}
    assert [end["waitMs"] for end in ends] == (list(waits) if waits else [None, None])


@pytest.mark.parametrize(
    ("code", "state", "ends"),
    [
        ("forbidden", "forbidden", True),
        ("not-found", "not-found", True),
        ("unknown-topic", "not-found", True),
        ("unavailable", "busy", False),
        ("too-many-subscriptions", "busy", False),
        ("rate-limited", "busy", False),
        ("error", "lost", False),
        ("something new", "lost", False),
    ],
)
async def test_what_a_refused_subscribe_means(run: Run, code: str, state: str, ends: bool) -> None:
    after = await run("closing.js", "return parts.afterError(given.code, 0, 0.5)", code=code)
    assert (after["state"], after["waitMs"] is None) == (state, ends)


WORLD = """
  const world = { now: 0, sockets: [], sent: [], timers: [], states: [], told: [], up: true };
  const api = {
    open: () => {
      const socket = { closed: false, close() { this.closed = true; },
        send: (text) => world.sent.push(JSON.parse(text)) };
      world.sockets.push(socket);
      return socket;
    },
    reachable: async () => world.up,
    now: () => world.now,
    after: (ms, what) => {
      const timer = { due: world.now + ms, what };
      world.timers.push(timer);
      return () => { world.timers = world.timers.filter((each) => each !== timer); };
    },
    chance: () => 0.5,
  };
  const connection = new parts.Connection({
    url: "ws://x", event: "e", world: api,
    onMessage: (message) => world.told.push(message),
    onState: ({ name }) => world.states.push(name),
  });
  const pass = async (ms) => {
    const until = world.now + ms;
    for (;;) {
      const [next] = world.timers.filter(({ due }) => due <= until).sort((a, b) => a.due - b.due);
      if (!next) break;
      world.timers = world.timers.filter((each) => each !== next);
      world.now = next.due;
      next.what();
      await null; await null; await null;
    }
    world.now = until;
  };
  const socket = () => world.sockets.at(-1);
  const hear = (message) => socket().onmessage({ data: JSON.stringify(message) });
  const live = () => {
    socket().onopen();
    hear({ type: "subscribed", topic: "event:e", id: world.sent.at(-1).id, snapshot: [] });
  };
  const close = async (code) => { socket().onclose({ code }); await null; await null; await null; };
  connection.start();
"""


async def test_it_subscribes_with_trails_and_batches(run: Run) -> None:
    sent, states, told = await run(
        "connection.js", WORLD + "live(); return [world.sent, world.states, world.told.length]"
    )
    wanted = {"type": "subscribe", "topic": "event:e", "frames": "batch", "history": 200}
    assert sent == [wanted | {"id": "s1"}]
    assert (states, told) == (["connecting", "live"], 1)


async def test_no_answer_in_five_seconds_is_a_lost_connection(run: Run) -> None:
    states = await run(
        "connection.js",
        WORLD
        + """socket().onopen(); await pass(4999); const before = [...world.states];
        await pass(1); const after = [...world.states]; await pass(1000);
        return [before, after, world.states, world.sockets[0].closed]""",
    )
    assert states == [
        ["connecting"],
        ["connecting", "lost"],
        ["connecting", "lost", "connecting"],
        True,
    ]


async def test_waits_grow_and_start_afresh_after_a_good_while(run: Run) -> None:
    waits = await run(
        "connection.js",
        WORLD
        + """const waits = [];
        const lose = async () => {
          await close(1006);
          waits.push(connection.state.retryAt - world.now);
          await pass(waits.at(-1));
        };
        world.up = false;
        await lose(); await lose(); await lose();
        live(); await lose();
        live(); await pass(10000); await lose();
        return waits""",
    )
    assert waits == [750, 1500, 3000, 6000, 750]


async def test_an_ended_session_is_renewed_once(run: Run) -> None:
    states = await run(
        "connection.js",
        WORLD
        + """live(); await close(4401); await pass(0); live(); await pass(20000);
        await close(4401); await pass(600000); const ended = [...world.states];
        connection.retryNow(); live(); await close(4401);
        return [ended, world.states.slice(ended.length)]""",
    )
    assert states == [
        ["connecting", "live", "renewing", "connecting", "live", "ended"],
        ["connecting", "live", "renewing"],
    ]


async def test_a_session_that_was_renewed_may_end_again(run: Run) -> None:
    state = await run(
        "connection.js",
        WORLD
        + """const answer = () => hear({ type: "unsubscribed", topic: "event:0", id: "alive" });
        live(); await close(4401); await pass(0); live();
        for (let i = 0; i < 10; i++) { await pass(30000); answer(); }
        await close(4401); return connection.state.name""",
    )
    assert state == "renewing"


async def test_a_silent_line_is_asked_for_a_sign_of_life(run: Run) -> None:
    sent, alive, dead = await run(
        "connection.js",
        WORLD
        + """live(); await pass(30000); const sent = world.sent.at(-1);
        hear({ type: "unsubscribed", topic: sent.topic, id: sent.id });
        await pass(6000); const alive = connection.state.name;
        await pass(24000 + 5000); return [sent, alive, connection.state.name]""",
    )
    assert (sent["type"], sent["topic"][-12:]) == ("unsubscribe", "000000000000")
    assert (alive, dead) == ("live", "lost")


async def test_a_refused_handshake_is_told_from_a_server_that_is_away(run: Run) -> None:
    states = await run(
        "connection.js",
        WORLD
        + """await close(1006); const there = connection.state.name;
        connection.retryNow(); world.up = false; await close(1006);
        return [there, connection.state.name]""",
    )
    assert states == ["refused", "lost"]


async def test_an_event_that_is_no_longer_readable_ends_it(run: Run) -> None:
    state = await run(
        "connection.js",
        WORLD
        + """live(); hear({ type: "error", code: "forbidden", topic: "event:e" });
        await pass(600000); return [connection.state, world.sockets.length, socket().closed]""",
    )
    assert state == [{"name": "forbidden", "retryAt": None}, 1, True]


async def test_rubbish_from_the_server_is_passed_over(run: Run) -> None:
    state = await run(
        "connection.js",
        WORLD
        + """live(); socket().onmessage({ data: "{" }); socket().onmessage({ data: "7" });
        socket().onmessage({ data: "null" });
        hear({ type: "positions", topic: "event:other" });
        return [connection.state.name, world.told.length]""",
    )
    assert state == ["live", 1]


# ---- words, address, keys, grid, labels


async def test_words(run: Run) -> None:
    words = await run(
        "words.js",
        """const now = Date.UTC(2026, 4, 3, 10, 4, 31);
        return {
          ages: [-5, 400, 9949, 9951, 59999, 60000, 3600000, 180000000].map(parts.age),
          clock: parts.clock(now), utc: parts.utc(now),
          seen: [parts.lastSeen(now - 60000, now), parts.lastSeen(now - 86400000, now)],
          course: [0, 47, 182, 359.6].map(parts.course), short: parts.shortName("356307042440001"),
          degrees: [[45.25, 0.05], [-13.5, 0.5], [0, 10], [20, 10]].map(([value, step]) =>
            parts.degrees(value, step, "N", "S")),
        }""",
    )
    assert words == {
        "ages": ["0.0 s", "0.4 s", "9.9 s", "9 s", "59 s", "1 min", "1 h", "2 days"],
        "clock": "12:04:31",
        "utc": "2026-05-03 10:04:31 UTC",
        "seen": ["last seen 12:03:31", "last seen 2 May 12:04:31"],
        "course": ["N 0°", "NE 47°", "S 182°", "N 0°"],
        "short": "0001",
        "degrees": ["45.25° N", "13.5° S", "0°", "20° N"],
    }


EVENT = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"


@pytest.mark.parametrize(
    ("search", "read"),
    [
        ("", {"event": None, "wrong": False, "follow": None}),
        (f"?event={EVENT}", {"event": EVENT, "wrong": False, "follow": None}),
        (f"?event=+{EVENT.upper()}", {"event": EVENT, "wrong": False, "follow": None}),
        (f"?follow=7&event={EVENT}", {"event": EVENT, "wrong": False, "follow": "7"}),
        ("?event=none", {"event": None, "wrong": True, "follow": None}),
        ("?event=<b>&follow=", {"event": None, "wrong": True, "follow": None}),
    ],
)
async def test_the_address_tells_what_is_shown(run: Run, search: str, read: dict[str, Any]) -> None:
    body = "return parts.readAddress(given.search)"
    assert await run("address.js", body, search=search) == read


async def test_the_address_keeps_what_it_does_not_know(run: Run) -> None:
    body = "return [parts.writeAddress(given.search, '7&8'), parts.writeAddress('?follow=7', null)]"
    written = await run("address.js", body, search=f"?event={EVENT}&lang=hr")
    assert written == [f"?event={EVENT}&lang=hr&follow=7%268", "?"]


async def test_keys_are_not_taken_from_somebody_who_writes(run: Run) -> None:
    body = """const input = document.createElement("input");
        const of = (key, target, more) => parts.commandOf({ key, target, ...more });
        return [of("f", document.body), of("f", input), of("ArrowDown", input),
          of("Escape", input), of("f", document.body, { ctrlKey: true }), of("x", document.body)]"""
    assert await run("keys.js", body) == ["follow", None, "down", "let-go", None, None]


async def test_the_grid_has_a_line_every_so_many_pixels(run: Run) -> None:
    steps, values, lines = await run(
        "base.js",
        """return [[360, 40, 3, 0.3, 0.01].map((wide) => parts.gridStep(wide, 1280)),
          parts.multiples(13.42, 14.1, 0.2), parts.gridLines([[13, 45], [14, 46]], 1).geometry]""",
    )
    assert steps == [30, 10, 0.5, 0.05, 0.002]
    assert values == pytest.approx([13.6, 13.8, 14.0])
    assert lines["coordinates"][0] == [[12, 44], [12, 47]]


async def test_labels_do_not_overlap_and_the_important_one_stands(run: Run) -> None:
    body = """const taken = new parts.Taken();
        const fits = [[0, 0], [10, 5], [100, 0], [33, 0], [0, 22]].map(([left, top]) =>
          taken.take(left, top, 30, 16));
        const order = parts.placed([{ key: "a", rank: 1 }, { key: "b", rank: 1 },
          { key: "c", rank: 0 }], new Set(["b"])).map(({ key }) => key);
        return [fits, order]"""
    assert await run("labels.js", body) == [[True, False, True, False, True], ["c", "b", "a"]]


async def test_each_state_has_a_word_and_most_a_sentence(run: Run) -> None:
    names = [
        *("no-event", "wrong-event", "connecting", "live", "lost", "restarting", "busy"),
        *("refused", "renewing", "ended", "forbidden", "not-found"),
    ]
    body = """return given.names.flatMap((name) => [0, 3].map((devices) => [name, devices,
        parts.told(name, { stream: "telemetry:cars", event: given.event, devices,
          lastPicture: "12:04:31" })]))"""
    for name, devices, says in await run("states.js", body, names=names, event=EVENT):
        assert says["word"]
        assert says["tone"] in {"good", "wait", "bad", "idle"}
        silent = name == "renewing" or (devices and name in {"connecting", "live"})
        assert bool(says.get("title") and says.get("text")) is not silent
        if name == "live" and not devices:
            assert "The stream is telemetry:cars." in says["text"]
