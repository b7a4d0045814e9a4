"""The role `live`: from the stream to browsers."""

from collections.abc import Sequence
from typing import Any

from asyncpg import Pool
from dependency_injector import containers, providers

from processor.adapters.directus.client import DirectusClient
from processor.adapters.directus.verifier import DirectusAuthVerifier
from processor.adapters.logs import Logs
from processor.adapters.metrics.ingest import Metrics
from processor.adapters.metrics.live import LiveMetrics
from processor.adapters.open_auth import OpenAuth
from processor.adapters.postgres.snapshots import PostgresSnapshots
from processor.adapters.postgres.topic_map import PostgresTopicMap
from processor.adapters.probes import LiveHearing, Readiness
from processor.adapters.redis.live_feed import RedisLiveFeed
from processor.adapters.websocket.page import page_routes
from processor.adapters.websocket.server import LiveServer
from processor.adapters.websocket.transport import WebSocketBroadcaster
from processor.core.decode import Decoder
from processor.core.live.admission import Admission, House
from processor.core.live.clients import Clients
from processor.core.live.delivery import Delivery
from processor.core.live.fanout import Fanout, FanoutLimits
from processor.core.live.newest import NewestFixes
from processor.core.live.rechecks import Rechecks
from processor.core.live.registry import Registry
from processor.core.live.session import SessionLimits
from processor.core.live.snapshot import SnapshotMaker
from processor.core.notices import AuthAsked
from processor.core.ports import Chance, Clock, Observer
from processor.entrypoints.container.process import Audience
from processor.entrypoints.exits import WrongSetup
from processor.entrypoints.settings import RunSettings


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
