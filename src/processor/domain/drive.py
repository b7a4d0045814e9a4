"""A track made ready for geometry: its fixes as points of space, its chords, and its gaps."""

import math
from collections.abc import Iterator

import numpy as np
from attrs import frozen

from processor.domain.chords import KMH, Chord, time_at, uncertainty_ms
from processor.domain.geometry import Bools
from processor.domain.instants import MILLISECOND, SECOND
from processor.domain.model import Crossing, Floats, Gap, Track
from processor.domain.plane import Spatial, spatial
from processor.domain.rules import Settings

SOON = 3
"""Most cars are far from an edge a fix or two later; only then is it worth to look at many."""


@frozen(eq=False)
class Drive:
    """Chord k goes from fix k to fix k + 1. `seconds` is its duration, `gap` says that there is no
    line between its ends: they are too far apart in time, or for any car."""

    track: Track
    settings: Settings
    points: Spatial
    seconds: Floats
    gap: Bools

    @classmethod
    def of(cls, track: Track, settings: Settings) -> "Drive":
        points = spatial(track.longitude.tolist(), track.latitude.tolist())
        seconds = np.diff(track.at) / SECOND
        straight = np.sqrt(np.diff(points.x) ** 2 + np.diff(points.y) ** 2 + np.diff(points.z) ** 2)
        leap = straight > seconds * (settings.max_speed_kmh / KMH)
        return cls(track, settings, points, seconds, (seconds > settings.gap_seconds) | leap)

    def gaps(self) -> tuple[Gap, ...]:
        """Its gaps, in order."""
        track = self.track
        return tuple(
            Gap(
                track.device_id,
                track.fix(k),
                track.fix(k + 1),
                speeding=bool(self.seconds[k] <= self.settings.gap_seconds),
            )
            for k in map(int, np.flatnonzero(self.gap))
        )

    def chord(self, k: int, length_m: float) -> Chord:
        """Chord k, with its length on the ground."""
        start, end = float(self.track.speed_kmh[k]), float(self.track.speed_kmh[k + 1])
        return Chord(
            length_m,
            float(self.seconds[k]),
            None if math.isnan(start) else start / KMH,
            None if math.isnan(end) else end / KMH,
        )

    def crossing(
        self,
        object_id: str,
        kind: str,
        k: int,
        share: float,
        ordinal: int,
        way: tuple[float, float],
        normal: tuple[float, float],
        direction_ok: bool | None = None,
    ) -> Crossing:
        """The crossing of an edge after `share` of chord k. `way` is the chord in metres east and
        north, `normal` the edge's, of length 1."""
        track = self.track
        chord = self.chord(k, math.sqrt(way[0] * way[0] + way[1] * way[1]))
        after = time_at(chord, share)
        across_ms = abs(way[0] * normal[0] + way[1] * normal[1]) / chord.seconds
        before = int(track.at[k])
        return Crossing(
            device_id=track.device_id,
            object_id=object_id,
            kind=kind,
            at=before + round(after * SECOND),
            before=before,
            after=int(track.at[k + 1]),
            ordinal=ordinal,
            latitude=self._latitude(k, share),
            longitude=self._longitude(k, share),
            speed_kmh=_speed_kmh(chord, after),
            uncertainty_ms=uncertainty_ms(
                chord, after, across_ms, self.settings.position_sigma_m, self._hdop(k)
            ),
            direction_ok=direction_ok,
        )

    def across_gap(self, object_id: str, kind: str, k: int) -> Crossing:
        """The crossing that must have happened in gap k: in its middle, for want of better."""
        before, after = int(self.track.at[k]), int(self.track.at[k + 1])
        half = (after - before) // 2
        return Crossing(
            device_id=self.track.device_id,
            object_id=object_id,
            kind=kind,
            at=before + half,
            before=before,
            after=after,
            ordinal=0,
            latitude=self._latitude(k, 0.5),
            longitude=self._longitude(k, 0.5),
            speed_kmh=None,
            uncertainty_ms=-(-(after - before - half) // MILLISECOND),
            provisional=True,
        )

    def _latitude(self, k: int, share: float) -> float:
        start, end = float(self.track.latitude[k]), float(self.track.latitude[k + 1])
        return round(start + (end - start) * share, 7)

    def _longitude(self, k: int, share: float) -> float:
        start, end = float(self.track.longitude[k]), float(self.track.longitude[k + 1])
        turn = end - start
        turn -= 360 * round(turn / 360)  # over the date line, the short way
        found = start + turn * share
        return round(found - 360 * round(found / 360) if abs(found) > 180 else found, 7)

    def _hdop(self, k: int) -> float:
        said = [float(h) for h in self.track.hdop[k : k + 2] if not math.isnan(h)]
        return max(said, default=1.0)


def _speed_kmh(chord: Chord, after: float) -> float:
    """The device's own speeds, drawn through; without them the chord's mean. To 0.1 km/h."""
    if chord.start_ms is None or chord.end_ms is None:
        return round(chord.mean_ms * KMH, 1)
    speed = chord.start_ms + (chord.end_ms - chord.start_ms) * after / chord.seconds
    return round(speed * KMH, 1)


def doubling(start: int, until: int) -> Iterator[tuple[int, int]]:
    """Stretches (first, last) from `start` to `until`, each twice as long as the one before: what
    is sought is mostly near, and may be far."""
    length = 4
    while start <= until:
        last = min(until, start + length - 1)
        yield start, last
        start, length = last + 1, length * 2
