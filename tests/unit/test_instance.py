"""The name of a process: no two living ones on a host have the same, and death frees it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from processor.entrypoints.instance import NameTaken, NoLockDirectory, claimed, host_name

HOLD = """
import sys
from processor.entrypoints.instance import claimed
with claimed(sys.argv[1] or None) as name:
    print(name, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path / f"processor-{os.geteuid()}"


@pytest.fixture
def other() -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the host's own name."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, ""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def held(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_further_processes_on_a_host_take_numbers(other: subprocess.Popen[str]) -> None:
    assert held(other) == host_name()
    with claimed(None) as second, claimed(None) as third:
        assert (second, third) == (f"{host_name()}-2", f"{host_name()}-3")
    with claimed(None) as again:
        assert again == f"{host_name()}-2"


def test_a_wanted_name_that_a_living_process_has_is_refused(other: subprocess.Popen[str]) -> None:
    name = held(other)
    with pytest.raises(NameTaken, match=f"INSTANCE_ID {re.escape(name)} is held"), claimed(name):
        pass


def test_death_frees_the_name_however_it_came(other: subprocess.Popen[str]) -> None:
    name = held(other)
    other.send_signal(signal.SIGKILL)
    other.wait()
    with claimed(name) as mine:
        assert mine == name


def test_a_directory_that_is_a_link_is_not_used(own_directory: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    own_directory.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NoLockDirectory), claimed("a"):
        pass
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_lock_that_is_a_link_is_not_followed(own_directory: Path, tmp_path: Path) -> None:
    own_directory.mkdir(mode=0o700)
    target = tmp_path / "precious"
    target.write_text("kept")
    (own_directory / "a.lock").symlink_to(target)
    with pytest.raises(OSError), claimed("a"):
        pass
    assert target.read_text() == "kept"


def test_without_any_place_for_it_there_is_no_lock(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr("tempfile.tempdir", str(file))
    with pytest.raises(NoLockDirectory), claimed(None):
        pass


def test_the_directory_is_ours_alone(own_directory: Path) -> None:
    with claimed("a"):
        assert own_directory.stat().st_mode & 0o777 == 0o700
