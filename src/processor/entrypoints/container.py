"""Which part gets which: one table per role, in the order of the data.

Only Singleton, Factory, Object and Dependency occur, and nothing here opens or waits. mypy cannot
see into the table, so a test builds every provider of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from asyncpg import Pool
from dependency_injector import containers, providers
from redis.asyncio import Redis

from processor import __version__
from processor.adapters.logs import Logs, say
from processor.adapters.metrics import Metrics
from processor.adapters.postgres import errors as postgres_errors
from processor.adapters.postgres.sink import PostgresPositionSink
from processor.adapters.probes import Readiness
from processor.adapters.redis import errors as redis_errors
from processor.adapters.redis.backlog import RedisBacklog
from processor.adapters.redis.dead_letters import RedisDeadLetters
from processor.adapters.redis.source import RedisStreamSource
from processor.adapters.system import SystemChance, SystemClock
from processor.core.decode import Decoder
from processor.core.errors import Dependency
from processor.core.ingest.consumer import Ingest, Limits
from processor.core.ingest.patience import Patience
from processor.core.ingest.state import DeviceStates
from processor.core.notices import Notice
from processor.core.ports import Observer
from processor.entrypoints.settings import RunSettings

CHECKS = {
    "ingest": (
        "running",
        "stream",
        "stream-accepts",
        "database",
        "database-accepts",
        "schema",
        "ingest",
    )
}
"""What has to hold for a role to be ready, by the names of `Readiness`."""


RETRY_REASONS: Mapping[Dependency, Sequence[str]] = {
    "stream": sorted(
        {
            verdict.reason
            for verdict in (*redis_errors.BY_CODE.values(), *redis_errors.BY_PHRASE.values())
        }
        | {"connection", "timeout", "certificate"}
    ),
    "database": sorted(postgres_errors.REASONS),
}
"""What may go wrong with whom, as the adapters' tables have it: each is a series from the start."""


class Audience:
    """Several observers as one. One that fails is said and does not stop the work."""

    def __init__(self, *observers: Observer) -> None:
        self._observers: Sequence[Observer] = observers

    def observe(self, notice: Notice) -> None:
        for observer in self._observers:
            try:
                observer.observe(notice)
            except Exception as error:  # whatever it is, the port promises that it stops here
                say("error", "observer_failed", error, observer=type(observer).__name__)


class IngestRole(containers.DeclarativeContainer):
    """From the stream to the table."""

    settings = providers.Dependency(instance_of=RunSettings)
    instance_id = providers.Dependency(instance_of=str)
    consumer = providers.Dependency(instance_of=str)
    redis: "providers.Dependency[Redis]" = providers.Dependency()
    pool: "providers.Dependency[Pool[Any]]" = providers.Dependency()

    clock = providers.Singleton(SystemClock)
    chance = providers.Singleton(SystemChance)

    # who listens
    logs = providers.Singleton(
        Logs,
        stream=settings.provided.redis.stream,
        group=settings.provided.redis.group,
        level=settings.provided.logs.level,
        elapsed=clock.provided.elapsed,
    )
    metrics = providers.Singleton(
        Metrics, version=__version__, retry_reasons=providers.Object(RETRY_REASONS)
    )
    readiness = providers.Singleton(
        Readiness, providers.Object(CHECKS), elapsed=clock.provided.elapsed
    )
    observer = providers.Singleton(Audience, logs, metrics, readiness)

    # source -> decode -> write -> acknowledge
    source = providers.Singleton(
        RedisStreamSource,
        settings.provided.redis.url,
        stream=settings.provided.redis.stream,
        group=settings.provided.redis.group,
        consumer=consumer,
        wait_ms=settings.provided.ingest.read_wait_ms,
    )
    decoder = providers.Singleton(Decoder)
    sink = providers.Singleton(
        PostgresPositionSink, pool, track_changes=settings.provided.ingest.track_changes
    )
    dead_letters = providers.Singleton(
        RedisDeadLetters,
        redis,
        stream=settings.provided.redis.stream,
        group=settings.provided.redis.group,
        instance_id=instance_id,
        maxlen=settings.provided.ingest.dead_letter_maxlen,
        clock=clock,
    )
    states = providers.Singleton(
        DeviceStates,
        settings.provided.ingest.devices,
        settings.provided.ingest.clock_ahead_ms,
    )
    limits = providers.Factory(
        Limits,
        read_count=settings.provided.ingest.read_count,
        read_wait_ms=settings.provided.ingest.read_wait_ms,
        write_count=settings.provided.ingest.write_count,
        writers=settings.provided.ingest.writers,
        in_flight=settings.provided.ingest.in_flight,
        claim_idle_ms=settings.provided.ingest.claim_idle_ms,
        claim_interval_ms=settings.provided.ingest.claim_interval_ms,
    )
    ingest = providers.Singleton(
        Ingest,
        source=source,
        decode=decoder.provided.decode,
        sink=sink,
        dead_letters=dead_letters,
        states=states,
        clock=clock,
        chance=chance,
        observer=observer,
        limits=limits,
    )

    # beside the work
    patience = providers.Factory(Patience, clock, chance, observer)
    backlog = providers.Singleton(
        RedisBacklog,
        redis,
        stream=settings.provided.redis.stream,
        group=settings.provided.redis.group,
        clock=clock,
    )
