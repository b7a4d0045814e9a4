"""The name of this process, which no other living process on the host has.

The name is also that of the consumer: two processes that shared one would each be handed half of
what the other is working on. A lock on a file keeps it; the kernel frees it at death, however
that came about, so there is nothing to clean up and nothing to expire.

The files lie in a directory of our user's own, mode 0700: in a shared one anybody could put a
link, or hold a lock, in our way. Processes of different users therefore do not see each other.
"""

import fcntl
import os
import re
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processor.entrypoints.exits import WrongSetup

MOST_ON_A_HOST = 999
"""More processes than this on one host is a restart loop that leaks, not a deployment."""


class NameTaken(WrongSetup):
    """Another living process on this host has the name."""


class NoLockDirectory(Exception):
    """There is no directory of our own to keep a lock in."""


@contextmanager
def claimed(wanted: str | None) -> Iterator[str]:
    """Have a name for as long as the context lasts: the wanted one, or the host's with a number.

    Raises NameTaken for a wanted name that is held, NoLockDirectory where none can be kept.
    """
    directory = _directory()
    candidates = [wanted] if wanted else _names_of_host()
    for name in candidates:
        descriptor = _lock(directory / f"{name}.lock")
        if descriptor is not None:
            try:
                yield name
            finally:
                os.close(descriptor)
            return
    raise NameTaken(
        f"INSTANCE_ID {candidates[0]} is held by another living process on this host; "
        "give each process its own, or leave it unset"
    )


def host_name() -> str:
    """The host's name, spelled as a name of ours may be."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:60] or "processor"


def _names_of_host() -> list[str]:
    host = host_name()
    return [host, *(f"{host}-{number}" for number in range(2, MOST_ON_A_HOST + 1))]


def _directory() -> Path:
    try:
        directory = Path(tempfile.gettempdir()) / f"processor-{os.geteuid()}"
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise NoLockDirectory(f"no place for the lock of INSTANCE_ID: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise NoLockDirectory(f"{directory} is not ours: remove it, or set TMPDIR")
    return directory


def _lock(path: Path) -> int | None:
    """The descriptor that holds the lock, None if another process has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
