"""A folder that is gone when whoever made it is gone.

Each server of the demo and of the tests keeps its data in a scratch folder. An exit or a Ctrl-C
removes it. After a crash nobody does, so every new scratch folder begins by looking at the older
ones: each holds a file locked with flock, and the kernel frees that lock when its owner dies,
however it dies. A folder whose lock is free has no owner: what still runs in it is killed, and it
goes. No pid is written down, because a pid may belong to a stranger by tomorrow; a server is
known by working inside a folder of ours.
"""

import fcntl
import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Not $TMPDIR: it often lies under a private folder, where a server that runs as somebody else
# (see servers.py) could not reach its own data; and the next start must find the same place.
ROOMS = Path("/tmp") / f"rally-processor-{os.getuid()}"  # noqa: S108 - checked in _rooms

SERVERS = frozenset({"initdb", "node", "postgres", "redis-server", "valkey-server"})

GONE_WITHIN_S = 10.0  # a process that was sent SIGKILL outlives it only while the disk is stuck


class Scratch:
    """`path` is a fresh folder, readable by its owner and passable by everybody.

    Making one removes what crashed owners left. Raises OSError when /tmp cannot be used.
    """

    def __init__(self, name: str) -> None:
        rooms = _rooms()
        with _locked(rooms / ".lock"):  # between making a folder and locking it, nobody sweeps
            _sweep(rooms)
            self.path = rooms / f"{name}-{secrets.token_hex(4)}"
            self.path.mkdir(mode=0o711)
            self._lock = os.open(self.path / "owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        """Kill what still runs here and remove the folder. A second call does nothing."""
        if self._lock >= 0:
            _remove(self.path)
            os.close(self._lock)
            self._lock = -1


def turn(name: str) -> int:
    """A number one higher than the last, in whatever process of this user that was asked for."""
    file = _rooms() / f".{name}"
    with _locked(file):
        text = file.read_text() or str(secrets.randbelow(2**16))  # another user counts for himself
        file.write_text(str(int(text) + 1))
    return int(text)


def residents(folder: Path) -> list[int]:
    """The pids of the servers that work in `folder` or beneath it."""
    if sys.platform != "linux":
        return _residents_by_command(folder)
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # it ended meanwhile, or is somebody else's
                home = (entry / "cwd").readlink()
                inside = home == folder or folder in home.parents
                if inside and (entry / "comm").read_text().strip() in SERVERS:
                    found.append(int(entry.name))
    return found


def kill_residents(folder: Path) -> None:
    """SIGKILL every server in `folder` and wait until none is left."""
    deadline = time.monotonic() + GONE_WITHIN_S
    while pids := residents(folder):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TimeoutError(f"the servers {pids} in {folder} do not die of SIGKILL")
        time.sleep(0.005)


def _residents_by_command(folder: Path) -> list[int]:
    # Without /proc: every server is started with its folder on its command line.
    listing = subprocess.run(
        ["/bin/ps", "-A", "-ww", "-o", "pid=,command="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 1) for line in listing.stdout.splitlines()]
    return [
        int(row[0])
        for row in rows
        if len(row) == 2
        and str(folder) in row[1]
        and Path(row[1].split(None, 1)[0]).name in SERVERS
    ]


def _rooms() -> Path:
    with suppress(FileExistsError):
        ROOMS.mkdir(mode=0o711)
    # Everybody may write to /tmp: a folder that another user put there in advance is not ours.
    status = ROOMS.lstat()
    ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    if not ours or status.st_mode & 0o022:
        raise PermissionError(f"{ROOMS} is not a folder of this user alone; remove it")
    ROOMS.chmod(0o711)  # mkdir's mode went through the umask
    return ROOMS


def _sweep(rooms: Path) -> None:
    for folder in rooms.iterdir():
        if not folder.is_dir():
            continue
        try:
            owner = os.open(folder / "owner", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:  # its owner died between making and locking it
            _remove(folder)
            continue
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # its owner lives
        else:
            _remove(folder)
        finally:
            os.close(owner)


def _remove(folder: Path) -> None:
    kill_residents(folder)
    for notes in folder.glob("*/postmaster.pid"):
        _free_shared_memory(notes)
    shutil.rmtree(folder, ignore_errors=True)


def _free_shared_memory(notes: Path) -> None:
    # PostgreSQL notes the id of its System V segment in the seventh line; after a SIGKILL only
    # the next start on the same data would free it, and there is none.
    with suppress(OSError, IndexError, ValueError):
        segment = notes.read_text().splitlines()[6].split()[1]
        command = ["/usr/bin/ipcrm", "-m", str(int(segment))]
        subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - a number of ours


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
