"""Migrations: in order, each once, by whoever comes first; and what does not fit is said."""

import asyncio
from urllib.parse import urlsplit

import asyncpg
import pytest

from processor.adapters.postgres.migrations import Migration, apply, convert, migrations, missing
from processor.adapters.postgres.schema import check_schema, require_schema, timescale_fault
from processor.core.errors import Refused, Unavailable

NAMES = [migration.name for migration in migrations()]

HYPERTABLE = """
    SELECT time_interval FROM timescaledb_information.dimensions
    WHERE (hypertable_schema, hypertable_name, column_name) = ('public', 'positions', 'ts')
"""


async def fetch(url, *statements):
    """The rows of the last one."""
    connection = await asyncpg.connect(url)
    try:
        rows = []
        for statement in statements:
            rows = await connection.fetch(statement)
        return [tuple(row) for row in rows]
    finally:
        await connection.close()


def test_there_are_migrations_and_they_are_numbered():
    assert NAMES[0] == "0001_positions"
    assert [int(name[:4]) for name in NAMES] == list(range(1, len(NAMES) + 1))


async def test_each_is_applied_once(database_url):
    assert await missing(database_url) == NAMES
    assert await apply(database_url) == NAMES
    assert await missing(database_url) == []
    assert await apply(database_url) == []
    assert await check_schema(database_url) == []
    await require_schema(database_url)


async def test_a_hypertable_of_days_where_timescale_is(timescale_url):
    said = []
    await apply(timescale_url, say=said.append)
    ((interval,),) = await fetch(timescale_url, HYPERTABLE)
    assert interval.days == 1
    assert said == []


async def test_the_extension_is_made_where_it_may_be(timescale_url):
    await fetch(timescale_url, "DROP EXTENSION timescaledb")
    await apply(timescale_url)
    assert await fetch(timescale_url, HYPERTABLE)


async def test_an_ordinary_table_elsewhere_and_said_once(postgres_url):
    said = []
    await apply(postgres_url, say=said.append)
    await apply(postgres_url, say=said.append)
    (sentence,) = said
    assert "ordinary table" in sentence
    assert "--convert" in sentence


async def test_an_ordinary_table_where_the_role_may_not_make_the_extension(timescale_url):
    owner = f"owner_{urlsplit(timescale_url).path[-12:]}"
    await fetch(
        timescale_url,
        "DROP EXTENSION timescaledb",
        f"CREATE ROLE {owner} LOGIN",
        f"CREATE SCHEMA processor AUTHORIZATION {owner}",
        f"GRANT CREATE ON SCHEMA public TO {owner}",
    )
    parts = urlsplit(timescale_url)
    url = parts._replace(netloc=f"{owner}@{parts.netloc.rpartition('@')[2]}").geturl()
    try:
        said = []
        assert await apply(url, say=said.append) == NAMES
        assert len(said) == 1
        with pytest.raises(Refused, match="no TimescaleDB"):
            await convert(url)
    finally:
        await fetch(timescale_url, f"DROP OWNED BY {owner} CASCADE", f"DROP ROLE {owner}")


async def test_instances_that_start_together_share_the_work(database_url):
    done = await asyncio.gather(*(apply(database_url) for _ in range(4)))
    assert sorted(name for names in done for name in names) == NAMES
    assert await check_schema(database_url) == []


async def test_a_file_that_changed_after_it_was_applied_is_refused(postgres_url):
    first = Migration("0001_first", "CREATE TABLE first (x int)")
    await apply(postgres_url, wanted=[first])
    changed = Migration("0001_first", "CREATE TABLE first (x bigint)")
    second = Migration("0002_second", "CREATE TABLE second (x int)")
    for question in (missing, apply):
        kwargs = {"wanted": [changed, second]}
        with pytest.raises(Refused, match="0001_first has changed since"):
            await question(postgres_url, **kwargs)
    assert await fetch(postgres_url, "SELECT to_regclass('second')::text") == [(None,)]


async def test_a_migration_that_fails_leaves_nothing(postgres_url):
    good = Migration("0001_good", "CREATE TABLE good (x int)")
    bad = Migration("0002_bad", "CREATE TABLE bad (x int); SELECT 1/0")
    with pytest.raises(Exception, match="division by zero"):
        await apply(postgres_url, wanted=[good, bad])
    assert await missing(postgres_url, [good, bad]) == ["0002_bad"]
    tables = await fetch(postgres_url, "SELECT to_regclass('good')::text, to_regclass('bad')::text")
    assert tables == [("good", None)]


