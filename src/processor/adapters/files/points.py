"""The points of one device as a file gives them, and the track that they make.

A file of a day at 1 Hz has 86 400 points, and a million may come, so they are columns from the
first moment. A track has each instant once: of several points with one instant the one with more
satellites counts, then the smaller HDOP, then the smaller place and speed, so that the order of the
lines decides nothing. What was left out for that, or because the device had no fix, is remarked.
"""

from array import array
from collections.abc import Iterable

import numpy as np
from attrs import frozen

from processor.domain.instants import iso
from processor.domain.model import Track

UNSAID = 256
"""Satellites of a device that does not say how many: above all that can be said (0 to 255). Within
a file either all points say it or none, and mixed ones are no worse for it."""

_NAN = float("nan")


@frozen
class Remark:
    """Something about a track that whoever reads the results should know. `what` is a constant
    name, `message` a sentence; `since` and `until` are the instants it concerns, first and last
    (None: all of the file)."""

    device_id: str
    what: str
    since: int | None
    until: int | None
    message: str

    @property
    def order(self) -> tuple[str, str, str]:
        """One of a kind per device and file, so this sorts them."""
        return self.device_id, self.what, self.message


@frozen(eq=False)
class Reading:
    """What was read from a file: tracks by device id, and remarks, both sorted."""

    tracks: tuple[Track, ...]
    remarks: tuple[Remark, ...] = ()


class Points:
    """Collects the points of one device, in any order."""

    def __init__(self) -> None:
        self._at = array("q")
        self._satellites = array("h")
        self._without_fix = array("q")
        self._columns = [array("d") for _ in range(4)]  # latitude, longitude, speed, HDOP

    def __len__(self) -> int:
        return len(self._at) + len(self._without_fix)

    def add(
        self,
        at: int,
        latitude: float,
        longitude: float,
        speed_kmh: float | None = None,
        hdop: float | None = None,
        satellites: int | None = None,
    ) -> None:
        """One point: microseconds, degrees, km/h. One with 0 satellites is no fix; an HDOP of 0 is
        none that a receiver means."""
        if satellites == 0:
            self.add_without_fix(at)
            return
        self._at.append(at)
        self._satellites.append(UNSAID if satellites is None else satellites)
        speed = _NAN if speed_kmh is None else speed_kmh
        for column, value in zip(
            self._columns, (latitude, longitude, speed, hdop or _NAN), strict=True
        ):
            column.append(value)

    def add_without_fix(self, at: int) -> None:
        """A point at which the device knew no place."""
        self._without_fix.append(at)

    def reading(self, device_id: str) -> Reading:
        """The device's track, and what there is to remark."""
        at = np.array(self._at, dtype=np.int64)
        columns = [np.array(column, dtype=np.float64) for column in self._columns]
        latitude, longitude, speed_kmh, hdop = columns
        latitude, longitude = np.round(latitude, 7) + 0.0, np.round(longitude, 7) + 0.0  # no -0.0
        satellites = np.array(self._satellites, dtype=np.int64)
        order = np.lexsort((speed_kmh, longitude, latitude, hdop, -satellites, at))
        at, rows = at[order], np.stack((latitude, longitude, speed_kmh, hdop))[:, order]
        again = np.zeros(len(at), dtype=bool)
        again[1:] = at[1:] == at[:-1]
        differs = np.zeros(len(at), dtype=bool)
        same = (rows[:, 1:] == rows[:, :-1]) | (np.isnan(rows[:, 1:]) & np.isnan(rows[:, :-1]))
        differs[1:] = again[1:] & ~same.all(axis=0)
        track = Track(device_id, at[~again], *(row[~again] for row in rows))
        remarks = [
            *conflicts(device_id, at[differs].tolist(), "points"),
            *without_fix(device_id, self._without_fix.tolist()),
        ]
        return Reading((track,), in_order(remarks))


def in_order(remarks: Iterable[Remark]) -> tuple[Remark, ...]:
    """Remarks as every reader gives them."""
    return tuple(sorted(remarks, key=lambda remark: remark.order))


def conflicts(device_id: str, instants: list[int], of: str) -> list[Remark]:
    """The remark that several different points had one instant, if any had."""
    if not instants:
        return []
    since, until = min(instants), max(instants)
    text = (
        f"{len(set(instants))} times {of} of {device_id} that differ have the same time "
        f"({_when(instants)}); of each the one with more satellites counts"
    )
    return [Remark(device_id, "conflicting-fixes", since, until, text)]


def without_fix(device_id: str, instants: list[int]) -> list[Remark]:
    """The remark that a device had no fix at some of its points, if any."""
    if not instants:
        return []
    since, until = min(instants), max(instants)
    text = (
        f"{len(instants)} points of {device_id} are no fixes ({_when(instants)}); they are left out"
    )
    return [Remark(device_id, "no-fix", since, until, text)]


def _when(instants: list[int]) -> str:
    since, until = iso(min(instants)), iso(max(instants))
    return since if since == until else f"{since} to {until}"
