"""One track of all that several files hold of one device, whatever the order of files and lines.

A track has each instant once. Of several points with one instant the one with more satellites
counts, then the higher priority. What is left of equals is decided among payloads by the smaller
canonical JSON, and where other points are among them by the smaller HDOP, place and speed. Only
then a point without satellites is left out.

Payloads that meet are mostly the same line sent again, which a digest of the text tells; the few
others are looked up in their files. What was left out is remarked, and so are pieces that cannot
be of one receiver, because between a point of one and the next of another nobody could have driven.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from attrs import frozen

from processor.adapters.files.payload_track import canonical
from processor.adapters.files.points import NO_TEXT, Points, Reading, Remark, in_order
from processor.domain.instants import SECOND, iso
from processor.domain.model import Floats, Integers, Track

APART_M = 100.0
"""Two receivers in one car are nearer than this, whatever the noise."""

SPEED_MAX_KMH = 250.0
"""Nobody drives faster, so what is further apart than this allows is not one receiver."""

LEAPS_MAX = 10
"""A receiver leaps now and then; two in turn do it at every fix, be they ever so near."""

_DEGREE_M = 111_320.0
_NUMBERS = ("latitude", "longitude", "speed_kmh", "hdop")

Bools: TypeAlias = npt.NDArray[np.bool_]


@frozen(eq=False)
class _Rows:
    """The points of all pieces as columns; `piece` is the number of the piece."""

    piece: Integers
    at: Integers
    satellites: Integers
    priority: Integers
    latitude: Floats
    longitude: Floats
    speed_kmh: Floats
    hdop: Floats
    digest: npt.NDArray[np.uint64]
    offset: Integers

    def rank(self, row: int) -> tuple[float, ...]:
        """What decides between points of one instant, where no text does: the smaller counts."""
        numbers = (float(getattr(self, name)[row]) for name in ("hdop", *_NUMBERS[:3]))
        told = (-self.satellites[row], -self.priority[row], *numbers)
        return tuple(float("inf") if each != each else float(each) for each in told)


def joined(pieces: Sequence[Points]) -> Reading:
    """The track of pieces of one device, at least one, and what there is to remark. Raises OSError
    where a payload cannot be looked up again."""
    device_id = pieces[0].device_id
    rows = _rows(pieces)
    kept, met = _chosen_rows(rows, [piece.path for piece in pieces])
    no_fix = kept[rows.satellites[kept] == 0]
    kept = kept[rows.satellites[kept] > 0]
    track = Track(
        device_id, rows.at[kept], *(getattr(rows, name)[kept] for name in _NUMBERS)
    )  # fmt: skip
    of = "payloads" if (rows.offset != NO_TEXT).all() else "points"
    remarks = [
        *_conflicts(device_id, met, of),
        *_without_fix(device_id, rows.at[no_fix].tolist()),
        *_two_receivers(device_id, rows, kept),
    ]
    return Reading((track,), in_order(remarks))


def _rows(pieces: Sequence[Points]) -> _Rows:
    def column(name: str) -> npt.NDArray[Any]:
        return np.concatenate([np.array(getattr(piece, name)) for piece in pieces])

    return _Rows(
        piece=np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces]),
        at=column("at"),
        satellites=column("satellites").astype(np.int64),
        priority=column("priority").astype(np.int64),
        latitude=column("latitude").round(7) + 0.0,  # no -0.0
        longitude=column("longitude").round(7) + 0.0,
        speed_kmh=column("speed_kmh"),
        hdop=column("hdop"),
        digest=column("digest"),
        offset=column("offset"),
    )


# -- which point counts ---------------------------------------------------------------------------


def _chosen_rows(rows: _Rows, paths: Sequence[Path]) -> tuple[Integers, list[int]]:
    """The rows that count, in the order of time, and the instants at which rows differed."""
    order = _once(rows)
    first = np.ones(len(order), dtype=bool)
    first[1:] = np.diff(rows.at[order]) > 0
    kept = order[first]
    met = []
    for place, group in _groups(order, first):
        chosen, differs = _chosen(rows, group, paths)
        kept[place] = chosen
        if differs:
            met.append(int(rows.at[chosen]))
    return kept, met


def _once(rows: _Rows) -> Integers:
    """The rows in the order of time, of equal ones only one: most that meet are the same."""
    columns: list[npt.NDArray[Any]] = [getattr(rows, name) for name in (*_NUMBERS, "digest")]
    columns += [rows.priority, rows.satellites, rows.at]
    order = np.lexsort(columns)
    again = np.zeros(len(order), dtype=bool)
    if len(order):
        again[1:] = True
        for column in (each[order] for each in columns):
            same = column[1:] == column[:-1]
            if column.dtype == np.float64:  # what is not said is the same as what is not said
                same |= np.isnan(column[1:]) & np.isnan(column[:-1])
            again[1:] &= same
    return order[~again]


def _groups(order: Integers, first: Bools) -> Iterator[tuple[int, list[int]]]:
    """(number of the instant, its rows) of each instant that has several rows."""
    begins = np.flatnonzero(first)
    ends = np.append(begins[1:], len(order))
    for place in np.flatnonzero(ends - begins > 1).tolist():
        yield place, order[begins[place] : ends[place]].tolist()


def _chosen(rows: _Rows, group: Sequence[int], paths: Sequence[Path]) -> tuple[int, bool]:
    """The row that counts of several with one instant, and whether they really differ."""
    if any(rows.offset[row] == NO_TEXT for row in group):
        fixes = [row for row in group if rows.satellites[row]] or group
        ranks = {row: rows.rank(row) for row in fixes}
        return min(ranks, key=ranks.__getitem__), len({rank[2:] for rank in ranks.values()}) > 1
    by_digest = {rows.digest[row]: row for row in reversed(group)}
    if len(by_digest) == 1:
        return group[0], False
    texts = {
        row: canonical(paths[rows.piece[row]], int(rows.offset[row])) for row in by_digest.values()
    }
    best = min(texts, key=lambda row: (-rows.satellites[row], -rows.priority[row], texts[row]))
    return best, len(set(texts.values())) > 1


# -- what is remarked -----------------------------------------------------------------------------


def _conflicts(device_id: str, instants: Sequence[int], of: str) -> Iterator[Remark]:
    if instants:
        yield _at_instants(
            device_id,
            "conflicting-fixes",
            instants,
            lambda when: (
                f"{len(instants)} times {of} of {device_id} that differ have the same time "
                f"({when}); of each the one with more satellites counts"
            ),
        )


def _without_fix(device_id: str, instants: Sequence[int]) -> Iterator[Remark]:
    if instants:
        yield _at_instants(
            device_id,
            "no-fix",
            instants,
            lambda when: (
                f"{len(instants)} points of {device_id} are no fixes ({when}); they are left out"
            ),
        )


def _two_receivers(device_id: str, rows: _Rows, kept: Integers) -> Iterator[Remark]:
    instants = _disagreeing(rows, kept)
    if instants:
        yield _at_instants(
            device_id,
            "two-receivers",
            instants,
            lambda when: (
                f"two receivers under one name: files of {device_id} overlap in time, and from one "
                f"to the other nobody could have driven ({when}); name them differently, or score "
                "one of them"
            ),
        )


def _disagreeing(rows: _Rows, kept: Integers) -> list[int]:
    """The instants of fixes that follow one of another piece from which nobody could have come
    there, where the two pieces overlap in time."""
    if len(np.unique(rows.piece[kept])) < 2:
        return []
    before, after = kept[:-1], kept[1:]
    count = int(rows.piece.max()) + 1
    fixes = [rows.at[kept[rows.piece[kept] == number]] for number in range(count)]
    begins = np.array([at[0] if len(at) else 0 for at in fixes])
    ends = np.array([at[-1] if len(at) else -1 for at in fixes])
    one, other = rows.piece[before], rows.piece[after]
    overlap = np.maximum(begins[one], begins[other]) < np.minimum(ends[one], ends[other])
    north = (rows.latitude[after] - rows.latitude[before]) * _DEGREE_M
    turn = (rows.longitude[after] - rows.longitude[before] + 180) % 360 - 180
    east = turn * _DEGREE_M * np.cos(np.radians(rows.latitude[before]))
    seconds = (rows.at[after] - rows.at[before]) / SECOND
    beyond_m = np.hypot(north, east) - seconds * SPEED_MAX_KMH / 3.6
    leaps = (one != other) & overlap & (beyond_m > 0)
    found: list[int] = rows.at[after][leaps].tolist()
    return found if len(found) > LEAPS_MAX or (beyond_m[leaps] > APART_M).any() else []


def _at_instants(
    device_id: str, what: str, instants: Sequence[int], sentence: Callable[[str], str]
) -> Remark:
    since, until = min(instants), max(instants)
    when = iso(since) if since == until else f"{iso(since)} to {iso(until)}"
    return Remark(device_id, what, since, until, sentence(when))
