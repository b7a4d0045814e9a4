"""The contract of TopicMap (core/ports), sentence by sentence: in memory, on PostgreSQL and on
TimescaleDB, directly and as a pooler asks, with the columns' production types."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from processor.adapters.postgres import migrations
from processor.adapters.postgres.pool import open_reading_pool
from processor.adapters.postgres.topic_map import PostgresTopicMap
from processor.core.errors import Refused, Unavailable
from processor.core.ports import Assignment

NOON = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


def in_order(found):
    def order(assignment):
        return assignment.event_id, str(assignment.valid_from), str(assignment.valid_to)

    return {device_id: sorted(each, key=order) for device_id, each in found.items()}


async def test_a_device_is_known_by_its_imei_and_an_event_by_its_uuid(rally_tables):
    event = await rally_tables.event()
    await rally_tables.enter(event, "356307042441013")
    assert await rally_tables.topics.read() == {"356307042441013": [Assignment(event)]}
    assert event == event.lower()


async def test_a_device_in_no_event_is_not_there(rally_tables):
    assert await rally_tables.topics.read() == {}
    await rally_tables.enter(await rally_tables.event(), "a")
    assert list(await rally_tables.topics.read()) == ["a"]


async def test_an_interval_may_be_open_at_either_end(rally_tables):
    event = await rally_tables.event()
    for imei, interval in {
        "both": (NOON, LATER),
        "from": (NOON, None),
        "to": (None, LATER),
        "ever": (None, None),
    }.items():
        await rally_tables.enter(event, imei, *interval)
    assert await rally_tables.topics.read() == {
        "both": [Assignment(event, NOON, LATER)],
        "from": [Assignment(event, NOON, None)],
        "to": [Assignment(event, None, LATER)],
        "ever": [Assignment(event)],
    }


async def test_instants_are_utc_and_keep_their_microseconds(rally_tables):
    await rally_tables.enter(await rally_tables.event(), "a", NOON, LATER)
    ((assignment,),) = (await rally_tables.topics.read()).values()
    assert assignment.valid_from.utcoffset() == timedelta(0)
    assert assignment.holds(NOON)
    assert not assignment.holds(NOON - timedelta(microseconds=1))
    assert assignment.holds(LATER - timedelta(microseconds=1))
    assert not assignment.holds(LATER)


async def test_all_assignments_in_all_events_are_told(rally_tables):
    one, other = await rally_tables.event(), await rally_tables.event()
    await rally_tables.enter(one, "a", NOON, LATER)
    await rally_tables.enter(one, "a", LATER, None)
    await rally_tables.enter(other, "a")
    await rally_tables.enter(other, "b")
    expected = {
        "a": [Assignment(one, NOON, LATER), Assignment(one, LATER), Assignment(other)],
        "b": [Assignment(other)],
    }
    assert in_order(await rally_tables.topics.read()) == in_order(expected)


async def test_two_entries_that_share_a_device_are_one_assignment(rally_tables):
    event = await rally_tables.event()
    for _ in range(2):
        await rally_tables.enter(event, "a", NOON, LATER)
    assert await rally_tables.topics.read() == {"a": [Assignment(event, NOON, LATER)]}


async def test_an_interval_that_holds_nothing_is_no_assignment(rally_tables):
    event = await rally_tables.event()
    await rally_tables.enter(event, "empty", NOON, NOON)
    await rally_tables.enter(event, "reversed", LATER, NOON)
    assert await rally_tables.topics.read() == {}


async def test_every_call_reads_afresh(rally_tables):
    event = await rally_tables.event()
    await rally_tables.enter(event, "a")
    assert await rally_tables.topics.read() == await rally_tables.topics.read()
    await rally_tables.enter(event, "b")
    assert set(await rally_tables.topics.read()) == {"a", "b"}


# --------------------------------------------------------------------------------- what is missing


@pytest.mark.parametrize(
    "name",
    [
        "devices",
        "entries",
        "entry_devices",
        "devices.id",
        "devices.imei",
        "entries.id",
        "entries.event_id",
        "entry_devices.entry_id",
        "entry_devices.device_id",
    ],
)
async def test_what_is_missing_is_named_and_found_again_when_it_is_back(rally_tables, name):
    event = await rally_tables.event()
    await rally_tables.enter(event, "a")
    assert set(await rally_tables.topics.read()) == {"a"}
    await rally_tables.take_away(name)
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            await rally_tables.topics.read()
        assert (caught.value.dependency, caught.value.reason) == ("database", "business-schema")
        assert caught.value.sentence == f"public.{name} is missing"
    await rally_tables.bring_back(name)
    assert await rally_tables.topics.read() == {"a": [Assignment(event)]}


async def test_all_that_is_missing_is_named_at_once(rally_tables):
    await rally_tables.take_away("entry_devices")
    await rally_tables.take_away("devices.imei")
    with pytest.raises(Refused) as caught:
        await rally_tables.topics.read()
    sentences = caught.value.sentence.split("; ")
    assert sorted(sentences) == [
        "public.devices.imei is missing",
        "public.entry_devices is missing",
    ]


@pytest.mark.parametrize("column", ["valid_from", "valid_to"])
async def test_an_optional_column_that_is_missing_is_no_end(rally_tables, column):
    event = await rally_tables.event()
    await rally_tables.enter(event, "a", NOON, LATER)
    both = {"a": [Assignment(event, NOON, LATER)]}
    assert await rally_tables.topics.read() == both
    await rally_tables.take_away(f"entry_devices.{column}")
    without = Assignment(event, None, LATER) if column == "valid_from" else Assignment(event, NOON)
    assert await rally_tables.topics.read() == {"a": [without]}
    # and it is noticed when somebody adds it
    await rally_tables.bring_back(f"entry_devices.{column}")
    assert await rally_tables.topics.read() == both


# -------------------------------------------------------------------- what only a database can do


@pytest.fixture
async def scratch(postgres_url):
    """A connection, and a topic map on tables of this test's own."""
    await migrations.apply(postgres_url)
    connection = await asyncpg.connect(postgres_url)
    async with open_reading_pool(
        postgres_url, size=1, statement_timeout_ms=15_000, statement_cache=100
    ) as pool:
        yield connection, PostgresTopicMap(pool, timeout_ms=15_000)
    await connection.close()


