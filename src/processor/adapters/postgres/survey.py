"""One look at a database server, for `processor doctor`; `schema.py` looks at our tables."""

from collections.abc import Mapping

from attrs import frozen

from processor.adapters.postgres.pool import connection_to

ANSWER_WITHIN_S = 5.0
"""Somebody sits and waits for the answer; a question about settings takes milliseconds."""

DURABILITY = ("fsync", "full_page_writes", "synchronous_commit")


@frozen
class Survey:
    """`settings` are those of DURABILITY. `timescale` is the extension's version, None where it is
    not installed; `hypertable` whether `positions` is one."""

    version: str
    settings: Mapping[str, str]
    standby: bool
    timescale: str | None
    hypertable: bool


async def survey(url: str) -> Survey:
    """Raises Unavailable, Refused."""
    async with connection_to(url, timeout_s=ANSWER_WITHIN_S) as connection:
        server = await connection.fetchrow(
            """SELECT current_setting('server_version') AS version,
                pg_is_in_recovery() AS standby,
                (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS timescale"""
        )
        assert server is not None, "a SELECT without FROM has one row"
        settings = {name: await connection.fetchval(f"SHOW {name}") for name in DURABILITY}
        hypertable = server["timescale"] is not None and await connection.fetchval(
            """SELECT EXISTS (
                SELECT FROM timescaledb_information.hypertables
                WHERE (hypertable_schema, hypertable_name) = ('public', 'positions'))"""
        )
    return Survey(
        version=server["version"],
        settings=settings,
        standby=server["standby"],
        timescale=server["timescale"],
        hypertable=hypertable,
    )
