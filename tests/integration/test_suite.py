"""The suite's own promises: nothing is skipped silently, and markers come with the fixtures."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
import redis

CONFTEST = Path(__file__).parents[1] / "conftest.py"

TWO_WORKERS = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")

TESTS = """
import pytest

def test_passes(): pass

@pytest.mark.skipif("{skips}", reason="for a reason")
def test_may_be_skipped(): pass
"""

MARKED = """
import pytest

@pytest.fixture
def through(redis_url): ...

@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.redis)])
def lazily(request): ...

def test_none(stream_name): ...
def test_redis(redis_url): ...
def test_through(through): ...
def test_lazily(lazily): ...
def test_own(own_postgres): ...
def test_both(database_url): ...
"""


@pytest.fixture
def run(tmp_path):
    """Run pytest on a text with our conftest: the exit status and what was printed."""

    def run(text, *arguments, **environment):
        (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
        (tmp_path / "test_it.py").write_text(text)
        kept = {name: value for name, value in os.environ.items() if name != "CI"}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, "."],
            cwd=tmp_path,
            env=kept | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    return run


@pytest.fixture(params=[(), TWO_WORKERS], ids=["alone", "two workers"])
def workers(request):
    return request.param


def test_a_skip_is_counted_with_its_reason(run, workers):
    status, printed = run(TESTS.format(skips="True"), *workers)
    assert status == 0
    assert "\n1 skipped\n  1 x for a reason" in printed
    assert "1 passed, 1 skipped in " in printed.splitlines()[-1]


def test_a_skip_fails_the_run_on_ci(run, workers):
    status, printed = run(TESTS.format(skips="True"), *workers, CI="true")
    assert status == 1
    assert "on CI nothing may be skipped" in printed


def test_a_file_that_is_skipped_as_a_whole_is_a_skip(run, tmp_path, workers):
    skipped = "import pytest\npytest.skip('as a whole', allow_module_level=True)"
    (tmp_path / "test_other.py").write_text(skipped)
    status, printed = run("def test_passes(): ...", *workers, CI="true")
    assert status == 1
    assert "\n1 skipped\n  1 x as a whole" in printed


def test_no_skip_is_told_too_and_passes_on_ci(run):
    status, printed = run(TESTS.format(skips="False"), *TWO_WORKERS, CI="true")
    assert status == 0
    assert "\n0 skipped" in printed
    assert "2 passed in " in printed.splitlines()[-1]


def test_which_servers_there_were_is_told(run, workers):
    _, printed = run("def test_it(redis_url): ...", *workers)
    assert "\nredis: " in printed


def test_what_takes_long_is_given_out_first(run, tmp_path):
    for folder in ("contracts", "e2e", "unit"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"test_{folder}.py").write_text("def test_it(): ...")
    _, printed = run("", *TWO_WORKERS, "-n", "1", "-vv")
    told = [line.split()[-1] for line in printed.splitlines() if " PASSED " in line]
    assert told == [
        f"{folder}/test_{folder}.py::test_it" for folder in ("e2e", "contracts", "unit")
    ]


@pytest.mark.parametrize(
    ("marker", "selected"),
    [
        ("redis", {"test_redis", "test_through", "test_lazily[real]"}),
        ("postgres", {"test_own", "test_both[plain]"}),
        ("timescale", {"test_both[timescale]"}),
        ("not redis and not postgres and not timescale", {"test_none", "test_lazily[memory]"}),
    ],
)
def test_markers_come_with_the_fixtures(run, marker, selected):
    _, printed = run(MARKED, "--collect-only", "-m", marker)
    lines = printed.splitlines()
    assert {line.split("::")[1] for line in lines if "::" in line} == selected


ON_A_BARE_MACHINE = """
from pathlib import Path
from processor.entrypoints.demo import programs
programs.DEBIAN_POSTGRES = Path("/no/packages")

def test_it(timescale_url): ...
"""


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_a_missing_server_says_what_to_install(run, tmp_path, ci, status):
    bare = {
        "TEST_TIMESCALE_URL": "",
        "XDG_CACHE_HOME": str(tmp_path),
        "DOCKER_HOST": f"unix://{tmp_path}/no-socket",
    }
    returned, printed = run(ON_A_BARE_MACHINE, CI=ci, **bare)
    assert returned == status
    assert "no TimescaleDB: make timescale" in printed


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_a_missing_browser_says_what_to_install(run, tmp_path, ci, status):
    returned, printed = run("def test_it(chromium): ...", CI=ci, PATH=str(tmp_path))
    assert returned == status
    assert "no Chromium: apt install chromium" in printed


async def query(url, statement):
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize("turn", [1, 2])
def test_redis_is_empty_for_each_test(redis_url, turn):
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        assert client.dbsize() == 0
        client.set("left over", turn)


@pytest.mark.parametrize("turn", [1, 2])
async def test_a_database_is_empty_for_each_test(database_url, turn):
    assert await query(database_url, "SELECT to_regclass('left_over')") is None
    await query(database_url, f"CREATE TABLE left_over AS SELECT {turn}")


async def test_timescale_has_its_extension(timescale_url):
    names = await query(timescale_url, "SELECT array_agg(extname::text) FROM pg_extension")
    assert "timescaledb" in names


async def test_a_server_can_be_asked_for_while_a_loop_runs(request):
    assert await query(request.getfixturevalue("postgres_url"), "SELECT 7") == 7


ON_GIVEN_SERVERS = """
import redis

def test_it(redis_url, stream_name, postgres_url):
    with redis.Redis.from_url(redis_url) as client:
        client.xadd(stream_name, {"payload": "{}"})
        client.set(f"{stream_name}:dead", 1)
        assert client.dbsize() == 3
"""


def test_a_given_server_keeps_what_is_not_ours(run, own_redis, own_postgres):
    with redis.Redis.from_url(own_redis.url, protocol=2) as client:
        client.set("theirs", 7)
        given = {"TEST_REDIS_URL": own_redis.url, "TEST_POSTGRES_URL": own_postgres.url}
        status, printed = run(ON_GIVEN_SERVERS, **given)
        assert status == 0, printed
        assert client.keys() == [b"theirs"]
    names = "SELECT count(*) FROM pg_database WHERE datname NOT LIKE 'template%'"
    assert asyncio.run(query(own_postgres.url, names)) == 1
