"""What is remarkable about a score, so that nobody takes silence for consent: gaps in the tracks,
zones that nobody could judge, devices and rules that match nothing.

Nothing here changes a number. What is remarkable about a file as such, its reader has said.
"""

from collections.abc import Iterator, Sequence

from attrs import frozen

from processor.adapters.files.course_file import CourseFile
from processor.adapters.files.words import listed, near, quoted
from processor.domain.course import Entry, Kind, Segment, SegmentType
from processor.domain.decisions import decisions
from processor.domain.instants import SECOND, iso
from processor.domain.model import Evidence, Gap
from processor.domain.plane import metres
from processor.domain.rules import Formula, Level, Offence
from processor.domain.scoring import Scored
from processor.domain.speed import ZoneVisit, zone_visits
from processor.domain.stages import Judged
from processor.domain.witnesses import witnesses

SPEED = (Offence.SPEED_LIMIT, Offence.SPEED_IMPULSE, Offence.SPEED_TIME_GAINED)


@frozen
class Warned:
    """A warning: what is remarkable about an entry's tracks, and from when to when."""

    entry: str
    what: str
    since: int | None
    until: int | None
    message: str

    @property
    def order(self) -> tuple[str, int, str, str]:
        return self.entry, self.since or 0, self.what, self.message


def remarkable(scored: Scored, file: CourseFile) -> Iterator[Warned]:
    """All of it, in no order."""
    for entry in scored.entries:
        evidences = scored.evidence[entry.id]
        for evidence in own_evidence(entry, evidences):
            yield from (_gap(entry.id, gap) for gap in evidence.gaps)
        yield from _unknown_devices(entry, evidences)
    if any(formula.type in SPEED for formula in scored.rules.formulas):
        for one in scored.judged:
            yield from _unjudged_zones(one, scored.evidence[one.sheet.entry.id])
    for _, segment in scored.course.segments():
        yield from _ends(segment, file)
    yield from _unmatched(scored)


def own_evidence(entry: Entry, evidences: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """What the devices saw while they were the entry's; of a device that the course does not list
    for it, all."""
    ours = {each.device_id: each.evidence for each in witnesses(entry, evidences)}
    listed_devices = {device.device_id for device in entry.devices}
    return tuple(
        ours.get(evidence.device_id, evidence)
        for evidence in evidences
        if evidence.device_id in ours or evidence.device_id not in listed_devices
    )


# -- tracks ---------------------------------------------------------------------------------------


def _gap(entry_id: str, gap: Gap) -> Warned:
    before, after = gap.before, gap.after
    seconds = (after.at - before.at) / SECOND
    away = metres((before.longitude, before.latitude), (after.longitude, after.latitude))
    what, sentence = "gap", f"was silent for {seconds:.0f} s and came back {away:.0f} m away"
    if gap.speeding:
        what = "leap"
        sentence = f"leapt {away:.0f} m in {seconds:.3g} s, faster than a car"
    return Warned(
        entry_id,
        what,
        before.at,
        after.at,
        f"{gap.device_id} {sentence} ({iso(before.at)} to {iso(after.at)}); no line is drawn there",
    )


def _unknown_devices(entry: Entry, evidences: Sequence[Evidence]) -> Iterator[Warned]:
    known = sorted({device.device_id for device in entry.devices})
    for evidence in evidences:
        if known and evidence.device_id not in known:
            yield Warned(
                entry.id,
                "unknown-device",
                None,
                None,
                f"the track of {evidence.device_id} counts for nothing: the course gives this "
                f"entry {listed(known)}",
            )


def _unjudged_zones(one: Judged, evidences: Sequence[Evidence]) -> Iterator[Warned]:
    stage, entry = one.sheet.stage, one.sheet.entry
    seen_by = witnesses(entry, evidences)
    for sheet in one.sheet.segments:
        for visit in zone_visits(sheet, seen_by, decisions(stage, sheet.segment, entry, ())):
            if all(sample.speed_kmh is None for sample in visit.samples):
                yield _no_speed(entry.id, visit)


def _no_speed(entry_id: str, visit: ZoneVisit) -> Warned:
    return Warned(
        entry_id,
        "no-speed",
        visit.since,
        visit.until,
        f"{visit.limit.name} limits speed and could not be judged: {visit.device_id} says no speed "
        "of its own there, and only that may punish",
    )


# -- the course and the rules ---------------------------------------------------------------------


def _ends(segment: Segment, file: CourseFile) -> Iterator[Warned]:
    """A special stage needs one start and one finish; other segments may follow another, or have
    none, but hardly two."""
    for kind, named in ((Kind.START, segment.start), (Kind.FINISH, segment.finish)):
        alike = [file.written(thing.id) for thing in segment.objects if thing.kind is kind]
        needed = segment.type is SegmentType.SPECIAL_STAGE
        if named is None and (needed or alike):
            found = f"several ({listed(alike)})" if alike else "none"
            yield Warned(
                "",
                f"no-{kind.value}",
                None,
                None,
                f"segment {segment.id} has no {kind.value}: of objects of that kind there are "
                f'{found}; name one as its "{kind.value}"',
            )


def _unmatched(scored: Scored) -> Iterator[Warned]:
    """Formulas for something that is not there: they punish nobody."""
    segments = [segment for _, segment in scored.course.segments()]
    things = [t.id for s in segments for t in s.objects]
    things += [zone.id for s in segments for zone in s.zones]
    named = {
        Level.STAGE: [stage.id for stage in scored.course.stages],
        Level.SEGMENT: [segment.id for segment in segments],
        Level.CLASS: sorted({entry.class_id for entry in scored.entries if entry.class_id}),
    }
    for formula in scored.rules.formulas:
        known = named.get(formula.level)
        if known is not None and formula.level_id not in known:
            yield _nothing(formula, f"{formula.level.value} {formula.level_id or ''}", known)
        for thing_id in formula.applies_to.objects:
            if thing_id not in things:
                yield _nothing(formula, f"object {thing_id}", things)


def _nothing(formula: Formula, what: str, known: Sequence[str]) -> Warned:
    meant = _meant(what.partition(" ")[2], known)
    return Warned(
        "",
        "rules-unmatched",
        None,
        None,
        f"rule {formula.id} is for {what}, which is not there{meant}",
    )


def _meant(name: str, known: Sequence[str]) -> str:
    """An id that several segments use is told apart by its segment: SS1/S."""
    apart = [each for each in known if each.endswith(f"/{name}")]
    if apart:
        return f"; did you mean {' or '.join(map(quoted, apart))}?"
    return near(name, known)
