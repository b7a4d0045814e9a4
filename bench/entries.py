"""Entries as the producer writes them, made from a seed: the same arguments, the same entries.

Each is the producer's four flat fields (`ts`, `device_id`, `codec`, `payload`), about 450 bytes
with 15 IO ids, some of them sentinels. Devices report in turn, once a second, and
the newest fix is a second old: retention and range checks see what they would see on the day.

Two shares make it like real traffic. A *duplicate* repeats an entry word for word a few hundred
entries later, as a producer does that was not sure; a *late* fix is older by hours, as of a tracker
that uploads what it had buffered.
"""

import base64
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

SENTINEL_BIGINT = 0.10
"""An ICCID does not fit 2^53: with trackers set to send it, it is in every tenth record."""
SENTINEL_BUFFER = 0.02
"""An iButton is bytes, and is only sent when somebody touches the reader."""
NEARBY = 400
"""A retransmission follows within so many entries: some fall into the same read, some do not."""


class Mix(msgspec.Struct, frozen=True):
    """What to make: how many entries (duplicates counted), from how many devices, and which share
    of them repeats an earlier one or comes hours late."""

    records: int
    devices: int = 500
    duplicates: float = 0.0
    late: float = 0.0
    seed: int = 2026


def entries(mix: Mix, now_ms: int) -> Iterator[dict[str, str]]:
    """The entries of `mix`, the newest fix a second before `now_ms` (milliseconds, UTC)."""
    chance = random.Random(mix.seed)
    devices = [f"35{chance.randrange(10**12, 10**13)}" for _ in range(mix.devices)]
    seconds = -(-mix.records // mix.devices)
    recent: list[dict[str, str]] = []
    for number in range(mix.records):
        if recent and chance.random() < mix.duplicates:
            yield recent[-chance.randint(1, len(recent))]
            continue
        turn, device = divmod(number, mix.devices)
        fixed_ms = now_ms - 1000 * (seconds - turn) + device % 1000
        if chance.random() < mix.late:
            fixed_ms -= 3_600_000 * chance.randint(1, 12)
        entry = _entry(chance, devices[device], fixed_ms)
        recent.append(entry)
        del recent[:-NEARBY]
        yield entry


def _entry(chance: random.Random, device_id: str, fixed_ms: int) -> dict[str, str]:
    moment = datetime.fromtimestamp(fixed_ms / 1000, UTC)
    timestamp = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{fixed_ms % 1000:03d}Z"
    speed = chance.randint(0, 140)
    payload = {
        "device_id": device_id,
        "timestamp": timestamp,
        "latitude": round(41.3 + chance.random(), 7),
        "longitude": round(19.8 + chance.random(), 7),
        "altitude": chance.randint(0, 2400),
        "angle": chance.randint(0, 359),
        "speed": speed,
        "satellites": chance.randint(5, 19),
        "priority": 1 if chance.random() < 0.05 else 0,
        "attributes": _attributes(chance, speed),
    }
    return {
        "ts": timestamp,
        "device_id": device_id,
        "codec": "8E",
        "payload": json.dumps(payload, separators=(",", ":")),
    }


def _attributes(chance: random.Random, speed: int) -> dict[str, object]:
    """The IO bag of an FMB920 with 15 ids."""
    attributes: dict[str, object] = {
        "9": chance.randint(0, 30000),
        "16": chance.randint(10_000_000, 400_000_000),
        "21": chance.randint(1, 5),
        "24": speed,
        "66": chance.randint(11800, 14600),
        "67": chance.randint(3600, 4200),
        "69": 1,
        "181": chance.randint(8, 40),
        "182": chance.randint(5, 30),
        "199": chance.randint(0, 900_000),
        "239": 1,
        "240": 1 if speed else 0,
        "241": chance.choice((27601, 27602, 29702)),
        "387": f"+{41 + chance.random():.4f}+{19 + chance.random():08.4f}+{chance.random():.3f}/",
        "449": chance.randint(10_000_000, 99_999_999),
    }
    if chance.random() < SENTINEL_BIGINT:
        del attributes["9"]
        attributes["11"] = {"__bigint": f"8935502{chance.randrange(10**12, 10**13)}"}
    if chance.random() < SENTINEL_BUFFER:
        del attributes["182"]
        attributes["78"] = {"__buffer_b64": base64.b64encode(chance.randbytes(8)).decode()}
    return attributes
