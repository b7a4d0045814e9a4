"""Connections to PostgreSQL, each set up so that a commit is durable and nothing waits for ever.

The settings that a write depends on travel in the connection's start packet. A pooler that lends
server connections by transaction (PgBouncer; POSTGRES_STATEMENT_CACHE=0) takes no such settings
and keeps neither prepared statements nor temporary tables from one transaction to the next: there
they come with each transaction's BEGIN.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from attrs import frozen

from processor.adapters.postgres.errors import FAILURES, translate
from processor.core.errors import Refused

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]
else:  # generic for the type checker only
    _Connection = asyncpg.Connection

STAGED = "pg_temp.staged_positions"

_STAGED_COLUMNS = """(
    ts timestamptz, latitude double precision, longitude double precision,
    altitude real, angle real, speed real, satellites smallint, priority smallint,
    device_id text, codec text, attributes jsonb
)"""

ANSWER_MARGIN_S = 5.0
"""How much longer than the statement timeout we wait for an answer: a server that is alive has
cancelled the statement itself by then, and says so; silence means that the connection is dead."""

LOCK_TIMEOUT_MS = 5_000
"""A writer waits for another's row locks for one commit, milliseconds; longer is a jam, and
leaving it (55P03, tried again at once) is what lets a jam dissolve. Never more than half of the
statement timeout, so that waiting is told from working."""

CONNECT_TIMEOUT_S = 10.0
"""A login over a slow line takes a second; a host that drops packets would take two minutes."""

PROBE_TIMEOUT_S = 3.0
"""Readiness is asked every 5 s and must not queue up behind itself."""

MAX_INACTIVE_S = 300.0
"""Firewalls forget idle connections after five minutes and more; we forget them first."""

PLAN_MEMORY_S = 3_600
"""Plans of prepared statements are made again every hour, so that they fit a table that grew."""


@frozen
class Opening:
    """How the sessions of a pool begin a transaction: `plain`, or `staging` with an empty STAGED
    (where they only read, there is none).

    In `direct` sessions our settings hold without a transaction, too: one statement may go alone.
    """

    plain: str
    staging: str
    direct: bool


class Session(_Connection):
    """A connection of ours. It is handed back to the pool as it is: nothing we do leaves settings,
    cursors or listeners behind, and the reset that asyncpg would send costs a round trip."""

    opening: Opening

    def get_reset_query(self) -> str:
        return ""

    async def reset(self, *, timeout: float | None = None) -> None:
        """Rolls back what an error or a cancellation left open; asyncpg would do so, too, but with
        a complaint to the event loop for each."""
        async with asyncio.timeout(timeout):
            if self.is_in_transaction():
                await self.execute("ROLLBACK")
            await super().reset()


def open_pool(
    url: str, *, size: int, statement_timeout_ms: int, statement_cache: int
) -> "asyncpg.Pool[Any]":
    """A pool of up to `size` sessions that connects when it is first used, so that it can be made
    while the server is away. `await pool` (or `async with`) before use; that connects nothing.

    A `statement_cache` of 0 means that a transaction pooler stands in between.
    """
    return _pool(
        url,
        size=size,
        statement_timeout_ms=statement_timeout_ms,
        statement_cache=statement_cache,
        name="processor",
        begin="BEGIN ISOLATION LEVEL READ COMMITTED",
        settings={"synchronous_commit": "on", "default_transaction_isolation": "read committed"},
        staging=f"CREATE TEMP TABLE {STAGED.removeprefix('pg_temp.')} {_STAGED_COLUMNS}",
    )


def open_reading_pool(
    url: str,
    *,
    size: int,
    statement_timeout_ms: int,
    statement_cache: int,
    name: str = "processor-live",
) -> "asyncpg.Pool[Any]":
    """The same for whoever only reads: its sessions have no staging table and cannot write. The
    server shows them under `name`."""
    return _pool(
        url,
        size=size,
        statement_timeout_ms=statement_timeout_ms,
        statement_cache=statement_cache,
        name=name,
        begin="BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY",
        settings={
            "default_transaction_isolation": "read committed",
            "default_transaction_read_only": "on",
            # What is read is the newest of much: back along an index until there is enough, never
            # a bitmap of all that a device ever sent, which the planner takes to be little.
            "enable_bitmapscan": "off",
            # Otherwise TimescaleDB asks of every chunk, for every device, whether the device's
            # interval touches it: 300 ms for 500 devices and 100 chunks, where to look into the
            # newest chunk's index takes 20. PostgreSQL without it keeps the setting, unused.
            "timescaledb.enable_runtime_exclusion": "off",
        },
        staging=None,
    )


LOST_AFTER = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
"""When the server gives up a client that has vanished without a word: after 25 s, in the units of
these settings. On a local socket they have no meaning, and no effect."""


def _pool(
    url: str,
    *,
    size: int,
    statement_timeout_ms: int,
    statement_cache: int,
    name: str,
    begin: str,
    settings: Mapping[str, str],
    staging: str | None,
) -> "asyncpg.Pool[Any]":
    """What `begin` says, and the defaults in `settings` say of a transaction, is the same."""
    said = {
        **settings,
        "statement_timeout": str(statement_timeout_ms),
        "lock_timeout": str(min(LOCK_TIMEOUT_MS, max(1, statement_timeout_ms // 2))),
        # What a lost connection had begun keeps its keys locked, and each retry meets them: until
        # TCP gives it up, by default after two hours. In the middle of a COPY only TCP can tell.
        "idle_in_transaction_session_timeout": str(statement_timeout_ms),
        **LOST_AFTER,
        "jit": "off",  # our statements are short; compiling them takes longer than running them
    }
    first = ""
    if statement_cache:
        opening = Opening(begin, begin, direct=True)
        if staging:
            first = f"{staging} ON COMMIT DELETE ROWS"
    else:
        local = (f"SET LOCAL {k} = '{v}'" for k, v in said.items() if not k.startswith("default_"))
        plain = "; ".join([begin, *local])
        opening = Opening(
            plain, f"{plain}; {staging} ON COMMIT DROP" if staging else plain, direct=False
        )
        said = {}

    async def init(session: Any) -> None:  # a Session, of which asyncpg's types know nothing
        session.opening = opening
        if first:
            await session.execute(first)

    return asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        max_queries=1_000_000,  # asyncpg's 50 000 is a reconnect every few minutes at our pace
        max_inactive_connection_lifetime=MAX_INACTIVE_S,
        connection_class=Session,
        init=init,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=statement_timeout_ms / 1000 + ANSWER_MARGIN_S,
        statement_cache_size=statement_cache,
        max_cached_statement_lifetime=PLAN_MEMORY_S,
        max_cacheable_statement_size=15_360,
        server_settings={"application_name": name, "timezone": "UTC", **said},
    )


@asynccontextmanager
async def session_of(pool: "asyncpg.Pool[Any]", *, timeout_s: float) -> AsyncIterator[Session]:
    """A session, waited for at most `timeout_s` seconds; given back clean, or thrown away broken.

    Everything that the driver raises inside leaves as an error of ours.
    """
    try:
        try:
            session = await pool.acquire(timeout=timeout_s)
        except ValueError as error:  # also the driver's own ClientConfigurationError
            raise Refused("database", "settings", "POSTGRES_URL cannot be used") from error
        try:
            yield session  # type: ignore[misc]  # asyncpg's proxy of it
        except (TimeoutError, asyncio.CancelledError, asyncpg.InternalServerError):
            # A server that does not answer would not answer a goodbye either, a cancelled COPY may
            # hang, and a backend that found a bug of its own (XX) is not asked again.
            session.terminate()
            raise
        finally:
            # A session in the middle of a transaction is rolled back on its way into the pool.
            await pool.release(session, timeout=PROBE_TIMEOUT_S)
    except FAILURES as error:
        raise translate(error) from error


@asynccontextmanager
async def connection_to(url: str, *, timeout_s: float) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """A connection for one errand, whose statements take `timeout_s` seconds at most each. It uses
    no prepared statement, so it also works through a pooler; errors leave as ours."""
    try:
        try:
            connection = await asyncpg.connect(
                url,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=timeout_s + ANSWER_MARGIN_S,
                statement_cache_size=0,
                server_settings={"application_name": "processor", "timezone": "UTC"},
            )
        except ValueError as error:
            raise Refused("database", "settings", "POSTGRES_URL cannot be used") from error
        try:
            yield connection
        finally:
            await connection.close(timeout=PROBE_TIMEOUT_S)
    except FAILURES as error:
        raise translate(error) from error


async def probe(pool: "asyncpg.Pool[Any]") -> None:
    """Whether PostgreSQL answers: one round trip. Raises Unavailable or Refused if not."""
    async with session_of(pool, timeout_s=PROBE_TIMEOUT_S) as session:
        await session.execute("SELECT 1", timeout=PROBE_TIMEOUT_S)
