"""What inputs are made of at first: what the producer really sends, and some of every oddity."""

import random
from datetime import UTC, datetime, timedelta

from processor.adapters.files.producer import Tracker
from processor.adapters.files.tracks import Fix

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
"""Our clock in all that is fuzzed: the same input has the same outcome in every year."""

EVENT = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
OTHER = "00000000-0000-4000-8000-000000000001"

PLAIN = (
    b'8\n{"device_id":"356307042441013","timestamp":"2026-05-04T10:11:12.345Z","latitude":45.2345678,'
    b'"longitude":13.6543219,"altitude":123,"angle":271,"speed":63,"satellites":14,"priority":0,'
    b'"attributes":{"239":1,"66":13842}}'
)


def entries() -> list[bytes]:
    """Entries as `entries.py` reads them: the producer's, and others with one thing odd."""
    chance = random.Random(1)
    tracker = Tracker("356307042441013", chance)
    made = []
    for second in range(200):
        fix = Fix(
            NOW - timedelta(seconds=200 - second), 41.3 + second / 1e5, 19.8, 120.0, speed_kmh=63.0
        )
        made.append(b"8E\n" + tracker.payload(fix).text.encode())
    # All of the producer's shapes, each once: a bag's members say which it is.
    shapes = {_shape(each): each for each in made}
    odd = [
        PLAIN.replace(b"8\n", b"16\n", 1),
        PLAIN.replace(b"8\n", "č\n".encode(), 1),
        PLAIN.partition(b"\n")[2],  # without a codec
        b"8E\n",
        b"8E",  # without a payload
        PLAIN.replace(b"}}", b'},"surplus":[[{"a":"\\ud83d\\ude97"}]]}'),
        PLAIN.replace(b'"239":1', b'"78":{"__bigint":"-9223372036854775809"}'),
        PLAIN.replace(
            b'"239":1', b'"385":{"__buffer_b64":"AQID"},"386":{"type":"Buffer","data":[1,2]}'
        ),
        PLAIN.replace(
            b'"239":1', b'"16":0.1000000000000000055,"11":"8935 \xc3\xab","12":null,"13":true'
        ),
        PLAIN.replace(b"10:11:12.345Z", b"12:11:12.345678+02:00"),
    ]
    return [PLAIN, *shapes.values(), *odd]


def _shape(entry: bytes) -> tuple[bool, ...]:
    return tuple(
        word in entry for word in (b"__bigint", b"__buffer_b64", b"Buffer", b'"priority":1')
    )


def conversations() -> list[bytes]:
    """What browsers say: messages, one behind the other."""
    subscribe = f'{{"type":"subscribe","topic":"event:{EVENT}"'
    said = [
        [subscribe + "}"],
        [subscribe + ',"id":"1"}', f'{{"type":"unsubscribe","topic":"event:{EVENT}","id":"2"}}'],
        [subscribe + ',"attributes":true,"frames":"batch","history":200,"include":[]}'],
        [subscribe + ',"include":["crossings","results","course"]}'],
        [f'{{"type":"subscribe","topic":"event:{OTHER}","id":"x"}}', subscribe + "}"],
        ['{"type":"subscribe","topic":"stage:1"}', '{"type":"nothing"}', "[]", "", "null"],
        [subscribe + ',"history":201}', subscribe + ',"id":7}', subscribe + ',"id":null}'],
        ['{"type":"ping"}'] * 4,
        [subscribe + "}"] * 30,
    ]
    return [b"\x1e".join(message.encode() for message in messages) for messages in said]
