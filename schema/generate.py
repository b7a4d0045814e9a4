"""Write snapshot.yaml and extra.sql from tables.sql: `make schema`.

PostgreSQL itself reads tables.sql: it runs on an empty database, and its catalogue says what came
of it. The snapshot is written as Directus would write it, every member, in its order and its YAML;
so `schema snapshot` of a Directus that applied it is the same text, and a second `schema apply`
finds nothing to do. What a snapshot cannot hold is in extra.sql: types that Directus does not
make, and constraints and indexes over several columns.

Usage: generate.py FOLDER
"""

import asyncio
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import attrs

from processor.entrypoints.demo.programs import DIRECTUS_VERSION
from processor.entrypoints.demo.servers import Postgres

HERE = Path(__file__).parent

# A list of its children at a parent, by the child's key: for the people at their screens, and for
# access rules, which may follow such a list (event -> organization -> users).
LISTS = {
    ("organization_users", "organization_id"): "users",
    ("classes", "event_id"): "classes",
    ("entries", "event_id"): "entries",
    ("stages", "event_id"): "stages",
    ("geofences", "event_id"): "geofences",
    ("penalty_formulas", "event_id"): "penalty_formulas",
    ("entry_crew", "entry_id"): "crew",
    ("entry_devices", "entry_id"): "devices",
    ("segments", "stage_id"): "segments",
    ("waypoints", "segment_id"): "waypoints",
    ("speed_limit_zones", "segment_id"): "speed_limit_zones",
}

# Whoever saves a decision in Directus is its author; nobody types a name or an hour.
AUTHORSHIP = {("rulings", "decided_by"): "user-created", ("rulings", "decided_at"): "date-created"}

# PostgreSQL's type -> Directus's, its special and its interface.
TYPES = {
    "uuid": ("uuid", None, "input"),
    "text": ("text", None, "input"),
    "integer": ("integer", None, "input"),
    "boolean": ("boolean", "cast-boolean", "boolean"),
    "timestamp with time zone": ("timestamp", None, "datetime"),
    "numeric": ("decimal", None, "input"),
    "double precision": ("float", None, "input"),
    "jsonb": ("json", "cast-json", "input-code"),
}

# Types that Directus knows when it meets them, but does not make: json comes, and real.
NOT_MADE = {"jsonb", "double precision"}

# As PostgreSQL reports them; a numeric has its own.
PRECISIONS = {"integer": (32, 0), "double precision": (53, None)}

GEOMETRIES = {"geometry", "location"}

COLUMNS = """
    SELECT c.relname AS table, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
        a.attnotnull AS required, pg_get_expr(d.adbin, d.adrelid) AS default,
        EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary
                AND i.indkey::text = a.attnum::text) AS is_key,
        EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique
                AND i.indkey::text = a.attnum::text) AS is_unique,
        EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND NOT i.indisunique
                AND i.indkey::text = a.attnum::text) AS is_indexed,
        f.confrelid::regclass::text AS parent, f.confdeltype AS on_delete,
        pg_get_constraintdef(k.oid) AS check
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    LEFT JOIN pg_constraint f
        ON f.conrelid = c.oid AND f.conkey = ARRAY[a.attnum] AND f.contype = 'f'
    LEFT JOIN pg_constraint k
        ON k.conrelid = c.oid AND k.conkey = ARRAY[a.attnum] AND k.contype = 'c'
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
        AND c.relname NOT LIKE 'directus%'
    ORDER BY c.relname COLLATE "C", a.attnum
"""

CONSTRAINTS = """
    SELECT conrelid::regclass::text AS table, conname AS name, pg_get_constraintdef(oid) AS says
    FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
        AND (contype = 'c' OR contype = 'u' AND cardinality(conkey) > 1)
    ORDER BY conrelid::regclass::text COLLATE "C", contype DESC, conname COLLATE "C"
"""

INDEXES = """
    SELECT pg_get_indexdef(indexrelid) AS says
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = 'public'::regnamespace AND NOT indisunique AND indnatts > 1
    ORDER BY relname COLLATE "C"
"""

ON_DELETE = {"a": "NO ACTION", "c": "CASCADE", "n": "SET NULL"}


@attrs.frozen
class Column:
    table: str
    name: str
    type: str
    required: bool
    default: str | None
    is_key: bool
    is_unique: bool
    is_indexed: bool
    parent: str | None
    on_delete: bytes | None
    check: str | None

    @property
    def choices(self) -> Sequence[str]:
        return re.findall(r"'([^']*)'::text", self.check or "")


# ------------------------------------------------------------------------------------ the snapshot


