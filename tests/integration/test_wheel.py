"""What is packed: the live page works from the installed wheel, with a library we do not commit."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from processor.adapters.websocket.page import ASSETS, VENDORED

ROOT = Path(__file__).parents[2]
PAGE = "processor/adapters/websocket/page"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        return wheel.namelist()


def test_the_page_is_in_the_wheel(packed: list[str]) -> None:
    wanted = [f"{PAGE}/assets/{file.name}" for file in ASSETS.iterdir()]
    wanted += [f"{PAGE}/vendor/{name}" for name in VENDORED]
    assert [name for name in wanted if name not in packed] == []


def test_the_licences_of_what_is_not_ours_are_in_the_wheel(packed: list[str]) -> None:
    licences = {name.rpartition("/")[2] for name in packed if ".dist-info/licenses/" in name}
    assert {"LICENSE", "NOTICE.txt"} <= licences
