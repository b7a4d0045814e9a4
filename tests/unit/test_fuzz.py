"""Half a minute of what `make fuzz` does for hours, what it has found, and that it would find it.

A failure names the input, the seed, and the command that runs up to that input again.
"""

import os
import random
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from types import ModuleType
from typing import Any

import msgspec
import pytest

from processor.core.errors import Reason, Rejected
from processor.core.model import Position
from proof.fuzz import Broken, connections, conversations, corpus, engine, entries, judge
from proof.fuzz.mutators import mutate
from proof.fuzz.seeds import NOW, NOW_MS, PLAIN

SEED = int(os.environ.get("FUZZ_SEED") or secrets.randbelow(10**6))
"""Another one each time: what a run finds is a defect, whichever run it is."""

TARGETS = {"entries": entries, "conversations": conversations, "connections": connections}

SECONDS = {"entries": 10, "conversations": 5, "connections": 5}
OUTCOMES = {
    "entries": {"accepted"} | set(Reason) - {"refused-by-database", "conflict"},
    "conversations": {"subscribed", "bad-message", "unknown-topic", "closed 4400"},
    "connections": {"open", "closed 1002", "closed 1007", "HTTP 400"},
}
"""What a few seconds must have seen, or they were spent on one thing only."""
NOT_DECODED = {"kills-the-process", "kind-unknown", "beyond-retention"}


@pytest.fixture(autouse=True, scope="module")
def loops() -> Iterator[None]:
    yield
    conversations.close()
    connections.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_every_promise_is_kept(name: str) -> None:
    tally = engine.run(TARGETS[name], SEED, seconds=SECONDS[name])
    assert OUTCOMES[name] - NOT_DECODED <= tally.outcomes.keys(), tally
    assert tally.outcomes.total() == tally.inputs


KEPT = [(name, each) for name in TARGETS for each in corpus.kept(name)]


@pytest.mark.parametrize(("name", "kept"), KEPT, ids=[f"{n}: {k.why[:60]}" for n, k in KEPT])
def test_what_was_found_stays_mended(name: str, kept: corpus.Kept) -> None:
    assert TARGETS[name].check(kept.data) == kept.outcome
    TARGETS[name].weigh(kept.data)


@pytest.mark.parametrize("name", ["entries", "conversations"])
def test_a_seed_makes_the_same_inputs_again(name: str) -> None:
    first, again = (engine.run(TARGETS[name], 7, inputs=300) for _ in range(2))
    assert (first.outcomes, first.kept) == (again.outcomes, again.kept)
    assert engine.run(TARGETS[name], 8, inputs=300).outcomes != first.outcomes


def test_inputs_are_neither_all_the_same_nor_all_rubbish() -> None:
    chance = random.Random(1)
    made = [mutate(PLAIN, [PLAIN], chance) for _ in range(500)]
    assert len(set(made)) > 400
    accepted = sum(entries.check(data) == "accepted" for data in made)
    assert 50 < accepted < 450


# -- it would find it


