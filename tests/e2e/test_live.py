"""The live channel as browsers meet it: real Directus, Redis and TimescaleDB, `processor run`."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

ORIGIN = "https://rally.example"
WITHIN_S = 20.0  # how long a test waits for what must happen; on an idle machine a few milliseconds
QUIET_S = 0.7  # how long nothing must come for a test to believe that nothing comes


class Browser:
    """One WebSocket, and what came over it."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, kind: str, event: str, **members: Any) -> None:
        message = {"type": kind, "topic": f"event:{event}", **members}
        await self.socket.send(json.dumps(message))

    async def hear(self, kind: str | None = None) -> dict[str, Any]:
        """The next message, or the next of a kind."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                message = json.loads(await self.socket.recv())
                if kind in (None, message["type"]):
                    return dict(message)

    async def subscribe(self, event: str, **options: Any) -> dict[str, Any]:
        await self.say("subscribe", event, id="s", **options)
        return await self.hear()

    async def hears_nothing(self) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(QUIET_S):
                raise AssertionError(f"heard {await self.socket.recv()!r}")

    async def close_code(self) -> int:
        """What it is closed with; what comes before that is passed over."""
        async with asyncio.timeout(WITHIN_S):
            await self.socket.wait_closed()
        return self.socket.close_code or 0


class Live:
    """Services with the live role beside one stream and one database, and browsers on them."""

    def __init__(self, start: Any, source: Any, settings: dict[str, str]) -> None:
        self.source = source
        self._start = start
        self._settings = settings
        self._stack = AsyncExitStack()
        self._fixed_at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def service(self, name: str = "a", **settings: str) -> Any:
        running = self._start(name, **(self._settings | settings))
        await asyncio.to_thread(running.ready)
        return running

    async def browser(
        self, service: Any, cookie: str | None = None, *, origin: str | None = ORIGIN
    ) -> Browser:
        headers = {} if cookie is None else {"Cookie": cookie}
        opening = connect(
            f"ws://127.0.0.1:{service.live_port}/ws-live",
            origin=origin,  # type: ignore[arg-type]
            additional_headers=headers,
            compression=None,
            proxy=None,
        )
        return Browser(await self._stack.enter_async_context(opening))

    async def refused(self, service: Any, cookie: str | None, **options: Any) -> int:
        """The HTTP status with which a browser is turned away."""
        with pytest.raises(InvalidStatus) as caught:
            await self.browser(service, cookie, **options)
        return caught.value.response.status_code

    def fix(self, device: Any, seconds: int, **members: Any) -> int:
        """Put a fix on the stream; its ts."""
        fixed_at = self._fixed_at + timedelta(seconds=seconds)
        timestamp = fixed_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        payload = {"device_id": device.imei, "timestamp": timestamp} | members
        self.source.add(self.source.payload(0, **payload))
        return int(fixed_at.timestamp() * 1000)


@pytest.fixture
async def live(service: Any, producer: Any, redis_url: str, rally: Any) -> AsyncIterator[Live]:
    source = producer(redis_url)
    settings = {
        "ROLES": "ingest,live",
        "DIRECTUS_BASE_URL": rally.directus.url,
        "DIRECTUS_RECHECK_MS": "1000",
        "DIRECTUS_MAX_RPS": "100",
        "LIVE_WS_ALLOWED_ORIGINS": ORIGIN,
        "LIVE_DEVICE_EVENT_REFRESH_MS": "200",
    }

    def start(name: str, **more: str) -> Any:
        return service(name, redis_url, rally.directus.database_url, source.stream, **more)

    async with Live(start, source, settings) as live:
        yield live


@pytest.fixture
def member(rally: Any) -> Callable[[], str]:
    """Log the member in; the cookie."""
    return lambda: rally.directus.log_in(rally.member)


# ---- the original's six scenarios


async def test_a_fix_reaches_the_browser_within_a_second(
    live: Live, rally: Any, member: Any
) -> None:
    service = await live.service()
    browser = await live.browser(service, member())
    assert (await browser.subscribe(rally.event))["snapshot"] == []
    began = asyncio.get_running_loop().time()
    ts = live.fix(rally.device, 1, latitude=41.25, longitude=19.5, speed=63, angle=90)
    heard = await browser.hear()
    assert asyncio.get_running_loop().time() - began < 1.0
    assert heard == {
        "type": "position",
        "topic": f"event:{rally.event}",
        "deviceId": rally.device.imei,
        "lat": 41.25,
        "lon": 19.5,
        "ts": ts,
        "speed": 63.0,
        "course": 90.0,
    }


async def test_without_a_cookie_the_handshake_is_401(live: Live) -> None:
    service = await live.service()
    assert await live.refused(service, None) == 401
    sample = 'processor_live_auth_attempts_total{result="unauthorized"}'
    assert service.metric(sample) == 0, "Directus is not asked"


async def test_an_event_of_another_organisation_is_forbidden(
    live: Live, rally: Any, member: Any
) -> None:
    service = await live.service()
    browser = await live.browser(service, member())
    answer = await browser.subscribe(rally.other_event)
    assert (answer["type"], answer["code"], answer["id"]) == ("error", "forbidden", "s")
    live.fix(rally.other_device, 1)
    await browser.hears_nothing()


async def test_two_browsers_see_the_same_and_each_only_its_event(
    live: Live, rally: Any, member: Any
) -> None:
    service = await live.service()
    first, second = [await live.browser(service, member()) for _ in range(2)]
    stranger = await live.browser(service, rally.directus.log_in(rally.outsider))
    for browser in (first, second):
        await browser.subscribe(rally.event)
    await stranger.subscribe(rally.other_event)
    live.fix(rally.device, 1)
    assert await first.hear() == await second.hear()
    await stranger.hears_nothing()


async def test_a_device_in_no_event_is_an_orphan_and_counted(
    live: Live, rally: Any, member: Any, eventually: Any
) -> None:
    service = await live.service()
    browser = await live.browser(service, member())
    await browser.subscribe(rally.event)
    orphan = rally.office.device()
    live.fix(orphan, 1)
    await browser.hears_nothing()
    await asyncio.to_thread(
        eventually, lambda: service.metric("processor_live_orphans_total") == 1, "it is counted"
    )


async def test_a_faulty_newest_fix_is_not_in_the_snapshot(
    live: Live, rally: Any, member: Any, query: Any, eventually: Any
) -> None:
    service = await live.service()
    good, faulty = live.fix(rally.device, 1), live.fix(rally.device, 2)
    await asyncio.to_thread(eventually, live.source.settled, "both are stored")
    await query(
        rally.directus.database_url,
        "UPDATE positions SET faulty = true WHERE device_id = $1 AND ts = $2",
        rally.device.imei,
        datetime.fromtimestamp(faulty / 1000, UTC),
    )
    browser = await live.browser(service, member())
    answer = await browser.subscribe(rally.event)
    assert [fix["ts"] for fix in answer["snapshot"]] == [good], "live itself knew the faulty one"
    later = live.fix(rally.device, 3)
    assert (await browser.hear())["ts"] == later


# ---- who may come in, and for how long


async def test_garbage_a_logged_out_and_a_suspended_session_are_401(
    live: Live, rally: Any, member: Any
) -> None:
    service = await live.service()
    assert await live.refused(service, "directus_session_token=garbage") == 401
    gone = member()
    rally.directus.log_out(gone)
    assert await live.refused(service, gone) == 401
    someone = rally.directus.person()
    cookie = rally.directus.log_in(someone)
    rally.directus.suspend(someone)
    assert await live.refused(service, cookie) == 401
    await live.browser(service, member())


@pytest.mark.parametrize("origin", [f"{ORIGIN}.evil.example", "https://evil.example", "null", None])
async def test_another_origin_gets_nothing(live: Live, member: Any, origin: str | None) -> None:
    service = await live.service()
    assert await live.refused(service, member(), origin=origin) == 403


async def test_an_unknown_event_is_forbidden_and_no_topic_is_unknown(
    live: Live, rally: Any, member: Any
) -> None:
    service = await live.service()
    browser = await live.browser(service, member())
    unknown = "00000000-0000-4000-8000-000000000000"
    assert (await browser.subscribe(unknown))["code"] == "forbidden"
    assert (await browser.subscribe("not-a-uuid"))["code"] == "unknown-topic"


async def test_a_session_that_ends_while_connected_is_closed(
    live: Live, rally: Any, member: Any
) -> None:
    service = await live.service()
    cookie, other = member(), member()
    browser, staying = await live.browser(service, cookie), await live.browser(service, other)
    await browser.subscribe(rally.event)
    await staying.subscribe(rally.event)
    rally.directus.log_out(cookie)
    assert await browser.close_code() == 4401
    ts = live.fix(rally.device, 1)
    assert (await staying.hear("position"))["ts"] == ts


async def test_an_event_that_may_not_be_read_any_more_is_unsubscribed(
    live: Live, rally: Any
) -> None:
    service = await live.service()
    person = rally.directus.person()
    rally.office.admit(rally.organization, person.id)
    browser = await live.browser(service, rally.directus.log_in(person))
    await browser.subscribe(rally.event)
    rally.office.dismiss(rally.organization, person.id)
    told = await browser.hear("error")
    assert (told["code"], told["topic"]) == ("forbidden", f"event:{rally.event}")
    live.fix(rally.device, 1)
    await browser.hears_nothing()


async def test_directus_away_closes_nobody_and_lets_nobody_in(
    live: Live, rally: Any, own_directus: Any, eventually: Any
) -> None:
    service = await live.service(
        DIRECTUS_BASE_URL=own_directus.url, DIRECTUS_AUTH_TIMEOUT_MS="1000"
    )
    browser = await live.browser(service, own_directus.log_in(rally.member))
    another = own_directus.log_in(rally.member)  # which nobody has asked about yet
    await browser.subscribe(rally.event)
    await asyncio.to_thread(own_directus.stop)
    await asyncio.sleep(2.5)  # two rechecks
    assert await live.refused(service, another) == 503
    answer = await browser.subscribe(rally.other_event)
    assert answer["code"] == "unavailable"
    ts = live.fix(rally.device, 1)
    assert (await browser.hear("position"))["ts"] == ts
    await asyncio.to_thread(own_directus.start)
    assert (await browser.subscribe(rally.event, history=2))["snapshot"][0]["ts"] == ts
    await live.browser(service, another)


# ---- snapshot then stream: no gap, no step back


async def test_a_snapshot_is_what_the_database_has_and_the_trail_leads_to_it(
    live: Live, rally: Any, member: Any, eventually: Any
) -> None:
    sent = [live.fix(rally.device, n) for n in range(5)]
    service = await live.service()
    await asyncio.to_thread(eventually, live.source.settled, "all are stored")
    browser = await live.browser(service, member())
    answer = await browser.subscribe(rally.event, history=3, attributes=True)
    assert [fix["ts"] for fix in answer["snapshot"]] == [sent[-1]]
    assert answer["snapshot"][0]["attributes"] == {"239": 1, "66": 12811}
    assert [fix["ts"] for fix in answer["trails"][rally.device.imei]] == sent[-3:]
    assert abs(answer["serverTime"] - datetime.now(UTC).timestamp() * 1000) < 60_000


async def test_what_ingest_has_not_stored_yet_is_in_the_snapshot(
    live: Live, rally: Any, member: Any, query: Any
) -> None:
    sent = [live.fix(rally.device, n) for n in range(3)]
    service = await live.service(ROLES="live")  # nobody stores anything
    assert await query(rally.directus.database_url, "SELECT to_regclass('public.no_such')")
    browser = await live.browser(service, member())
    answer = await browser.subscribe(rally.event)
    assert [fix["ts"] for fix in answer["snapshot"]] == [sent[-1]]
    late = live.fix(rally.device, -10)
    newer = live.fix(rally.device, 10)
    assert late < (await browser.hear())["ts"] == newer, "an older one is not sent"


async def test_a_database_ahead_of_the_stream_makes_no_step_back(
    live: Live, rally: Any, member: Any, query: Any
) -> None:
    service = await live.service()
    ahead = datetime.now(UTC) - timedelta(minutes=1)
    await query(
        rally.directus.database_url,
        "INSERT INTO positions (device_id, ts, latitude, longitude, altitude, angle, speed,"
        " satellites, priority, codec, attributes)"
        " VALUES ($1, $2, 41, 19, 0, 0, 0, 9, 0, '8E', '{}')",
        rally.device.imei,
        ahead,
    )
    browser = await live.browser(service, member())
    shown = (await browser.subscribe(rally.event))["snapshot"][0]["ts"]
    assert shown == int(ahead.timestamp() * 1000)
    live.fix(rally.device, 1)  # four minutes before what was shown
    await browser.hears_nothing()
    newer = live.fix(rally.device, 299)
    assert (await browser.hear())["ts"] == newer


async def test_a_batch_holds_the_newest_of_each_device(live: Live, rally: Any, member: Any) -> None:
    service = await live.service(LIVE_BATCH_INTERVAL_MS="500")
    browser = await live.browser(service, member())
    await browser.subscribe(rally.event, frames="batch")
    for n in range(1, 20):
        newest = live.fix(rally.device, n)
    seen: list[int] = []
    while not seen or seen[-1] < newest:
        frame = await browser.hear()
        assert frame["type"] == "positions"
        seen += [fix["ts"] for fix in frame["positions"]]
    assert seen == sorted(set(seen)), "strictly increasing"
    assert len(seen) < 19


# ---- several instances, and their ends


async def test_every_instance_sees_every_record_and_one_shares_no_group(
    live: Live, rally: Any, member: Any
) -> None:
    services = [
        await live.service("a", ROLES="ingest"),
        await live.service("b", ROLES="live"),
        await live.service("c", ROLES="live"),
    ]
    browsers = [await live.browser(service, member()) for service in services[1:]]
    for browser in browsers:
        await browser.subscribe(rally.event)
    for n in range(1, 6):
        ts = live.fix(rally.device, n)
        assert [(await browser.hear())["ts"] for browser in browsers] == [ts, ts]
    names = {group["name"].decode() for group in live.source.redis.xinfo_groups(live.source.stream)}
    assert names == {"processor", "live-broadcast-b", "live-broadcast-c"}
    assert await asyncio.to_thread(services[1].stop) == 0
    assert await browsers[0].close_code() == 1012
    names = {group["name"].decode() for group in live.source.redis.xinfo_groups(live.source.stream)}
    assert names == {"processor", "live-broadcast-c"}, "a clean stop leaves nothing behind"


async def test_a_killed_instance_comes_back_under_its_name_without_a_replay(
    live: Live, rally: Any, member: Any, eventually: Any
) -> None:
    service = await live.service()
    for n in range(1, 4):
        live.fix(rally.device, n)
    await asyncio.to_thread(eventually, live.source.settled, "all are stored")
    service.kill()
    missed = live.fix(rally.device, 4)
    again = await live.service()
    browser = await live.browser(again, member())
    answer = await browser.subscribe(rally.event)
    assert [fix["ts"] for fix in answer["snapshot"]] == [missed]
    ts = live.fix(rally.device, 5)
    assert (await browser.hear())["ts"] == ts, "and nothing of what was before"


async def test_a_group_that_is_destroyed_is_made_again_where_it_stood(
    live: Live, rally: Any, member: Any
) -> None:
    service = await live.service()
    browser = await live.browser(service, member())
    await browser.subscribe(rally.event)
    first = live.fix(rally.device, 1)
    assert (await browser.hear())["ts"] == first
    live.source.redis.xgroup_destroy(live.source.stream, "live-broadcast-a")
    second = live.fix(rally.device, 2)
    assert (await browser.hear())["ts"] == second


async def test_without_business_tables_live_stays_up_with_an_empty_map_and_says_which(
    live: Live, rally: Any, member: Any, redis_url: str, timescale_url: str, service: Any
) -> None:
    running = service(
        "a",
        redis_url,
        timescale_url,
        live.source.stream,
        ROLES="ingest,live",
        DIRECTUS_BASE_URL=rally.directus.url,
        LIVE_WS_ALLOWED_ORIGINS=ORIGIN,
    )
    await asyncio.to_thread(running.ready)
    said = [line for line in running.log if line["message"] == "device_map_failed"]
    assert "entry_devices" in said[0]["sentence"]
    browser = await live.browser(running, member())
    assert (await browser.subscribe(rally.event))["snapshot"] == []