def hasty(topics: PostgresTopicMap) -> PostgresTopicMap:
    """The same, for a question that gets no answer."""
    return PostgresTopicMap(topics._pool, timeout_ms=500)


TABLES = """
    CREATE TABLE devices (id {id} PRIMARY KEY, imei {imei});
    CREATE TABLE entries (id {id} PRIMARY KEY, event_id {id});
    CREATE TABLE entry_devices (entry_id {id}, device_id {id}, valid_from {at}, valid_to {at});
"""
ROWS = """
    INSERT INTO devices VALUES ('00000000-0000-0000-0000-00000000000A', '356');
    INSERT INTO entries VALUES ('00000000-0000-0000-0000-00000000000b',
        '00000000-0000-0000-0000-00000000000C');
    INSERT INTO entry_devices VALUES ('00000000-0000-0000-0000-00000000000b',
        '00000000-0000-0000-0000-00000000000A', {valid_from}, {valid_to});
"""
EVENT = "00000000-0000-0000-0000-00000000000c"


async def test_the_types_that_directus_makes_of_its_fields_are_usable(scratch):
    """String instead of text, dateTime (without a zone, meant as UTC) instead of timestamp."""
    connection, topics = scratch
    await connection.execute(
        TABLES.format(id="uuid", imei="varchar(255)", at="timestamp")
        + ROWS.format(valid_from="'2026-11-23 12:00:00.123456'", valid_to="NULL")
    )
    assert await topics.read() == {"356": [Assignment(EVENT, NOON)]}