async def test_a_newer_schema_is_no_concern_of_an_older_version(postgres_url):
    old = Migration("0001_old", "CREATE TABLE old (x int)")
    new = Migration("0002_new", "ALTER TABLE old ADD y int")
    await apply(postgres_url, wanted=[old, new])
    assert await missing(postgres_url, [old]) == []
    assert await apply(postgres_url, wanted=[old]) == []


async def test_a_migrated_database_needs_no_owner(postgres_url):
    """A service role with no right to create anything starts on a finished schema."""
    await apply(postgres_url)
    role = f"service_{urlsplit(postgres_url).path[-12:]}"
    parts = urlsplit(postgres_url)
    url = parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}").geturl()
    await fetch(
        postgres_url,
        f"CREATE ROLE {role} LOGIN",
        f"GRANT USAGE ON SCHEMA processor TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA processor TO {role}",
    )
    try:
        assert await apply(url) == []
        assert await check_schema(url) == []
    finally:
        await fetch(postgres_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


async def test_convert_keeps_the_rows(timescale_url):
    """A table that was made before TimescaleDB came."""
    await fetch(timescale_url, "DROP EXTENSION timescaledb")
    connection = await asyncpg.connect(timescale_url)
    try:
        await connection.execute("CREATE SCHEMA processor")
        for migration in migrations():
            await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO positions SELECT '356', timestamptz '2026-11-20' + n * interval '1 hour',"
            " now(), 45, 14, 0, 0, 0, 9, 0, '8', '{}' FROM generate_series(1, 100) AS n"
        )
    finally:
        await connection.close()
    assert await convert(timescale_url) is True
    assert await convert(timescale_url) is False
    assert await fetch(timescale_url, "SELECT count(*) FROM positions") == [(100,)]
    ((chunks,),) = await fetch(timescale_url, "SELECT count(*) FROM timescaledb_information.chunks")
    assert chunks == 5
    assert await check_schema(timescale_url) == []


async def test_convert_without_timescale_says_what_to_do(postgres_url):
    await apply(postgres_url)
    with pytest.raises(Refused, match="shared_preload_libraries"):
        await convert(postgres_url)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("DROP TABLE positions", "public.positions is missing, and its migration is on record"),
        (
            "ALTER TABLE positions ALTER altitude TYPE float8",
            "public.positions.altitude is double precision, and should be real",
        ),
        (
            "ALTER TABLE positions ALTER satellites DROP NOT NULL",
            "public.positions.satellites should not allow NULL",
        ),
        ("ALTER TABLE positions DROP codec", "public.positions.codec is missing"),
        (
            "ALTER TABLE positions ALTER attributes SET DEFAULT '{}'",
            "public.positions.attributes should have no default",
        ),
        (
            "DROP INDEX positions_device_id_ts_key",
            "public.positions has no unique index on (device_id, ts)",
        ),
        (
            "ALTER TABLE positions ALTER faulty DROP DEFAULT",
            "public.positions.faulty should have a default",
        ),
        (
            "ALTER TABLE positions ADD theirs int NOT NULL",
            "public.positions.theirs is not ours, allows no NULL and has no default",
        ),
        (
            "ALTER TABLE processor.track_changes ALTER device_ids TYPE text USING null",
            "processor.track_changes.device_ids is text, and should be text[]",
        ),
    ],
)
async def test_what_does_not_fit_is_said(postgres_url, change, sentence):
    await apply(postgres_url)
    await fetch(postgres_url, change)
    (fault,) = await check_schema(postgres_url)
    assert fault.startswith(sentence)
    with pytest.raises(Refused, match=sentence.partition(" ")[0]):
        await require_schema(postgres_url)


@pytest.mark.parametrize("version", ["2.17.2", "2.18.0", "1.7.5", "2.9.0"])
def test_a_timescale_that_loses_rows_is_refused(version):
    assert "#7672" in timescale_fault(version)


@pytest.mark.parametrize("version", [None, "2.18.1", "2.19.3", "2.31.0", "3.0.0-dev"])
def test_a_timescale_that_keeps_them_is_not(version):
    assert timescale_fault(version) is None


async def test_a_server_that_is_away_is_unavailable():
    with pytest.raises(Unavailable):
        await missing("postgresql://postgres@127.0.0.1:1/postgres")
