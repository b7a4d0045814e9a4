"""Speed where it is limited: the visits of speed zones, and what was driven in them.

A zone is an area with a limit, or the way from a DZ to its FZ, whatever the route: from the exit of
the DZ to the enter of the FZ. Only the device's own speeds of fixes strictly inside punish, because
a speed computed from two places is wrong by the noise of both (design/racing.md, Speed zones).

    visits of a zone  ->  samples (fixes, speeds)  ->  excesses  ->  peak, impulses, time gained

An *excess* is a run of samples over limit + tolerance, without a gap, that is proved to have lasted
longer than the tolerance: from its first sample to its last. The tolerances are thresholds: who is
beyond them is measured against the limit itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from attrs import frozen

from processor.domain.course import Kind
from processor.domain.decisions import Decisions
from processor.domain.instants import SECOND
from processor.domain.model import Fix, Gap, Pass
from processor.domain.samples import Sample, apart_m, decimal, samples_between
from processor.domain.timesheet import SegmentSheet, Validation
from processor.domain.witnesses import Witness

IMPULSE_AFTER = 10 * SECOND  # design/racing.md, Speed zones: the next impulse
IMPULSE_AFTER_M = 150.0  # ditto


@frozen
class Limit:
    """What holds in a zone. `kind` is `zone` for an area, `DZ` between a DZ and its FZ."""

    object_id: str
    kind: str
    name: str
    kmh: Decimal
    tolerance_kmh: Decimal = Decimal(0)
    tolerance_seconds: Decimal = Decimal(0)


@frozen
class Over:
    """A sample over the limit."""

    fix: Fix
    speed_kmh: Decimal
    seconds: Decimal


@frozen
class Impulse:
    """One recorded speeding: at a fix, and standing for what follows until `until`."""

    over: Over
    until: int


@frozen
class ZoneVisit:
    """A stay in a zone, from `since` to `until` (instants; None: it lasts). `over` are the samples
    of its excesses, in order."""

    limit: Limit
    device_id: str
    number: int
    since: int
    until: int | None
    samples: tuple[Sample, ...]
    over: tuple[Over, ...]

    @property
    def peak(self) -> Over | None:
        """The fastest of them, the first of equals."""
        return max(self.over, key=lambda over: (over.speed_kmh, -over.fix.at), default=None)

    @property
    def over_seconds(self) -> Decimal:
        return sum((over.seconds for over in self.over), Decimal(0))

    @property
    def excess_seconds_kmh(self) -> Decimal:
        """The integral of the excess over time, in km/h s."""
        return sum(
            ((over.speed_kmh - self.limit.kmh) * over.seconds for over in self.over), Decimal(0)
        )


@frozen
class OpenZone:
    """A DZ that was passed, and whose zone was not left through its FZ. `until`: where it was ended
    instead, None where nothing behind it was passed either."""

    begin: Validation
    end: Validation | None
    since: int
    until: int | None


def impulses(visit: ZoneVisit) -> tuple[Impulse, ...]:
    """The impulses of a visit: one at the first sample over, the next at the first sample over that
    is at least 10 s or 150 m of driving later."""
    counted: list[Over] = []
    ends: list[int] = []
    way_m = _way_m(visit) if visit.over else {}
    for over in visit.over:
        if counted:
            last = counted[-1].fix.at
            near = way_m[over.fix.at] - way_m[last] < IMPULSE_AFTER_M
            if over.fix.at - last < IMPULSE_AFTER and near:
                ends[-1] = over.fix.at
                continue
        counted.append(over)
        ends.append(over.fix.at)
    return tuple(Impulse(over, until) for over, until in zip(counted, ends, strict=True))


def zone_visits(
    sheet: SegmentSheet, seen_by: Sequence[Witness], decided: Decisions
) -> tuple[ZoneVisit, ...]:
    """The visits of a segment's zones between its start and its finish, areas first.

    An area is judged by the device that the segment was timed by, a DZ by the one that passed it.
    A visit that a ruling voids is none.
    """
    devices = {witness.device_id: witness for witness in reversed(seen_by)}
    found = [*_in_areas(sheet, devices, decided), *_behind_marks(sheet, devices)]
    return tuple(visit for visit in found if visit.samples)


def open_zones(sheet: SegmentSheet) -> tuple[OpenZone, ...]:
    """Those whose FZ was definitely missed, or that have none. A ruling on the FZ settles it."""
    found = []
    for index, begin in _begins(sheet):
        closing = _closing(sheet, index)
        end = None if closing is None else sheet.validations[closing]
        missing = end is None or (end.status == "missed" and end.ruling_id is None)
        until = _next_validated(sheet, index if closing is None else closing)
        if missing and (until is not None or sheet.closed):
            found.append(OpenZone(begin, end, _exit_at(begin), until))
    return tuple(found)


# -- visits ----------------------------------------------------------------------------------------


@frozen
class _Span:
    """The fixes with first <= at <= last count. `opens`, `closes` are the edges of the stay, where
    the first and the last sample's time ends."""

    first: int
    last: int
    opens: int
    closes: int


def _in_areas(
    sheet: SegmentSheet, devices: Mapping[str, Witness], decided: Decisions
) -> Iterator[ZoneVisit]:
    witness = devices.get(sheet.device_id or "")
    if witness is None:
        return
    for zone in sheet.segment.zones:
        limit = Limit(
            zone.id,
            "zone",
            zone.name or zone.id,
            decimal(zone.limit_kmh),
            decimal(zone.tolerance_kmh),
            decimal(zone.tolerance_seconds),
        )
        for used in witness.evidence.passes.get(zone.id, ()):
            if not decided.voids(used):
                yield _visit(sheet, limit, witness, used.number, used.since, _area_span(used))


