"""The life of one server process: start, stop, kill, pause, and an end that leaves nothing.

A server has a scratch folder for data and log, and a port that it keeps over restarts. Started by
root it runs as nobody, as PostgreSQL demands. On Linux the kernel ends it when its parent dies,
and what that leaves the next start removes (scratch.py). What distinguishes one server from
another, its command line and how it says that it is ready, is in servers.py and directus.py.
"""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import attrs

from processor.entrypoints.demo import scratch
from processor.entrypoints.demo.programs import Programs
from processor.entrypoints.demo.scratch import Scratch

NOBODY = 65534  # uid and gid of nobody/nogroup on Debian; the kernel's overflow id elsewhere

# Below 32768, where Linux begins to hand out ports to outgoing connections: one of those could
# otherwise take the port of a server that is stopped for a moment.
PORTS = range(15_000, 32_000)

READY_WITHIN_S = 60.0  # recovery after a kill included, on a busy machine; usually 0.1 s
STOPPED_WITHIN_S = 20.0  # an orderly stop with a checkpoint; then it is killed
POLL_S = 0.005
PORT_TRIES = 5  # a program that is none of ours may take the port before us


class NotStarted(Exception):
    """A server did not start. The text is one sentence with the last lines of its log."""


class NotInstalled(NotStarted):
    """The server's programs are not on this machine. The sentence says how to get them."""


class Server(ABC):
    """One server process with data of its own. Use it as a context manager.

    `durable` servers have on disk what they confirmed: they survive a SIGKILL without loss.
    The others are faster, and a kill may cost them what they have. `settings` go on the command
    line, in the server's own names, over ours. Start it from the main thread: only there can
    the kernel tie the server's life to the program's (it would tie it to the thread's).
    """

    name: ClassVar[str]

    def __init__(
        self, found: Programs, *, durable: bool = False, settings: Mapping[str, str] | None = None
    ) -> None:
        self.programs = found
        self.port = 0
        self._durable = durable
        self._settings = dict(settings or {})
        self._scratch: Scratch | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect; valid once it was started, and the same until it is closed."""

    @property
    def pid(self) -> int:
        """Of the main process, which must be running."""
        assert self._process is not None, "it is not running"
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server wrote to its log so far."""
        return (self._folder / "log").read_text(errors="replace")

    def __enter__(self) -> Self:
        try:
            self._scratch = Scratch(self.name)
            self._data.mkdir(mode=0o700)
            if os.getuid() == 0:
                os.chown(self._data, NOBODY, NOBODY)
                self.programs = _reachable(self.programs, self._folder)
            self._prepare()
            self._start_on_a_free_port()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start it (again), on the same data and port, and wait until it answers."""
        assert self._process is None or self._process.poll() is not None, "it is running"
        self._process = self._spawn(self._command())
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._ready(self._process.pid):
            if self._process.poll() is not None:
                self._process = None
                raise NotStarted(f"{self._called} did not start: {self._last_words()}")
            if time.monotonic() > deadline:
                self.kill()
                raise NotStarted(
                    f"{self._called} did not answer for {READY_WITHIN_S:.0f} s: "
                    f"{self._last_words()}"
                )
            time.sleep(POLL_S)

    def stop(self) -> None:
        """An orderly stop: connections are closed, data is kept."""
        process = self._running()
        if self._paused:
            self.resume()
        process.send_signal(signal.SIGINT)  # PostgreSQL: "fast", without waiting for clients
        try:
            process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
        else:
            scratch.kill_residents(self._data)
        self._process = None

    def kill(self) -> None:
        """SIGKILL every process of it at once, as the machine's power switch would."""
        process = self._running()
        process.kill()
        process.wait()
        scratch.kill_residents(self._data)
        self._process = None
        self._paused = False

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nobody answers, as behind a dead network."""
        self._running().send_signal(signal.SIGSTOP)  # the main process first: no new children
        self._signal_residents(signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """SIGCONT: what was sent meanwhile is now answered."""
        self._signal_residents(signal.SIGCONT)
        self._paused = False

    def close(self) -> None:
        """Stop it and forget its data. A second call does nothing."""
        if self._process is not None:
            self.stop()
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None

    @abstractmethod
    def _command(self) -> list[str]:
        """Program and arguments, for `self.port`."""

    @abstractmethod
    def _ready(self, pid: int) -> bool:
        """Whether the server, whose main process is `pid`, takes connections."""

    def _prepare(self) -> None:  # noqa: B027 - Valkey has nothing to prepare
        """Make what has to be in the data folder before the first start."""

    def _environment(self) -> Mapping[str, str]:
        """What the server's processes find in their environment."""
        return {name: text for name, text in os.environ.items() if name[:2] != "PG"}

    def _start_on_a_free_port(self) -> None:
        for tries_left in reversed(range(PORT_TRIES)):
            self.port = free_port()
            try:
                self.start()
            except NotStarted as error:
                if "already in use" not in str(error) or not tries_left:
                    raise
                (self._folder / "log").unlink()
            else:
                return

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it is not running"
        return self._process

    def _signal_residents(self, number: signal.Signals) -> None:
        for pid in scratch.residents(self._data):
            os.kill(pid, number)

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        identity: dict[str, Any] = {}
        if os.getuid() == 0:
            identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - a program that programs.py found
                [*leash(), *command],
                cwd=self._data,  # which also is how scratch.py knows it
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is for the program, which then stops us
                **identity,
            )

    def _last_words(self) -> str:
        lines = [line.strip() for line in self.log.splitlines() if line.strip()]
        return " / ".join(lines[-4:]) or "it wrote no log"

    @property
    def _called(self) -> str:
        return f"{self.name} ({self.programs.about})"

    @property
    def _folder(self) -> Path:
        assert self._scratch is not None, "it is closed, or was never started"
        return self._scratch.path

    @property
    def _data(self) -> Path:
        return self._folder / "data"


def leash() -> list[str]:
    """What to put before a command so that it is interrupted when this process dies; on a machine
    that cannot do it, nothing."""
    # setpriv rather than preexec_fn: no Python runs between fork and exec, so other threads do
    # no harm. The kernel watches the thread that forks, hence only the main one.
    setpriv = shutil.which("setpriv")
    main = threading.current_thread() is threading.main_thread()
    return [setpriv, "--pdeathsig", "INT", "--"] if setpriv and main else []


def _reachable(found: Programs, folder: Path) -> Programs:
    """`found`, or a copy of it in `folder`, so that nobody may run it: a clone below root's home
    is closed to others."""
    open_above = all(place.stat().st_mode & 0o001 for place in found.folder.resolve().parents)
    if open_above and found.folder.stat().st_mode & 0o005 == 0o005:
        return found
    if not found.parts:
        raise NotStarted(
            f"{found.folder} is closed to the user nobody, as whom root starts servers: "
            "set XDG_CACHE_HOME to a folder that others may enter"
        )
    copy = folder / "programs"
    for part in found.parts:
        shutil.copytree(part, copy / part.name, symlinks=True)
    for place in [copy, *copy.rglob("*")]:
        os.chown(place, NOBODY, NOBODY, follow_symlinks=False)
    return attrs.evolve(found, folder=copy / found.folder.relative_to(found.parts[0].parent))


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment.

    It comes round again after all the others, in whatever process: so it may be bound later, and be
    let go for a while.
    """
    for _ in range(len(PORTS)):
        port = PORTS[scratch.turn("ports") % len(PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise NotStarted(f"no free port between {PORTS.start} and {PORTS.stop} on 127.0.0.1")
