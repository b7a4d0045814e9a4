"""`processor doctor`: does everything fit, and if not, what is to be typed next?

Each server is looked at by itself, so that one that is away hides nothing of the other. What was
found is judged by pure functions; a judgement is a row of ok, warn or fail with the next command.

The check that this command exists for is the stream's: a group on a stream with a misspelled name
looks healthy everywhere else. So silence is always shown with the streams that do have traffic.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack

from attrs import asdict

from processor.adapters.postgres import migrations
from processor.adapters.postgres.schema import check_schema, timescale_fault
from processor.adapters.postgres.survey import Survey, survey
from processor.adapters.redis.backlog import Consumer, Group, RedisBacklog, ServerFacts
from processor.adapters.redis.connection import connect
from processor.adapters.system import SystemClock
from processor.core.errors import Refused, Unavailable
from processor.core.notices import BacklogMeasured
from processor.entrypoints import show
from processor.entrypoints.doctor_live import examine_live
from processor.entrypoints.exits import Exit
from processor.entrypoints.findings import PSQL, REDIS, Finding
from processor.entrypoints.reading import masked, read
from processor.entrypoints.settings import DoctorSettings

ANSWER_WITHIN_S = 5.0
"""Somebody sits and waits for the answer."""

SILENT_S = 60.0
"""Trackers report every few seconds: a minute without any entry is worth a look."""

BUSY_WITHIN_S = 600.0
"""A stream with an entry that young has traffic, be it from a tracker that reports seldom."""

BEHIND_S = 60.0
"""Live maps are useless a minute late."""

HEADROOM_S = 3_600.0
"""An hour is what it takes to notice and to mend something before entries are lost."""

IDLE_S = 300.0
"""Five times the default after which entries are taken over: nobody has taken them."""

OLDEST_REDIS = (6, 2)
"""XAUTOCLAIM came with 6.2."""


def doctor(environ: Mapping[str, str], *, as_json: bool) -> int:
    """Examine both servers and print the findings; exit 1 if one of them is a fail."""
    settings = read(DoctorSettings, environ)
    findings = asyncio.run(_examine(settings))
    failed = any(finding.verdict == "fail" for finding in findings)
    if as_json:
        show.json({"ok": not failed, "findings": [asdict(finding) for finding in findings]})
    else:
        rows = [(f.verdict, f.check, f"{f.found}{f.next and f' -> {f.next}'}") for f in findings]
        show.table("processor doctor", ("", "check", "found -> what to do"), rows)
    return Exit.FAILED if failed else Exit.DONE


async def _examine(settings: DoctorSettings) -> list[Finding]:
    async with asyncio.TaskGroup() as tasks:
        stream = tasks.create_task(_examine_redis(settings))
        database = tasks.create_task(_examine_postgres(settings))
        live = tasks.create_task(examine_live(settings))
    return [*stream.result(), *database.result(), *live.result()]


# ---- Redis


async def _examine_redis(settings: DoctorSettings) -> list[Finding]:
    redis = settings.redis
    findings: list[Finding] = []
    try:
        async with AsyncExitStack() as stack:
            client = connect(redis.url, timeout_s=ANSWER_WITHIN_S, name="processor-doctor")
            stack.push_async_callback(client.aclose)
            backlog = RedisBacklog(
                client, stream=redis.stream, group=redis.group, clock=SystemClock()
            )
            findings += judge_server(await backlog.server_facts(), masked(redis.url))
            measured = await backlog.measure()
            busy = await backlog.busy_streams(BUSY_WITHIN_S)
            findings.append(judge_stream(redis.stream, measured, busy))
            groups, consumers = await backlog.groups(), await backlog.consumers()
            findings += judge_group(redis.group, measured, groups, consumers)
            findings.append(judge_dead_letters(redis.stream, measured.dead_letters))
    except (Unavailable, Refused) as error:
        findings.append(_unreachable("redis", "REDIS_URL", masked(redis.url), error))
    return findings


def judge_server(facts: ServerFacts, url: str) -> Iterator[Finding]:
    """Is this Redis one that keeps a stream?"""
    version = facts.version or "version not told"
    numbers = _numbers(facts.version or "")
    if numbers and numbers < OLDEST_REDIS:
        yield Finding("redis", "fail", f"{url}: {version}", "upgrade to 6.2 or newer, or to Valkey")
    elif facts.role == "slave":
        look = f"{REDIS} INFO replication (names the primary, which REDIS_URL must be)"
        yield Finding("redis", "fail", f"{url} is a replica", look)
    else:
        yield Finding("redis", "ok", f"{url}: {version}")
    match facts.eviction:
        case None:
            yield Finding(
                "redis eviction", "warn", "not told", f"{REDIS} CONFIG GET maxmemory-policy"
            )
        case policy if policy.startswith("allkeys"):
            yield Finding(
                "redis eviction",
                "fail",
                f"{policy}: under memory pressure the whole stream is thrown away",
                f"{REDIS} CONFIG SET maxmemory-policy noeviction",
            )
        case policy:
            yield Finding("redis eviction", "ok", policy)
    if facts.append_only is None:
        look = f"{REDIS} CONFIG GET appendonly"
        yield Finding("redis persistence", "warn", "not told", look)
    elif facts.append_only:
        yield Finding("redis persistence", "ok", "append-only file")
    else:
        yield Finding(
            "redis persistence",
            "warn",
            "no append-only file: a restart loses what was not read yet",
            f"{REDIS} CONFIG SET appendonly yes",
        )


def judge_stream(stream: str, measured: BacklogMeasured, busy: Sequence[str]) -> Finding:
    """Does the stream have traffic, and if not, which others have?"""
    age_s = measured.last_entry_age_s
    if age_s is not None and age_s < SILENT_S:
        return Finding("stream", "ok", f"{stream}: newest entry {show.span(age_s)} old")
    silence = "has never had an entry" if age_s is None else f"silent for {show.span(age_s)}"
    if busy:
        return Finding(
            "stream",
            "fail",
            f"{stream} {silence}, while {', '.join(busy)} has traffic",
            f"export REDIS_TELEMETRY_STREAM={busy[0]}",
        )
    return Finding(
        "stream",
        "warn",
        f"{stream} {silence}, and no other telemetry:* stream has traffic",
        f"{REDIS} XINFO STREAM {stream} (is the producer running, and on this server?)",
    )


def judge_group(
    group: str,
    measured: BacklogMeasured,
    groups: Sequence[Group],
    consumers: Sequence[Consumer],
) -> Iterator[Finding]:
    """Is the group there, does it keep up, how far is trimming, does somebody sit on entries?"""
    if not any(each.name == group for each in groups):
        yield Finding("group", "warn", f"{group} does not exist yet", "processor run")
        return
    headroom_s = measured.headroom_s
    trimming = "is not near" if headroom_s is None else f"reaches it in {show.span(headroom_s)}"
    found = (
        f"{group} is {measured.lag} entries, {show.span(measured.lag_s)} behind; "
        f"trimming {trimming}"
    )
    if headroom_s is not None and headroom_s < HEADROOM_S:
        yield Finding("group", "fail", found, "processor run (one more instance)")
    elif measured.lag_s > BEHIND_S:
        yield Finding("group", "warn", found, "processor lag")
    else:
        yield Finding("group", "ok", found)
    stuck = [each for each in consumers if each.pending and each.idle_s > IDLE_S]
    if stuck:
        names = ", ".join(
            f"{each.name} ({each.pending}, idle {show.span(each.idle_s)})" for each in stuck
        )
        found = f"entries given to {names} are not acknowledged"
        yield Finding(
            "pending", "warn", found, "processor run (any running instance takes them over)"
        )
    else:
        yield Finding("pending", "ok", f"{measured.pending} entries being worked on")


def judge_dead_letters(stream: str, count: int) -> Finding:
    if not count:
        return Finding("dead letters", "ok", "none")
    return Finding("dead letters", "warn", f"{count} in {stream}:dlq", "processor dlq list")


# ---- PostgreSQL


async def _examine_postgres(settings: DoctorSettings) -> list[Finding]:
    url = settings.postgres.url
    findings: list[Finding] = []
    try:
        found = await survey(url)
        findings += judge_database(found, masked(url))
        missing = await migrations.missing(url)
        findings.append(judge_migrations(missing))
        if not missing:  # else the tables are not what they will be
            told = timescale_fault(found.timescale)
            faults = await check_schema(url)
            findings.append(judge_schema([fault for fault in faults if fault != told]))
    except (Unavailable, Refused) as error:
        if error.reason == "migration-changed":
            look = f"{PSQL} -c 'TABLE processor.schema_migrations'"
            findings.append(Finding("migrations", "fail", error.sentence, look))
        else:
            findings.append(_unreachable("postgres", "POSTGRES_URL", masked(url), error))
    return findings


def judge_database(found: Survey, url: str) -> Iterator[Finding]:
    """Is this a PostgreSQL that keeps what it has committed?"""
    if found.standby:
        look = f"{PSQL} -c 'TABLE pg_stat_wal_receiver' (names the primary)"
        yield Finding("postgres", "fail", f"{url} is a standby", look)
    else:
        yield Finding("postgres", "ok", f"{url}: {found.version}")
    for name in ("fsync", "full_page_writes"):
        if found.settings[name] == "on":
            yield Finding(name, "ok", "on")
        else:
            yield Finding(
                name,
                "fail",
                f"{found.settings[name]}: a power cut damages what was committed",
                _alter_system(name),
            )
    commit = found.settings["synchronous_commit"]
    if commit == "off":
        yield Finding(
            "synchronous_commit",
            "warn",
            "off; our own sessions set it on, others lose what they committed last",
            _alter_system("synchronous_commit"),
        )
    else:
        yield Finding("synchronous_commit", "ok", commit)
    if found.timescale is None:
        yield Finding(
            "timescaledb",
            "warn",
            "not installed: positions is an ordinary table",
            f"{PSQL} -c 'CREATE EXTENSION timescaledb' && processor migrate --convert",
        )
    elif fault := timescale_fault(found.timescale):
        update = f"{PSQL} -X -c 'ALTER EXTENSION timescaledb UPDATE'"
        yield Finding("timescaledb", "fail", fault, update)
    elif not found.hypertable:
        yield Finding(
            "timescaledb",
            "warn",
            f"{found.timescale}, but positions is no hypertable",
            "processor migrate --convert",
        )
    else:
        yield Finding("timescaledb", "ok", found.timescale)


def judge_migrations(missing: Sequence[str]) -> Finding:
    if missing:
        names = ", ".join(missing)
        return Finding("migrations", "fail", f"not applied: {names}", "processor migrate")
    return Finding("migrations", "ok", "all applied, none changed")


def judge_schema(faults: Sequence[str]) -> Finding:
    """Do the tables have the columns, types and keys that we write by?"""
    if faults:
        look = (
            f"{PSQL} -c '\\d public.positions' -c '\\d processor.track_changes' (mend it by hand)"
        )
        return Finding("schema", "fail", "; ".join(faults), look)
    return Finding("schema", "ok", "columns, types and keys as they should be")


def _alter_system(name: str) -> str:
    return f"{PSQL} -c 'ALTER SYSTEM SET {name} = on' -c 'SELECT pg_reload_conf()'"


def _unreachable(check: str, variable: str, url: str, error: Unavailable | Refused) -> Finding:
    ask = f"{REDIS} PING" if check == "redis" else f"{PSQL} -c 'SELECT 1'"
    mend = f"check {variable}" if isinstance(error, Refused) else f"start it, or correct {variable}"
    look = f"{ask} ({mend})"
    if error.reason == "hiredis-missing":
        look = "pip install 'redis[hiredis]'"
    return Finding(check, "fail", f"{url}: {error.sentence}", look)


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers of the first dotted version in a text, to compare by."""
    found = re.search(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found.group().split("."))) if found else ()
