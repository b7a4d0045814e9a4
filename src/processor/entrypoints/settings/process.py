"""The process itself: its name, its voice, its roles."""

from attrs import frozen

from processor.entrypoints.reading import Flag, Name, OneOf, SomeOf, Whole, setting

INSTANCE = Name(64, r"[A-Za-z0-9._-]+", "letters, digits, dot, dash, underscore")


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
class ProcessSettings:
    """The process itself."""

    roles: tuple[str, ...] = setting(
        "ROLES",
        SomeOf(("ingest", "live"), later=("racing",)),
        "what this process does",
        default=("ingest", "live"),
        why="every role that this version has; racing comes later",
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
