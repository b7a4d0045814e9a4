"""schema/: what is generated is what is committed, and a real Directus makes of it what we say.

Production tables are made by Directus from the snapshot, those of tests and of the demo by
tables.sql. Were they different, every test would be about a database that nobody has.
"""

import subprocess
import sys

import pytest

from processor.adapters.postgres import migrations
from processor.entrypoints.demo import sql
from processor.entrypoints.demo.directus import SCHEMA

GENERATED = ["snapshot.yaml", "extra.sql"]

# Directus writes a default of NULL where a numeric has none, and puts its numbers into quotes.
COLUMNS = r"""
    SELECT c.relname AS table, a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type,
        a.attnotnull AS required,
        regexp_replace(nullif(pg_get_expr(d.adbin, d.adrelid), 'NULL::numeric'),
            '^''(.*)''::numeric$', '\1') AS default
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
        AND c.relname NOT LIKE 'directus%' AND c.relname <> 'positions'
"""

# Keys and CHECKs by what they say, for Directus has names of its own for them.
CONSTRAINTS = """
    SELECT conrelid::regclass::text AS table, pg_get_constraintdef(oid) AS says
    FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'u', 'f', 'c')
        AND conrelid::regclass::text NOT LIKE ALL (ARRAY['directus%', 'positions'])
"""

INDEXES = """
    SELECT indrelid::regclass::text AS table, indisunique AS unique,
        (SELECT array_agg(pg_get_indexdef(indexrelid, n, true)) FROM generate_series(1, indnatts) n)
        AS columns
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = 'public'::regnamespace
        AND indrelid::regclass::text NOT LIKE ALL (ARRAY['directus%', 'positions'])
"""


def rows(url, query):
    return sorted(tuple(map(str, row)) for row in sql.fetch(url, query))


@pytest.mark.postgres
def test_the_generated_files_are_as_tables_sql_has_them(tmp_path):
    subprocess.run([sys.executable, SCHEMA / "generate.py", tmp_path], check=True)
    for name in GENERATED:
        assert (tmp_path / name).read_text() == (SCHEMA / name).read_text(), "make schema"


def test_directus_makes_the_columns_of_tables_sql(directus, business_url):
    made = rows(directus.database_url, COLUMNS)
    assert len(made) > 200
    assert made == rows(business_url, COLUMNS)


@pytest.mark.parametrize("query", [CONSTRAINTS, INDEXES], ids=["constraints", "indexes"])
def test_directus_and_extra_sql_make_the_keys_of_tables_sql(directus, business_url, query):
    made = rows(directus.database_url, query)
    assert len(made) > 50
    assert made == rows(business_url, query)


async def test_directus_reads_back_the_snapshot_that_it_was_given(directus):
    """So a second `schema apply` finds nothing to do; least of all to drop our own tables."""
    await migrations.apply(directus.database_url)
    assert directus.snapshot() == (SCHEMA / "snapshot.yaml").read_text()


def test_extra_sql_may_be_run_again(directus, business_url):
    before = rows(business_url, CONSTRAINTS)
    for url in (directus.database_url, business_url):
        sql.execute(url, (SCHEMA / "extra.sql").read_text())
    assert rows(business_url, CONSTRAINTS) == before
