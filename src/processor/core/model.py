"""The values that flow: an entry of the stream, the position in it, the two of them together.

They are msgspec structs and not attrs classes because each of them is made once per fix, a
hundred thousand times a second at the limit: a frozen struct is made in a quarter of the time
of a frozen attrs class (docs/adr/0003). Nothing else of msgspec leaves `decode.py`.

Three times have three names everywhere: `fixed_at` is the device's GPS time, `received_at` the
stream's (the entry's id), `ingested_at` ours (the database's clock).
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One entry of the stream as it was read.

    `id` is the stream's own, `<milliseconds>-<sequence>`. `fields` are untouched bytes, or None
    where the entry was still pending but its content had been trimmed from the stream.
    `deliveries` is how often it was handed to anybody, this time included.
    """

    id: str
    fields: Mapping[bytes, bytes] | None
    deliveries: int = 1

    @property
    def received_ms(self) -> int:
        """When the stream took it, in milliseconds since the epoch: the first half of the id."""
        return int(self.id.partition("-")[0])


class Position(msgspec.Struct, frozen=True, gc=False):
    """One fix of one device, accepted (the ranges are those of `decode.py`).

    Units: degrees WGS 84, metres, degrees of heading, km/h. `fixed_at` is UTC. `attributes` is
    the raw IO bag as JSON text in UTF-8 with its sentinels resolved: what goes into `jsonb`.
    `satellites` 0 means that the device had no fix and repeats its last place.
    """

    device_id: str
    fixed_at: datetime
    latitude: float
    longitude: float
    altitude: float
    angle: float
    speed: float
    satellites: int
    priority: int
    codec: str
    attributes: bytes

    @property
    def key(self) -> tuple[str, datetime]:
        """What makes it one row: the same device at the same instant is the same fix."""
        return self.device_id, self.fixed_at


PANIC = 2
"""The priority that is never dropped in silence, not even for a duplicate's sake."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """An entry and the position found in it. The entry is kept for its id, and for the dead letter
    that it becomes, fields untouched, if the database refuses the position."""

    entry: Entry
    position: Position
