"""What a field of trackers sends, good and bad, each with what must become of it.

Nothing of the service is used to say so: the row that a record must become is put together beside
its payload, value by value.

Equal keys (device, instant) come in two kinds. A retransmission repeats an earlier record to the
byte, whenever it likes: whichever of the two is stored first, the row is the same. A record that
says something else under a known key is sent only once the first one is acknowledged; then the
first one's row must stay as it is, and a panic is a dead letter instead of an update. Under the key
of a panic nothing else is sent: what becomes of the panic's own repetition, if it meets that in one
batch, is left open by the contract (stored and a dead letter are both said to be right).
"""

import base64
import itertools
import json
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import frozen

DEVICES = 40
RECENT = 400
"""A retransmission follows within so many records: some meet the first one in one batch."""

SHARES = {
    "new": 0.765,
    "again": 0.08,
    "late": 0.06,
    "panic": 0.01,
    "other": 0.03,
    "conflict": 0.02,
    "undecodable": 0.03,
    "refused": 0.005,
}
"""Of what is sent. Much more bad than out there; a record that the database refuses costs a dozen
transactions, so there are fewer of those."""

MILLISECOND = timedelta(milliseconds=1)
LATE_HOURS_MAX = 70.0  # rows of four days, so that a write meets several chunks
PANIC = 2

Key = tuple[str, datetime]
Row = tuple[float, float, float, float, float, int, int, str, str]
"""latitude, longitude, altitude, angle, speed, satellites, priority, codec, attributes (JSON with
sorted names). The numbers are such that `real` holds them exactly."""


@frozen
class Record:
    """An entry to be. Either `key` has the row `row` in the end, or the entry is a dead letter with
    `reason`. `first` says that it is the first of its key."""

    fields: Mapping[bytes, bytes]
    key: Key | None = None
    row: Row | None = None
    reason: str | None = None
    first: bool = False


