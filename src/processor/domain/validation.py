"""What became of each ordered object: ok, provisional, missed or unverified, and how near it was.

An object without a mark is *missed*; its distance is measured between the validated neighbours in
order, because what was driven before or after belongs to other objects. It is *unverified* instead
where the tracker was silent between those neighbours and could have been driven there meanwhile:
unknown is a state, and it costs nothing (design/racing.md, law 7 and Geometry, Gaps). Silence is a
gap, several gaps in a row (a leap of the receiver makes two), the time from an official start to
the first fix, or from the last fix to something validated later.

While a segment runs, what lies ahead of the last validated object is not judged yet: its status is
missed, its distance is not said, and the sheet is not closed.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from attrs import frozen

from processor.domain.course import Object
from processor.domain.decisions import ruled_at
from processor.domain.instants import SECOND
from processor.domain.marks import Case, Mark, Reading, Role
from processor.domain.model import Fix, Gap, Track
from processor.domain.rulings import Ruling, RulingKind
from processor.domain.timesheet import Validation
from processor.domain.witnesses import Witness

MS_PER_KMH = 1 / 3.6


@frozen
class Silence:
    """Between two fixes nothing is known (None: before the first, behind the last)."""

    before: Fix | None
    after: Fix | None
    since: int
    until: int

    @property
    def seconds(self) -> float:
        return (self.until - self.since) / SECOND


@frozen
class Between:
    """The validated neighbours in order of an object without a mark. `follows`: the later one is a
    mark and not only the end of what may count."""

    since: int | None
    until: int | None
    follows: bool


@frozen
class Finding:
    """What became of the object in a slot, and what that rests on: its mark, its neighbours, and
    the silence that may hide it."""

    index: int
    validation: Validation
    mark: Mark | None
    between: Between
    silence: Silence | None = None

    @property
    def judged(self) -> bool:
        """Whether it was passed, or something behind it was, or no more is to come."""
        return self.validation.validated or self.between.until is not None


def findings(
    case: Case, reading: Reading, witness: Witness | None, start_at: int | None
) -> tuple[Finding, ...]:
    """One for each ordered object and lap, in order. `start_at` is the start that counts."""
    return tuple(
        _finding(case, reading, witness, index, start_at)
        for index, slot in enumerate(case.slots)
        if slot.role is Role.OBJECT
    )


def neighbours(case: Case, reading: Reading, index: int, start_at: int | None) -> Between:
    """What lies before and behind a slot. A ruled time of another object is no neighbour: it moves
    no other."""

    def at(position: int) -> int | None:
        mark = reading.marks[position]
        ruled_object = mark is not None and mark.ruling is not None
        if mark is None or (ruled_object and case.slots[position].role is Role.OBJECT):
            return None
        return mark.at

    before = (at(i) for i in range(index - 1, 0, -1))
    since = next((instant for instant in before if instant is not None), None)
    if since is None:
        first = reading.marks[0]
        since = start_at if first is None else first.at
    since = case.window.since if since is None else since
    behind = (at(i) for i in range(index + 1, len(reading.marks)))
    until = next((instant for instant in behind if instant is not None), None)
    return Between(since, case.over_at if until is None else until, until is not None)


def hidden_by(case: Case, thing: Object, witness: Witness, between: Between) -> Silence | None:
    """The silence in which the object could have been passed, None where there is none."""
    return next((s for s in _silences(case, witness, between) if _reachable(case, thing, s)), None)


# -- one object ------------------------------------------------------------------------------------


def _finding(
    case: Case, reading: Reading, witness: Witness | None, index: int, start_at: int | None
) -> Finding:
    slot, mark = case.slots[index], reading.marks[index]
    assert slot.object is not None
    between = neighbours(case, reading, index, start_at)
    ruling = case.decisions.on(slot.object.id, slot.lap)
    if mark is not None:
        return Finding(index, _passed(slot.object, slot.lap, mark, ruling), mark, between)
    if ruling is not None and ruling.kind is RulingKind.VALIDATE:
        at = ruled_at(ruling) if "at" in ruling.value else None
        validation = Validation(slot.object, slot.lap, "ok", at=at, ruling_id=ruling.id)
        return Finding(index, validation, None, between)
    if ruling is not None and ruling.kind is RulingKind.INVALIDATE:
        return _not_passed(case, witness, index, between, None, ruling)
    silence = None
    if witness is not None and between.until is not None:
        silence = hidden_by(case, slot.object, witness, between)
    return _not_passed(case, witness, index, between, silence, None)


def _not_passed(
    case: Case,
    witness: Witness | None,
    index: int,
    between: Between,
    silence: Silence | None,
    ruling: Ruling | None,
) -> Finding:
    """Unverified where a silence hides it, or where no device was there at all; else missed."""
    slot = case.slots[index]
    assert slot.object is not None
    judged = between.until is not None
    unseen = witness is None and judged and ruling is None
    validation = Validation(
        slot.object,
        slot.lap,
        "unverified" if silence is not None or unseen else "missed",
        distance_m=_closest(case, slot.object, witness, between) if judged else None,
        device_id=None if witness is None else witness.device_id,
        ruling_id=None if ruling is None else ruling.id,
    )
    return Finding(index, validation, None, between, silence)


def _passed(thing: Object, lap: int, mark: Mark, ruling: Ruling | None) -> Validation:
    """A manually verified object is provisional until an official has said something of it."""
    doubtful = mark.provisional or thing.manual_verification
    return Validation(
        thing,
        lap,
        "provisional" if doubtful and ruling is None else "ok",
        at=mark.at,
        used=mark.used,
        device_id=mark.device_id,
        ruling_id=None if ruling is None else ruling.id,
    )


def _closest(case: Case, thing: Object, witness: Witness | None, between: Between) -> float | None:
    since, until = between.since, between.until
    backwards = since is not None and until is not None and until < since
    if witness is None or backwards:
        return None
    return case.distances.closest(thing.id, witness.track, since, until)


# -- silence ---------------------------------------------------------------------------------------


def _reachable(case: Case, thing: Object, silence: Silence) -> bool:
    """Whether a car could have gone from the fix before to the object and on to the fix after."""
    metres = sum(
        case.distances.distance(thing.id, (fix.longitude, fix.latitude))
        for fix in (silence.before, silence.after)
        if fix is not None
    )
    return metres <= case.settings.max_speed_kmh * MS_PER_KMH * silence.seconds


def _silences(case: Case, witness: Witness, between: Between) -> Iterator[Silence]:
    since, until = between.since, between.until
    for run in _runs(witness.evidence.gaps):
        for first, last in [*((gap, gap) for gap in run), (run[0], run[-1])]:
            begins, ends = first.before.at, last.after.at
            if (until is None or begins < until) and (since is None or ends > since):
                yield Silence(first.before, last.after, begins, ends)
    yield from _at_the_ends(case, witness.track, between)


def _runs(gaps: Sequence[Gap]) -> list[list[Gap]]:
    """Gaps with only one fix between them, together where one of the two is a leap: then the place
    of that fix is not to be believed. A silence by itself ends where a fix was."""
    ordered = sorted(gaps, key=lambda gap: gap.before.at)
    runs = [ordered[:1]] if ordered else []
    for gap, following in pairwise(ordered):
        if gap.after.at == following.before.at and (gap.speeding or following.speeding):
            runs[-1].append(following)
        else:
            runs.append([following])
    return runs


def _at_the_ends(case: Case, track: Track, between: Between) -> Iterator[Silence]:
    """From something known by other means to the first fix, and from the last fix to such."""
    long = int(case.settings.gap_seconds * SECOND)
    since, until = between.since, between.until
    if not len(track):
        return
    first, last = track.fix(0), track.fix(len(track) - 1)
    if since is not None and first.at > since + long and (until is None or since < until):
        yield Silence(None, first, since, first.at)
    if between.follows and until is not None and last.at < until - long:
        yield Silence(last, None, last.at, until)
