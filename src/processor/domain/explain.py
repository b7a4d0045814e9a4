"""What explanations are made of, in plain JSON values: fixes, geometry, arithmetic, and how a mark
came about in words (design/racing.md, law 4: nothing is a bare number).
"""

from collections.abc import Mapping

from processor.domain.chords import KMH, Chord
from processor.domain.course import Area, Disc, Gate, Object, Ring, Shape, Zone
from processor.domain.instants import SECOND, iso
from processor.domain.marks import Case, Mark
from processor.domain.model import Crossing, Fix
from processor.domain.plane import metres
from processor.domain.rulings import Ruling
from processor.domain.validation import Finding

# -- values ----------------------------------------------------------------------------------------


def fix_told(fix: Fix) -> Mapping[str, object]:
    """A fix, with the device's own speed."""
    return {
        "at": iso(fix.at),
        "latitude": fix.latitude,
        "longitude": fix.longitude,
        "speed_kmh": fix.speed_kmh,
    }


def object_told(thing: Object | Zone) -> Mapping[str, object]:
    """What was passed: its id, its kind, and its geometry as GeoJSON has it (the rings of an area
    are those of a polygon), with what GeoJSON does not have beside it."""
    kind = thing.kind.value if isinstance(thing, Object) else "zone"
    return {"id": thing.id, "kind": kind, **_shape_told(thing.shape)}


def _shape_told(shape: Shape) -> Mapping[str, object]:
    match shape:
        case Disc(centre, radius_m):
            return {
                "geometry": {"type": "Point", "coordinates": list(centre)},
                "radius_m": radius_m,
            }
        case Gate(posts, direction_deg):
            line = {"type": "LineString", "coordinates": [list(post) for post in posts]}
            return {"geometry": line, "direction_deg": direction_deg}
        case Area(rings):
            closed = [_closed(ring) for ring in rings]
            return {"geometry": {"type": "Polygon", "coordinates": closed}}


def _closed(ring: Ring) -> list[list[float]]:
    return [list(place) for place in (*ring, ring[0])]


def crossing_told(crossing: Crossing, fixes: tuple[Fix, ...]) -> Mapping[str, object]:
    """How the instant follows from the two fixes around it (chords.py): `cubic` with the speeds at
    both ends, `linear` at an even speed, `middle` of a gap."""
    seconds = (crossing.after - crossing.before) / SECOND
    said: dict[str, object] = {
        "seconds_after_first_fix": (crossing.at - crossing.before) / SECOND,
        "seconds_between_fixes": seconds,
        "uncertainty_ms": crossing.uncertainty_ms,
    }
    if len(fixes) == 2:
        chord = _chord(*fixes)
        said["metres_between_fixes"] = round(chord.length_m, 3)
        said["mean_kmh"] = round(chord.mean_ms * KMH, 1)
        said["interpolation"] = "cubic" if chord.cubic else "linear"
    if crossing.provisional:
        said["interpolation"] = "middle"
    return said


def _chord(start: Fix, end: Fix) -> Chord:
    start_ms, end_ms = (
        None if fix.speed_kmh is None else fix.speed_kmh / KMH for fix in (start, end)
    )
    length_m = metres((start.longitude, start.latitude), (end.longitude, end.latitude))
    return Chord(length_m, (end.at - start.at) / SECOND, start_ms, end_ms)


# -- in words --------------------------------------------------------------------------------------


def how(thing: Object, mark: Mark) -> str:
    """How a mark came about."""
    name = thing.name or thing.id
    if mark.ruling is not None:
        return f"{name} counts at {iso(mark.at)}."
    crossing, used = mark.crossing, mark.used
    if crossing is None:
        since = used.since if used is not None else mark.at
        seen = "it was first seen inside" if used is not None and used.enter is None else "it began"
        if since == mark.at:
            return f"{name}: the device was first seen inside at {iso(mark.at)}."
        return (
            f"{name}: the visit was under way ({seen} at {iso(since)}) when the one before counted,"
            f" so it counts from then, {iso(mark.at)}."
        )
    verb = {"enter": "entered", "exit": "left"}.get(crossing.kind, "crossed")
    text = (
        f"{name} was {verb} at {iso(mark.at)}, between the fixes of {iso(crossing.before)} and"
        f" {iso(crossing.after)}, to within {crossing.uncertainty_ms} ms."
    )
    if mark.provisional:
        text += " There is a gap there, so this is its middle, and a later upload may move it."
    return text


def became(case: Case, finding: Finding) -> tuple[str, Mapping[str, object]]:
    """What became of an ordered object, and what that rests on."""
    validation = finding.validation
    name = validation.object.name or validation.object.id
    if finding.mark is not None:
        text = how(validation.object, finding.mark)
        if validation.object.manual_verification and validation.ruling_id is None:
            text += " An official has to confirm it."
        return text, {}
    if validation.validated:
        return f"{name} was not seen to be passed; a ruling validates it.", {}
    since, until = finding.between.since, finding.between.until
    more: dict[str, object] = {
        "between": [None if at is None else iso(at) for at in (since, until)],
    }
    silence = finding.silence
    if silence is not None:
        more |= {"silent": [iso(silence.since), iso(silence.until)], "seconds": silence.seconds}
        text = (
            f"{name} may have been passed while the tracker was silent for {silence.seconds:.0f} s,"
            f" from {iso(silence.since)} to {iso(silence.until)}; at up to"
            f" {case.settings.max_speed_kmh:g} km/h it could be reached. It costs nothing."
        )
    elif validation.status == "unverified":
        text = f"Nothing is known of {name}: no device was there."
    elif validation.distance_m is None:
        text = f"{name} was not passed in order."
    else:
        text = f"{name} was not passed in order; the nearest was {validation.distance_m:.3f} m."
    return text, more


def ruled(ruling: Ruling) -> str:
    """A ruling, with its reason."""
    reason = f": {ruling.reason}" if ruling.reason else ""
    return f"Ruling {ruling.id} ({ruling.kind}){reason}."
