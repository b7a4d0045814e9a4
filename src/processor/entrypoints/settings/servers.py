"""The servers that we need, and how to reach them."""

from attrs import frozen

from processor.entrypoints.reading import Name, Url, Whole, setting

DAY_MS = 86_400_000
EXAMPLE_DIRECTUS = "http://localhost:8055"

STREAM = Name(
    256,
    r"(?:(?!,|\{[0-9]+\.\.)[!-~])+",
    "printable ASCII without blanks; one stream, no comma list and no range {0..15}",
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
class DirectusSettings:
    """Directus, which decides who may see what."""

    url: str | None = setting(
        "DIRECTUS_BASE_URL",
        Url(("http", "https")),
        "where Directus answers",
        default=None,
        said="required where live runs",
        example=EXAMPLE_DIRECTUS,
    )
    cookie: str = setting(
        "DIRECTUS_SESSION_COOKIE",
        Name(64, r"[A-Za-z0-9._-]+", "letters, digits, dot, dash, underscore"),
        "the name of its session cookie",
        default="directus_session_token",
        why="Directus' own; it only tells which browsers may share an answer",
    )
    auth_ms: int = setting(
        "DIRECTUS_AUTH_TIMEOUT_MS",
        Whole(10, 60_000),
        "how long it may take to say who somebody is",
        default=5_000,
        why="a handshake may wait; longer is a Directus that is away",
    )
    authz_ms: int = setting(
        "DIRECTUS_AUTHZ_TIMEOUT_MS",
        Whole(10, 60_000),
        "how long it may take to say what somebody may read",
        default=3_000,
        why="a client gives up after 5 s, and the snapshot comes after it",
    )
    recheck_ms: int = setting(
        "DIRECTUS_RECHECK_MS",
        Whole(1_000, DAY_MS),
        "how often a connected browser's session and events are looked at again",
        default=60_000,
        why="whoever is logged out sees nothing a minute later",
    )
    concurrency: int = setting(
        "DIRECTUS_MAX_CONCURRENCY",
        Whole(1, 1_000),
        "questions to Directus at once",
        default=8,
        why="it has others to serve",
    )
    rps: int = setting(
        "DIRECTUS_MAX_RPS",
        Whole(1, 10_000),
        "questions to Directus a second",
        default=20,
        why="it answers 70 to 100, and has others to serve",
    )