@pytest.mark.parametrize(
    ("valid_from", "valid_to", "expected"),
    [
        ("'-infinity'", "'infinity'", [Assignment(EVENT)]),
        ("'4000-01-01 BC'", "'20000-01-01'", [Assignment(EVENT)]),
        ("'infinity'", "NULL", None),
        ("NULL", "'-infinity'", None),
    ],
)
async def test_years_beyond_the_calendar_are_no_ends(scratch, valid_from, valid_to, expected):
    connection, topics = scratch
    await connection.execute(
        TABLES.format(id="uuid", imei="text", at="timestamptz")
        + ROWS.format(valid_from=valid_from, valid_to=valid_to)
    )
    assert await topics.read() == ({"356": expected} if expected else {})


@pytest.mark.parametrize(
    ("column", "expected"), [("device_id", "uuid"), ("valid_to", "timestamp with time zone")]
)
async def test_a_type_that_is_of_no_use_is_named(scratch, column, expected):
    connection, topics = scratch
    await connection.execute(
        TABLES.format(id="uuid", imei="text", at="timestamptz")
        + ROWS.format(valid_from="NULL", valid_to="NULL")
        + f"ALTER TABLE entry_devices ALTER {column} TYPE text;"
        + "UPDATE entry_devices SET valid_to = 'soon'" * (column == "valid_to")
    )
    with pytest.raises(Refused) as caught:
        await topics.read()
    assert caught.value.reason == "business-schema"
    assert caught.value.sentence == (
        f"public.entry_devices.{column} is text, and should be {expected}"
    )


async def test_nobodys_record_is_blamed(scratch):
    connection, topics = scratch
    await connection.execute(
        TABLES.format(id="uuid", imei="text", at="timestamptz")
        + ROWS.format(valid_from="NULL", valid_to="NULL")
        + "ALTER TABLE devices RENAME TO of_devices;"
        + "CREATE VIEW devices AS SELECT id, (1 / (imei = '')::int)::text AS imei FROM of_devices"
    )
    with pytest.raises(Refused) as caught:
        await topics.read()
    assert (caught.value.reason, "22012" in caught.value.sentence) == ("unexpected", True)


async def test_a_locked_table_is_unavailable_and_nothing_of_it_goes_on(scratch):
    connection, topics = scratch
    await connection.execute(TABLES.format(id="uuid", imei="text", at="timestamptz"))
    await topics.read()
    async with connection.transaction():
        await connection.execute("LOCK TABLE entries")
        async with asyncio.timeout(10):
            with pytest.raises(Unavailable) as caught:
                await hasty(topics).read()
        assert caught.value.dependency == "database"
        assert not await connection.fetch(
            "SELECT FROM pg_stat_activity"
            " WHERE application_name = 'processor-live' AND state <> 'idle'"
        )
    assert await topics.read() == {}


async def test_a_cancelled_call_is_harmless(scratch):
    connection, topics = scratch
    await connection.execute(TABLES.format(id="uuid", imei="text", at="timestamptz"))
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: complaints.append(about))
    async with connection.transaction():
        await connection.execute("LOCK TABLE entries")
        call = asyncio.create_task(topics.read())
        await asyncio.sleep(0.1)
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
    assert await topics.read() == {}
    assert complaints == []


async def tick(ticks: list[None]) -> None:
    """At most ten a second: the time of our own loop, which a busy machine only makes slower."""
    while True:
        await asyncio.sleep(0.1)
        ticks.append(None)


async def test_a_wait_for_a_session_is_bounded_too(scratch):
    connection, topics = scratch
    await connection.execute(TABLES.format(id="uuid", imei="text", at="timestamptz"))
    async with connection.transaction():
        await connection.execute("LOCK TABLE entries")
        ticking = asyncio.create_task(tick(ticks := []))
        reads = [hasty(topics).read() for _ in range(3)]
        answers = await asyncio.gather(*reads, return_exceptions=True)
        ticking.cancel()
        assert len(ticks) < 10, "half a second together, and not one after the other"
    assert all(isinstance(answer, Unavailable) for answer in answers)


async def test_a_server_that_is_away_is_unavailable():
    async with open_reading_pool(
        "postgresql://nobody@127.0.0.1:1/x", size=1, statement_timeout_ms=1000, statement_cache=100
    ) as pool:
        with pytest.raises(Unavailable):
            await PostgresTopicMap(pool, timeout_ms=500).read()
