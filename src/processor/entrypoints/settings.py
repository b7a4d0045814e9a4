"""Every setting of this version, declared once: variable, kind, default, meaning, reason.

Settings stand in groups by what uses them, and each command names the groups that it uses: whoever
asks for `processor lag` need not know a password of PostgreSQL. The `why` of a default is part of
the declaration, because a number whose reason is lost is a number that nobody dares to change.
"""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from processor.entrypoints.reading import Flag, Name, OneOf, SomeOf, Url, Whole, setting

DAY_MS = 86_400_000

INSTANCE = Name(64, r"[A-Za-z0-9._-]+", "letters, digits, dot, dash, underscore")
STREAM = Name(
    256,
    r"(?:(?!,|\{[0-9]+\.\.)[!-~])+",
    "printable ASCII without blanks; one stream, no comma list and no range {0..15}",
)


@frozen
class LogSettings:
    """Who speaks, and how loudly."""

    instance_id: str | None = setting(
        "INSTANCE_ID",
        INSTANCE,
        "the name of this process, in logs, consumer group and dead letters",
        default=None,
        said="the host name",
        why="further processes on the host become -2, -3, ..; a set one must be free",
    )
    level: str = setting(
        "LOG_LEVEL",
        OneOf(("debug", "info", "warning", "error")),
        "what is too quiet to be logged",
        default="info",
        why="debug says every batch and shows tracebacks",
    )
    format: str | None = setting(
        "LOG_FORMAT",
        OneOf(("json", "pretty")),
        "JSON objects for machines, or lines for people",
        default=None,
        said="json",
        why="pretty when stderr is a terminal",
    )


@frozen
class RedisSettings:
    """The stream and our place in it."""

    url: str = setting(
        "REDIS_URL",
        Url(("redis", "rediss")),
        "the Redis server, rediss:// with TLS",
        example="redis://localhost:6379/0",
    )
    stream: str = setting(
        "REDIS_TELEMETRY_STREAM",
        STREAM,
        "the stream that the producer writes",
        default="telemetry:teltonika",
        why="the producer's own default; dead letters go to {stream}:dlq",
    )
    group: str = setting(
        "REDIS_CONSUMER_GROUP",
        Name(128),
        "our consumer group, shared by every instance",
        default="processor",
        why="instances of one group share the work, another group sees everything again",
    )


@frozen
class PostgresSettings:
    """The database and how long it may take."""

    url: str = setting(
        "POSTGRES_URL",
        Url(("postgresql", "postgres"), host_required=False),
        "the PostgreSQL database, ?sslmode=verify-full for TLS",
        example="postgresql://processor:secret@localhost:5432/rally",
    )
    statement_cache: int = setting(
        "POSTGRES_STATEMENT_CACHE",
        Whole(0, 10_000),
        "prepared statements kept per connection",
        default=100,
        why="the driver's own; 0 behind PgBouncer, which hands connections around",
    )
    statement_timeout_ms: int = setting(
        "POSTGRES_STATEMENT_TIMEOUT_MS",
        Whole(100, 600_000),
        "the longest a statement may take",
        default=15_000,
        why="a batch takes 50 ms; fifteen seconds survive a checkpoint and not a dead peer",
    )


