"""Commands for whoever runs the service: `migrate`, `lag`, `config`."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import attrs
import click

from processor.adapters.postgres import migrations
from processor.adapters.postgres.survey import survey
from processor.adapters.redis.backlog import RedisBacklog
from processor.adapters.redis.connection import connect
from processor.adapters.system import SystemClock
from processor.entrypoints import show
from processor.entrypoints.exits import Exit
from processor.entrypoints.reading import declarations, read
from processor.entrypoints.reference import env_example
from processor.entrypoints.settings import (
    LagSettings,
    MigrateSettings,
    RedisSettings,
    RunSettings,
    doubts,
)

ANSWER_WITHIN_S = 5.0
"""Somebody sits and waits for the answer."""


def migrate(environ: Mapping[str, str], *, check: bool, convert: bool) -> int:
    """Apply what is missing, or only say it: exit 1 then, if anything is."""
    url = read(MigrateSettings, environ).postgres.url
    if check:
        return asyncio.run(_missing(url, convert=convert))
    with show.working("applying migrations"):
        applied = asyncio.run(migrations.apply(url, say=lambda said: click.echo(said, err=True)))
    click.echo("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")
    if convert:
        with show.working("moving the rows of positions into daily chunks; writers wait"):
            converted = asyncio.run(migrations.convert(url))
        click.echo(
            "positions is a hypertable now" if converted else "positions was a hypertable before"
        )
    return Exit.DONE


async def _missing(url: str, *, convert: bool) -> int:
    """Say what `migrate` would do, and do nothing."""
    missing = await migrations.missing(url)
    click.echo("\n".join(missing) if missing else "the schema is up to date")
    plain = convert and not (await survey(url)).hypertable
    if plain:
        click.echo("positions would become a hypertable")
    return Exit.FAILED if missing or plain else Exit.DONE


def lag(environ: Mapping[str, str], *, as_json: bool) -> int:
    """Print every group of the stream and each group's consumers."""
    settings = read(LagSettings, environ).redis
    told = asyncio.run(_lag(settings))
    if as_json:
        show.json(told)
        return Exit.DONE
    if not told["groups"]:
        click.echo(f"{settings.stream} does not exist or has no group yet: processor doctor")
        return Exit.DONE
    rows = []
    for group in told["groups"]:
        behind = (str(group["lag_entries"]), show.span(group["lag_seconds"]))
        rows.append((group["name"], "", str(group["pending"]), "", *behind))
        rows += [
            (group["name"], each["name"], str(each["pending"]), show.span(each["idle_s"]), "", "")
            for each in group["consumers"]
        ]
    columns = ("group", "consumer", "pending", "idle", "lag", "lag time")
    show.table(f"{settings.stream}, {told['dead_letters']} dead letters", columns, rows)
    return Exit.DONE


async def _lag(settings: RedisSettings) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        client = connect(settings.url, timeout_s=ANSWER_WITHIN_S, name="processor-lag")
        stack.push_async_callback(client.aclose)

        def of(group: str) -> RedisBacklog:
            return RedisBacklog(client, stream=settings.stream, group=group, clock=SystemClock())

        measured = await of(settings.group).measure()
        groups = [
            {
                "name": group.name,
                "pending": group.pending,
                "lag_entries": group.lag,
                "lag_seconds": round(group.lag_s, 3),
                "consumers": [
                    {
                        "name": each.name,
                        "pending": each.pending,
                        "idle_s": round(each.idle_s, 3),
                    }
                    for each in await of(group.name).consumers()
                ],
            }
            for group in await of(settings.group).groups()
        ]
        return {
            "stream": settings.stream,
            "last_entry_age_s": measured.last_entry_age_s,
            "headroom_s": measured.headroom_s,
            "dead_letters": measured.dead_letters,
            "groups": groups,
        }


def config(environ: Mapping[str, str], *, as_json: bool, example: bool) -> int:
    """Print the settings in force and where each comes from, secrets masked."""
    if example:
        click.echo(env_example(), nl=False)
        return Exit.DONE
    settings = read(RunSettings, environ)
    told = {}
    for attribute in attrs.fields(RunSettings):
        group = getattr(settings, attribute.name)
        for name, one in declarations(type(group)):
            value = getattr(group, name)
            shown = one.default if value is None else one.kind.show(value)
            told[one.variable] = {"value": shown, "from": _origin(environ, one.variable)}
    if as_json:
        show.json({"settings": told, "doubts": doubts(settings, environ)})
        return Exit.DONE
    rows = [(variable, each["value"], each["from"]) for variable, each in told.items()]
    show.table("settings in force", ("variable", "value", "from"), rows)
    for sentence in doubts(settings, environ):
        click.echo(sentence, err=True)
    return Exit.DONE


def _origin(environ: Mapping[str, str], variable: str) -> str:
    if environ.get(variable, "").strip():
        return "environment"
    return f"{variable}_FILE" if environ.get(f"{variable}_FILE", "").strip() else "default"
