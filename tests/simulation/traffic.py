"""What the producer of a simulated world puts on the stream, and what has to become of it."""

from datetime import UTC, datetime
from random import Random
from typing import Literal

import msgspec
from attrs import frozen

DEVICES = "abcdef"
AHEAD_H = 10
"""Far ahead of anything that a simulated outage lasts: no clock may take such a fix for honest."""

REFUSED = b"1e200000"
"""A number that the decoder knows nothing against, and no database stores."""

DEADLY = b"kills the process"
BAD_PAYLOADS = [b"{", b"[]", b'{"device_id":"1"}', b"\xff"]

Kind = Literal["good", "undecodable", "refused", "deadly"]


@frozen
class Written:
    """An entry as the producer knows it. `key` is what makes it one row, where it can be one."""

    kind: Kind
    fields: dict[bytes, bytes]
    key: tuple[str, datetime] | None = None
    priority: int = 0

    def reasons(self) -> set[str]:
        """For what it may become a dead letter; besides, a panic record for a conflict."""
        match self.kind:
            case "undecodable":
                return {"payload-not-json", "field-type", "field-missing", "text-unstorable"}
            case "refused":
                return {"refused-by-database"}
            case "deadly":
                return {"kills-the-process"}
            case "good":
                return {"conflict"} if self.priority == 2 else set()


class Traffic:
    """Fixes of a few devices: honest ones, and every kind that the field knows."""

    def __init__(self, random: Random, *, deadly: bool) -> None:
        self._random = random
        self._deadly = deadly
        self._recent: list[Written] = []

    def next(self, n: int, now_ms: int) -> Written:
        random = self._random
        dice = random.random()
        if self._recent and dice < 0.10:
            return random.choice(self._recent)  # retransmitted
        if self._recent and dice < 0.13:
            panic = self._again_as_panic(random.choice(self._recent), n)
            if panic is not None:
                return panic
        if dice < 0.18:
            return Written("undecodable", _entry(random.choice(BAD_PAYLOADS)))
        kind: Kind = "good"
        if dice < 0.22:
            kind = "refused"
        elif self._deadly and dice < 0.235:
            kind = "deadly"
        late_h = random.choice([0, 0, 0, 0, 1, 48, -AHEAD_H])
        written = self.fix(
            random.choice(DEVICES),
            now_ms - late_h * 3_600_000,
            n,
            kind=kind,
            satellites=random.choice([0, 9, 9, 9]),
            priority=random.choice([0, 0, 0, 1, 2]),
        )
        self._recent.append(written)
        return written

    def fix(
        self,
        device_id: str,
        fixed_ms: int,
        n: int,
        *,
        kind: Kind = "good",
        satellites: int = 9,
        priority: int = 0,
    ) -> Written:
        fixed_at = datetime.fromtimestamp(fixed_ms / 1000, UTC)
        attributes = {"refused": msgspec.Raw(REFUSED), "deadly": DEADLY.decode()}.get(kind, 1)
        payload = msgspec.json.encode(
            {
                "device_id": device_id,
                "timestamp": fixed_at.isoformat(timespec="milliseconds"),
                "latitude": 41.3,
                "longitude": 19.8,
                "altitude": n,
                "angle": 90,
                "speed": 50,
                "satellites": satellites,
                "priority": priority,
                "attributes": {"239": attributes},
            }
        )
        return Written(kind, _entry(payload), (device_id, fixed_at), priority)

    def _again_as_panic(self, written: Written, n: int) -> Written | None:
        """The same device at the same instant, but a panic this time."""
        if written.kind != "good" or written.key is None:
            return None
        device_id, fixed_at = written.key
        return self.fix(device_id, round(fixed_at.timestamp() * 1000), n, priority=2)


def _entry(payload: bytes) -> dict[bytes, bytes]:
    return {b"ts": b"", b"device_id": b"", b"codec": b"8E", b"payload": payload}