@frozen
class IngestSettings:
    """The pipeline from stream to table."""

    consumer: str | None = setting(
        "REDIS_CONSUMER_NAME",
        Name(128),
        "this process within its consumer group",
        default=None,
        said="INSTANCE_ID",
        why="two living processes must never share one",
    )
    read_count: int = setting(
        "BATCH_SIZE",
        Whole(1, 10_000),
        "entries per read",
        default=1_000,
        why="measured: the knee of reading lies at 500 to 1000 entries",
    )
    read_wait_ms: int = setting(
        "BATCH_BLOCK_MS",
        Whole(1, 5_000),
        "how long a read waits for entries",
        default=2_000,
        why="a stop waits for the read under way; the socket timeout is this and 2 s more",
    )
    write_count: int = setting(
        "WRITE_BATCH_SIZE",
        Whole(1, 10_000),
        "records per transaction, at most",
        default=2_000,
        why="measured: a seventh faster than 1000 when behind; when not, a batch is what waits",
    )
    writers: int = setting(
        "WRITE_CONCURRENCY",
        Whole(1, 32),
        "transactions at once",
        default=3,
        why="two are twice as fast as one on two cores; a third was level to a fifth faster",
    )
    in_flight: int = setting(
        "IN_FLIGHT_CAP",
        Whole(1, 1_000_000),
        "entries read and not yet acknowledged, at most",
        default=10_000,
        why="some seconds of a hasty stream in about 10 MB; what is not read is safe in the stream",
    )
    pool_size: int | None = setting(
        "POSTGRES_POOL_SIZE",
        Whole(2, 100),
        "connections to PostgreSQL",
        default=None,
        said="WRITE_CONCURRENCY + 1",
        why="one for each writer and one for the readiness probe",
    )
    devices: int = setting(
        "DEVICE_STATE_LRU_CAP",
        Whole(1, 10_000_000),
        "devices whose last position is remembered",
        default=100_000,
        why="half a kilobyte each: 50 MB at most",
    )
    clock_ahead_ms: int = setting(
        "CLOCK_AHEAD_MS",
        Whole(0, DAY_MS),
        "how far a device's clock may run ahead and still be its last position",
        default=60_000,
        why="GPS time is right to the second; what is a minute ahead would hide what follows",
    )
    claim_idle_ms: int = setting(
        "CLAIM_THRESHOLD_MS",
        Whole(500, DAY_MS),
        "how long another consumer may sit on an entry before we take it over",
        default=60_000,
        why="longer than three statement timeouts: who still writes is not robbed",
    )
    claim_interval_ms: int = setting(
        "CLAIM_INTERVAL_MS",
        Whole(100, 3_600_000),
        "how often we look for such entries",
        default=30_000,
        why="half the threshold: a dead consumer's entries wait 90 s at most",
    )
    dead_letter_maxlen: int = setting(
        "DEAD_LETTER_MAXLEN",
        Whole(1, 1_000_000_000),
        "dead letters kept, about",
        default=1_000_000,
        why="as many as the producer keeps entries; half a gigabyte",
    )
    track_changes: bool = setting(
        "TRACK_CHANGES",
        Flag(),
        "note in the same transaction which devices got new fixes",
        default=True,
        why="racing's work list; false where racing is never used",
    )
    silence_ms: int = setting(
        "STREAM_SILENCE_WARN_MS",
        Whole(1_000, DAY_MS),
        "how long the stream may be silent before we say so",
        default=60_000,
        why="a tracker reports every few seconds; a minute without any is a fault or a night",
    )


@frozen
class ProcessSettings:
    """The process itself."""

    roles: tuple[str, ...] = setting(
        "ROLES",
        SomeOf(("ingest",), later=("live", "racing")),
        "what this process does",
        default=("ingest",),
        why="every role that this version has; live and racing come later",
    )
    migrate: bool = setting(
        "MIGRATE_ON_START",
        Flag(),
        "apply missing migrations at start",
        default=True,
        why="false leaves them to `processor migrate`, and their absence refuses the start",
    )
    shutdown_ms: int = setting(
        "SHUTDOWN_TIMEOUT_MS",
        Whole(0, 600_000),
        "how long a stop may take to finish what was read",
        default=20_000,
        why="compose and Kubernetes grant 30 s before they kill",
    )
    http_host: str = setting(
        "METRICS_HOST",
        Name(255),
        "where /metrics, /healthz and /readyz listen",
        default="0.0.0.0",  # noqa: S104 - a probe comes from outside the container
        why="probes and Prometheus come from outside the container",
    )
    http_port: int = setting(
        "METRICS_PORT",
        Whole(0, 65_535),
        "the port of those; 0 takes a free one and logs it",
        default=9_090,
        why="Prometheus' own habit",
    )


@frozen
class RunSettings:
    """What `processor run` uses, and what `processor config` shows: everything."""

    logs: LogSettings
    redis: RedisSettings
    postgres: PostgresSettings
    ingest: IngestSettings
    process: ProcessSettings

    @property
    def pool_size(self) -> int:
        """Connections to PostgreSQL: the setting, or one per writer and one for the probe."""
        return self.ingest.pool_size or self.ingest.writers + 1


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


@frozen
class LagSettings:
    """What `processor lag` uses."""

    logs: LogSettings
    redis: RedisSettings


LATER = {
    "STREAM_URL": "the stream is read from REDIS_URL",
    "DEAD_LETTER_AFTER": "an entry that ends the process each time is not set aside",
    "POSITIONS_COMPRESS_AFTER": "nothing is compressed",
    "POSITIONS_DROP_AFTER": "nothing is dropped",
}
"""Settings of ingest that a later version will have: what this one does whatever they say."""

GROUPS: tuple[type[Any], ...] = (
    LogSettings,
    RedisSettings,
    PostgresSettings,
    IngestSettings,
    ProcessSettings,
)


def doubts(settings: RunSettings, environ: Mapping[str, str]) -> list[str]:
    """What is allowed and yet probably not meant, a sentence each."""
    sentences = [
        f"{variable} is set and not in this version yet: {instead}"
        for variable, instead in LATER.items()
        if environ.get(variable, "").strip() or environ.get(f"{variable}_FILE", "").strip()
    ]
    longest_write_ms = 3 * settings.postgres.statement_timeout_ms
    if settings.ingest.claim_idle_ms < longest_write_ms:
        sentences.append(
            f"CLAIM_THRESHOLD_MS is {settings.ingest.claim_idle_ms}, less than three times "
            f"POSTGRES_STATEMENT_TIMEOUT_MS ({longest_write_ms}): entries that a slow instance "
            "still works on may be taken over and written twice over (harmless, but wasted)"
        )
    return sentences