def _area_span(used: Pass) -> _Span:
    """Strictly between the edges. Who was first seen inside is inside with that very fix."""
    opens = used.since if used.enter is None else used.enter.at
    closes = _EVER if used.exit is None else used.exit.at
    first = opens if used.enter is None else opens + 1
    return _Span(first, closes - 1, opens, closes)


def _behind_marks(sheet: SegmentSheet, devices: Mapping[str, Witness]) -> Iterator[ZoneVisit]:
    for index, begin in _begins(sheet):
        witness = devices.get(begin.device_id or sheet.device_id or "")
        if witness is None:
            continue
        opens = _exit_at(begin)
        closes = _closes(sheet, index, opens, witness.evidence.gaps)
        if closes is not None and closes > opens:
            kmh = begin.object.speed_limit_kmh
            assert kmh is not None
            name = begin.object.name or begin.object.id
            limit = Limit(begin.object.id, Kind.DZ.value, name, decimal(kmh))
            span = _Span(opens + 1, closes - 1, opens, closes)
            yield _visit(sheet, limit, witness, begin.lap, opens, span)


def _begins(sheet: SegmentSheet) -> Iterator[tuple[int, Validation]]:
    """The DZs with a limit that were passed and left. One still inside has not begun its zone."""
    for index, passed in enumerate(sheet.validations):
        limited = passed.object.kind is Kind.DZ and passed.object.speed_limit_kmh is not None
        if limited and passed.validated and passed.used is not None and passed.used.exit:
            yield index, passed


def _exit_at(begin: Validation) -> int:
    assert begin.used is not None
    assert begin.used.exit is not None
    return begin.used.exit.at


def _closing(sheet: SegmentSheet, index: int) -> int | None:
    """The place of the next FZ of the lap, if no other DZ comes before it."""
    begin = sheet.validations[index]
    for place, following in enumerate(sheet.validations[index + 1 :], start=index + 1):
        if following.lap != begin.lap or following.object.kind is Kind.DZ:
            return None
        if following.object.kind is Kind.FZ:
            return place
    return None


def _closes(sheet: SegmentSheet, index: int, opens: int, gaps: Sequence[Gap]) -> int | None:
    """Where the zone of the DZ number `index` ends; None while nothing behind it was passed: it has
    no end to be judged by yet. An FZ that may have been passed in a gap ends it there, because
    what came after may have been free."""
    closing = _closing(sheet, index)
    if closing is None:
        return _next_validated(sheet, index)
    end = sheet.validations[closing]
    if end.validated and end.at is not None:
        return end.at
    behind = _next_validated(sheet, closing)
    if end.status == "unverified" and behind is not None:
        silent = (gap.before.at + 1 for gap in gaps if gap.after.at > opens)
        return min((*silent, behind))
    return behind


def _next_validated(sheet: SegmentSheet, index: int) -> int | None:
    """The instant of what was passed next behind a place in the order, at last the finish."""
    behind = (v.at for v in sheet.validations[index + 1 :] if v.validated and v.at is not None)
    return next(behind, sheet.finish_at)


# -- a visit ---------------------------------------------------------------------------------------

_EVER = 2**62


def _visit(
    sheet: SegmentSheet, limit: Limit, witness: Witness, number: int, since: int, span: _Span
) -> ZoneVisit:
    """The visit with its samples, cut to the segment: what was before its start or after its finish
    counts for nothing."""
    begins = [at for at in (sheet.since, sheet.start_measured) if at is not None]
    ends = [at for at in (sheet.until, sheet.finish_at) if at is not None]
    cut = _Span(
        max([span.first, *begins]),
        min([span.last, *ends]),
        max([span.opens, *begins]),
        min([span.closes, *ends]),
    )
    until = None if span.closes == _EVER else span.closes
    samples = samples_between(witness, cut.first, cut.last, cut.opens, cut.closes)
    over = tuple(over for excess in _excesses(samples, limit) for over in excess)
    return ZoneVisit(limit, witness.device_id, number, since, until, samples, over)


# -- over the limit --------------------------------------------------------------------------------


def _excesses(samples: Sequence[Sample], limit: Limit) -> Iterator[tuple[Over, ...]]:
    """The runs over limit + tolerance that lasted longer than tolerated."""
    run: list[Over] = []
    for sample in samples:
        speed = sample.speed_kmh
        fast = speed is not None and speed > limit.kmh + limit.tolerance_kmh
        if run and not (fast and sample.joined):
            yield from _lasting(run, limit)
            run = []
        if fast and speed is not None:
            run.append(Over(sample.fix, speed, sample.seconds))
    if run:
        yield from _lasting(run, limit)


def _lasting(run: Sequence[Over], limit: Limit) -> Iterator[tuple[Over, ...]]:
    lasted = Decimal(run[-1].fix.at - run[0].fix.at) / SECOND
    if not limit.tolerance_seconds or lasted > limit.tolerance_seconds:
        yield tuple(run)


def _way_m(visit: ZoneVisit) -> dict[int, float]:
    """How far the car had driven in the visit, by the instant of each sample."""
    way = 0.0
    found = {visit.samples[0].fix.at: way}
    for before, sample in zip(visit.samples, visit.samples[1:], strict=False):
        way += apart_m(before.fix, sample.fix)
        found[sample.fix.at] = way
    return found
