"""Settings of the role `live`."""

from attrs import frozen

from processor.entrypoints.reading import Flag, Name, OneOf, Origins, Url, Whole, setting


@frozen
class LiveSettings:
    """The live channel to browsers."""

    host: str = setting(
        "LIVE_WS_HOST",
        Name(255),
        "where /ws-live listens",
        default="0.0.0.0",  # noqa: S104 - browsers come from outside the container
        why="browsers come from outside the container",
    )
    port: int = setting(
        "LIVE_WS_PORT",
        Whole(0, 65_535),
        "the port of that; 0 takes a free one and logs it",
        default=8_081,
        why="beside Directus, which has 8055",
    )
    origins: tuple[str, ...] = setting(
        "LIVE_WS_ALLOWED_ORIGINS",
        Origins(),
        "the sites whose pages may connect",
        default=(),
        why="nobody, until somebody says who: a browser sends its cookies for any page",
    )
    no_origin: bool = setting(
        "LIVE_WS_ALLOW_NO_ORIGIN",
        Flag(),
        "let tools connect that send no Origin",
        default=False,
        why="browsers always send one",
    )
    ping_ms: int = setting(
        "LIVE_WS_PING_INTERVAL_MS",
        Whole(100, 3_600_000),
        "how often a browser is asked whether it is still there",
        default=30_000,
        why="proxies drop what is silent for a minute",
    )
    pong_ms: int = setting(
        "LIVE_WS_PONG_TIMEOUT_MS",
        Whole(100, 3_600_000),
        "how long its answer may take",
        default=20_000,
        why="a phone in a valley gets its chance",
    )
    drain_ms: int = setting(
        "LIVE_WS_DRAIN_TIMEOUT_MS",
        Whole(0, 600_000),
        "over how long browsers are sent away at a stop",
        default=5_000,
        why="so that they do not all come back in one second; within SHUTDOWN_TIMEOUT_MS",
    )
    stall_ms: int = setting(
        "LIVE_WS_STALL_TIMEOUT_MS",
        Whole(100, 600_000),
        "how long a browser may read nothing of what waits for it",
        default=5_000,
        why="whoever reads nothing for so long is gone, or means harm",
    )
    threshold_bytes: int = setting(
        "LIVE_WS_BACKPRESSURE_THRESHOLD_BYTES",
        Whole(1_024, 1_073_741_824),
        "how much is kept for a slow browser",
        default=1_048_576,
        why="the newest fix of five thousand devices",
    )
    frame_bytes: int = setting(
        "LIVE_WS_MAX_FRAME_BYTES",
        Whole(125, 1_048_576),
        "the longest message of a browser",
        default=16_384,
        why="a subscribe has a hundred bytes",
    )
    message_rate: int = setting(
        "LIVE_WS_MESSAGE_RATE",
        Whole(1, 10_000),
        "messages a second from one browser",
        default=10,
        why="a person clicks slower",
    )
    message_burst: int = setting(
        "LIVE_WS_MESSAGE_BURST",
        Whole(1, 10_000),
        "messages at once from one browser",
        default=20,
        why="a page subscribes to all that it shows when it is opened",
    )
    subscriptions: int = setting(
        "LIVE_WS_MAX_SUBSCRIPTIONS",
        Whole(1, 10_000),
        "events that one connection may watch",
        default=20,
        why="more than run at a time",
    )
    per_user: int = setting(
        "LIVE_WS_MAX_CONNECTIONS_PER_USER",
        Whole(1, 100_000),
        "connections of one user to one instance",
        default=5,
        why="some windows and a phone",
    )
    connections: int = setting(
        "LIVE_WS_MAX_CONNECTIONS",
        Whole(1, 100_000),
        "connections to one instance",
        default=2_000,
        why="what one core serves; start another instance for more",
    )
    prefix: str = setting(
        "LIVE_BROADCAST_GROUP_PREFIX",
        Name(64, r"[A-Za-z0-9._:-]+", "letters, digits, dot, dash, underscore, colon"),
        "what the group of each instance begins with: {prefix}-{INSTANCE_ID}",
        default="live-broadcast",
        why="so that instances know their dead siblings' groups",
    )
    read_count: int = setting(
        "LIVE_BROADCAST_BATCH_SIZE",
        Whole(1, 10_000),
        "entries per read for the live channel",
        default=500,
        why="the knee of reading; what is read at once is sent at once",
    )
    read_wait_ms: int = setting(
        "LIVE_BROADCAST_BATCH_BLOCK_MS",
        Whole(1, 5_000),
        "how long such a read waits for entries",
        default=1_000,
        why="it answers with the first entry; a stop waits for the read under way",
    )
    map_ms: int = setting(
        "LIVE_DEVICE_EVENT_REFRESH_MS",
        Whole(100, 3_600_000),
        "how often it is read which device drives in which event",
        default=30_000,
        why="a tracker is changed at a service stop; half a minute later its new car has it",
    )
    batch_ms: int = setting(
        "LIVE_BATCH_INTERVAL_MS",
        Whole(10, 10_000),
        "how often those who want batches get one",
        default=100,
        why="ten pictures a second look like motion",
    )
    snapshot_ms: int = setting(
        "LIVE_SNAPSHOT_TIMEOUT_MS",
        Whole(10, 60_000),
        "how long a snapshot may wait for the database",
        default=1_500,
        why="a client gives up after 5 s, and 3 s are Directus'",
    )
    page: bool = setting(
        "LIVE_PAGE",
        Flag(),
        "show the live page under /",
        default=False,
        why="whoever has a front end needs none",
    )
    style_url: str | None = setting(
        "LIVE_MAP_STYLE_URL",
        Url(("http", "https")),
        "a MapLibre style with tiles, for the page's map",
        default=None,
        why="without one the map has coast and borders only",
    )
    auth: str = setting(
        "LIVE_AUTH",
        OneOf(("directus", "open")),
        "who may watch: whom Directus lets, or everybody",
        default="directus",
        why="open is for a demo, and only with every listener on loopback",
    )
