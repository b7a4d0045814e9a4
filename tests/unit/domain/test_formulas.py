"""The arithmetic of one row: quantum, bracket, operator, cap."""

from decimal import Decimal

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from processor.domain.formulas import (
    QUANTUM,
    UNITS,
    cost,
    gravest,
    in_bracket,
    is_offence,
    quantised,
    share,
    tidy,
)
from processor.domain.rules import Formula, Offence, Operator, Outcome, Rounding

SPEEDS = st.decimals(0, 400, places=3)
EDGES = st.lists(st.decimals(0, 200, places=2), min_size=1, max_size=6, unique=True)


def row(
    operator: Operator = Operator.ADD,
    penalty: str = "1",
    least: str = "0",
    most: str | None = None,
    of: Offence = Offence.SPEED_LIMIT,
    **more: object,
) -> Formula:
    upper = None if most is None else Decimal(most)
    return Formula("r", of, operator, Decimal(penalty), Decimal(least), upper, **more)  # type: ignore[arg-type]


PUBLISHED = (row(Operator.ADD, "60", "1", "21"), row(Operator.ADD, "120", "21", "41"),
             row(Operator.ADD, "180", "41"))  # fmt: skip


def charged(table: tuple[Formula, ...], amount: str) -> Decimal:
    return sum(
        (cost(each, Decimal(amount)) for each in table if in_bracket(each, Decimal(amount))),
        Decimal(0),
    )


@pytest.mark.parametrize(
    ("over", "seconds"),
    [("0", 0), ("0.9", 0), ("1", 60), ("20", 60), ("20.9", 60), ("21", 120), ("40", 120),
     ("40.999", 120), ("41", 180), ("150", 180)],
)  # fmt: skip
def test_the_published_speed_table(over: str, seconds: int) -> None:
    assert charged(PUBLISHED, over) == seconds


def test_per_unit_takes_the_whole_offence() -> None:
    missed = row(Operator.PER_UNIT, "900", of=Offence.MISSED_WAYPOINT)
    assert cost(missed, Decimal(2)) == 1800
    assert cost(row(Operator.PER_UNIT, "30", "10"), Decimal("12.9")) == 360


def test_progressive_charges_each_bracket_its_share() -> None:
    table = (row(Operator.PROGRESSIVE, "1", "0", "20"), row(Operator.PROGRESSIVE, "2", "20"))
    assert charged(table, "35") == 50
    assert charged(table, "20") == 20
    assert charged(table, "20.5") == 21  # the exact amount, not the whole km/h
    assert charged(table, "0.5") == Decimal("0.5")


def test_the_time_gained_is_exact() -> None:
    gained = row(Operator.PER_UNIT, "10", of=Offence.SPEED_TIME_GAINED)
    seconds = cost(gained, Decimal(5) * 5 / 110)
    assert round(seconds, 4) == Decimal("2.2727")
    assert round(seconds, 2) == Decimal("2.27")


def test_a_false_start_is_charged_to_the_thousandth() -> None:
    table = tuple(
        row(operator, penalty, of=Offence.EARLY_START)
        for operator, penalty in ((Operator.ADD, "10"), (Operator.PER_UNIT, "1"))
    )
    assert charged(table, "2.3456789") == Decimal("12.345")
    assert charged(table, "0.0009") == 0


@pytest.mark.parametrize(
    ("rounding", "seen"),
    [(None, "10"), (Rounding.DOWN, "10"), (Rounding.UP, "15"), (Rounding.HALF_UP, "15")],
)
def test_quantum_and_rounding_are_the_rows(rounding: Rounding | None, seen: str) -> None:
    coarse = row(quantum=Decimal(5), rounding=rounding)
    assert quantised(coarse, Decimal("12.5")) == Decimal(seen)
    assert quantised(coarse, Decimal(10)) == 10


def test_up_takes_the_next_whatever_is_over() -> None:
    coarse = row(quantum=Decimal(5), rounding=Rounding.UP)
    assert quantised(coarse, Decimal("10.001")) == 15


def test_half_up_takes_the_nearer() -> None:
    coarse = row(quantum=Decimal(5), rounding=Rounding.HALF_UP)
    assert quantised(coarse, Decimal("12.499")) == 10


def test_a_cap_bounds_what_a_row_costs() -> None:
    capped = row(Operator.PER_UNIT, "30", cap_seconds=Decimal(100))
    assert [cost(capped, Decimal(n)) for n in (3, 4)] == [90, 100]


