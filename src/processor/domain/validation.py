"""What became of each ordered object: ok, provisional, missed or unverified, and how near it was.

An object without a mark is *missed*; its distance is measured between the validated neighbours in
order, because what was driven before or after belongs to other objects. It is *unverified* instead
where the tracker was silent between those neighbours and could have been driven there meanwhile:
unknown is a state, and it costs nothing (design/racing.md, law 7 and Geometry, Gaps; silence.py).

While a segment runs, what lies ahead of the last validated object is not judged yet: its status is
missed, its distance is that up to now, and the sheet is not closed. Of an entry that has not begun
nothing is measured.
"""

from collections.abc import Mapping, Sequence

from attrs import frozen

from processor.domain.course import Object
from processor.domain.decisions import ruled_at
from processor.domain.marks import Case, Mark, Reading, Role
from processor.domain.model import Nearest
from processor.domain.rulings import Ruling, RulingKind
from processor.domain.silence import Between, Silence, Silences
from processor.domain.timesheet import Validation
from processor.domain.witnesses import Witness


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
    case: Case, reading: Reading, witness: Witness | None, start_at: int | None, begun: bool
) -> tuple[Finding, ...]:
    """One for each ordered object and lap, in order. `start_at` is the start that counts, `begun`
    whether the entry was there."""
    around = neighbours(case, reading, start_at)
    missing = {index: between for index, between in around.items() if reading.marks[index] is None}
    silent: Mapping[int, Silence] = {}
    nearest: Mapping[int, Nearest] = {}
    if witness is not None:
        silent = hidden(case, witness, missing)
        nearest = _nearest(case, witness, missing) if begun else {}
    return tuple(
        _not_passed(case, witness, index, between, silent.get(index), nearest.get(index))
        if index in missing
        else _passed(case, reading, index, between)
        for index, between in around.items()
    )


def neighbours(case: Case, reading: Reading, start_at: int | None) -> Mapping[int, Between]:
    """By the number of its slot, what lies before and behind each ordered object. A ruled time of
    another object is no neighbour: it moves no other."""

    def at(position: int) -> int | None:
        mark = reading.marks[position]
        ruled_object = mark is not None and mark.ruling is not None
        if mark is None or (ruled_object and case.slots[position].role is Role.OBJECT):
            return None
        return mark.at

    earlier = start_at if reading.start is None else reading.start.at
    earlier = case.window.since if earlier is None else earlier
    before = [earlier]
    for position in range(1, len(case.slots)):
        own = at(position)
        before.append(before[-1] if own is None else own)
    found: dict[int, Between] = {}
    later: int | None = None
    for position in range(len(case.slots) - 1, 0, -1):
        if case.slots[position].role is Role.OBJECT:
            until = case.over_at if later is None else later
            found[position] = Between(before[position - 1], until, follows=later is not None)
        own = at(position)
        later = later if own is None else own
    return dict(sorted(found.items()))


def hidden(case: Case, witness: Witness, missing: Mapping[int, Between]) -> Mapping[int, Silence]:
    """By slot, of those that are judged and that no ruling has decided, the silence in which the
    object could have been passed."""
    silences = Silences(case, witness)
    found: dict[int, Silence] = {}
    for between, indices in _together(missing).items():
        if between.until is not None:
            things = {index: _object(case, index) for index in indices if _open(case, index)}
            silent = silences.hiding(list(things.values()), between)
            found |= {i: silent[thing.id] for i, thing in things.items() if thing.id in silent}
    return found


# -- one object ------------------------------------------------------------------------------------


def _object(case: Case, index: int) -> Object:
    thing = case.slots[index].object
    assert thing is not None
    return thing


def _ruling(case: Case, index: int) -> Ruling | None:
    slot = case.slots[index]
    return case.decisions.on(_object(case, index).id, slot.lap)


def _open(case: Case, index: int) -> bool:
    """Whether only the trackers can say that the object was passed."""
    ruling = _ruling(case, index)
    return ruling is None or ruling.kind is RulingKind.CONFIRM


def _passed(case: Case, reading: Reading, index: int, between: Between) -> Finding:
    """A manually verified object is provisional until an official has said something of it."""
    thing, mark, ruling = _object(case, index), reading.marks[index], _ruling(case, index)
    assert mark is not None
    doubtful = mark.provisional or thing.manual_verification
    validation = Validation(
        thing,
        case.slots[index].lap,
        "provisional" if doubtful and ruling is None else "ok",
        at=mark.at,
        used=mark.used,
        device_id=mark.device_id,
        ruling_id=None if ruling is None else ruling.id,
    )
    return Finding(index, validation, mark, between)


def _not_passed(
    case: Case,
    witness: Witness | None,
    index: int,
    between: Between,
    silence: Silence | None,
    nearest: Nearest | None,
) -> Finding:
    """Unverified where a silence hides it, or where no device was there at all; else missed, but
    for a ruling that validates it."""
    thing, lap, ruling = _object(case, index), case.slots[index].lap, _ruling(case, index)
    if ruling is not None and ruling.kind is RulingKind.VALIDATE:
        at = ruled_at(ruling) if "at" in ruling.value else None
        validation = Validation(thing, lap, "ok", at=at, ruling_id=ruling.id)
        return Finding(index, validation, None, between)
    unseen = witness is None and between.until is not None and ruling is None
    validation = Validation(
        thing,
        lap,
        "unverified" if silence is not None or unseen else "missed",
        distance_m=None if nearest is None else nearest.distance_m,
        device_id=None if witness is None else witness.device_id,
        ruling_id=None if ruling is None else ruling.id,
        nearest=() if nearest is None else nearest.fixes,
    )
    return Finding(index, validation, None, between, silence)


# -- what is asked of a track is asked for all objects with the same neighbours --------------------


def _nearest(case: Case, witness: Witness, missing: Mapping[int, Between]) -> Mapping[int, Nearest]:
    """By slot, where the device came nearest between the neighbours; where there are none, between
    the fixes of the window, because others belong to other segments."""
    track = witness.track.between(case.window.since, case.window.until)
    found: dict[int, Nearest] = {}
    for between, indices in _together(missing).items():
        since, until = between.since, between.until
        if since is not None and until is not None and until < since:
            continue  # a ruled time before what was passed in front of it
        things = {index: _object(case, index) for index in indices}
        names = [thing.id for thing in things.values()]
        nearest = case.distances.nearest(names, track, since, until)
        found |= {i: nearest[thing.id] for i, thing in things.items() if thing.id in nearest}
    return found


def _together(missing: Mapping[int, Between]) -> Mapping[Between, Sequence[int]]:
    found: dict[Between, list[int]] = {}
    for index, between in missing.items():
        found.setdefault(between, []).append(index)
    return found
