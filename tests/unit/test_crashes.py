"""What nobody caught, in a real process whose servers are away: a line that says where, and the end
that it has. None of it shows the value of a variable."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

WITHIN_S = 40.0
PLANTED = """
import asyncio, os, sys, threading
from processor.entrypoints import run, watch
from processor.entrypoints.cli import main

class Leaving:
    def __del__(self):
        raise LookupError("in a destructor")

def in_a_thread(dsn):
    raise LookupError("in a thread")

async def in_a_task(dsn):
    raise LookupError("in a task")

def in_a_callback(dsn):
    raise LookupError("in a callback")

beat = watch.watch_loop

async def planted(*arguments):
    dsn = os.environ["POSTGRES_URL"]
    loop = asyncio.get_running_loop()
    {plant}
    await beat(*arguments)

watch.watch_loop = planted
main()
"""


class Crashing:
    """`processor run` with something planted in it."""

    def __init__(self, plant: str, nobody: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PLANTED.replace("{plant}", plant), "run"],
            env={
                **{name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ},
                "ROLES": "ingest",
                "REDIS_URL": f"redis://:hunter2@127.0.0.1:{nobody}/0",
                "POSTGRES_URL": f"postgresql://u:hunter2@127.0.0.1:{nobody}/rally",
                "METRICS_HOST": "127.0.0.1",
                "METRICS_PORT": "0",
                "SHUTDOWN_TIMEOUT_MS": "1000",
            },
            stderr=subprocess.PIPE,
            text=True,
        )

    def said(self, message: str) -> dict[str, Any]:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            told = json.loads(line)
            if told["message"] == message:
                return dict(told)
        raise AssertionError(f"it ended without {message}")

    def ended(self) -> tuple[int, list[str]]:
        """The exit code, and the lines that were not read yet."""
        assert self.process.stderr is not None
        rest = self.process.stderr.read()  # not communicate(), which forgets what was read ahead
        assert "hunter2" not in rest
        return self.process.wait(WITHIN_S), rest.splitlines()


@pytest.fixture
def crashing() -> Iterator[Any]:
    running: list[Crashing] = []
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))

        def start(plant: str) -> Crashing:
            running.append(Crashing(plant, nobody.getsockname()[1]))
            return running[-1]

        yield start
        for each in running:
            each.process.kill()
            each.process.communicate()


@pytest.mark.parametrize(
    ("plant", "place"),
    [
        ("asyncio.create_task(in_a_task(dsn))", "task"),
        ("loop.call_soon(in_a_callback, dsn)", "task"),
        ("threading.Thread(target=in_a_thread, args=(dsn,)).start()", "thread"),
        ("Leaving()", "destructor"),
    ],
)
def test_what_nobody_waits_for_is_said_with_its_place_and_the_service_goes_on(
    crashing: Any, plant: str, place: str
) -> None:
    process = crashing(plant)
    line = process.said("uncaught")
    assert (line["level"], line["place"]) == ("error", place)
    assert line["error"].startswith("LookupError: in a ")
    assert line["where"].startswith("__main__:")
    assert "hunter2" not in json.dumps(line)
    process.process.send_signal(signal.SIGTERM)
    code, rest = process.ended()
    assert code == 0
    assert json.loads(rest[-1])["message"] == "stopped"


def test_at_the_top_it_is_one_line_and_70(crashing: Any) -> None:
    # A cancellation that comes out of the event loop is no Exception: no `except` of ours has it.
    process = crashing("[t.cancel() for t in asyncio.all_tasks(loop) if t.get_name() == 'Task-1']")
    code, rest = process.ended()
    lines = [json.loads(line) for line in rest]
    assert code == 70
    assert lines[-1]["message"] == "crashed"
    assert lines[-1]["where"]
    assert [line["message"] for line in lines].count("crashed") == 1


def test_what_is_waited_for_ends_it_with_one_line_and_70(crashing: Any) -> None:
    code, rest = crashing("raise LookupError('planted')").ended()
    last = json.loads(rest[-1])
    assert (code, last["message"], last["error"]) == (70, "crashed", "LookupError: planted")
    assert last["where"].startswith("__main__:")


def test_a_fatal_signal_leaves_the_stacks_of_all_threads(crashing: Any) -> None:
    process = crashing("import faulthandler; faulthandler._sigsegv()")
    process.said("started")
    code, rest = process.ended()
    assert code == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in rest
    assert any(" in planted" in line for line in rest)


def test_a_loop_that_is_stuck_ends_at_the_deadline_and_shows_where(crashing: Any) -> None:
    process = crashing("import time; loop.call_later(1, time.sleep, 600)")
    process.said("started")
    time.sleep(1.5)  # until it is stuck: nothing can say so
    process.process.send_signal(signal.SIGTERM)
    began_s = time.monotonic()
    code, rest = process.ended()
    assert time.monotonic() - began_s < 10
    assert code == 70
    assert any("run_forever" in line for line in rest)


def test_a_thread_that_never_ends_keeps_nobody(crashing: Any) -> None:
    """As the one that asks a name server which does not answer."""
    process = crashing("import time; loop.run_in_executor(None, time.sleep, 600)")
    process.said("started")
    process.process.send_signal(signal.SIGTERM)
    began_s = time.monotonic()
    code, rest = process.ended()
    assert time.monotonic() - began_s < 10
    assert code == 0
    assert json.loads(rest[-1])["message"] == "stopped"
