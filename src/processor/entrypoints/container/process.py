"""What every role of a process has in common."""

from collections.abc import Mapping, Sequence

from dependency_injector import containers, providers
from redis.asyncio import Redis

from processor import __version__
from processor.adapters.directus.errors import REASONS as DIRECTUS_REASONS
from processor.adapters.logs import Logs, say
from processor.adapters.metrics.ingest import Metrics
from processor.adapters.postgres import errors as postgres_errors
from processor.adapters.probes import Readiness
from processor.adapters.redis import errors as redis_errors
from processor.adapters.redis.backlog import RedisBacklog
from processor.adapters.system import SystemChance, SystemClock
from processor.core.errors import Dependency
from processor.core.ingest.patience import Patience
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
