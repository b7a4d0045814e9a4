"""What was not done: objects not passed, the share that was, stops not made.

An object is missed for good once its segment is closed. What is unverified counts as passed in the
share: unknown costs nothing (design/racing.md, Geometry, Gaps). A stop that was passed through is
missed where the device's own speeds say that the car cannot have stood there long enough.
"""

from collections.abc import Iterator
from decimal import Decimal

from attrs import frozen

from processor.domain.course import Kind
from processor.domain.infringement import Infringement, Member, Scene, Where, at_object, clock, name
from processor.domain.instants import SECOND, iso
from processor.domain.model import Fix
from processor.domain.rules import Offence
from processor.domain.samples import samples_between
from processor.domain.timesheet import SegmentSheet, Validation

STANDING_KMH = Decimal(5)  # a walking pace: more than a receiver says of a car that stands


def missed(scene: Scene) -> Iterator[Infringement]:
    """The objects missed for good, in their order, and the share that was validated."""
    if not scene.sheet.closed or not scene.sheet.validations or not _begun(scene.sheet):
        return
    for passed, before, behind in zip(scene.sheet.validations, *_neighbours(scene), strict=True):
        if passed.status == "missed":
            yield _miss(scene, Offence.MISSED_WAYPOINT, passed, before, behind)
            if passed.object.kind is Kind.STOP:
                yield _miss(scene, Offence.STOP_MISSED, passed, before, behind)
    yield _ratio(scene)


def not_stopped(scene: Scene) -> Iterator[Infringement]:
    """The stops that were passed without stopping, or not for long enough."""
    for passed in scene.sheet.validations:
        if passed.object.kind is not Kind.STOP or not passed.validated:
            continue
        stay, needed = _stay(scene, passed), passed.object.duration_seconds or 0
        if stay is None or (stay.stood_us and stay.stood_us >= needed * SECOND):
            continue
        stood = Decimal(stay.stood_us) / SECOND
        slowest = stay.slowest
        text = f"no stop, slowest {slowest.speed_kmh} km/h at {clock(slowest.at)}"
        if stay.stood_us:
            text = f"stood {stood} s at most of {needed} s"
        yield scene.one(
            Offence.STOP_MISSED,
            at_object(passed.object, passed.lap),
            Decimal(1),
            stay.since,
            f"{name(passed.object)}: {text}",
            (stay.since, stay.until),
            (slowest,),
            {"stood_at_most_seconds": stood, "due_seconds": needed},
        )


def _begun(sheet: SegmentSheet) -> bool:
    """Whether the entry was there: else it did not miss anything, it did not start."""
    return (
        bool(sheet.records)
        or sheet.start_measured is not None
        or sheet.finish_at is not None
        or any(v.validated for v in sheet.validations)
    )


def _neighbours(scene: Scene) -> tuple[list[int], list[int | None]]:
    """Of each ordered object, when the one before it was passed and when the one behind it."""
    instants = [passed.at for passed in scene.sheet.validations]
    before, behind = [scene.began], [scene.sheet.finish_at]
    for at in instants[:-1]:
        before.append(before[-1] if at is None else at)
    for at in reversed(instants[1:]):
        behind.append(behind[-1] if at is None else at)
    return before, behind[::-1]


def _miss(
    scene: Scene, offence: Offence, passed: Validation, before: int, behind: int | None
) -> Infringement:
    """An object that was missed; its fixes are those of the chord that came nearest to it."""
    text = f"{name(passed.object)} ({passed.object.kind}) was missed"
    if passed.distance_m is not None:
        text += f" by {passed.distance_m:.3f} m"
    return scene.one(
        offence,
        at_object(passed.object, passed.lap),
        Decimal(1),
        before,
        text,
        fixes=passed.nearest,
        facts={
            "distance_m": passed.distance_m,
            "after": iso(before),
            "before": None if behind is None else iso(behind),
            "ruling_id": passed.ruling_id,
        },
    )


def _ratio(scene: Scene) -> Infringement:
    passed = scene.sheet.validations
    members = [Member(v.object.id, v.object.kind.value, v.status == "missed") for v in passed]
    counted, lost = len(members), sum(member.missed for member in members)
    unverified = sum(v.status == "unverified" for v in passed)
    doubtful = f" ({unverified} unverified count as validated)" if unverified else ""
    ends = (scene.sheet.finish_at, scene.stage.stage.closed_at, scene.began)
    return scene.one(
        Offence.MISSED_RATIO,
        Where(None, scene.sheet.segment.type.value),
        Decimal(counted - lost) / counted,
        next(at for at in ends if at is not None),
        f"{counted - lost} of {counted} objects{doubtful}",
        facts={"objects": counted, "missed": lost, "unverified": unverified},
        members=members,
    )


# -- stops -----------------------------------------------------------------------------------------


@frozen
class _Stay:
    """A stay at a stop: how long the car can have stood at most, and its slowest fix."""

    since: int
    until: int
    stood_us: int
    slowest: Fix


def _stay(scene: Scene, passed: Validation) -> _Stay | None:
    """The stay at a stop. None where it cannot be judged: a gap, an edge that nobody saw, a fix
    without a speed, or no fix at all."""
    used, witness = passed.used, scene.witness(passed.device_id)
    if witness is None or used is None or used.enter is None or used.exit is None:
        return None
    opens, closes = used.enter.at, used.exit.at
    if used.provisional or opens >= closes:
        return None
    samples = samples_between(witness, opens + 1, closes - 1, opens, closes)
    speeds = [sample.speed_kmh for sample in samples if sample.speed_kmh is not None]
    whole = len(speeds) == len(samples) and all(sample.joined for sample in samples[1:])
    if not samples or not whole:
        return None
    edges = [opens, *(sample.fix.at for sample in samples), closes]
    stood = begins = 0
    for place, speed in enumerate(speeds, start=1):
        if speed > STANDING_KMH:
            begins = place
        else:  # it may have stood from the fix before to the fix behind
            stood = max(stood, edges[place + 1] - edges[begins])
    slowest = min(zip(speeds, samples, strict=True), key=lambda pair: (pair[0], pair[1].fix.at))
    return _Stay(opens, closes, stood, slowest[1].fix)
