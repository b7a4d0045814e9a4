"""Settings of the role `ingest`."""

from datetime import timedelta

from attrs import frozen

from processor.entrypoints.durations import Duration
from processor.entrypoints.reading import Flag, Name, Whole, setting

DAY_MS = 86_400_000


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
        "connections to PostgreSQL, per role",
        default=None,
        said="WRITE_CONCURRENCY + 1 for ingest, 4 for live",
        why="one for each writer and one for the readiness probe; snapshots have their own",
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
    dead_letter_after: int = setting(
        "DEAD_LETTER_AFTER",
        Whole(2, 1_000),
        "deliveries after which an entry is tried by itself: it may be what ends the process",
        default=5,
        why="some restarts are nobody's fault; three trials that never end make a dead letter",
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
    compress_after: timedelta | None = setting(  # noqa: RUF009 - attrs' field, as those of the others
        "POSITIONS_COMPRESS_AFTER",
        Duration("1h", "3650d"),
        "how old a day of positions is when it is compressed; needs TimescaleDB's community build",
        default=None,
        said="empty",
        why="nothing is compressed, until somebody says when late uploads have come in",
    )
    drop_after: timedelta | None = setting(  # noqa: RUF009 - attrs' field, as those of the others
        "POSITIONS_DROP_AFTER",
        Duration("1d", "3650d"),
        "how old a day of positions, and an event that protects it, is when it is dropped",
        default=None,
        said="empty",
        why="nothing is dropped, until somebody says for how long tracks are kept",
    )
    silence_ms: int = setting(
        "STREAM_SILENCE_WARN_MS",
        Whole(1_000, DAY_MS),
        "how long the stream may be silent before we say so",
        default=60_000,
        why="a tracker reports every few seconds; a minute without any is a fault or a night",
    )
