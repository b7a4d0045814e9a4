"""Copies of the tree, in which code is broken on purpose while the tree itself stays as it is.

The package is installed as editable: the environment names the tree's own `src`. So each copy has
an environment of its own, a thin one, that names the copy's `src` and behind it the libraries of
the tree's. Then the copy's code runs whoever starts it: the tests start services with none of our
environment variables. The short form in tests/unit/test_museum.py proves it.

A file that is broken and mended within a second, at the same length, is one that Python's own
bytecode cache takes for unchanged. So bytecode in a copy goes by the source's hash.
"""

import compileall
import os
import shutil
import subprocess
import sysconfig
import tempfile
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from py_compile import PycInvalidationMode
from signal import SIGKILL

ROOT = Path(__file__).parents[1]

LEFT_BEHIND = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis")
"""Of a tree everything is copied, a few megabytes, but for history, tools and caches."""


@contextmanager
def copy_of_tree() -> Iterator[Path]:
    """A copy in a folder of its own, removed at the end. Its bytecode is made."""
    with tempfile.TemporaryDirectory(prefix="processor-copy-") as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(ROOT, copy, ignore=LEFT_BEHIND)
        _make_environment(copy)
        compileall.compile_dir(
            copy / "src", quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH
        )
        yield copy


@contextmanager
def broken(file: Path, text: str) -> Iterator[None]:
    """The file says `text` meanwhile."""
    whole = file.read_text(encoding="utf-8")
    file.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(whole, encoding="utf-8")


def python_of(copy: Path) -> Path:
    """The interpreter whose `processor` is the copy's."""
    return copy.parent / "environment" / "bin" / "python"


def _make_environment(copy: Path) -> None:
    folder = python_of(copy).parents[1]
    venv.create(folder, symlinks=True)
    libraries = sysconfig.get_path("purelib")
    own = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    # What a .pth file names is not asked for .pth files itself: the tree's own is left out.
    (own / "copy.pth").write_text(f"{copy / 'src'}\n{libraries}\n")


def run_in(
    copy: Path, arguments: Sequence[str], extra: Mapping[str, str], *, within_s: float
) -> tuple[int | None, str]:
    """Run Python there: its exit status (None: not in time) and the end of what it said. What it
    started ends with it."""
    process = subprocess.Popen(
        [str(python_of(copy)), *arguments],
        cwd=copy,
        env={**os.environ, **extra},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, SIGKILL)
        said, _ = process.communicate()
        return None, said
    return process.returncode, said
