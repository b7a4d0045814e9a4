"""The producer's format: as Node writes it, and such that our own decoder takes all of it."""

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from processor.adapters.files.producer import Payload, Tracker, iso_string, recorded, stringify
from processor.adapters.files.tracks import Fix
from processor.core.decode import Decoder
from processor.core.model import Entry, Position

START = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


def decoded(payload: Payload) -> Position:
    fields = {name.encode(): value.encode() for name, value in payload.fields().items()}
    return Decoder().decode(Entry("1-0", fields), int(START.timestamp() * 1000))


def drive(fixes: int, seed: int = 1) -> list[Payload]:
    tracker = Tracker("356307042441013", random.Random(seed))
    return [
        tracker.payload(
            Fix(START + timedelta(seconds=n), 45.5 + n * 1e-4, 13.0, 211.6, speed_kmh=62.7)
        )
        for n in range(fixes)
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        # each text is what Node's JSON.stringify prints
        (1.0, "1"),
        (-0.0, "0"),
        (45.2735189, "45.2735189"),
        (0.1, "0.1"),
        (0.00001, "0.00001"),
        (0.000001, "0.000001"),
        (1.5e-7, "1.5e-7"),
        (1e-10, "1e-10"),
        (1.25e20, "125000000000000000000"),
        (True, "true"),
        (None, "null"),
        ('č"\\\n\x7f\U0001f697', '"č\\"\\\\\\n\x7f\U0001f697"'),
        ({"a": [1, 2.5, {}], "b": []}, '{"a":[1,2.5,{}],"b":[]}'),
    ],
)
def test_json_as_node_writes_it(value: Any, text: str) -> None:
    assert stringify(value) == text


def test_time_as_node_writes_it() -> None:
    assert iso_string(START) == "2026-05-04T10:00:00.000Z"
    assert iso_string(START + timedelta(microseconds=7999)) == "2026-05-04T10:00:00.007Z"


def test_an_entry_is_four_flat_strings() -> None:
    payload = drive(1)[0]
    fields = payload.fields()
    assert list(fields) == ["ts", "device_id", "codec", "payload"]
    assert (fields["ts"], fields["codec"]) == ("2026-05-04T10:00:00.000Z", "8E")
    position = json.loads(fields["payload"])
    head = "device_id timestamp latitude longitude altitude angle speed satellites priority"
    assert " ".join(position) == f"{head} attributes"
    assert (position["latitude"], position["altitude"], position["speed"]) == (45.5, 212, 63)
    assert '"longitude":13,' in fields["payload"]
    assert len(position["attributes"]) >= 15


def test_all_of_a_long_drive_is_accepted_and_has_every_sentinel() -> None:
    payloads = drive(2000)
    positions = [decoded(payload) for payload in payloads]
    text = "".join(payload.text for payload in payloads)
    assert all(sign in text for sign in ('"__bigint"', '"__buffer_b64"', '"type":"Buffer"'))
    assert {position.priority for position in positions} == {0, 1}
    assert all(b"{" not in position.attributes[1:] for position in positions)
    assert 380 < sum(len(payload.text) for payload in payloads) / len(payloads) < 480
    odometer = [json.loads(payload.text)["attributes"]["16"] for payload in payloads]
    assert odometer == sorted(odometer)
    assert odometer[-1] - odometer[0] == round(1999 * 63 / 3.6)


def test_the_same_seed_gives_the_same_payloads() -> None:
    assert drive(50, seed=3) == drive(50, seed=3)
    assert drive(50, seed=3) != drive(50, seed=4)


@pytest.mark.parametrize(
    "fix",
    [
        Fix(START, 90.0, -180.0, speed_kmh=1e6, heading=359.9, satellites=0),
        Fix(START, -90.0, 180.0, altitude=-430.4),
        Fix(START, 1e-9, -1e-7, altitude=8848.9, heading=360.0),
    ],
)
def test_extremes_are_accepted(fix: Fix) -> None:
    position = decoded(Tracker("1", random.Random(1)).payload(fix))
    assert position.fixed_at == START
    assert 0 <= position.angle < 360


def test_a_payload_is_moved_in_time_and_nothing_else() -> None:
    text = '{"device_id":"1","timestamp":"2026-05-04T12:00:00+02:00","x":9007199254740993,"y":"č"}'
    payload = Payload("1", START, "2026-05-04T12:00:00+02:00", text)
    moved = payload.moved(timedelta(days=1, milliseconds=1))
    assert moved.fixed_at == START + timedelta(days=1, milliseconds=1)
    assert moved.timestamp == "2026-05-05T10:00:00.001Z"
    assert moved.text == text.replace("2026-05-04T12:00:00+02:00", moved.timestamp).replace(" ", "")


def test_lines_of_payloads_are_replayed_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "payloads.ndjson"
    lines = [
        '{"device_id":"7","timestamp":"2026-05-04T10:00:00Z","priority":1, "speed":"bad"}',
        '{"device_id":"8","timestamp":"2026-05-04T10:00:00.5Z"}',
    ]
    path.write_text("\n".join(lines))
    payloads = list(recorded(path, device_id="unused", chance=random.Random(1)))
    assert [payload.fields()["payload"] for payload in payloads] == lines
    assert [payload.fields()["ts"] for payload in payloads] == [
        "2026-05-04T10:00:00Z",
        "2026-05-04T10:00:00.5Z",
    ]
    assert [payload.device_id for payload in payloads] == ["7", "8"]
    assert [payload.priority for payload in payloads] == [1, 0]
