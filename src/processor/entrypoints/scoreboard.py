"""The tables of `processor score`: results first, then why.

They are printed from what --json prints, so that the two cannot differ.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from processor.entrypoints import show

Row = Mapping[str, Any]


def print_scores(told: Mapping[str, Any], *, explain: bool) -> None:
    """Results by stage, penalties, what was missed; with `explain` each record's sentence."""
    for stage in dict.fromkeys(row["stage"] for row in told["results"]):
        _results(stage, [row for row in told["results"] if row["stage"] == stage])
    _penalties(told["penalties"])
    _missed([row for row in told["crossings"] if row["kind"] in ("missed", "unverified")])
    if explain:
        _explained(told)
    for row in told["warnings"]:
        who = f"{row['entry']}: " if row["entry"] else ""
        click.echo(f"{who}{row['what']}: {row['message']}", err=True)


def _results(stage: str, rows: Sequence[Row]) -> None:
    show.table(
        f"{stage}: results",
        ("pos", "entry", "class", "in class", "status", "time", "penalty", "total", "gap", "note"),
        [
            (
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
    )


def _note(row: Row) -> str:
    notes = []
    if row["provisional"]:
        waiting = ", ".join(row["waiting_for"])
        notes.append(f"provisional{f' ({waiting})' if waiting else ''}")
    if row["tied"]:
        notes.append(f"tied within uncertainty with {', '.join(row['tied_with'])}")
    return "; ".join(notes)


def _penalties(rows: Sequence[Row]) -> None:
    if rows:
        show.table(
            "penalties",
            ("entry", "segment", "type", "object", "penalty", "why"),
            [
                (
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
    return f"{row['penalty_seconds']:g} s" if row["outcome"] == "time" else str(row["outcome"])


def _missed(rows: Sequence[Row]) -> None:
    if rows:
        show.table(
            "not passed",
            ("entry", "segment", "object", "what", "nearest"),
            [
                (
                    row["entry"],
                    row["segment"],
                    row["object"],
                    row["kind"],
                    "" if row["distance_m"] is None else f"{row['distance_m']:.1f} m",
                )
                for row in rows
            ],
        )


def _explained(told: Mapping[str, Any]) -> None:
    show.table(
        "timing",
        ("entry", "segment", "kind", "object", "time", "+-", "status", "why"),
        [
            (
                row["entry"],
                row["segment"],
                row["kind"],
                row["object"] or "",
                (row["ts"] or "")[11:23],
                "" if row["uncertainty_ms"] is None else f"{row['uncertainty_ms']} ms",
                row["status"],
                row["explanation"].get("text", ""),
            )
            for row in told["timing"]
        ],
    )


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
