"""What no linter sees: every room has a door, ports stay small and answer their five questions."""

import inspect
from pathlib import Path

import pytest

import processor
from processor.core import ports

SOURCE = Path(processor.__file__).parent
PORTS = [
    each
    for _, each in inspect.getmembers(ports, inspect.isclass)
    if getattr(each, "_is_protocol", False) and each.__module__.startswith(ports.__name__)
]
HEADINGS = ["Order", "Repeat", "Cancel", "Units", "Raises"]
LINES_MAX = 400


def test_every_folder_with_code_is_a_package() -> None:
    """import-linter passes over the others in silence."""
    folders = {file.parent for file in SOURCE.rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_no_file_is_two_rooms() -> None:
    long = {
        str(file.relative_to(SOURCE)): lines
        for file in SOURCE.rglob("*.py")
        if (lines := len(file.read_text().splitlines())) > LINES_MAX
    }
    assert long == {}


@pytest.mark.parametrize("port", PORTS, ids=lambda port: port.__name__)
def test_a_port_is_small_and_answers_five_questions(port: type) -> None:
    methods = [name for name in vars(port) if not name.startswith("_")]
    assert 1 <= len(methods) <= 5
    words = [line.split()[0] for line in inspect.getdoc(port).splitlines() if line.strip()]
    assert [word for word in words if word in HEADINGS] == HEADINGS


def test_there_are_ports() -> None:
    assert len(PORTS) >= 7
