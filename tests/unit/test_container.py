"""Every provider of the container is built, with memory adapters where a server would be needed."""

import asyncio
import json
import re
from pathlib import Path

import asyncpg
import pytest
from dependency_injector import providers

import processor
from processor.adapters.memory.membership import MemoryMembership, MemoryTrials
from processor.adapters.memory.positions import MemoryPositionSink, MemoryTable
from processor.adapters.memory.states import MemoryStateStore
from processor.adapters.memory.stream import (
    MemoryBacklog,
    MemoryDeadLetters,
    MemoryStream,
    MemoryStreamSource,
)
from processor.adapters.redis.connection import connect
from processor.core.ingest.consumer import Limits
from processor.core.ingest.intake import IntakeLimits
from processor.core.notices import InFlight, Notice
from processor.entrypoints.container import (
    CHECKS,
    RETRY_REASONS,
    Audience,
    IngestRole,
    LiveRole,
    Process,
)
from processor.entrypoints.reading import read
from processor.entrypoints.settings import RunSettings

ENVIRON = {
    "REDIS_URL": "redis://localhost:1/0",
    "POSTGRES_URL": "postgresql://localhost:1/rally",
    "BATCH_SIZE": "11",
    "BATCH_BLOCK_MS": "12",
    "WRITE_BATCH_SIZE": "13",
    "WRITE_CONCURRENCY": "14",
    "IN_FLIGHT_CAP": "15",
    "CLAIM_THRESHOLD_MS": "1600",
    "CLAIM_INTERVAL_MS": "1700",
    "DEAD_LETTER_AFTER": "18",
    "DIRECTUS_BASE_URL": "http://localhost:1",
    "METRICS_HOST": "127.0.0.1",
    "LIVE_WS_HOST": "127.0.0.1",
}


def made(settings: RunSettings) -> Process:
    """What the roles share, on a Redis that is not there."""
    return Process(settings=settings, redis=connect(settings.redis.url, timeout_s=1, name="test"))


@pytest.fixture
async def role() -> IngestRole:
    settings = read(RunSettings, ENVIRON)
    process = made(settings)
    return IngestRole(
        settings=settings,
        instance_id="a-1",
        consumer="a-1",
        redis=connect(settings.redis.url, timeout_s=1, name="test"),
        pool=asyncpg.create_pool(settings.postgres.url, min_size=0),
        recall_pool=asyncpg.create_pool(settings.postgres.url, min_size=0),
        clock=process.clock,
        chance=process.chance,
        observer=process.observer,
    )


@pytest.fixture
async def live(auth: str) -> LiveRole:
    settings = read(RunSettings, {**ENVIRON, "LIVE_AUTH": auth})
    process = made(settings)
    return LiveRole(
        settings=settings,
        instance_id="a-1",
        pool=asyncpg.create_pool(settings.postgres.url, min_size=0),
        clock=process.clock,
        chance=process.chance,
        logs=process.logs,
        metrics=process.metrics,
        readiness=process.readiness,
    )


async def test_every_provider_builds_what_the_service_is_made_of(role: IngestRole) -> None:
    for container in (role, made(role.settings())):
        for name, provider in container.providers.items():
            if not isinstance(provider, providers.Dependency | providers.Object):
                assert provider() is not None, name
    await role.source().aclose()


@pytest.mark.parametrize("auth", ["directus", "open"])
async def test_every_provider_builds_what_live_is_made_of(live: LiveRole, auth: str) -> None:
    for name, provider in live.providers.items():
        if not isinstance(provider, providers.Dependency | providers.Object):
            assert provider() is not None, name
    house = live.admission().house
    assert house.cookie_needed == (auth == "directus")
    assert house.loopback_only == (auth == "open")
    assert house.most_per_user == (5 if auth == "directus" else 2000)
    await live.feed().aclose()
    await live.directus().aclose()


PAYLOAD = {
    "device_id": "356307042441013",
    "timestamp": "2026-05-02T09:14:07.000Z",
    "latitude": 42.0,
    "longitude": 21.4,
    "altitude": 245,
    "angle": 180,
    "speed": 57,
    "satellites": 11,
    "priority": 0,
    "attributes": {"239": 1},
}


async def test_on_memory_adapters_it_is_a_pipeline(role: IngestRole) -> None:
    process = made(role.settings())
    metrics = process.metrics()
    role.observer.override(process.observer)
    stream = MemoryStream(role.clock())
    table = MemoryTable()
    role.source.override(MemoryStreamSource(stream, group="processor", consumer="a-1"))
    role.membership.override(MemoryMembership(stream, group="processor", consumer="a-1"))
    role.trials.override(MemoryTrials(stream))
    role.dead_letters.override(MemoryDeadLetters(stream, group="processor", maxlen=10))
    role.sink.override(MemoryPositionSink(table))
    role.state_store.override(MemoryStateStore(table, clock_ahead_ms=60_000))
    process.backlog.override(MemoryBacklog(stream, group="processor"))
    stream.add({b"codec": b"8E", b"payload": json.dumps(PAYLOAD).encode()})
    stream.add({b"codec": b"8E", b"payload": b"no JSON"})
    running = asyncio.create_task(role.ingest().run())
    async with asyncio.timeout(10):
        while not stream.settled("processor"):  # noqa: ASYNC110 - a stream has no event for it
            await asyncio.sleep(0.01)
        role.ingest().stop()
        await running
    assert [key[0] for key in table.rows] == ["356307042441013"]
    assert [letter[b"reason"] for letter in stream.dead_letters()] == [b"payload-not-json"]
    measured = await process.backlog().measure()
    assert (measured.lag, measured.pending, measured.dead_letters) == (0, 0, 1)
    assert b'position_writes_total{status="inserted"} 1.0' in metrics.exposition()[0]
    assert b'rehydrations_total{result="found"} 1.0' in metrics.exposition()[0]


@pytest.mark.parametrize("folder", ["postgres", "redis", "directus"])
def test_every_reason_in_the_source_is_a_series_from_the_start(folder: str) -> None:
    dependency = {"postgres": "database", "redis": "stream", "directus": "directus"}[folder]
    said = set()
    for path in (Path(processor.__file__).parent / "adapters" / folder).glob("*.py"):
        text = path.read_text(encoding="utf-8")
        said |= set(re.findall(rf'"{dependency}",\s+"([a-z-]+)"', text))
        said |= set(re.findall(r'unavailable\("([a-z-]+)"', text))
        said |= set(re.findall(r'(?:Passing|Divisible|Wrong|_Verdict)\(\s*"([a-z-]+)"', text))
    assert len(said) > (10 if dependency != "directus" else 3)
    # Raised before anything is counted: the connections cannot even be made.
    assert said - {"url", "hiredis-missing"} <= set(RETRY_REASONS[dependency])


async def test_the_settings_reach_the_loop(role: IngestRole) -> None:
    assert role.limits() == Limits(
        intake=IntakeLimits(
            read_count=11, read_wait_ms=12, claim_idle_ms=1600, claim_interval_ms=1700
        ),
        write_count=13,
        writers=14,
        in_flight=15,
        dead_letter_after=18,
    )


async def test_every_observer_hears_and_one_that_fails_stops_nobody(
    role: IngestRole, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[Notice] = []

    class Ear:
        def observe(self, notice: Notice) -> None:
            heard.append(notice)

    class Broken:
        def observe(self, notice: Notice) -> None:
            raise LookupError("a bug in an observer")

    Audience(Broken(), Ear()).observe(InFlight(3))
    assert heard == [InFlight(3)]
    assert made(role.settings()).readiness().roles() == list(CHECKS)
