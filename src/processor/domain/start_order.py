"""The order in which entries start a stage, and when: the four strategies, each a pure function.

It is made once, when a stage is opened, and is an input from then on; so nothing here looks at what
was materialised before, but `manual`, which gives only what the start list already says.

The intervals [[10, 180], [20, 120], [null, 30]] read: up to the 10th 180 s after the one in front,
up to the 20th 120 s, all others 30 s. The first starts at the stage's starts_at. Entries that are
out of the event (retired, withdrawn, did not start, disqualified) get no place.
"""

from collections.abc import Mapping, Sequence

from attrs import frozen

from processor.domain.course import Entry, EntryStatus, Stage, StartOrder
from processor.domain.instants import SECOND, later
from processor.domain.outcome import EventResult, ResultStatus, StageResult

OUT = (
    EntryStatus.RETIRED,
    EntryStatus.WITHDRAWN,
    EntryStatus.DID_NOT_START,
    EntryStatus.DISQUALIFIED,
)


@frozen
class StartPlace:
    """An entry's place in a start list: position from 1, instant in microseconds (None: not known,
    because the stage has no start or no interval)."""

    entry_id: str
    position: int
    target_at: int | None


def start_order(
    stage: Stage,
    results: Sequence[StageResult | EventResult],
    entries: Sequence[Entry],
) -> tuple[StartPlace, ...]:
    """The start list of a stage.

    `results` are those of the input: the StageResults of stage.start_order_input, or, for
    inverse_of_overall, the EventResults of the stages before. Who has no time there comes last, by
    race number, and ties are by race number too. Raises ValueError on params that cannot be meant.
    """
    starting = sorted((e for e in entries if e.status not in OUT), key=_number)
    if stage.start_order is StartOrder.MANUAL:
        return _listed(stage, starting)
    place = {entry_id: index for index, entry_id in enumerate(_ordered(stage, results, starting))}
    without = len(place)
    ordered = sorted(starting, key=lambda e: (place.get(e.id, without), _number(e)))
    return tuple(
        StartPlace(entry.id, position, target)
        for position, (entry, target) in enumerate(
            zip(ordered, _targets(stage, len(ordered)), strict=True), start=1
        )
    )


def _number(entry: Entry) -> tuple[bool, int, str]:
    return entry.race_number is None, entry.race_number or 0, entry.id


# -- the strategies --------------------------------------------------------------------------------


def _listed(stage: Stage, starting: Sequence[Entry]) -> tuple[StartPlace, ...]:
    """What the start list says: the target of the first segment of the stage that has one."""
    targets = [
        (target, _number(entry), entry.id)
        for entry in starting
        if (target := _given(stage, entry)) is not None
    ]
    return tuple(
        StartPlace(entry_id, position, target)
        for position, (target, _, entry_id) in enumerate(sorted(targets), start=1)
    )


def _given(stage: Stage, entry: Entry) -> int | None:
    given = (entry.start_at[s.id] for s in stage.segments if s.id in entry.start_at)
    return next(given, None)


def _ordered(
    stage: Stage, results: Sequence[StageResult | EventResult], starting: Sequence[Entry]
) -> list[str]:
    """The ids of those that have a time, in the order in which they start."""
    numbers = {entry.id: _number(entry) for entry in starting}
    timed = [
        (time_ms, numbers[result.entry_id], result.entry_id)
        for result in results
        if result.entry_id in numbers and (time_ms := _time_ms(stage, result)) is not None
    ]
    fastest_first = [entry_id for _, _, entry_id in sorted(timed)]
    if stage.start_order is StartOrder.PREVIOUS_CLEAN:
        return fastest_first
    slowest_first = [i for _, _, i in sorted(timed, key=lambda t: (-t[0], t[1]))]
    if stage.start_order is StartOrder.INVERSE_OVERALL:
        return slowest_first
    top = set(fastest_first[: _whole(stage.start_order_params, "n")])
    return [i for i in slowest_first if i in top] + [i for i in fastest_first if i not in top]


def _time_ms(stage: Stage, result: StageResult | EventResult) -> int | None:
    """What an entry is ordered by: its total, of a clean result the time without penalties."""
    if isinstance(result, EventResult):
        return result.total_ms
    if result.status is not ResultStatus.FINISHED:
        return None
    clean = stage.start_order is StartOrder.PREVIOUS_CLEAN
    if clean and not stage.start_order_params.get("include_penalties", False):
        return result.elapsed_ms
    return result.total_ms


# -- the clock -------------------------------------------------------------------------------------


def _targets(stage: Stage, count: int) -> list[int | None]:
    """When the first, the second, .. of so many starts."""
    targets: list[int | None] = []
    for position in range(1, count + 1):
        before = targets[-1] if targets else None
        interval_s = _interval_s(stage, position)
        if position == 1:
            targets.append(stage.starts_at)
        elif before is None or interval_s is None:
            targets.append(None)
        else:
            targets.append(later(before, interval_s * SECOND))
    return targets


def _interval_s(stage: Stage, position: int) -> int | None:
    """Seconds between the one in front and the one at this position."""
    steps = stage.start_order_params.get("intervals")
    if steps is None:
        return stage.start_interval_seconds
    for step in _steps(steps):
        if step[0] is None or position <= step[0]:
            return step[1]
    return stage.start_interval_seconds


def _steps(said: object) -> list[tuple[int | None, int]]:
    """The intervals as they are meant; JSON knows only lists."""
    try:
        pairs = [(up_to, seconds) for up_to, seconds in said]  # type: ignore[attr-defined]
        return [(None if up_to is None else int(up_to), int(seconds)) for up_to, seconds in pairs]
    except (TypeError, ValueError):
        raise ValueError(
            f"intervals must be a list of [up to position or null, seconds], not {said!r}"
        ) from None


def _whole(params: Mapping[str, object], name: str) -> int:
    said = params.get(name, 0)
    if isinstance(said, bool) or not isinstance(said, int) or said < 0:
        raise ValueError(f"{name} must be a whole number from 0, not {said!r}")
    return said
