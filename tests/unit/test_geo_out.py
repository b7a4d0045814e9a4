"""Crossings for maps: proper GPX 1.1 and GeoJSON, equal for equal crossings."""

import json
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

from processor.adapters.files.geo_out import GPX, as_geojson, as_gpx, row_of, write_crossings
from processor.domain.instants import SECOND
from processor.domain.model import Crossing

EIGHT = 1_780_819_200 * SECOND
ENTER = Crossing(
    device_id="car",
    object_id="W1",
    kind="enter",
    at=EIGHT + 482_913,
    before=EIGHT,
    after=EIGHT + SECOND,
    ordinal=0,
    latitude=41.3,
    longitude=-19.8,
    speed_kmh=71.25,
    uncertainty_ms=240,
    visit="v",
)
CROSS = Crossing(
    device_id="car",
    object_id="G\x01<1>",
    kind="cross",
    at=EIGHT,
    before=EIGHT,
    after=EIGHT,
    ordinal=0,
    latitude=0.00000001,
    longitude=180.0,
    speed_kmh=None,
    uncertainty_ms=10,
    direction_ok=False,
    provisional=True,
)
NAMES = {"W1": "Brücke & Co"}


ROWS = [row_of(crossing, NAMES) for crossing in (ENTER, CROSS)]
MISSED = {
    "object": "W2",
    "kind": "missed",
    "ts": None,
    "lat": None,
    "lon": None,
    "device_id": "car",
}


def waypoints(text: str) -> list[Element]:
    root = fromstring(text)
    assert (root.tag, root.get("version")) == (f"{{{GPX}}}gpx", "1.1")
    assert root.get("creator")
    return list(root)


def test_gpx_has_a_waypoint_for_each_crossing_in_the_schemas_order() -> None:
    cross, enter = waypoints(as_gpx(ROWS))
    assert enter.attrib == {"lat": "41.3000000", "lon": "-19.8000000"}
    assert [(each.tag.rpartition("}")[2], each.text) for each in enter] == [
        ("time", "2026-06-07T08:00:00.482913Z"),
        ("name", "Brücke & Co enter"),
        ("desc", "device car, ± 240 ms, 71.2 km/h"),
        ("type", "enter"),
    ]
    assert [each.text for each in cross] == [
        "2026-06-07T08:00:00.000000Z",
        "G\ufffd<1> cross",  # a control character is none in XML
        "device car, ± 10 ms, wrong direction, provisional: across a gap",
        "cross",
    ]


def test_geojson_has_a_point_for_each_crossing() -> None:
    document = json.loads(as_geojson(ROWS))
    assert document["type"] == "FeatureCollection"
    cross, enter = document["features"]
    assert enter == {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [-19.8, 41.3]},
        "properties": {
            "device_id": "car",
            "object": "Brücke & Co",
            "kind": "enter",
            "ts": "2026-06-07T08:00:00.482913Z",
            "before_ts": "2026-06-07T08:00:00.000000Z",
            "after_ts": "2026-06-07T08:00:01.000000Z",
            "uncertainty_ms": 240,
            "speed_kmh": 71.25,
            "direction_ok": None,
            "visit": "v",
            "provisional": False,
        },
    }
    assert cross["properties"]["object"] == "G\x01<1>"
    assert cross["geometry"]["coordinates"] == [180.0, 0.0]


def test_what_has_no_place_is_not_on_a_map_and_order_decides_nothing() -> None:
    for write in (as_gpx, as_geojson):
        assert write([MISSED, *ROWS]) == write(ROWS) == write(ROWS[::-1])
        assert write([MISSED]) == write([])


def test_a_row_of_the_scorer_names_the_entry() -> None:
    (enter,) = waypoints(as_gpx([{**ROWS[0], "entry": "301", "segment": "SS1"}]))
    assert "entry 301, device car" in [each.text or "" for each in enter][2]


def test_the_ending_of_the_name_decides_the_format(tmp_path: Path) -> None:
    write_crossings(tmp_path / "out.GPX", ROWS)
    write_crossings(tmp_path / "out.geojson", ROWS)
    assert (tmp_path / "out.GPX").read_text(encoding="utf-8") == as_gpx(ROWS)
    assert (tmp_path / "out.geojson").read_text(encoding="utf-8") == as_geojson(ROWS)
