"""Crossings as files that maps open: GPX 1.1 with a <wpt> each, and GeoJSON with a Point each.

Both are made of rows, the members that a crossing has in the scorer's JSON; a Crossing becomes such
a row by `row_of`. What has no place, such as an object that was missed, is not on a map. Both are
sorted, so that equal crossings make equal files.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from processor.domain.instants import iso
from processor.domain.model import Crossing

GPX = "http://www.topografix.com/GPX/1/1"
CREATOR = "rally-processor"
DEGREE_DIGITS = 7
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ORDER = ("ts", "entry", "device_id", "segment", "object", "kind", "before_ts", "visit")

Row = Mapping[str, object]


def write_crossings(path: Path, rows: Iterable[Row]) -> None:
    """Writes a file whose name ends in .gpx as GPX, any other as GeoJSON. Raises OSError."""
    text = as_gpx(rows) if path.suffix.lower() == ".gpx" else as_geojson(rows)
    path.write_text(text, encoding="utf-8")


def row_of(crossing: Crossing, names: Mapping[str, str]) -> Row:
    """A crossing as a row. `names` are what objects are called, by id, else it is the id."""
    return {
        "device_id": crossing.device_id,
        "object": names.get(crossing.object_id, crossing.object_id),
        "kind": crossing.kind,
        "ts": iso(crossing.at),
        "before_ts": iso(crossing.before),
        "after_ts": iso(crossing.after),
        "lat": crossing.latitude,
        "lon": crossing.longitude,
        "speed_kmh": crossing.speed_kmh,
        "visit": crossing.visit,
        "uncertainty_ms": crossing.uncertainty_ms,
        "direction_ok": crossing.direction_ok,
        "provisional": crossing.provisional,
    }


def as_gpx(rows: Iterable[Row]) -> str:
    """A GPX document."""
    gpx = Element("gpx", {"xmlns": GPX, "version": "1.1", "creator": CREATOR})
    for latitude, longitude, row in _placed(rows):
        place = {"lat": f"{latitude:.{DEGREE_DIGITS}f}", "lon": f"{longitude:.{DEGREE_DIGITS}f}"}
        waypoint = SubElement(gpx, "wpt", place)
        for name, text in (  # in the order that the schema wants
            ("time", str(row["ts"])),
            ("name", f"{row['object']} {row['kind']}"),
            ("desc", _description(row)),
            ("type", str(row["kind"])),
        ):
            SubElement(waypoint, name).text = _NOT_XML.sub("\ufffd", text)
    indent(gpx)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(gpx, encoding="unicode")}\n'


def as_geojson(rows: Iterable[Row]) -> str:
    """A FeatureCollection; the properties of a feature are the row but for its place."""
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Point",
                "coordinates": [round(longitude, DEGREE_DIGITS), round(latitude, DEGREE_DIGITS)],
            },
            "properties": {name: row[name] for name in row if name not in ("lat", "lon")},
        }
        for latitude, longitude, row in _placed(rows)
    ]
    document = {"type": "FeatureCollection", "features": features}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _placed(rows: Iterable[Row]) -> list[tuple[float, float, Row]]:
    """(latitude, longitude, row) of those that lie somewhere, in order."""
    placed = [
        (float(latitude), float(longitude), row)
        for row in rows
        if isinstance(latitude := row.get("lat"), int | float)
        and isinstance(longitude := row.get("lon"), int | float)
    ]
    return sorted(placed, key=lambda each: tuple(str(each[2].get(name, "")) for name in _ORDER))


def _description(row: Row) -> str:
    facts = [f"entry {row['entry']}"] if "entry" in row else []
    facts.append(f"device {row['device_id']}")
    if row.get("uncertainty_ms") is not None:
        facts.append(f"± {row['uncertainty_ms']} ms")
    if isinstance(speed_kmh := row.get("speed_kmh"), int | float):
        facts.append(f"{speed_kmh:.1f} km/h")
    if row.get("direction_ok") is False:
        facts.append("wrong direction")
    if row.get("provisional"):
        facts.append("provisional: across a gap")
    return ", ".join(facts)
