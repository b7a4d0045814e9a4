"""What OpenRally's elements are to us, as data: which can be passed, how wide they are where they
do not say it, and what their units mean. The reader of roadbooks (`openrally.py`) looks here, and
so does that of rules (`rules_toml.py`), which may give other widths.
"""

from collections.abc import Mapping

from processor.domain.course import Kind

NAMESPACE = "http://www.openrally.org/xmlschemas/GpxExtensions/"

RADIUS_M: Mapping[str, float] = {
    "wp*": 90,
    "dz": 90,
    "fz": 90,
    "dn": 90,
    "fn": 90,
    "dss": 50,
    "ass": 50,
    "*": 50,
}
"""Metres where an element says no `clear`; the rules' [settings.openrally] replace single ones."""

KINDS: Mapping[str, Kind] = {
    "dss": Kind.START,
    "ass": Kind.FINISH,
    "dt": Kind.CHECKPOINT,
    "ft": Kind.CHECKPOINT,
    "wpv": Kind.WPV,
    "wpm": Kind.WPM,
    "wpe": Kind.WPE,
    "wps": Kind.WPS,
    "wpc": Kind.WPC,
    "wpn": Kind.WPN,
    "wpp": Kind.WPP,
    "dz": Kind.DZ,
    "fz": Kind.FZ,
    "dn": Kind.DN,
    "fn": Kind.FN,
    "stop": Kind.STOP,
    "checkpoint": Kind.CHECKPOINT,
    "timecontrol": Kind.TIME_CONTROL,
}
ALIASES = {"neutralization": "dn", "sn": "dn"}
"""`sn` is what the schema says `neutralization` will be called."""

_MEASURES = ("distance", "danger", "cap", "tulip", "notes", "reset", "show_coordinates", "speed")
_PLACES = ("fuel", "medical", "helicopter", "police", "fire", "spectators", "media")
FOR_THE_ROADBOOK = frozenset((*_MEASURES, *_PLACES))
"""Known elements that nobody has to pass."""

UNITS = {"metric": (1.0, 1.0), "statute": (0.9144, 1.609344), "statue": (0.9144, 1.609344)}
"""Metres in the radii's unit, km/h in the speeds'. `statue` is how the schema spells it."""
