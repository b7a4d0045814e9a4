"""The PositionSink port, sentence by sentence: in memory, on PostgreSQL and on TimescaleDB, and
there by each way of writing: arrays or COPY, straight or carefully, directly or as a pooler asks.
"""

import asyncio
import json
import random
import secrets
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

import asyncpg
import pytest

from processor.adapters.memory.positions import MemoryPositionSink, MemoryTable
from processor.adapters.postgres.pool import open_pool
from processor.adapters.postgres.sink import PostgresPositionSink
from processor.core.errors import Reason, Rejected
from processor.core.model import Position
from processor.core.ports import Outcome

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
INSERTED, DUPLICATE, CONFLICT = Outcome.INSERTED, Outcome.DUPLICATE, Outcome.CONFLICT

# way: rows from which COPY is used, whether conflicts are expected, size of the statement cache
WAYS = {
    "arrays": (1000, False, 100),
    "arrays-carefully": (1000, True, 100),
    "copy": (1, False, 100),
    "copy-staged": (1, True, 100),
    "pooler-arrays": (1000, False, 0),
    "pooler-copy-staged": (1, True, 0),
}


def fix(device_id="356", seconds=0.0, **other):
    """A fix `seconds` after noon, all of whose values real columns hold exactly."""
    values = {
        "latitude": 45.123456789,
        "longitude": -14.25,
        "altitude": 312.5,
        "angle": 87.0,
        "speed": 54.0,
        "satellites": 11,
        "priority": 0,
        "codec": "8E",
        "attributes": b'{"16":"12345678901234567890","66":12.5,"239":true}',
    }
    return Position(device_id, NOON + timedelta(seconds=seconds), **{**values, **other})


def in_order(positions):
    return sorted(positions, key=lambda p: (p.fixed_at.date(), p.device_id, p.fixed_at))


class MemoryServer:
    def __init__(self):
        self._table = MemoryTable()
        self.sink = MemoryPositionSink(self._table)

    async def rows(self):
        return in_order(self._table.rows.values())

    async def notes(self):
        return [note.spans for note in self._table.notes]

    async def counts(self):
        return len(self._table.rows), len(self._table.notes)


class PostgresServer:
    """A migrated database at `url` for its administrator, and a sink that writes in one of WAYS
    through `pool`, with the rights of the service."""

    def __init__(self, url, pool, sink):
        self._url = url
        self._pool = pool
        self._noted = 0
        self.sink = sink

    async def expect_conflicts(self):
        """Store one fix again and again, until the sink expects no better."""
        for _ in range(20):
            await self.sink.store([fix("warm-up")])
        await execute(self._url, "DELETE FROM positions")
        self._noted = await self._pool.fetchval("SELECT max(id) FROM processor.track_changes")

    async def rows(self):
        rows = await self._pool.fetch(
            "SELECT device_id, ts, latitude, longitude, altitude, angle, speed, satellites,"
            " priority, codec, attributes FROM positions"
        )
        return in_order(Position(*row.values()) for row in rows)

    async def notes(self):
        rows = await self._pool.fetch(
            "SELECT kind, device_ids, from_ts, to_ts FROM processor.track_changes"
            " WHERE id > $1 ORDER BY id",
            self._noted,
        )
        assert {row["kind"] for row in rows} <= {"fixes"}
        return [
            dict(
                zip(
                    row["device_ids"],
                    zip(row["from_ts"], row["to_ts"], strict=True),
                    strict=True,
                )
            )
            for row in rows
        ]

    async def counts(self):
        """Rows and notes at one instant: taken before the question is planned, for a plan knows
        only the chunks that were there when it was made, and the first fix of a day makes one."""
        async with (
            self._pool.acquire() as session,
            session.transaction(isolation="repeatable_read", readonly=True),
        ):
            await session.fetchval("SELECT count(*) FROM processor.track_changes")
            return tuple(
                await session.fetchrow(
                    "SELECT (SELECT count(*) FROM positions),"
                    " (SELECT count(*) FROM processor.track_changes WHERE id > $1)",
                    self._noted,
                )
            )