class Trackers:
    """Makes records. The same seed makes the same choices; instants are those of the clock."""

    def __init__(
        self,
        chance: random.Random,
        now: Callable[[], datetime] | None = None,
        shares: Mapping[str, float] = SHARES,
    ) -> None:
        self._chance = chance
        self._shares = shares
        self._now = now or (lambda: datetime.now(UTC))
        self._devices = [f"35{chance.randrange(10**12, 10**13)}" for _ in range(DEVICES)]
        self._used: set[Key] = set()
        self._recent: deque[Record] = deque(maxlen=RECENT)
        self._undecodable = itertools.cycle(UNDECODABLE)
        self._number = 0

    def some(self, count: int, settled: Sequence[Record]) -> list[Record]:
        """So many records in disorder; `settled`: first ones, no panics, that are acknowledged."""
        kinds = self._chance.choices(list(self._shares), list(self._shares.values()), k=count)
        made = [self._make(kind, settled) for kind in kinds]
        self._chance.shuffle(made)
        return made

    def _make(self, kind: str, settled: Sequence[Record]) -> Record:
        self._number += 1
        match kind:
            case "again" if self._recent:
                return self._chance.choice(self._recent)
            case "other" if settled:
                return self._under(self._chance.choice(settled), self._chance.randint(0, 1))
            case "conflict" if settled:
                return self._under(self._chance.choice(settled), PANIC)
            case "undecodable":
                return self._bad(*next(self._undecodable))
            case "refused":
                # More digits than `numeric` has, which no decoder can know.
                huge = lambda text: text.replace('"239":1', '"239":1e200000')  # noqa: E731
                return self._bad("refused-by-database", huge)
            case "late":
                fixed_at = self._now() - timedelta(hours=self._chance.uniform(0.1, LATE_HOURS_MAX))
                return self._first(fixed_at, self._chance.randint(0, 1))
            case _:
                return self._first(self._now(), PANIC if kind == "panic" else 0)

    def _first(self, fixed_at: datetime, priority: int) -> Record:
        """A good record under a key that nobody had."""
        key = self._new_key(fixed_at)
        fields, row = self._written(key, priority)
        record = Record(fields, key, row, first=True)
        self._recent.append(record)
        return record

    def _under(self, first: Record, priority: int) -> Record:
        """Something else under a key that is stored."""
        assert first.key is not None
        fields, _ = self._written(first.key, priority)
        if priority == PANIC:
            return Record(fields, first.key, reason="conflict")
        return Record(fields, first.key, first.row)

    def _bad(self, reason: str, spoil: Callable[[str], str | bytes | None]) -> Record:
        # A key of its own: under a stored one the database would not look at the rest.
        fields, _ = self._written(self._new_key(self._now()), 0)
        spoilt = dict(fields)
        payload = spoil(spoilt.pop(b"payload").decode())
        if payload is not None:
            spoilt[b"payload"] = payload.encode() if isinstance(payload, str) else payload
        return Record(spoilt, reason=reason)

    def _new_key(self, fixed_at: datetime) -> Key:
        """The next free millisecond of a device."""
        device_id = self._chance.choice(self._devices)
        fixed_at = fixed_at.replace(microsecond=fixed_at.microsecond // 1000 * 1000)
        while (device_id, fixed_at) in self._used:
            fixed_at += MILLISECOND
        self._used.add((device_id, fixed_at))
        return device_id, fixed_at

    def _written(self, key: Key, priority: int) -> tuple[Mapping[bytes, bytes], Row]:
        """The four fields as the producer writes them, and the row that they say."""
        pick, (device_id, fixed_at) = self._chance.randint, key
        sent, stored = self._bag()
        at = fixed_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        codec = self._chance.choice(("8", "8E", "8E", "16"))
        measured: dict[str, Any] = {
            "latitude": round(self._chance.uniform(-90, 90), 7),
            "longitude": round(self._chance.uniform(-180, 180), 7),
            "altitude": pick(-100, 2_400),
            "angle": pick(0, 359),
            "speed": pick(0, 280) / 2,
            "satellites": pick(0, 19),
            "priority": priority,
        }
        payload = {"device_id": device_id, "timestamp": at, **measured, "attributes": sent}
        fields = {
            b"ts": at.encode(),
            b"device_id": device_id.encode(),
            b"codec": codec.encode(),
            b"payload": json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode(),
        }
        return fields, (*measured.values(), codec, json.dumps(stored, sort_keys=True))

    def _bag(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The bag as it is sent, and as it must be stored. Member 16 makes each payload unique."""
        pick = self._chance.randint
        plain: dict[str, Any] = {
            "239": 1,
            "240": self._chance.random() < 0.5,
            "16": 9_007_199_254_740_993 + self._number,
            "181": pick(1, 99) / 10,
            "66": pick(11_800, 14_600),
            "387": "Višnjan ë " + self._chance.randbytes(2).hex(),
            "12": None,
        }
        big = str(self._chance.randrange(2**63, 2**64))
        sent, stored = {**plain, "78": {"__bigint": big}}, {**plain, "78": big}
        if self._chance.random() < 0.1:
            octets = self._chance.randbytes(12)
            text = base64.b64encode(octets).decode()
            node = {"type": "Buffer", "data": list(octets)}
            sent["385"] = self._chance.choice(({"__buffer_b64": text}, node))
            stored["385"] = text
        return sent, stored


UNDECODABLE: Sequence[tuple[str, Callable[[str], str | bytes | None]]] = (
    ("payload-missing", lambda text: None),
    ("payload-not-json", lambda text: text[: len(text) // 2]),
    ("field-missing", lambda text: text.replace('"latitude"', '"lat"')),
    ("field-type", lambda text: text.replace('"satellites":', '"satellites":1.5,"s":')),
    ("field-range", lambda text: text.replace('"latitude":', '"latitude":91,"l":')),
    ("sentinel-unknown", lambda text: text.replace('"__bigint"', '"__decimal"')),
    ("sentinel-malformed", lambda text: text.replace('"__bigint":"', '"__bigint":"x')),
    ("text-unstorable", lambda text: text.replace("Višnjan", "\\u0000")),
    ("text-unstorable", lambda text: text.encode().replace("š".encode(), b"\xff")),
    ("too-large", lambda text: text.replace("Višnjan", "V" * 66_000)),
)
"""A reason, and what is done to the text of a good payload to deserve it."""
