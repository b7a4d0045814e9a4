"""The published tables in examples/rules cost what they say: every [[example]] of every file."""

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from processor.adapters.files.rules_toml import read_rules
from processor.domain.charges import charges
from processor.domain.formulas import gravest
from processor.domain.infringement import Infringement, Where
from processor.domain.rules import Offence, Outcome

FOLDER = Path(__file__).parents[3] / "examples" / "rules"
FILES = sorted(FOLDER.glob("*.toml"))
TYPES = {"type", "object_kind", "offence", "offence_by_peak", "offences", "text"}
EXPECTED = {"penalty_seconds", "outcome"}


def plain(path: Path) -> Mapping[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)


EXAMPLES = [
    pytest.param(path, example, id=f"{path.stem}-{number}")
    for path in FILES
    for number, example in enumerate(plain(path).get("example", []), start=1)
]


def infringements(example: Mapping[str, Any]) -> list[Infringement]:
    """What an example says was done: each at another object of one segment."""
    by_peak = example.get("offence_by_peak")
    return [
        Infringement(
            type=Offence(example["type"]),
            stage_id="SS1",
            segment_id="SS1",
            where=Where(f"object-{number}", example.get("object_kind", "zone"), 1),
            amount=Decimal(amount),
            at=number,
            text="",
            amount_by_peak=None if by_peak is None else Decimal(by_peak),
        )
        for number, amount in enumerate(example.get("offences", [example.get("offence")]), start=1)
    ]


def costs(path: Path, example: Mapping[str, Any]) -> tuple[Decimal, Outcome]:
    """Seconds and the gravest outcome of all that an example says was done."""
    found = charges(infringements(example), (), read_rules(path), "")
    seconds = sum((charge.seconds for charge in found), Decimal(0))
    return seconds, gravest(charge.outcome for charge in found)


@pytest.mark.parametrize(("path", "example"), EXAMPLES)
def test_an_example_costs_what_it_says(path: Path, example: Mapping[str, Any]) -> None:
    seconds, outcome = costs(path, example)
    assert outcome == example.get("outcome", "time"), example["text"]
    assert seconds == example.get("penalty_seconds", 0), example["text"]


@pytest.mark.parametrize(("path", "example"), EXAMPLES)
def test_an_example_says_what_was_done_and_what_is_expected(
    path: Path, example: Mapping[str, Any]
) -> None:
    """A key that is misspelt would make an example that expects nothing."""
    assert set(example) <= TYPES | EXPECTED
    assert len({"offence", "offences"} & set(example)) == 1
    assert EXPECTED & set(example)
    assert example["text"]
    assert example["type"] in {row.type.value for row in read_rules(path).formulas}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_row_has_a_source_and_an_example_that_it_holds_for(path: Path) -> None:
    rules = read_rules(path)
    held = {
        line.row.id
        for example in plain(path)["example"]
        for charge in charges(infringements(example), (), rules, "")
        for line in charge.lines
    }
    assert {row.id for row in rules.formulas} == held
    assert all(row.source for row in rules.formulas)


def test_the_published_numbers_are_there() -> None:
    """Of design/racing.md, so that nobody bends an example to what the code does."""
    assert [path.stem for path in FILES] == [
        "cross-country",
        "progressive",
        "speed-table",
        "time-control",
        "time-gained",
    ]
    table = {"0": 0, "0.9": 0, "1": 60, "20": 60, "20.9": 60, "21": 120, "40": 120, "41": 180}
    for offence, seconds in table.items():
        said = {"type": "speed-limit", "offence": offence}
        assert costs(FOLDER / "speed-table.toml", said) == (seconds, Outcome.TIME)
    for kind, seconds in {
        **dict.fromkeys(("WPV", "WPM", "WPE", "WPS", "WPC"), 900),
        "WPN": 3600,
        "WPP": 120,
    }.items():
        for offences in ([1], [1, 1], [2]):
            said = {"type": "missed-waypoint", "object_kind": kind, "offences": offences}
            assert costs(FOLDER / "cross-country.toml", said)[0] == seconds * sum(offences)
    late = {"1": (10, "time"), "30": (300, "time"), "31": (0, "over-time-limit")}
    for minutes, (seconds, outcome) in late.items():
        said = {"type": "time-control-late", "offence": minutes}
        assert costs(FOLDER / "time-control.toml", said) == (seconds, outcome)
    early = {"type": "time-control-early", "offence": 1}
    assert costs(FOLDER / "time-control.toml", early) == (60, Outcome.TIME)
    assert costs(FOLDER / "progressive.toml", {"type": "speed-limit", "offence": 35})[0] == 50
    gained = {
        "type": "speed-time-gained",
        "offence": 0,
        "offence_by_peak": Decimal(115 - 110) * 5 / 110,
    }
    seconds, _ = costs(FOLDER / "time-gained.toml", gained)
    assert (round(seconds, 4), round(seconds, 2)) == (Decimal("2.2727"), Decimal("2.27"))
