"""`processor dlq`, `claim` and `rewind` without a server: arguments, and reading letters."""

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import click
import pytest
from click.testing import CliRunner

from processor.adapters.redis import letters as adapter
from processor.adapters.redis.letters import FOREIGN, Letter
from processor.core.errors import Reason
from processor.entrypoints.cli import processor
from processor.entrypoints.dlq import cli
from processor.entrypoints.dlq.choosing import Wanted
from processor.entrypoints.dlq.showing import plain
from processor.entrypoints.instants import entry_id, entry_since, instant, milliseconds

OURS = [
    (b"origin_id", b"5-1"),
    (b"reason", b"conflict"),
    (b"error", "étrange".encode()),
    (b"deliveries", b"3"),
    (b"instance_id", b"here"),
    (b"failed_at", b"2026-05-04T10:00:00.123Z"),
]
COMMANDS = [
    ["dlq", "list"],
    ["dlq", "show"],
    ["dlq", "requeue"],
    ["dlq", "drop"],
    ["claim"],
    ["rewind"],
]


def letter(*pairs: tuple[bytes, bytes]) -> Letter:
    return Letter.read([b"7-0", [part for pair in pairs for part in pair]])


# ----------------------------------------------------------------------------------------- letters


def test_a_letter_is_the_original_and_then_ours() -> None:
    original = [(b"reason", b"theirs"), (b"reason", b"twice"), (b"payload", b"\xff")]
    read = letter(*original, *OURS)
    assert read.fields == original
    assert (read.id, read.origin_id, read.reason, read.error) == (
        "7-0",
        "5-1",
        "conflict",
        "étrange",
    )
    assert (read.deliveries, read.instance_id) == (3, "here")
    assert read.failed_at == datetime(2026, 5, 4, 10, 0, 0, 123_000, tzinfo=UTC)
    assert read.can_return


@pytest.mark.parametrize(
    "pairs",
    [
        [(b"payload", b"{}")],
        OURS[1:],
        [*OURS, (b"payload", b"{}")],
        [*OURS[:2], *reversed(OURS[2:])],
    ],
    ids=["no field of ours", "five", "not the last", "in another order"],
)
def test_what_is_no_letter_is_its_own_origin_and_never_returns(
    pairs: list[tuple[bytes, bytes]],
) -> None:
    read = letter(*pairs)
    assert (read.origin_id, read.reason, read.fields) == ("7-0", FOREIGN, pairs)
    assert not read.can_return


def test_a_letter_around_nothing_never_returns() -> None:
    assert not letter(*OURS).can_return


def test_what_somebody_made_of_our_fields_breaks_nothing() -> None:
    ours = [(name, b"\xff") for name, _ in OURS]
    read = letter((b"k", b"v"), *ours)
    assert (read.deliveries, read.failed_at, read.reason) == (0, None, "\\xff")
    assert adapter.began_ms(read) == 7
    assert letter((b"k", b"v"), *OURS[:5], (b"failed_at", b"2026-05-04T10:00:00")).failed_at is None


@pytest.mark.parametrize(
    ("payload", "device_id"),
    [
        (b'{"device_id":"1","device_id":"2","x":[{}]}', "2"),
        (b'{"device_id":1}', "beside"),
        (b'{"device_id":"1"', "beside"),
        (b"[]", "beside"),
        (b"[" * 100_000, "beside"),
        (b'{"device_id":"\xff"}', "beside"),
        (b"", "beside"),
    ],
)
def test_the_device_is_that_of_the_payload_else_the_one_beside_it(
    payload: bytes, device_id: str
) -> None:
    fields = [(b"device_id", b"beside"), (b"payload", payload)]
    assert letter(*fields, *OURS).device_id == device_id


def test_nobody_need_say_whose_it_is() -> None:
    assert letter((b"payload", b"{}"), *OURS).device_id is None
    assert letter((b"device_id", b"\xff"), *OURS).device_id == "\\xff"


def test_all_filters_hold_together() -> None:
    read = letter((b"device_id", b"1"), *OURS)
    at = read.failed_at
    assert at is not None
    second = timedelta(seconds=1)
    assert Wanted().takes(read)
    assert Wanted(("conflict", "too-large"), "1", at, at + second).takes(read)
    assert not Wanted(("too-large",)).takes(read)
    assert not Wanted(device="2").takes(read)
    assert not Wanted(since=at + second).takes(read)
    assert not Wanted(until=at).takes(read), "before, not at"
    nameless = letter((b"payload", b"{}"))
    assert not Wanted(since=at).takes(nameless), "nobody knows when"
    assert not Wanted(until=at).takes(nameless)
    assert Wanted((FOREIGN,)).takes(nameless)


# --------------------------------------------------------------------------------------- arguments