def snapshot(columns: Sequence[Column]) -> Mapping[str, Any]:
    tables: dict[str, list[Column]] = {}
    for column in columns:
        tables.setdefault(column.table, []).append(column)
    children = [column for column in columns if column.parent]
    return {
        "version": 1,
        "directus": DIRECTUS_VERSION,
        "vendor": "postgres",
        "collections": [_collection(table, of) for table, of in tables.items()],
        "fields": [
            field
            for table, of in tables.items()
            for field in [*_fields(of), *_lists(table, len(of), children)]
        ],
        # Directus's own indexes: without them here it would drop them.
        "systemFields": [
            {"collection": collection, "field": field, "schema": {"is_indexed": True}}
            for collection, field in [
                ("directus_activity", "timestamp"),
                ("directus_revisions", "activity"),
                ("directus_revisions", "parent"),
            ]
        ],
        "relations": [_relation(column, tables) for column in children],
    }


def _collection(table: str, columns: Sequence[Column]) -> Mapping[str, Any]:
    names = {column.name for column in columns}
    shown = next((n for n in ("natural_key", "race_number", "imei", "name") if n in names), None)
    return {
        "collection": table,
        "meta": {
            "accountability": "all",
            "archive_app_filter": True,
            "archive_field": None,
            "archive_value": None,
            "collapse": "open",
            "collection": table,
            "color": None,
            "display_template": shown and f"{{{{{shown}}}}}",
            "group": None,
            "hidden": False,
            "icon": None,
            "item_duplication_fields": None,
            "note": "written by the processor" if "natural_key" in names else None,
            "preview_url": None,
            "singleton": False,
            "sort": None,
            "sort_field": "sort_order" if "sort_order" in names else None,
            "translations": None,
            "unarchive_value": None,
            "versioning": False,
        },
        "schema": {"name": table},
    }


def _fields(columns: Sequence[Column]) -> Iterator[Mapping[str, Any]]:
    ours = any(column.name == "natural_key" for column in columns)
    for sort, column in enumerate(columns, start=1):
        base = column.type.partition("(")[0]
        kind, special, interface = TYPES[base]
        options: Mapping[str, Any] | None = None
        if column.is_key:
            special = "uuid"
        elif column.parent:
            special, interface = "m2o", "select-dropdown-m2o"
        elif column.choices:
            interface = "select-dropdown"
            options = {"choices": [{"text": each, "value": each} for each in column.choices]}
        elif column.name in GEOMETRIES:
            interface = "map"
        specials = [special, AUTHORSHIP.get((column.table, column.name))]
        yield {
            "collection": column.table,
            "field": column.name,
            "type": kind,
            "meta": _meta(
                column.table,
                column.name,
                hidden=column.is_key,
                interface=interface,
                options=options,
                readonly=column.is_key or ours,
                required=column.required and column.default is None and not column.is_key,
                sort=sort,
                special=[each for each in specials if each] or None,
            ),
            "schema": _schema(column),
        }


def _lists(table: str, after: int, children: Sequence[Column]) -> Iterator[Mapping[str, Any]]:
    lists = [
        LISTS[child.table, child.name]
        for child in children
        if child.parent == table and (child.table, child.name) in LISTS
    ]
    for sort, name in enumerate(lists, start=after + 1):
        meta = _meta(table, name, interface="list-o2m", sort=sort, special=["o2m"])
        yield {"collection": table, "field": name, "type": "alias", "meta": meta}


def _meta(collection: str, field: str, **ours: Any) -> Mapping[str, Any]:
    usual = {
        "collection": collection,
        "conditions": None,
        "display": None,
        "display_options": None,
        "field": field,
        "group": None,
        "hidden": False,
        "interface": "input",
        "note": None,
        "options": None,
        "readonly": False,
        "required": False,
        "searchable": True,
        "sort": None,
        "special": None,
        "translations": None,
        "validation": None,
        "validation_message": None,
        "width": "full",
    }
    return usual | ours


def _schema(column: Column) -> Mapping[str, Any]:
    base, _, digits = column.type.rstrip(")").partition("(")
    precision, scale = PRECISIONS.get(base, (None, None))
    if digits:
        precision, scale = (int(each) for each in digits.split(","))
    return {
        "name": column.name,
        "table": column.table,
        "data_type": base,
        "default_value": _default(column.default),
        "max_length": None,
        "numeric_precision": precision,
        "numeric_scale": scale,
        "is_nullable": not column.required,
        "is_unique": column.is_unique,
        "is_indexed": column.is_indexed,
        "is_primary_key": column.is_key,
        "is_generated": False,
        "generation_expression": None,
        "has_auto_increment": False,
        "foreign_key_table": column.parent,
        "foreign_key_column": "id" if column.parent else None,
    }


