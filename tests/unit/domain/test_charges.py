"""Which rows are about an infringement: levels, filters, counts, repeats, counted objects."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.domain.charges import Charge, charges
from processor.domain.infringement import Infringement, Member, Where
from processor.domain.rules import (
    AppliesTo,
    Formula,
    Level,
    Offence,
    Operator,
    Outcome,
    Rules,
    Scope,
)


def row(name: str, operator: Operator, penalty: str = "0", **more: object) -> Formula:
    said = {"type": Offence.SPEED_LIMIT, **more}
    return Formula(id=name, operator=operator, penalty=Decimal(penalty), **said)  # type: ignore[arg-type]


def add(name: str, penalty: str, **more: object) -> Formula:
    return row(name, Operator.ADD, penalty, **more)


def happened(
    amount: str = "10",
    of: Offence = Offence.SPEED_LIMIT,
    thing: str | None = "Z1",
    kind: str = "zone",
    at: int = 0,
    segment: str = "SS1",
    stage: str = "1",
    number: int = 1,
    **more: object,
) -> Infringement:
    where = Where(thing, kind, number)
    return Infringement(of, stage, segment, where, Decimal(amount), at, "it", **more)  # type: ignore[arg-type]


def charged(
    found: Sequence[Infringement],
    rows: Iterable[Formula],
    earlier: Sequence[Infringement] = (),
    class_id: str = "C-2",
) -> tuple[Charge, ...]:
    return charges(found, earlier, Rules("v", tuple(rows)), class_id)


def seconds(found: Sequence[Charge]) -> list[int]:
    return [int(charge.seconds) for charge in found]


# -- levels and filters ----------------------------------------------------------------------------


LEVELS = (
    add("event", "1"),
    add("stage", "2", level=Level.STAGE, level_id="1"),
    add("class", "3", level=Level.CLASS, level_id="C-2"),
    add("segment", "4", level=Level.SEGMENT, level_id="SS1"),
)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_most_specific_level_decides_alone(count: int) -> None:
    assert seconds(charged([happened()], LEVELS[:count])) == [count]


def test_a_level_is_about_its_own() -> None:
    others = [evolve(each, level_id="another") for each in LEVELS[1:]]
    assert seconds(charged([happened()], [LEVELS[0], *others])) == [1]


def test_a_level_is_chosen_by_any_row_of_the_type_though_none_holds() -> None:
    high = add("high", "9", level=Level.SEGMENT, level_id="SS1", offence_min=Decimal(50))
    assert charged([happened()], [LEVELS[0], high]) == ()
    other_type = evolve(high, type=Offence.LATE_START)
    assert seconds(charged([happened()], [LEVELS[0], other_type])) == [1]


def test_rows_that_hold_add_up() -> None:
    rows = [
        add("a", "10"),
        row("b", Operator.PER_UNIT, "2"),
        add("c", "5", offence_min=Decimal(11)),
    ]
    assert seconds(charged([happened("10")], rows)) == [30]


@pytest.mark.parametrize(
    ("applies_to", "costs"),
    [
        (AppliesTo(), [1, 1]),
        (AppliesTo(kinds=("DZ",)), [1]),
        (AppliesTo(objects=("Z1",)), [1]),
        (AppliesTo(kinds=("zone", "DZ")), [1, 1]),
        (AppliesTo(kinds=("DZ",), objects=("Z1",)), []),
    ],
)
def test_filters_by_kind_and_object(applies_to: AppliesTo, costs: list[int]) -> None:
    found = [happened(), happened(thing="D1", kind="DZ")]
    assert seconds(charged(found, [add("a", "1", applies_to=applies_to)])) == costs


# -- occurrences -----------------------------------------------------------------------------------


BY_OFFENCE = [
    row("1", Operator.PER_UNIT, "30", scope=Scope.EVENT, count_min=1, count_max=2),
    row("2", Operator.PER_UNIT, "60", scope=Scope.EVENT, count_min=2, count_max=3),
    row("3", Operator.PER_UNIT, "120", scope=Scope.EVENT, count_min=3, count_max=4),
    row("4", Operator.STATUS, scope=Scope.EVENT, count_min=4, outcome=Outcome.DISQUALIFIED),
]


def test_each_offence_costs_more_and_the_fourth_disqualifies() -> None:
    found = charged([happened("5", at=n, number=n) for n in range(5)], BY_OFFENCE)
    assert seconds(found) == [150, 300, 600, 0, 0]
    assert [each.outcome for each in found] == [Outcome.TIME] * 3 + [Outcome.DISQUALIFIED] * 2
    assert [each.leading.occurrence for each in found] == [1, 2, 3, 4, 5]


def test_an_event_counts_across_stages_and_a_stage_does_not() -> None:
    earlier = [happened("5", stage="0", segment="SS0")] * 1
    assert seconds(charged([happened("5")], BY_OFFENCE, earlier)) == [300]
    of_stage = [evolve(each, scope=Scope.STAGE) for each in BY_OFFENCE]
    assert seconds(charged([happened("5")], of_stage, earlier)) == [150]


def test_what_is_no_offence_is_not_counted() -> None:
    found = [happened("0.9"), happened("5", at=1)]
    assert seconds(charged(found, BY_OFFENCE)) == [150]


def test_a_row_counts_what_its_filter_lets_pass() -> None:
    only = AppliesTo(objects=("Z2",))
    found = [happened(), happened(thing="Z2", at=1), happened(thing="Z2", at=2)]
    second = add("a", "7", applies_to=only, count_min=2)
    assert seconds(charged(found, [second])) == [7]


@pytest.mark.parametrize(
    ("scope", "costs"),
    [
        (Scope.VISIT, [1, 10, 1, 1, 1]),
        (Scope.OBJECT, [1, 10, 10, 1, 1]),
        (Scope.SEGMENT, [1, 10, 10, 10, 1]),
        (Scope.STAGE, [1, 10, 10, 10, 10]),
        (None, [1, 10, 10, 10, 10]),
    ],
)
def test_scopes(scope: Scope | None, costs: list[int]) -> None:
    found = [
        happened(of=Offence.SPEED_IMPULSE, at=0),
        happened(of=Offence.SPEED_IMPULSE, at=1),
        happened(of=Offence.SPEED_IMPULSE, at=2, number=2),
        happened(of=Offence.SPEED_IMPULSE, at=3, thing="Z2"),
        happened(of=Offence.SPEED_IMPULSE, at=4, segment="SS2"),
    ]
    rows = [
        add("a", "1", type=Offence.SPEED_IMPULSE),
        row("b", Operator.REPEAT, "10", type=Offence.SPEED_IMPULSE, scope=scope, count_min=2),
    ]
    assert seconds(charged(found, rows)) == costs


def test_a_row_counts_the_kinds_that_its_filter_lets_pass() -> None:
    found = [
        happened(),
        happened(thing="D1", kind="DZ", at=1),
        happened(thing="D2", kind="DZ", at=2),
    ]
    second = add("a", "7", applies_to=AppliesTo(kinds=("DZ",)), count_min=2)
    assert seconds(charged(found, [second])) == [7]


def test_repeat_multiplies_the_sum_of_the_others_within_its_cap() -> None:
    rows = [
        add("a", "10"),
        row("b", Operator.PER_UNIT, "2"),
        row("c", Operator.REPEAT, "3", count_min=2, count_max=3, cap_seconds=Decimal(80)),
    ]
    found = [happened("10", at=n) for n in range(3)]
    assert seconds(charged(found, rows)) == [30, 80, 30]


def test_repeat_alone_is_no_penalty() -> None:
    assert charged([happened()], [row("a", Operator.REPEAT, "2")]) == ()


# -- counted objects -------------------------------------------------------------------------------


def missed(*kinds: str, segment: str = "SS1") -> list[Infringement]:
    return [
        happened("1", Offence.MISSED_WAYPOINT, f"W{n}", kind, at=n, segment=segment)
        for n, kind in enumerate(kinds, start=1)
    ]


def of_missed(operator: Operator, penalty: str = "0", **more: object) -> Formula:
    return row("m", operator, penalty, type=Offence.MISSED_WAYPOINT, **more)


def test_two_missed_at_900_are_1800_and_each_carries_its_own() -> None:
    found = charged(missed("WPM", "WPV"), [of_missed(Operator.PER_UNIT, "900")])
    assert seconds(found) == [900, 900]
    assert [each.infringement.where.object_id for each in found] == ["W1", "W2"]


def test_the_bracket_is_about_all_that_were_missed_in_the_segment() -> None:
    three = [
        of_missed(Operator.PER_UNIT, "900", offence_max=Decimal(3)),
        of_missed(Operator.STATUS, offence_min=Decimal(3), outcome=Outcome.DID_NOT_FINISH),
    ]
    assert seconds(charged(missed("WPM", "WPM"), three)) == [900, 900]
    found = charged(missed("WPM", "WPM", "WPM"), three)
    assert [each.outcome for each in found] == [Outcome.TIME, Outcome.TIME, Outcome.DID_NOT_FINISH]
    elsewhere = [*missed("WPM", "WPM"), *missed("WPM", segment="SS2")]
    assert seconds(charged(elsewhere, three)) == [900, 900, 900]


def test_each_says_the_whole_and_its_own_part_of_it() -> None:
    found = charged(missed("WPM", "WPM", "WPM"), [of_missed(Operator.PER_UNIT, "900")])
    lines = [each.leading for each in found]
    assert [(line.whole, line.part, line.occurrence) for line in lines] == [
        (3, 1, 1),
        (3, 1, 2),
        (3, 1, 3),
    ]


def test_of_counted_objects_those_count_that_the_filter_names() -> None:
    only = AppliesTo(objects=("W2", "W3"))
    two = of_missed(Operator.PER_UNIT, "900", offence_min=Decimal(2), applies_to=only)
    found = charged(missed("WPM", "WPM", "WPM"), [two])
    assert [each.infringement.where.object_id for each in found] == ["W2", "W3"]
    assert [each.leading.whole for each in found] == [2, 2]
    assert charged(missed("WPM", "WPM"), [two]) == ()


def test_add_is_charged_once_and_a_cap_holds_for_the_whole() -> None:
    assert seconds(charged(missed("WPM", "WPM"), [of_missed(Operator.ADD, "900")])) == [900, 0]
    capped = of_missed(Operator.PER_UNIT, "900", cap_seconds=Decimal(2000))
    assert seconds(charged(missed("WPM", "WPM", "WPM"), [capped])) == [900, 900, 200]


def test_progressive_counts_each_further_one_dearer() -> None:
    rows = [
        of_missed(Operator.PROGRESSIVE, "100", offence_max=Decimal(2)),
        of_missed(Operator.PROGRESSIVE, "500", offence_min=Decimal(2)),
    ]
    assert seconds(charged(missed("WPM", "WPM", "WPM"), rows)) == [100, 100, 500]


def test_the_published_kinds() -> None:
    rows = [
        of_missed(Operator.PER_UNIT, penalty, applies_to=AppliesTo(kinds=kinds))
        for penalty, kinds in (
            ("900", ("WPV", "WPM", "WPE", "WPS", "WPC")),
            ("3600", ("WPN",)),
            ("120", ("WPP",)),
        )
    ]
    kinds = ("WPV", "WPM", "WPE", "WPS", "WPC", "WPN", "WPP", "DZ")
    assert seconds(charged(missed(*kinds), rows)) == [900] * 5 + [3600, 120]


def share(passed: int, of: int, kind: str = "WPM") -> Infringement:
    members = tuple(Member(f"W{n}", kind if n else "WPN", n >= passed) for n in range(of))
    amount = str(Decimal(passed) / of)
    return happened(amount, Offence.MISSED_RATIO, None, "special-stage", members=members)


BELOW_70 = row(
    "r", Operator.STATUS, type=Offence.MISSED_RATIO, offence_max=Decimal("0.7"),
    outcome=Outcome.DID_NOT_FINISH,
)  # fmt: skip


@pytest.mark.parametrize(("passed", "lost"), [(7, False), (6, True), (0, True), (10, False)])
def test_under_70_percent_did_not_finish(passed: int, lost: bool) -> None:
    found = charged([share(passed, 10)], [BELOW_70])
    assert [each.outcome for each in found] == ([Outcome.DID_NOT_FINISH] if lost else [])


def test_a_filter_makes_it_the_share_of_what_it_lets_pass() -> None:
    only = evolve(BELOW_70, applies_to=AppliesTo(kinds=("WPM",)))
    assert charged([share(7, 10)], [only])  # 6 of 9: the WPN does not count
    assert not charged([share(7, 10)], [evolve(BELOW_70, applies_to=AppliesTo(kinds=("WPS",)))])


def test_a_filter_may_name_the_objects_of_a_share() -> None:
    one_of_two = share(1, 2)  # W0 was validated, W1 was not
    for name, lost in (("W0", False), ("W1", True)):
        only = evolve(BELOW_70, applies_to=AppliesTo(objects=(name,)))
        assert bool(charged([one_of_two], [only])) is lost


def test_a_share_of_nobody_knows_what_is_for_rows_without_a_filter() -> None:
    half = happened("0.5", Offence.MISSED_RATIO, None, "special-stage")
    assert charged([half], [BELOW_70])
    for only in (AppliesTo(kinds=("WPM",)), AppliesTo(objects=("W1",))):
        assert charged([half], [evolve(BELOW_70, applies_to=only)]) == ()


def test_a_share_counts_as_an_offence_where_it_lies_in_the_bracket() -> None:
    found = [
        evolve(share(passed, 10), segment_id=segment, at=at)
        for at, (passed, segment) in enumerate([(5, "SS1"), (9, "SS2"), (5, "SS3")])
    ]
    (third,) = charged(found, [evolve(BELOW_70, count_min=2)])
    assert third.infringement is found[2]
    assert third.leading.occurrence == 2


def test_a_share_of_what_the_filter_leaves_out_counts_for_nothing() -> None:
    of_safety = AppliesTo(kinds=("WPS",))
    found = [share(5, 10), evolve(share(5, 10, "WPS"), segment_id="SS2", at=1)]
    (second,) = charged(found, [evolve(BELOW_70, applies_to=of_safety)])
    assert second.infringement is found[1]
    assert second.leading.occurrence == 1


# -- two forms of the time gained ------------------------------------------------------------------


def test_the_time_gained_is_measured_as_the_row_says() -> None:
    gained = happened("10", Offence.SPEED_TIME_GAINED, amount_by_peak=Decimal(20))
    told_once = happened("10", Offence.SPEED_TIME_GAINED)
    by_limit = row("a", Operator.PER_UNIT, "1", type=Offence.SPEED_TIME_GAINED)
    by_peak = evolve(by_limit, excess="peak")
    assert seconds(charged([gained], [by_limit])) == [10]
    assert seconds(charged([gained], [by_peak])) == [20]
    assert seconds(charged([told_once], [by_peak])) == [10]


# -- order -----------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.permutations([
    add("a", "0.1"), row("b", Operator.PER_UNIT, "0.3"), row("c", Operator.PROGRESSIVE, "0.7"),
    row("d", Operator.REPEAT, "1.3"), row("e", Operator.REPEAT, "0.9", cap_seconds=Decimal(11)),
    row("f", Operator.STATUS, outcome=Outcome.REVIEW),
]))  # fmt: skip
def test_the_order_of_the_rows_decides_nothing(rows: list[Formula]) -> None:
    (one,) = charged([happened("10.5")], rows)
    (other,) = charged([happened("10.5")], sorted(rows, key=lambda each: each.id))
    assert one == other
    assert one.outcome is Outcome.REVIEW


def test_the_names_of_the_rows_decide_nothing_either() -> None:
    rows = [row("a", Operator.REPEAT, "2", cap_seconds=Decimal(30)), row("b", Operator.REPEAT, "3"),
            add("c", "20")]  # fmt: skip
    renamed = [evolve(each, id=name) for each, name in zip(rows, "cba", strict=True)]
    assert seconds(charged([happened()], rows)) == seconds(charged([happened()], renamed))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"offence_max": Decimal(20)}, {}),
        ({"offence_max": Decimal(20)}, {"offence_max": Decimal(30)}),
        ({}, {"count_min": 1}),
        ({"cap_seconds": Decimal(100)}, {}),
        ({"cap_seconds": Decimal(100)}, {"cap_seconds": Decimal(200)}),
    ],
)
def test_which_row_leads_is_decided_by_what_it_says(
    first: dict[str, object], second: dict[str, object]
) -> None:
    rows = [add("a", "10", **second), add("z", "10", **first)]
    (one,) = charged([happened()], rows)
    assert one.leading.row.id == "z"
