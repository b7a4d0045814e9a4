"""Which part gets which: what the process has, then one table per role, in the order of the data.

Only Singleton, Factory, Selector, Object and Dependency occur, and nothing here opens or waits.
mypy cannot see into the tables, so a test builds every provider of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from asyncpg import Pool
from dependency_injector import containers, providers
from redis.asyncio import Redis

from processor import __version__
from processor.adapters.directus.client import DirectusClient
from processor.adapters.directus.errors import REASONS as DIRECTUS_REASONS
from processor.adapters.directus.verifier import DirectusAuthVerifier
from processor.adapters.logs import Logs, say
from processor.adapters.metrics.ingest import Metrics
from processor.adapters.metrics.live import LiveMetrics
from processor.adapters.open_auth import OpenAuth
from processor.adapters.postgres import errors as postgres_errors
from processor.adapters.postgres.sink import PostgresPositionSink
from processor.adapters.postgres.snapshots import PostgresSnapshots
from processor.adapters.postgres.topic_map import PostgresTopicMap
from processor.adapters.probes import LiveHearing, Readiness
from processor.adapters.redis import errors as redis_errors
from processor.adapters.redis.backlog import RedisBacklog
from processor.adapters.redis.dead_letters import RedisDeadLetters
from processor.adapters.redis.live_feed import RedisLiveFeed
from processor.adapters.redis.source import RedisStreamSource
from processor.adapters.system import SystemChance, SystemClock
from processor.adapters.websocket.page import page_routes
from processor.adapters.websocket.server import LiveServer
from processor.adapters.websocket.transport import WebSocketBroadcaster
from processor.core.decode import Decoder
from processor.core.errors import Dependency
from processor.core.ingest.consumer import Ingest, Limits
from processor.core.ingest.patience import Patience
from processor.core.ingest.state import DeviceStates
from processor.core.live.admission import Admission, House
from processor.core.live.clients import Clients
from processor.core.live.delivery import Delivery
from processor.core.live.fanout import Fanout, FanoutLimits
from processor.core.live.newest import NewestFixes
from processor.core.live.rechecks import Rechecks
from processor.core.live.registry import Registry
from processor.core.live.session import SessionLimits
from processor.core.live.snapshot import SnapshotMaker
from processor.core.notices import AuthAsked, Notice
from processor.core.ports import Chance, Clock, Observer
from processor.entrypoints.exits import WrongSetup
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
    ),
    "live": ("running", "stream", "live-stream-accepts", "live", "device-map"),
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
    "directus": sorted(DIRECTUS_REASONS),
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


def _checks(roles: Sequence[str]) -> Mapping[str, Sequence[str]]:
    return {role: CHECKS[role] for role in roles}


def _dependencies(settings: RunSettings) -> Sequence[Dependency]:
    return ("stream", "database", *(("directus",) if settings.asks_directus else ()))


class Process(containers.DeclarativeContainer):
    """What every role of a process has in common."""

    settings = providers.Dependency(instance_of=RunSettings)
    redis: "providers.Dependency[Redis]" = providers.Dependency()

    clock = providers.Singleton(SystemClock)
    chance = providers.Singleton(SystemChance)
    logs = providers.Singleton(
        Logs,
        stream=settings.provided.redis.stream,
        group=settings.provided.redis.group,
        level=settings.provided.logs.level,
        elapsed=clock.provided.elapsed,
    )
    metrics = providers.Singleton(
        Metrics,
        version=__version__,
        roles=settings.provided.process.roles,
        dependencies=providers.Factory(_dependencies, settings),
        retry_reasons=providers.Object(RETRY_REASONS),
    )
    readiness = providers.Singleton(
        Readiness,
        providers.Factory(_checks, settings.provided.process.roles),
        elapsed=clock.provided.elapsed,
    )
    observer = providers.Singleton(Audience, logs, metrics, readiness)
    patience = providers.Factory(Patience, clock, chance, observer)
    backlog = providers.Singleton(
        RedisBacklog,
        redis,
        stream=settings.provided.redis.stream,
        group=settings.provided.redis.group,
        clock=clock,
    )


class IngestRole(containers.DeclarativeContainer):
    """From the stream to the table."""

    settings = providers.Dependency(instance_of=RunSettings)
    instance_id = providers.Dependency(instance_of=str)
    consumer = providers.Dependency(instance_of=str)
    redis: "providers.Dependency[Redis]" = providers.Dependency()
    pool: "providers.Dependency[Pool[Any]]" = providers.Dependency()
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


def _house(settings: RunSettings) -> House:
    """In an open house everybody is the same user, and so the house is the bound."""
    live, is_open = settings.live, settings.live.auth == "open"
    return House(
        origins=frozenset(live.origins),
        allow_no_origin=live.no_origin,
        own_page=live.page,
        cookie_needed=not is_open,
        loopback_only=is_open,
        most=live.connections,
        most_per_user=live.connections if is_open else live.per_user,
    )


def _directus_tells(observer: Observer) -> Any:
    return lambda question, result, seconds: observer.observe(AuthAsked(question, result, seconds))


def _page(settings: RunSettings) -> Sequence[Any]:
    if not settings.live.page:
        return ()
    try:
        return page_routes(stream=settings.redis.stream, style_url=settings.live.style_url)
    except (FileNotFoundError, ValueError) as error:
        raise WrongSetup(str(error)) from error


class LiveRole(containers.DeclarativeContainer):
    """From the stream to browsers."""

    settings = providers.Dependency(instance_of=RunSettings)
    instance_id = providers.Dependency(instance_of=str)
    pool: "providers.Dependency[Pool[Any]]" = providers.Dependency()
    clock: "providers.Dependency[Clock]" = providers.Dependency()
    chance: "providers.Dependency[Chance]" = providers.Dependency()
    logs: "providers.Dependency[Logs]" = providers.Dependency()
    metrics: "providers.Dependency[Metrics]" = providers.Dependency()
    readiness: "providers.Dependency[Readiness]" = providers.Dependency()

    # who listens
    live_metrics = providers.Singleton(LiveMetrics, metrics.provided.registry)
    hearing = providers.Singleton(LiveHearing, readiness)
    observer = providers.Singleton(Audience, logs, metrics, live_metrics, hearing)

    # source -> decode -> deliver
    feed = providers.Singleton(
        RedisLiveFeed,
        settings.provided.redis.url,
        stream=settings.provided.redis.stream,
        group_prefix=settings.provided.live.prefix,
        instance_id=instance_id,
        ingest_group=settings.provided.redis.group,
        wait_ms=settings.provided.live.read_wait_ms,
    )
    decoder = providers.Singleton(Decoder)
    newest = providers.Singleton(
        NewestFixes,
        settings.provided.ingest.devices,
        settings.provided.ingest.clock_ahead_ms,
    )
    registry = providers.Singleton(Registry)
    broadcaster = providers.Singleton(WebSocketBroadcaster)
    delivery = providers.Singleton(Delivery, registry, broadcaster)
    topic_map = providers.Singleton(
        PostgresTopicMap, pool, timeout_ms=settings.provided.postgres.statement_timeout_ms
    )
    admission = providers.Singleton(Admission, providers.Factory(_house, settings))
    fanout = providers.Singleton(
        Fanout,
        feed=feed,
        admission=admission,
        decode=decoder.provided.decode,
        newest=newest,
        delivery=delivery,
        clock=clock,
        chance=chance,
        observer=observer,
        limits=providers.Factory(
            FanoutLimits,
            read_count=settings.provided.live.read_count,
            read_wait_ms=settings.provided.live.read_wait_ms,
            batch_ms=settings.provided.live.batch_ms,
        ),
    )

    # who is there, and what they may see
    directus = providers.Singleton(
        DirectusClient,
        settings.provided.directus.url,
        connections=settings.provided.directus.concurrency,
    )
    directus_verifier = providers.Singleton(
        DirectusAuthVerifier,
        directus,
        session_cookie=settings.provided.directus.cookie,
        auth_timeout_ms=settings.provided.directus.auth_ms,
        authz_timeout_ms=settings.provided.directus.authz_ms,
        recheck_ms=settings.provided.directus.recheck_ms,
        max_concurrency=settings.provided.directus.concurrency,
        max_rps=settings.provided.directus.rps,
        clock=clock,
        tell=providers.Factory(_directus_tells, observer),
    )
    verifier = providers.Selector(
        settings.provided.live.auth,
        directus=directus_verifier,
        open=providers.Singleton(OpenAuth),
    )
    snapshots = providers.Singleton(
        PostgresSnapshots,
        pool,
        timeout_ms=settings.provided.live.snapshot_ms,
        clock_ahead_ms=settings.provided.ingest.clock_ahead_ms,
    )
    clients = providers.Singleton(
        Clients,
        registry=registry,
        maker=providers.Singleton(SnapshotMaker, newest, delivery),
        snapshots=snapshots,
        verifier=verifier,
        broadcaster=broadcaster,
        clock=clock,
        observer=observer,
        limits=providers.Factory(
            SessionLimits,
            rate=settings.provided.live.message_rate,
            burst=settings.provided.live.message_burst,
            subscriptions=settings.provided.live.subscriptions,
        ),
        snapshot_timeout_ms=settings.provided.live.snapshot_ms,
    )
    rechecks = providers.Singleton(
        Rechecks,
        clients,
        every_ms=settings.provided.directus.recheck_ms,
        clock=clock,
        chance=chance,
        observer=observer,
    )
    server = providers.Singleton(
        LiveServer,
        admission=admission,
        clients=clients,
        rechecks=rechecks,
        verifier=verifier,
        clock=clock,
        observer=observer,
        routes=providers.Factory(_page, settings),
    )