def test_instants_and_spans() -> None:
    ten = datetime(2026, 5, 4, 10, tzinfo=UTC)
    assert instant("2026-05-04T10:00:00Z") == ten
    assert instant("2026-05-04T12:00:00.000+02:00") == ten
    for written, span in {
        "0s": timedelta(0),
        "90s": timedelta(seconds=90),
        "15m": timedelta(minutes=15),
        "2h": timedelta(hours=2),
        "3d": timedelta(days=3),
    }.items():
        assert abs(datetime.now(UTC) - span - instant(written)) < timedelta(seconds=5)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "yesterday",
        "15",
        "-15m",
        "1.5h",
        "15 m",
        "15M",
        "2026-05-04T10:00:00",
        "2026-05-04",
        "2026-13-04T10:00:00Z",
        "999999999d",
        "1753350000000",
        "١٥m",
    ],
)
def test_what_is_no_time_is_refused_with_what_is_meant(written: str) -> None:
    with pytest.raises(click.BadParameter):
        instant(written)


def test_an_id_may_leave_out_its_sequence() -> None:
    assert entry_id("1753350000000-3") == "1753350000000-3"
    assert entry_id("1753350000000") == "1753350000000-0"
    assert entry_id("007-01") == "7-1"
    assert entry_id(f"{2**64 - 1}-{2**64 - 1}") == f"{2**64 - 1}-{2**64 - 1}"
    for written in ("", "5-", "-5", "5-1-2", "a-1", "+", "$", f"{2**64}-0", "5 -1", "٥-1"):
        with pytest.raises(click.BadParameter):
            entry_id(written)


def test_entries_since_an_instant_begin_with_its_first_millisecond() -> None:
    assert entry_since("1970-01-01T00:00:01.000Z") == "1000-0"
    assert entry_since("1970-01-01T00:00:01.000001Z") == "1001-0", "not before it"
    assert entry_since("1960-01-01T00:00:00Z") == "0-0"
    assert entry_since("1753350000000-3") == "1753350000000-3"
    assert milliseconds(datetime(1970, 1, 1, tzinfo=UTC)) == 0
    with pytest.raises(click.BadParameter):
        entry_since("1753350000000")  # seconds, or an id? nobody should have to guess


@pytest.mark.parametrize(
    "arguments",
    [
        ["dlq", "requeue"],
        ["dlq", "drop"],
        ["dlq", "requeue", "5-1", "--all"],
        ["dlq", "requeue", "5-1", "--reason", "conflict"],
        ["dlq", "drop", "--all", "--since", "15m"],
        ["dlq", "list", "--reason", "nonsense"],
        ["dlq", "list", "--limit", "-1"],
        ["dlq", "show"],
        ["dlq", "show", "five"],
        ["claim", "--idle-ms", "0"],
        ["claim", "a", "b"],
        ["rewind"],
        ["rewind", "yesterday"],
    ],
    ids=" ".join,
)
def test_bad_usage_exits_2_before_anything_is_asked(arguments: list[str]) -> None:
    told = CliRunner().invoke(processor, arguments, env={"REDIS_URL": ""})
    assert told.exit_code == 2, told.output
    assert "Error: " in told.output


def test_the_reasons_that_can_be_asked_for_are_those_there_are() -> None:
    assert cli.FOREIGN == FOREIGN
    told = CliRunner().invoke(processor, ["dlq", "list", "--reason", "nonsense"])
    said = re.sub(r"\s+", " ", told.output)
    for reason in (*Reason, FOREIGN):
        assert f"'{reason}'" in said


# ----------------------------------------------------------------------------------------- showing


def test_nothing_that_a_terminal_obeys_is_shown() -> None:
    assert plain("šofér, 41°N") == "šofér, 41°N"
    assert plain("a\tb\nc\x1b[31m\u202e\x9b\ud800") == "a\\tb\\nc\\x1b[31m\\u202e\\x9b\\ud800"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_and_json(command: list[str]) -> None:
    told = CliRunner().invoke(processor, [*command, "--help"])
    assert told.exit_code == 0
    assert "--json" in told.output
    assert ("--dry-run" in told.output) == (command[-1] not in ("list", "show"))
    assert told.stderr == ""


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_needs_no_library_of_the_service_and_work_says_which_extra(
    command: list[str],
) -> None:
    libraries = ("aiohttp", "asyncpg", "cattrs", "dependency_injector", "hiredis", "redis")
    usual = {"show": ["5-1"], "requeue": ["--all"], "drop": ["--all"], "rewind": ["5m"]}
    work = [*command, *usual.get(command[-1], [])]
    for arguments, code, said in (([*command, "--help"], 0, ""), (work, 78, "[service]")):
        script = (
            f"import sys; sys.modules.update(dict.fromkeys({libraries})); "
            f"sys.argv = ['processor', *{arguments!r}]; "
            "from processor.entrypoints.cli import main; main()"
        )
        told = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
        )
        assert told.returncode == code, told.stderr
        assert said in told.stderr
        assert told.stderr.count("\n") <= 1
