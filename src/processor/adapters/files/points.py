"""The points that one file has of one device, as they stand there, and what is remarked about them.

A file of a day at 1 Hz has 86 400 points, and a million may come, so they are columns from the
first moment. Nothing is chosen here: which of several points with one instant counts can be said
only when all files of a device are read (`joining.py`).
"""

from array import array
from collections.abc import Iterable
from pathlib import Path

from attrs import frozen

from processor.domain.model import Track

UNSAID = 256
"""Satellites of a device that does not say how many: above all that can be said (0 to 255). Within
a file either all points say it or none, and mixed ones are no worse for it."""

NO_TEXT = -1
"""The offset of a point that is no payload: no text of its own decides between it and another."""

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


class Points:
    """Collects the points of one device in one file, in any order."""

    def __init__(self, device_id: str, path: Path) -> None:
        self.device_id = device_id
        self.path = path
        self.at = array("q")
        self.satellites = array("h")
        self.priority = array("b")
        self.latitude = array("d")
        self.longitude = array("d")
        self.speed_kmh = array("d")
        self.hdop = array("d")
        self.digest = array("Q")
        self.offset = array("q")

    def __len__(self) -> int:
        return len(self.at)

    def add(
        self,
        at: int,
        latitude: float,
        longitude: float,
        speed_kmh: float | None = None,
        hdop: float | None = None,
        satellites: int | None = None,
        priority: int = 0,
        digest: int = 0,
        offset: int = NO_TEXT,
    ) -> None:
        """One point: microseconds, degrees, km/h. One with 0 satellites is no fix; an HDOP of 0 is
        none that a receiver means. Of a payload `digest` tells its text from others, and `offset`
        is where in the file it stands."""
        self.at.append(at)
        self.satellites.append(UNSAID if satellites is None else satellites)
        self.priority.append(priority)
        self.latitude.append(latitude)
        self.longitude.append(longitude)
        self.speed_kmh.append(_NAN if speed_kmh is None else speed_kmh)
        self.hdop.append(hdop or _NAN)
        self.digest.append(digest)
        self.offset.append(offset)

    def add_without_fix(self, at: int) -> None:
        """A point at which the device knew no place."""
        self.add(at, 0.0, 0.0, satellites=0)


@frozen(eq=False)
class Recorded:
    """What was read from one file: the points of each device, by its id, and remarks, sorted."""

    pieces: tuple[Points, ...]
    remarks: tuple[Remark, ...] = ()


@frozen(eq=False)
class Reading:
    """Tracks by device id, and remarks, both sorted."""

    tracks: tuple[Track, ...]
    remarks: tuple[Remark, ...] = ()


def in_order(remarks: Iterable[Remark]) -> tuple[Remark, ...]:
    """Remarks as every reader gives them."""
    return tuple(sorted(remarks, key=lambda remark: remark.order))