async def execute(url, *statements):
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def migrated():
    """One database per kind of server for this module, made when first used: kind -> URLs of
    (the server, its administrator, the service). One for each test would take minutes."""
    databases = {}
    yield databases
    for server_url, url, _ in databases.values():
        name = urlsplit(url).path.removeprefix("/")
        asyncio.run(execute(server_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(
    params=["memory"]
    + [
        pytest.param((kind, way), id=f"{kind}-{way}", marks=getattr(pytest.mark, kind))
        for kind in ("postgres", "timescale")
        for way in WAYS
    ]
)
async def table(request, migrated, rights):
    if request.param == "memory":
        yield MemoryServer()
        return
    kind, way = request.param
    copy_from, conflicts, cache = WAYS[way]
    if kind not in migrated:
        server_url = request.getfixturevalue(f"{kind}_server")
        name = f"sink_{secrets.token_hex(6)}"
        await execute(server_url, f"CREATE DATABASE {name} TEMPLATE template0")
        url = urlsplit(server_url)._replace(path=f"/{name}").geturl()
        migrated[kind] = server_url, url, rights.service(url)
    _, url, service_url = migrated[kind]
    await execute(url, "TRUNCATE positions, processor.track_changes")
    async with open_pool(
        service_url, size=2, statement_timeout_ms=15_000, statement_cache=cache
    ) as pool:
        sink = PostgresPositionSink(pool, track_changes=True, copy_from=copy_from)
        server = PostgresServer(url, pool, sink)
        if conflicts:
            await server.expect_conflicts()
        yield server


def same(stored, sent):
    """Equal in everything, the bag compared as JSON: jsonb has a layout of its own."""

    def comparable(position):
        *plain, attributes = (getattr(position, name) for name in position.__struct_fields__)
        return [*plain, json.loads(attributes, parse_int=Decimal, parse_float=Decimal)]

    return [comparable(each) for each in stored] == [comparable(each) for each in sent]


async def test_stores_every_value_as_it_is(table):
    sent = in_order(
        [
            fix("356", 0.000001, latitude=-90.0, longitude=180.0, altitude=-1e6, satellites=255),
            fix("356", 0.999999, priority=2, speed=10000.0, angle=360.0),
            fix("Ωmega 🚗", codec="16 ÄÖ", attributes='{"ключ":"знач \\"🏁\\""}'.encode()),
            fix("357", -20 * 365 * 86400, attributes=b"{}"),
            fix("x" * 64, 86400, attributes=b'{"1":-0.5e-7,"2":null,"3":[],"4":1e30}'),
        ]
    )
    assert await table.sink.store(sent) == [INSERTED] * 5
    assert same(await table.rows(), sent)


async def test_stores_nothing_of_nothing(table):
    assert list(await table.sink.store([])) == []
    assert await table.notes() == []


async def test_outcomes_answer_in_the_order_of_the_positions(table):
    await table.sink.store(in_order([fix("b", 1), fix("d", 86400)]))
    sent = in_order([fix(d, s) for d in "abcde" for s in (1, 86400)])
    outcomes = await table.sink.store(sent)
    known = {fix("b", 1).key, fix("d", 86400).key}
    assert outcomes == [DUPLICATE if each.key in known else INSERTED for each in sent]
    assert same(await table.rows(), sent)


async def test_a_stored_key_stays_as_it_is(table):
    await table.sink.store([fix(speed=10.0)])
    assert await table.sink.store([fix(speed=20.0)]) == [DUPLICATE]
    assert same(await table.rows(), [fix(speed=10.0)])


@pytest.mark.parametrize(
    ("stored", "sent", "outcome"),
    [(0, 2, CONFLICT), (1, 2, CONFLICT), (2, 2, DUPLICATE), (2, 0, DUPLICATE), (0, 1, DUPLICATE)],
)
async def test_a_panic_is_no_duplicate_of_less(table, stored, sent, outcome):
    await table.sink.store([fix(priority=stored)])
    neighbour = fix(seconds=1)
    assert await table.sink.store([fix(priority=sent), neighbour]) == [outcome, INSERTED]
    assert same(await table.rows(), [fix(priority=stored), neighbour])


async def test_the_change_note_covers_exactly_what_was_inserted(table):
    await table.sink.store(in_order([fix("a", 5), fix("b", 0), fix("c", 2)]))
    # a: stored in the middle; b: nothing new; c: stored at the end; d: over two days
    await table.sink.store(
        in_order(
            fix(device_id, seconds)
            for device_id, all_seconds in {
                "a": (4, 5, 6),
                "b": (0,),
                "c": (1, 2),
                "d": (0, 3, 86400),
            }.items()
            for seconds in all_seconds
        )
    )
    at = [NOON + timedelta(seconds=s) for s in range(7)]
    assert await table.notes() == [
        {"a": (at[5], at[5]), "b": (at[0], at[0]), "c": (at[2], at[2])},
        {"a": (at[4], at[6]), "c": (at[1], at[1]), "d": (at[0], NOON + timedelta(days=1))},
    ]


async def test_no_change_no_note(table):
    await table.sink.store([fix()])
    await table.sink.store([fix()])
    assert len(await table.notes()) == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"attributes": b'{"1":"a\\u0000b"}'},
        {"attributes": b'{"1":"\\ud800"}'},
        {"attributes": b'{"1":"\xff"}'},
        {"attributes": b'{"1":NaN}'},
        {"attributes": b'{"1":'},
        {"attributes": b"[" * 20_000 + b"]" * 20_000},
        {"device_id": "a\0b"},
        {"device_id": "\ud800"},
        {"codec": "8\0"},
        {"satellites": 32768},
        {"priority": -32769},
        {"altitude": 1e39},
    ],
    ids=lambda bad: ",".join(bad) + ascii(next(iter(bad.values())))[:14],
)
async def test_a_refused_value_stores_nothing(table, bad):
    batch = in_order([fix("a"), fix(**{"device_id": "b", **bad}), fix("z")])
    with pytest.raises(Rejected, match="SQLSTATE") as refusal:
        await table.sink.store(batch)
    assert refusal.value.reason is Reason.REFUSED_BY_DATABASE
    assert (await table.rows(), await table.notes()) == ([], [])
    # and the session is as good as before
    assert await table.sink.store([fix("a"), fix("z")]) == [INSERTED, INSERTED]


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13])
async def test_a_cancelled_call_has_stored_all_or_nothing(table, turns):
    batch = [fix("a", s) for s in range(20)]
    call = asyncio.create_task(table.sink.store(batch))
    for _ in range(turns):
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call])
    assert await table.counts() in {(0, 0), (20, 1)}
    # Whatever it is still about, the same batch again ends with every row there once.
    await table.sink.store(batch)
    assert same(await table.rows(), batch)
    assert len(await table.notes()) == 1


