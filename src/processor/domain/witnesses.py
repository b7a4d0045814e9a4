"""The devices of an entry as witnesses: ranked, and each cut to the time it belonged to the entry.

A fix belongs to the entry in whose assignment interval it lies. A visit that was under way when a
device was handed over is, for the new entry, one that was first seen inside; for the old one it is
still open when its track ends. An entry without assignments (files) has all the devices given.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from attrs import evolve, frozen

from processor.domain.course import Assignment, Entry
from processor.domain.model import Evidence, Pass, Track


@frozen
class Span:
    """Half open, from an instant to another; None: no end."""

    since: int | None
    until: int | None

    def holds(self, at: int) -> bool:
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)

    def among(self, track: Track) -> npt.NDArray[np.bool_]:
        """Which fixes of a track it holds."""
        mask = np.ones(len(track), dtype=bool)
        if self.since is not None:
            mask &= track.at >= self.since
        if self.until is not None:
            mask &= track.at < self.until
        return mask


@frozen
class Witness:
    """What one device saw while it belonged to the entry. `rank` orders devices, the smallest
    first."""

    rank: tuple[bool, int, str]
    evidence: Evidence

    @property
    def device_id(self) -> str:
        return self.evidence.device_id

    @property
    def track(self) -> Track:
        return self.evidence.track


def witnesses(entry: Entry, evidences: Iterable[Evidence]) -> tuple[Witness, ...]:
    """Those that saw anything for this entry, in the order of their rank, whatever the order in
    which they are given."""
    found = [_witness(entry, evidence) for evidence in evidences]
    seen = [witness for witness in found if witness is not None and len(witness.track)]
    return tuple(sorted(seen, key=lambda w: (w.rank, int(w.track.at[0]), len(w.track))))


def last_fix(entry: Entry, evidences: Iterable[Evidence]) -> int | None:
    """The last fix of any device that was ever the entry's, whoever had it then: what it has to
    report of the time before is here."""
    own = {assignment.device_id for assignment in entry.devices}
    return max(
        (
            int(evidence.track.at[-1])
            for evidence in evidences
            if len(evidence.track) and (not own or evidence.device_id in own)
        ),
        default=None,
    )


def _witness(entry: Entry, evidence: Evidence) -> Witness | None:
    if not entry.devices:
        return Witness((False, 0, evidence.device_id), evidence)
    own = [a for a in entry.devices if a.device_id == evidence.device_id]
    if not own:
        return None
    return Witness(min(a.rank for a in own), _cut(evidence, _spans(own)))


def _spans(assignments: Sequence[Assignment]) -> tuple[Span, ...]:
    """The time covered, those that touch or overlap made one, in order."""
    spans: list[Span] = []
    for span in sorted(
        (Span(a.valid_from, a.valid_to) for a in assignments),
        key=lambda span: (span.since is not None, span.since or 0),
    ):
        if spans and _touch(spans[-1], span):
            until = spans[-1].until
            if until is not None:
                longer = None if span.until is None else max(until, span.until)
                spans[-1] = Span(spans[-1].since, longer)
        else:
            spans.append(span)
    return tuple(spans)


def _touch(first: Span, second: Span) -> bool:
    return first.until is None or second.since is None or second.since <= first.until


def _cut(evidence: Evidence, spans: Sequence[Span]) -> Evidence:
    """What lies in these spans."""
    if spans == (Span(None, None),):
        return evidence
    track = evidence.track
    mask = np.zeros(len(track), dtype=bool)
    for span in spans:
        mask |= span.among(track)

    def ours(at: int) -> bool:
        return any(span.holds(at) for span in spans)

    return Evidence(
        Track(
            track.device_id,
            track.at[mask],
            track.latitude[mask],
            track.longitude[mask],
            track.speed_kmh[mask],
            track.hdop[mask],
        ),
        tuple(crossing for crossing in evidence.crossings if ours(crossing.at)),
        {
            object_id: tuple(
                part
                for used in passes
                for span in spans
                if (part := _part(used, span, track)) is not None
            )
            for object_id, passes in evidence.passes.items()
        },
        tuple(gap for gap in evidence.gaps if ours(gap.before.at) or ours(gap.after.at)),
    )


def _part(used: Pass, span: Span, track: Track) -> Pass | None:
    """The part of a pass that lies in the span, None where none does."""
    leave = used.exit if used.exit is not None and span.holds(used.exit.at) else None
    if span.holds(used.since):
        return evolve(used, exit=leave)
    inside = track.at[span.among(track) & (track.at > used.since)]
    if not len(inside) or (used.exit is not None and inside[0] > used.exit.at):
        return None
    if span.since is None or used.since > span.since:  # it begins after the span
        return None
    return evolve(used, since=int(inside[0]), enter=None, exit=leave)
