"""The producer's exact format, so that a replay cannot be told from a tracker.

The producer is a Node service that listens to Teltonika trackers. It writes an entry of four flat
strings, and in it the whole position as JSON.stringify writes it: no blanks, `1` and not `1.0`,
the time as toISOString has it. The IO bag holds what a tracker in a rally car sends: ignition,
movement, supply, signal, odometer; SIM and driver's card, beyond 2^53, as `__bigint`; now and then
a Bluetooth beacon's bytes as `__buffer_b64`, or in Node's own shape, which gets past the producer's
encoder at times. About 420 bytes a payload.
"""

import base64
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from attrs import evolve, frozen

from processor.adapters.files.tracks import Fix, Line, is_gpx, read_gpx, read_ndjson

MAXLEN = 1_000_000  # the producer trims with MAXLEN ~ this
CODEC = "8E"  # the one that has elements of variable length, such as a beacon's bytes

HIGH_PRIORITY = 0.02
"""An event (harsh braking, ignition) makes a record of priority 1 every minute or so."""
BEACON = 0.05
"""A beacon is heard now and then, in stages' starts and service parks."""
NODE_BUFFER = 0.2
"""Of the beacons: those that went around the producer's encoder."""

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@frozen
class Payload:
    """One entry to be: its device and time, and the text of its payload. `timestamp` is the time
    as the payload spells it; `priority` decides what a tracker uploads first."""

    device_id: str
    fixed_at: datetime
    timestamp: str
    text: str
    priority: int = 0

    def fields(self) -> dict[str, str]:
        """The entry's four fields."""
        return {
            "ts": self.timestamp,
            "device_id": self.device_id,
            "codec": CODEC,
            "payload": self.text,
        }

    def moved(self, by: timedelta) -> "Payload":
        """The same at another time; all other members keep their text."""
        fixed_at = self.fixed_at + by
        timestamp = iso_string(fixed_at)
        members = _members(self.text)
        members["timestamp"] = msgspec.Raw(json.dumps(timestamp).encode())
        text = msgspec.json.encode(members).decode()
        return evolve(self, fixed_at=fixed_at, timestamp=timestamp, text=text)


def recorded(path: Path, *, device_id: str, chance: random.Random) -> Iterator[Payload]:
    """The payloads of a file: those of an NDJSON file as they are, of a GPX track as the tracker
    `device_id` would have sent them. Raises WrongFile, OSError."""
    if not is_gpx(path):
        yield from map(_of_line, read_ndjson(path))
        return
    tracker = Tracker(device_id, chance)
    for fix in read_gpx(path):
        yield tracker.payload(fix)


def _of_line(line: Line) -> Payload:
    priority = _members(line.payload).get("priority")
    high = priority is not None and bytes(priority) in (b"1", b"2")
    return Payload(line.device_id, line.fixed_at, line.timestamp, line.payload, int(high))


class Tracker:
    """A Teltonika tracker in a car: gives each fix the rest of what it would have measured."""

    def __init__(self, device_id: str, chance: random.Random) -> None:
        self._device_id = device_id
        self._chance = chance
        self._odometer_m = chance.randint(1_000_000, 200_000_000)
        self._trip_m = 0.0
        self._iccid = 8_938_500_000_000_000_000 + chance.randrange(10**12)
        self._ibutton = chance.randrange(2**63, 2**64)
        self._last_at: datetime | None = None

    def payload(self, fix: Fix) -> Payload:
        """Speed, heading and altitude are whole numbers, as the protocol has them."""
        speed_kmh = min(round(fix.speed_kmh or 0), 10_000)
        if self._last_at is not None:
            seconds = max(0.0, (fix.fixed_at - self._last_at).total_seconds())
            self._trip_m += speed_kmh / 3.6 * seconds
        self._last_at = fix.fixed_at
        timestamp = iso_string(fix.fixed_at)
        satellites = fix.satellites if fix.satellites is not None else self._chance.randint(8, 19)
        priority = int(self._chance.random() < HIGH_PRIORITY)
        position = {
            "device_id": self._device_id,
            "timestamp": timestamp,
            "latitude": round(fix.latitude, 7),
            "longitude": round(fix.longitude, 7),
            "altitude": round(fix.altitude or 0),
            "angle": round(fix.heading or 0) % 360,
            "speed": speed_kmh,
            "satellites": satellites,
            "priority": priority,
            "attributes": self._bag(speed_kmh),
        }
        return Payload(self._device_id, fix.fixed_at, timestamp, stringify(position), priority)

    def _bag(self, speed_kmh: int) -> Mapping[str, Any]:
        pick = self._chance.randint
        bag: dict[str, Any] = {
            "239": 1,  # ignition
            "240": int(speed_kmh > 0),  # movement
            "21": pick(2, 5),  # GSM signal, of 5
            "200": 0,  # sleep mode
            "69": 1,  # GNSS status: on, with fix
            "181": pick(9, 24),  # PDOP, tenths
            "182": pick(6, 16),  # HDOP, tenths
            "66": pick(13_600, 14_400),  # external voltage, mV
            "67": pick(3_950, 4_150),  # battery, mV
            "24": speed_kmh,  # speed, km/h
            "241": 21901,  # operator
            "205": pick(20_000, 20_040),  # cell of the operator
            "199": round(self._trip_m),  # trip odometer, m
            "16": self._odometer_m + round(self._trip_m),  # odometer, m
            "11": {"__bigint": str(self._iccid)},  # ICCID of the SIM
            "78": {"__bigint": str(self._ibutton)},  # iButton: the driver's card
        }
        if self._chance.random() < BEACON:
            bag["385"] = self._beacon()
        return bag

    def _beacon(self) -> Mapping[str, Any]:
        octets = self._chance.randbytes(23)
        if self._chance.random() < NODE_BUFFER:
            return {"type": "Buffer", "data": list(octets)}
        return {"__buffer_b64": base64.b64encode(octets).decode()}


def iso_string(instant: datetime) -> str:
    """A UTC instant as JavaScript's toISOString writes it: milliseconds and Z."""
    return instant.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def stringify(value: Any) -> str:
    """A value as JavaScript's JSON.stringify writes it. Floats are finite and below 1e21."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{stringify(k)}:{stringify(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(map(stringify, value)) + "]"
    if isinstance(value, float):
        return _number(value)
    return json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    """The shortest digits that give the number back are those of Python, too; not so the point and
    the exponent, which JavaScript writes below 1e-6 only, and without a leading zero."""
    if value.is_integer():
        return str(int(value))
    if abs(value) >= 1e-6:
        return format(Decimal(repr(value)), "f")
    return repr(value).replace("e-0", "e-")
