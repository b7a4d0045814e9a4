"""Spans of time as a setting: a kind, as those in `reading.py` are."""

import re
from datetime import timedelta

import attrs

_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}


@attrs.frozen
class Duration:
    """A span of time as people say it, `30d`, `12h`, `90m`, and so are `low` and `high`."""

    low: str
    high: str
    name: str = "duration"

    @property
    def allowed(self) -> str:
        return f"{self.low} to {self.high}, a whole number of days (d), hours (h) or minutes (m)"

    def parse(self, text: str) -> timedelta:
        value = self._read(text)
        if not self._read(self.low) <= value <= self._read(self.high):
            raise ValueError(f"{text} is out of range")
        return value

    def _read(self, text: str) -> timedelta:
        if not re.fullmatch(r"[0-9]{1,7}[dhmDHM]", text):
            raise ValueError(f"{text!r} is not a duration")
        return int(text[:-1]) * _UNITS[text[-1].lower()]

    def show(self, value: timedelta) -> str:
        unit = next(unit for unit, length in _UNITS.items() if not value % length)
        return f"{value // _UNITS[unit]}{unit}"
