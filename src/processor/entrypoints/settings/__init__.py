"""Every setting of this version, declared once: variable, kind, default, meaning, reason.

Settings stand in groups by what uses them, and each command names the groups that it uses: whoever
asks for `processor lag` need not know a password of PostgreSQL. The `why` of a default is part of
the declaration, because a number whose reason is lost is a number that nobody dares to change.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from processor.entrypoints.settings.ingest import IngestSettings
from processor.entrypoints.settings.live import LiveSettings
from processor.entrypoints.settings.process import LogSettings, ProcessSettings
from processor.entrypoints.settings.servers import (
    EXAMPLE_DIRECTUS,
    DirectusSettings,
    PostgresSettings,
    RedisSettings,
)

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Hosts that nobody else reaches."""

LIVE_POOL_SIZE = 4
"""Two snapshots with trails at a time, each in some ten milliseconds: a crowd that comes back after
a restart is served within seconds, and the database has others to serve."""

__all__ = [
    "DirectusSettings",
    "IngestSettings",
    "LiveSettings",
    "LogSettings",
    "PostgresSettings",
    "ProcessSettings",
    "RedisSettings",
]


@frozen
class RunSettings:
    """What `processor run` uses, and what `processor config` shows: everything."""

    logs: LogSettings
    redis: RedisSettings
    postgres: PostgresSettings
    ingest: IngestSettings
    live: LiveSettings
    directus: DirectusSettings
    process: ProcessSettings

    @classmethod
    def conflicts(cls, groups: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """What is wrong between settings that are right each by itself."""
        process, live, directus = (groups.get(name) for name in ("process", "live", "directus"))
        if not (process and live and directus) or "live" not in process.roles:
            return
        if live.auth == "directus" and directus.url is None:
            ways_out = f"for instance {EXAMPLE_DIRECTUS}; or leave live out with ROLES=ingest"
            yield "DIRECTUS_BASE_URL", f"missing; where Directus answers, {ways_out}"
        hosts = {"LIVE_WS_HOST": live.host, "METRICS_HOST": process.http_host}
        outside = [variable for variable, host in hosts.items() if host not in LOOPBACK]
        if live.auth == "open" and outside:
            places = f"{' and '.join(outside)} must be one of {', '.join(LOOPBACK)}"
            yield "LIVE_AUTH", f"open lets everybody in, so {places}"

    @property
    def asks_directus(self) -> bool:
        """Does a role of this process ask Directus?"""
        return "live" in self.process.roles and self.live.auth == "directus"

    @property
    def pool_size(self) -> int:
        """Connections to PostgreSQL: the setting, or one per writer and one for the probe."""
        return self.ingest.pool_size or self.ingest.writers + 1

    @property
    def live_pool_size(self) -> int:
        """Connections to PostgreSQL of the role live, which only reads: the setting, or 4."""
        return self.ingest.pool_size or LIVE_POOL_SIZE


@frozen
class MigrateSettings:
    """What `processor migrate` uses."""

    logs: LogSettings
    postgres: PostgresSettings


@frozen
class DoctorSettings:
    """What `processor doctor` uses."""

    logs: LogSettings
    redis: RedisSettings
    postgres: PostgresSettings
    directus: DirectusSettings


@frozen
class StreamSettings:
    """What `processor dlq` and `processor rewind` use."""

    logs: LogSettings
    redis: RedisSettings


@frozen
class ClaimSettings:
    """What `processor claim` uses."""

    logs: LogSettings
    redis: RedisSettings
    postgres: PostgresSettings
    ingest: IngestSettings

    @property
    def as_run(self) -> RunSettings:
        """As those of a process that does nothing but ingest."""
        return RunSettings(
            logs=self.logs,
            redis=self.redis,
            postgres=self.postgres,
            ingest=self.ingest,
            live=LiveSettings(),
            directus=DirectusSettings(),
            process=ProcessSettings(roles=("ingest",)),
        )


@frozen
class LagSettings:
    """What `processor lag` uses."""

    logs: LogSettings
    redis: RedisSettings


LATER = {
    "STREAM_URL": "the stream is read from REDIS_URL",
}
"""Settings of ingest that a later version will have: what this one does whatever they say."""

GROUPS: tuple[type[Any], ...] = (
    LogSettings,
    RedisSettings,
    PostgresSettings,
    IngestSettings,
    LiveSettings,
    DirectusSettings,
    ProcessSettings,
)


def doubts(settings: RunSettings, environ: Mapping[str, str]) -> list[str]:
    """What is allowed and yet probably not meant, a sentence each."""
    sentences = [
        f"{variable} is set and not in this version yet: {instead}"
        for variable, instead in LATER.items()
        if environ.get(variable, "").strip() or environ.get(f"{variable}_FILE", "").strip()
    ]
    drop, compress = settings.ingest.drop_after, settings.ingest.compress_after
    if drop and compress and compress >= drop:
        sentences.append(
            "POSITIONS_COMPRESS_AFTER is not shorter than POSITIONS_DROP_AFTER: chunks are dropped "
            "before their turn to be compressed comes"
        )
    longest_write_ms = 3 * settings.postgres.statement_timeout_ms
    if settings.ingest.claim_idle_ms < longest_write_ms:
        sentences.append(
            f"CLAIM_THRESHOLD_MS is {settings.ingest.claim_idle_ms}, less than three times "
            f"POSTGRES_STATEMENT_TIMEOUT_MS ({longest_write_ms}): entries that a slow instance "
            "still works on may be taken over and written twice over (harmless, but wasted)"
        )
    return sentences