def test_what_a_row_costs_is_cut_to_the_microsecond_and_never_rounded_up() -> None:
    assert cost(row(penalty="0.0000019"), Decimal(1)) == Decimal("0.000001")


def test_a_number_is_written_without_zeros_at_its_end() -> None:
    assert [str(tidy(Decimal(said))) for said in ("900", "900.00", "2.50")] == ["900", "900", "2.5"]


def test_no_row_is_about_what_is_no_offence() -> None:
    assert not in_bracket(row(), Decimal("0.999"))


def test_a_progressive_row_is_about_more_than_its_lower_end() -> None:
    dearer = row(Operator.PROGRESSIVE, "2", "20")
    assert not in_bracket(dearer, Decimal(20))
    assert in_bracket(dearer, Decimal("20.001"))


def test_nothing_is_no_offence_but_a_share_always_is_one() -> None:
    assert not is_offence(row(), Decimal("0.999"))
    assert in_bracket(row(of=Offence.MISSED_RATIO, most="0.7"), Decimal(0))
    assert in_bracket(row(of=Offence.MISSED_RATIO, most="0.7"), Decimal("0.6999"))
    assert not in_bracket(row(of=Offence.MISSED_RATIO, most="0.7"), Decimal(7) / 10)


def test_status_and_repeat_cost_nothing_of_their_own() -> None:
    for operator in (Operator.STATUS, Operator.REPEAT):
        assert cost(row(operator, "5"), Decimal(50)) == 0


def test_the_gravest_outcome_counts() -> None:
    assert gravest([]) is Outcome.TIME
    assert gravest([Outcome.DISQUALIFIED, Outcome.TIME]) is Outcome.DISQUALIFIED
    assert gravest([Outcome.DID_NOT_FINISH, Outcome.OVER_TIME_LIMIT]) is Outcome.DID_NOT_FINISH
    assert gravest([Outcome.REVIEW, Outcome.OVER_TIME_LIMIT]) is Outcome.OVER_TIME_LIMIT


def test_every_type_has_a_quantum_and_a_unit() -> None:
    assert set(QUANTUM) == set(UNITS) == set(Offence)


# -- for all amounts -------------------------------------------------------------------------------


def brackets(operator: Operator, edges: list[Decimal], penalties: int = 1) -> list[Formula]:
    """Contiguous brackets from 0 upwards."""
    starts = [Decimal(0), *sorted(edge for edge in edges if edge > 0)]
    ends = [*starts[1:], None]
    return [
        evolve(row(operator, str(1 + index * penalties)), offence_min=least, offence_max=most)
        for index, (least, most) in enumerate(zip(starts, ends, strict=True))
    ]


@given(EDGES, SPEEDS)
def test_brackets_partition_the_offences(edges: list[Decimal], over: Decimal) -> None:
    holding = [each for each in brackets(Operator.ADD, edges) if in_bracket(each, over)]
    assert len(holding) == (1 if over >= 1 else 0)


@given(EDGES, SPEEDS, SPEEDS)
def test_progressive_is_monotone_and_continuous(
    edges: list[Decimal], one: Decimal, other: Decimal
) -> None:
    table = brackets(Operator.PROGRESSIVE, edges)
    steepest = max(each.penalty for each in table)
    less, more = sorted((one, other))
    low, high = (
        sum((cost(r, amount) for r in table if in_bracket(r, amount)), Decimal(0))
        for amount in (less, more)
    )
    assert low <= high <= low + steepest * (more - less)


@given(EDGES, SPEEDS)
def test_the_shares_of_all_brackets_are_the_whole(edges: list[Decimal], over: Decimal) -> None:
    assert sum(share(each, over) for each in brackets(Operator.PROGRESSIVE, edges)) == over


@given(
    SPEEDS,
    st.sampled_from(list(Offence)),
    st.one_of(st.none(), st.decimals("0.001", 20, places=3)),
)
def test_the_quantum_never_raises_an_offence(
    amount: Decimal, of: Offence, quantum: Decimal | None
) -> None:
    each = row(of=of, quantum=quantum)
    seen = quantised(each, amount)
    width = QUANTUM[of] if quantum is None else quantum
    assert amount - (width or 0) < seen <= amount or seen == amount
    assert quantised(each, seen) == seen
