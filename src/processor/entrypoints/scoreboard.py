"""The tables of `processor score`: results first, then why.

They are printed from what --json prints, so that the two cannot differ.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import click

from processor.entrypoints import show

Row: TypeAlias = Mapping[str, Any]
Shown: TypeAlias = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""A table: title, columns, rows."""


WARNINGS_SHOWN = 5
"""Of one kind and entry: a tracker that sends every 65 s has hundreds of gaps."""


def print_scores(told: Mapping[str, Any], *, explain: bool) -> None:
    """Results by stage, penalties, what was missed; with `explain` each record's sentence."""
    not_passed = [row for row in told["crossings"] if row["kind"] in ("missed", "unverified")]
    show.tables(
        _results(told["results"]),
        _penalties(told["penalties"]),
        _missed(not_passed),
        *([_explained(told["timing"])] if explain else []),
    )
    _warnings(told["warnings"])


def _warnings(rows: Sequence[Row]) -> None:
    shown: Counter[tuple[str, str]] = Counter()
    for row in rows:
        kind = row["entry"], row["what"]
        shown[kind] += 1
        if shown[kind] <= WARNINGS_SHOWN:
            click.echo(f"{_who(row['entry'])}{row['what']}: {row['message']}", err=True)
    for (entry, what), count in shown.items():
        if count > WARNINGS_SHOWN:
            more = count - WARNINGS_SHOWN
            click.echo(f"{_who(entry)}{what}: {more} more, --json has all", err=True)


def _who(entry: str) -> str:
    return f"{entry}: " if entry else ""


def _results(rows: Sequence[Row]) -> Shown:
    return (
        "results",
        ("stage", "pos", "entry", "class", "in class", "status", "time", "penalty", "total", "gap",
         "note"),
        [
            (
                row["stage"],
                str(row["position"] or "-"),
                row["entry"],
                row["class"],
                str(row["class_position"] or "-"),
                row["status"],
                clock(row["elapsed_ms"]),
                clock(row["penalty_ms"]),
                clock(row["total_ms"]),
                "" if not row["gap_ms"] else f"+{clock(row['gap_ms'])}",
                _note(row),
            )
            for row in rows
        ],
    )  # fmt: skip


def _note(row: Row) -> str:
    notes = []
    if row["provisional"]:
        waiting = ", ".join(row["waiting_for"])
        notes.append(f"provisional{f' ({waiting})' if waiting else ''}")
    if row["tied"]:
        notes.append(f"tied within uncertainty with {', '.join(row['tied_with'])}")
    return "; ".join(notes)


def _penalties(rows: Sequence[Row]) -> Shown:
    return (
        "penalties",
        ("stage", "entry", "segment", "type", "object", "penalty", "why"),
        [
            (
                row["stage"],
                row["entry"],
                row["segment"] or "",
                row["type"],
                row["object"] or "",
                _cost(row),
                row["explanation"].get("text", ""),
            )
            for row in rows
        ],
    )


def _cost(row: Row) -> str:
    time = row["outcome"] == "time"
    return f"{shortened(row['penalty_seconds'])} s" if time else str(row["outcome"])


def _missed(rows: Sequence[Row]) -> Shown:
    return (
        "not passed",
        ("stage", "entry", "segment", "object", "what", "nearest"),
        [
            (
                row["stage"],
                row["entry"],
                row["segment"],
                row["object"],
                row["kind"],
                "" if row["distance_m"] is None else f"{row['distance_m']:.1f} m",
            )
            for row in rows
        ],
    )


def _explained(rows: Sequence[Row]) -> Shown:
    return (
        "timing",
        ("stage", "entry", "segment", "kind", "object", "time", "+-", "status", "why"),
        [
            (
                row["stage"],
                row["entry"],
                row["segment"],
                row["kind"],
                row["object"] or "",
                (row["ts"] or "")[11:23],
                "" if row["uncertainty_ms"] is None else f"{row['uncertainty_ms']} ms",
                row["status"],
                row["explanation"].get("text", ""),
            )
            for row in rows
        ],
    )


def shortened(seconds: float) -> str:
    """Seconds with two decimals, fewer where there are fewer: 900, 2.5, 2.27."""
    return f"{seconds:.2f}".rstrip("0").rstrip(".")


def clock(ms: int | None) -> str:
    """A duration as timekeepers write it: 1:02:03.456, 2:03.4, without a fraction where it has
    none."""
    if ms is None:
        return ""
    seconds, part = divmod(ms, 1000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    fraction = f".{part:03d}".rstrip("0") if part else ""
    if hours:
        return f"{hours}:{minute:02d}:{second:02d}{fraction}"
    return f"{minute}:{second:02d}{fraction}"
