"""The role `ingest`: from the stream to the table."""

from typing import Any

from asyncpg import Pool
from dependency_injector import containers, providers
from redis.asyncio import Redis

from processor.adapters.postgres.sink import PostgresPositionSink
from processor.adapters.postgres.states import PostgresStateStore
from processor.adapters.redis.dead_letters import RedisDeadLetters
from processor.adapters.redis.membership import RedisMembership
from processor.adapters.redis.source import RedisStreamSource
from processor.adapters.redis.trials import RedisTrials
from processor.core.decode import Decoder
from processor.core.ingest.consumer import Ingest, Limits
from processor.core.ingest.intake import IntakeLimits
from processor.core.ingest.recall import Recall
from processor.core.ingest.state import DeviceStates
from processor.core.ports import Chance, Clock, Observer
from processor.entrypoints.resources import RECALL_WITHIN_MS
from processor.entrypoints.settings import RunSettings


class IngestRole(containers.DeclarativeContainer):
    """From the stream to the table."""

    settings = providers.Dependency(instance_of=RunSettings)
    instance_id = providers.Dependency(instance_of=str)
    consumer = providers.Dependency(instance_of=str)
    redis: "providers.Dependency[Redis]" = providers.Dependency()
    pool: "providers.Dependency[Pool[Any]]" = providers.Dependency()
    recall_pool: "providers.Dependency[Pool[Any]]" = providers.Dependency()
    clock: "providers.Dependency[Clock]" = providers.Dependency()
    chance: "providers.Dependency[Chance]" = providers.Dependency()
    observer: "providers.Dependency[Observer]" = providers.Dependency()

    # source -> decode -> write -> acknowledge
    source = providers.Singleton(
        RedisStreamSource,
        settings.provided.redis.url,
        stream=settings.provided.redis.stream,
        group=settings.provided.redis.group,
        consumer=consumer,
        wait_ms=settings.provided.ingest.read_wait_ms,
    )
    membership = providers.Singleton(
        RedisMembership,
        redis,
        stream=settings.provided.redis.stream,
        group=settings.provided.redis.group,
        consumer=consumer,
    )
    trials = providers.Singleton(RedisTrials, redis, stream=settings.provided.redis.stream)
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
    state_store = providers.Singleton(
        PostgresStateStore,
        recall_pool,
        timeout_ms=RECALL_WITHIN_MS,
        clock_ahead_ms=settings.provided.ingest.clock_ahead_ms,
    )
    recall = providers.Singleton(Recall, state_store, states, clock, observer)
    limits = providers.Factory(
        Limits,
        intake=providers.Factory(
            IntakeLimits,
            read_count=settings.provided.ingest.read_count,
            read_wait_ms=settings.provided.ingest.read_wait_ms,
            claim_idle_ms=settings.provided.ingest.claim_idle_ms,
            claim_interval_ms=settings.provided.ingest.claim_interval_ms,
        ),
        write_count=settings.provided.ingest.write_count,
        writers=settings.provided.ingest.writers,
        in_flight=settings.provided.ingest.in_flight,
        dead_letter_after=settings.provided.ingest.dead_letter_after,
    )
    ingest = providers.Singleton(
        Ingest,
        source=source,
        membership=membership,
        trials=trials,
        decode=decoder.provided.decode,
        sink=sink,
        dead_letters=dead_letters,
        states=states,
        recall=recall,
        clock=clock,
        chance=chance,
        observer=observer,
        limits=limits,
    )
