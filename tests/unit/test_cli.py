"""The real command, as a process: what it prints and how it ends."""

import contextlib
import json
import os
import pty
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from processor import __version__
from processor.entrypoints.cli import ended

SERVER_LIBRARIES = (
    "asyncpg",
    "cattrs",
    "dependency_injector",
    "hiredis",
    "loguru",
    "prometheus_client",
    "redis",
    "starlette",
    "uvicorn",
    "websockets",
)


def processor(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command with nothing in its environment but what is given."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "processor", *arguments],
        env={**kept, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port on which nobody listens, kept from everybody else."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_version_and_help() -> None:
    assert processor("--version").stdout == f"processor, version {__version__}\n"
    told = processor("--help")
    assert told.returncode == 0
    for command in ("run", "migrate", "doctor", "lag", "config"):
        assert f"\n  {command} " in told.stdout
    assert "reference" not in told.stdout, "that one is for developers"
    assert told.stderr == ""


@pytest.mark.parametrize("command", ["run", "migrate", "doctor", "lag", "config"])
def test_every_command_has_help(command: str) -> None:
    told = processor(command, "--help")
    assert told.returncode == 0
    assert f"Usage: processor {command}" in told.stdout


def test_the_command_line_imports_no_library_of_the_service() -> None:
    code = (
        "import sys; import processor.entrypoints.cli; "
        f"print([name for name in {SERVER_LIBRARIES} if name in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout == "[]\n"


@pytest.mark.parametrize("command", ["run", "migrate", "doctor", "lag", "config"])
def test_a_base_install_says_which_extra_is_missing(command: str) -> None:
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({SERVER_LIBRARIES})); "
        f"sys.argv = ['processor', {command!r}]; "
        "from processor.entrypoints.cli import main; main()"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert told.returncode == 78
    assert told.stderr.endswith("this command needs pip install 'rally-processor[service]'\n")
    assert told.stderr.count("\n") == 1


def test_a_base_install_scores_a_track() -> None:
    missing = (*SERVER_LIBRARIES, "matplotlib")
    track = "src/processor/entrypoints/demo/tracks/around-visnjan-with-car.gpx"
    arguments = ["processor", "score", "examples/visnjan.json", track]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({missing})); sys.argv = {arguments}; "
        "from processor.entrypoints.cli import main; main()"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert "finished" in told.stdout


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["run", "--nonsense"], ["lag", "extra"], ["reference", "/no/such"]]
)
def test_bad_usage_exits_2(arguments: list[str]) -> None:
    told = processor(*arguments)
    assert told.returncode == 2
    assert told.stderr.startswith("Usage:")


@pytest.mark.parametrize("command", ["run", "doctor", "config"])
def test_with_nothing_set_the_smallest_env_is_shown_and_the_exit_is_78(command: str) -> None:
    told = processor(command)
    assert told.returncode == 78
    missing, _, smallest = told.stderr.partition("\n\nThe smallest .env that works:\n")
    needed = ["REDIS_URL", "POSTGRES_URL"]
    if command != "doctor":  # every role of this version, and live has to ask somebody
        needed.append("DIRECTUS_BASE_URL")
    assert [line.partition(":")[0] for line in missing.splitlines()] == needed
    first, second, *third = smallest.splitlines()
    assert first == "REDIS_URL=redis://localhost:6379/0"
    assert second == "POSTGRES_URL=postgresql://processor:secret@localhost:5432/rally"
    assert third == ["DIRECTUS_BASE_URL=http://localhost:8055"][: len(needed) - 2]


def test_wrong_settings_are_said_together_and_the_exit_is_78() -> None:
    told = processor("run", REDIS_URL="redis://h", BATCH_SIZE="0", ROLES="wings", LOG_LEVEL="loud")
    assert told.returncode == 78
    names = [line.partition(":")[0] for line in told.stderr.splitlines()]
    assert sorted(names) == ["BATCH_SIZE", "LOG_LEVEL", "POSTGRES_URL", "ROLES"]


def test_config_shows_what_is_in_force_and_no_password() -> None:
    environ = {
        "REDIS_URL": "redis://:hunter2@redis.example:6379/0",
        "POSTGRES_URL": "postgresql://u:hunter2@pg.example/rally",
        "CLAIM_THRESHOLD_MS": "1000",
        "DIRECTUS_BASE_URL": "http://directus.example:8055",
    }
    plain = processor("config", **environ)
    assert plain.returncode == 0
    assert "POSTGRES_URL\tpostgresql://u:***@pg.example/rally\tenvironment\n" in plain.stdout
    assert "BATCH_SIZE\t1000\tdefault\n" in plain.stdout
    assert "CLAIM_THRESHOLD_MS is 1000" in plain.stderr
    told = json.loads(processor("config", "--json", **environ).stdout)
    assert told["settings"]["REDIS_URL"] == {
        "value": "redis://:***@redis.example:6379/0",
        "from": "environment",
    }
    assert len(told["doubts"]) == 1
    assert "hunter2" not in plain.stdout + plain.stderr + json.dumps(told)


def test_the_example_needs_no_settings() -> None:
    told = processor("config", "--example")
    assert told.returncode == 0
    assert "\nREDIS_URL=redis://localhost:6379/0\n" in told.stdout


def test_an_operators_command_that_reaches_no_server_exits_69(nobody: int) -> None:
    lag = processor("lag", REDIS_URL=f"redis://127.0.0.1:{nobody}/0")
    migrate = processor("migrate", POSTGRES_URL=f"postgresql://127.0.0.1:{nobody}/rally")
    for told in (lag, migrate):
        assert told.returncode == 69
        assert told.stderr.count("\n") == 1, "one sentence"
        assert told.stdout == ""


def test_a_bug_is_one_sentence_and_70(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(lambda: {}["planted"]) == 70
    told = capsys.readouterr().err
    assert told == "internal error: KeyError: 'planted' (LOG_LEVEL=debug shows where)\n"


def test_an_interrupted_command_exits_130() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert ended(interrupted) == 130


def test_a_traceback_is_for_those_who_ask_for_it(nobody: int) -> None:
    told = processor("lag", REDIS_URL=f"redis://127.0.0.1:{nobody}/0", LOG_LEVEL="debug")
    assert told.returncode == 69
    assert "Traceback" in told.stderr


def test_a_reader_that_goes_away_is_nothing_to_talk_about() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "processor", "config", "--example"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1, "as click has it"


@pytest.mark.parametrize("environ", [{}, {"NO_COLOR": "1"}])
def test_at_a_terminal_tables_fit_80_columns_and_no_color_is_honoured(
    nobody: int, environ: dict[str, str]
) -> None:
    settings = {
        "REDIS_URL": f"redis://127.0.0.1:{nobody}/0",
        "POSTGRES_URL": f"postgresql://127.0.0.1:{nobody}/rally",
        "TERM": "xterm",
        "COLUMNS": "80",
    }
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "processor", "doctor"],
        env={"PATH": os.environ["PATH"], **settings, **environ},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        told = b""
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while piece := os.read(ours, 65_536):
                told += piece
        os.close(ours)
    assert process.returncode == 1
    text = told.decode()
    assert ("\x1b[1;31mfail" in text) == (not environ)
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in text.splitlines()]
    assert len(lines) > 5
    assert max(map(len, lines)) <= 80