def sabotaged(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """A decoder with a fault: what the real one says goes through `change`."""
    real = entries._decoder

    class Sabotaged:
        def decode(self, entry: Any, now_ms: int) -> Position:
            try:
                found: Position | Rejected = real.decode(entry, now_ms)
            except Rejected as rejected:
                found = rejected
            found = change(found, entry.fields.get(b"payload"))
            if isinstance(found, Rejected):
                raise found
            return found

    monkeypatch.setattr(entries, "_decoder", Sabotaged())


def accepts_a_bag_with_a_nul(found: Any, payload: bytes | None) -> Any:
    if isinstance(found, Rejected) and found.reason is Reason.TEXT_UNSTORABLE:
        return msgspec.structs.replace(GOOD, attributes=rb'{"1":"\u0000"}')
    return found


def reads_numbers_as_floats(found: Any, payload: bytes | None) -> Any:
    if isinstance(found, Position):
        bag = msgspec.json.encode(msgspec.json.decode(found.attributes))
        return msgspec.structs.replace(found, attributes=bag)
    return found


def rejects_for_the_wrong_reason(found: Any, payload: bytes | None) -> Any:
    if isinstance(found, Rejected) and found.reason is Reason.SENTINEL_MALFORMED:
        return Rejected(Reason.SENTINEL_UNKNOWN, found.sentence)
    return found


def crashes_on_a_bracket(found: Any, payload: bytes | None) -> Any:
    if payload and b"[" in payload:
        raise RecursionError
    return found


def mistakes_a_doubled_member(found: Any, payload: bytes | None) -> Any:
    doubled = any((payload or b"").count(b'"%b":' % name.encode()) > 1 for name in judge.MEMBERS)
    if isinstance(found, Position) and doubled:
        return msgspec.structs.replace(found, speed=63.5)
    return found


def takes_long_for_many_members(found: Any, payload: bytes | None) -> Any:
    names = (payload or b"").split(b'":')
    if len(names) > 900:
        sorted(names * 100, key=lambda each: (each.lower(), each.upper()))
    return found


def keeps_what_it_has_seen(found: Any, payload: bytes | None) -> Any:
    if payload and len(payload) > 10_000:
        return found if payload * 100 else None
    return found


GOOD = entries.decode(*entries.read(PLAIN))
FAULTS = [
    accepts_a_bag_with_a_nul,
    reads_numbers_as_floats,
    rejects_for_the_wrong_reason,
    crashes_on_a_bracket,
    mistakes_a_doubled_member,
    takes_long_for_many_members,
    keeps_what_it_has_seen,
]


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_decoder_with_a_fault_is_found_out(monkeypatch: pytest.MonkeyPatch, fault: Any) -> None:
    monkeypatch.setattr(engine, "SHRUNK_WITHIN_S", 0.2)
    sabotaged(monkeypatch, fault)
    with pytest.raises(engine.Found) as found:
        engine.run(entries, 1, inputs=20_000)
    assert "SEED=1" in str(found.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"device_id": ""},
        {"device_id": "x" * 65},
        {"device_id": "a\x1fb"},
        {"device_id": "\ud800"},
        {"codec": "x" * 17},
        {"fixed_at": NOW.replace(tzinfo=None)},
        {"fixed_at": NOW.astimezone(timezone(timedelta(hours=2)))},
        {"fixed_at": NOW + timedelta(hours=24, milliseconds=1)},
        {"fixed_at": datetime(1999, 12, 31, tzinfo=NOW.tzinfo)},
        {"latitude": 90.1},
        {"longitude": float("nan")},
        {"altitude": float("inf")},
        {"speed": 63},
        {"angle": -1.0},
        {"satellites": 256},
        {"priority": True},
        {"attributes": b"[]"},
        {"attributes": b'{"1":NaN}'},
        {"attributes": b'{"1":"\xff"}'},
        {"attributes": rb'{"1":"\u0000"}'},
        {"attributes": rb'{"\ud800":1}'},
        {"attributes": b'{"1":{"__bigint":"1"}}'},
        {"attributes": b'{"1":[]}'},
        {"attributes": b'{"1":"%b"}' % (b"x" * 65_536)},
        {"attributes": b"{%b}" % b",".join(b'"%d":1' % each for each in range(1001))},
    ],
    ids=str,
)
def test_the_judge_lets_nothing_pass_that_cannot_be_stored(wrong: dict[str, Any]) -> None:
    assert isinstance(GOOD, Position)
    assert judge.storable(GOOD, NOW_MS) is None
    assert judge.storable(msgspec.structs.replace(GOOD, **wrong), NOW_MS) is not None


class Letters(ModuleType):
    """A Target to which x and z are a broken promise."""

    NAME = "letters"

    def check(self, data: bytes) -> str:
        if b"x" in data and b"z" in data:
            raise Broken("x and z do not go together")
        return "fine"

    def weigh(self, data: bytes) -> None:
        pass


def test_a_found_input_is_made_smaller() -> None:
    broken = Broken("x and z do not go together")
    small, again = engine.smaller(Letters("letters"), b"ab" * 50 + b"xcz" + b"d" * 9, broken)
    assert (small, str(again)) == (b"xz", str(broken))