def _default(written: str | None) -> Any:
    if written is None or written == "gen_random_uuid()":
        return written
    if written.startswith("'"):
        return written.split("'")[1]
    return {"true": True, "false": False}[written] if written.isalpha() else int(written)


def _relation(column: Column, tables: Mapping[str, Sequence[Column]]) -> Mapping[str, Any]:
    listed = LISTS.get((column.table, column.name))
    ordered = any(sibling.name == "sort_order" for sibling in tables[column.table])
    return {
        "collection": column.table,
        "field": column.name,
        "related_collection": column.parent,
        "meta": {
            "junction_field": None,
            "many_collection": column.table,
            "many_field": column.name,
            "one_allowed_collections": None,
            "one_collection": column.parent,
            "one_collection_field": None,
            "one_deselect_action": "nullify",
            "one_field": listed,
            "sort_field": "sort_order" if listed and ordered else None,
        },
        "schema": {
            "table": column.table,
            "column": column.name,
            "foreign_key_table": column.parent,
            "foreign_key_column": "id",
            "constraint_name": f"{column.table}_{column.name}_foreign",
            "on_update": "NO ACTION",
            "on_delete": ON_DELETE[(column.on_delete or b"").decode()],
        },
    }


# ------------------------------------------------------------------------------------------- YAML

# What Directus's writer leaves without quotes, of the words that occur here.
PLAIN = re.compile(r"[A-Za-z][\w .()-]*|\d+\.\d+\.\d+")
NOT_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def yaml(value: Any, indent: str = "") -> Iterator[str]:
    """Lines of a list or mapping, in the manner of Directus's own writer."""
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from _member(f"{indent}{_scalar(key)}:", member, indent + "  ")
    else:
        for member in value:
            first, *rest = yaml(member, indent + "  ") if _nested(member) else [_scalar(member)]
            yield f"{indent}- {first.lstrip()}"
            yield from rest


def _member(start: str, member: Any, indent: str) -> Iterator[str]:
    if _nested(member):
        yield start
        yield from yaml(member, indent)
    else:
        yield f"{start} {_scalar(member)}"


def _nested(value: Any) -> bool:
    return isinstance(value, (Mapping, list))


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if not isinstance(value, str):
        return str(value).lower()
    plain = PLAIN.fullmatch(value) and value.lower() not in NOT_WORDS
    doubled = value.replace("'", "''")
    return value if plain else f"'{doubled}'"


# -------------------------------------------------------------------------------------- extra.sql

EXTRA = """\
-- What a Directus snapshot cannot hold. Run it after `schema apply`; it may be run again.
-- Written by `make schema` from tables.sql: change that one.
SET client_min_messages = warning;
BEGIN;

-- Directus makes json, and real, of which a coordinate needs twice the digits.
{types}

{constraints}

{indexes}

COMMIT;
"""


def extra(columns: Sequence[Column], constraints: Sequence[Any], indexes: Sequence[Any]) -> str:
    return EXTRA.format(
        types="\n".join(
            f"ALTER TABLE {column.table} ALTER COLUMN {column.name} TYPE {column.type};"
            for column in columns
            if column.type in NOT_MADE
        ),
        constraints="\n".join(
            f"ALTER TABLE {each['table']} DROP CONSTRAINT IF EXISTS {each['name']},\n"
            f"    ADD CONSTRAINT {each['name']} {_readable(each['says'])};"
            for each in constraints
        ),
        indexes="\n".join(
            each["says"].replace("CREATE INDEX", "CREATE INDEX IF NOT EXISTS", 1) + ";"
            for each in indexes
        ),
    )


def _readable(constraint: str) -> str:
    return re.sub(r" = ANY \(ARRAY\[(.*?)\]\)", r" IN (\1)", constraint).replace("::text", "")


async def written(url: str) -> Mapping[str, str]:
    """The files' texts by name, from an empty database."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute((HERE / "tables.sql").read_text(encoding="utf-8"))
        columns = [Column(**row) for row in await connection.fetch(COLUMNS)]
        constraints = await connection.fetch(CONSTRAINTS)
        indexes = await connection.fetch(INDEXES)
    finally:
        await connection.close()
    return {
        "snapshot.yaml": "\n".join(yaml(snapshot(columns))) + "\n",
        "extra.sql": extra(columns, constraints, indexes),
    }


if __name__ == "__main__":
    with Postgres() as server:
        for name, text in asyncio.run(written(server.url)).items():
            (Path(sys.argv[1]) / name).write_text(text, encoding="utf-8")