@pytest.mark.parametrize("seed", range(4))
async def test_behaves_as_memory_does(table, seed):
    """Batches of few keys over two days, each with its own content, against the simplest table."""
    chance = random.Random(seed)
    model = MemoryServer()
    for turn in range(12):
        keys = {
            (chance.choice("abc"), chance.choice([0, 1, 2, 86400, 86401]))
            for _ in range(chance.randint(1, 8))
        }
        batch = in_order(
            fix(device, s, priority=chance.randint(0, 2), speed=float(turn)) for device, s in keys
        )
        assert await table.sink.store(batch) == await model.sink.store(batch)
    assert same(await table.rows(), await model.rows())
    assert await table.notes() == await model.notes()


@pytest.mark.parametrize("way", WAYS)
async def test_without_change_notes(postgres_url, rights, way):
    copy_from, conflicts, cache = WAYS[way]
    async with open_pool(
        rights.service(postgres_url), size=1, statement_timeout_ms=15_000, statement_cache=cache
    ) as pool:
        sink = PostgresPositionSink(pool, track_changes=False, copy_from=copy_from)
        server = PostgresServer(postgres_url, pool, sink)
        if conflicts:
            await server.expect_conflicts()
        assert await sink.store([fix("a"), fix("b")]) == [INSERTED, INSERTED]
        assert await sink.store([fix("a"), fix("c")]) == [DUPLICATE, INSERTED]
        assert await pool.fetchval("SELECT count(*) FROM processor.track_changes") == 0


async def test_durable_on_return(postgres_url):
    """Every transaction of a writer's session waits for the disk."""
    expected = {
        "synchronous_commit": "on",
        "transaction_isolation": "read committed",
        "statement_timeout": "1234ms",
        "lock_timeout": "617ms",
        "timezone": "UTC",
        "application_name": "processor",
        "jit": "off",
    }
    async with open_pool(
        postgres_url, size=1, statement_timeout_ms=1_234, statement_cache=100
    ) as pool:
        settings = {
            name: await pool.fetchval("SELECT current_setting($1)", name) for name in expected
        }
    assert settings == expected
