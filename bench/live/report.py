"""The figures of the live channel as tables: on the terminal, and as its part of
docs/PERFORMANCE.md. Both from the same rows."""

from collections.abc import Sequence

import msgspec

from bench.live.figures import (
    BOUND,
    PROCESSOR,
    SHARE,
    USUAL,
    Deaf,
    Everything,
    Followed,
    batch_ratio,
    cpu_ratio,
    goals,
)
from bench.report import GOAL, Rows, Section, goal_row, number, tables

INTRODUCTION = """\
## The live channel

Written by `{command}`; do not edit, run it again.

{date}, {machine}. {versions}.{load}

Servers, Redis, PostgreSQL and the clients share the machine, so CPU per frame is the honest figure
and the rate its consequence. CPU is that of the server's process. The clients are raw sockets in a
process of their own, which was busy to {crowd:.0%} of a core at most; what else ran on the machine
meanwhile took {others:.0%} of it. Everything is one interleaved
run: {rounds} rounds, another order of the subjects in each, medians; a ratio is taken within a
round. All speak the same protocol and send the same frames (about 190 bytes).

- **the bound** (`bench/live/runners/bound.py`): own reader, decode, the text and its frame made
  once for an entry, then `send` of each client's raw socket, and nothing else.
- **processor**: `processor run` with ROLES=live and its defaults; origin, admission, order per
  device, conflation, metrics, rechecks.
- **Node ws**: ioredis, JSON.parse, one Buffer for all clients, no compression.
- **Starlette, stock**: redis-py, json, `await send_text` of one client after the other; uvicorn
  with websockets-sansio.
"""


class Facts(msgspec.Struct):
    """Of the run as a whole. `crowd` is the share of a core that the clients took at most, `others`
    the share of the machine that was not the bench's."""

    command: str
    date: str
    machine: str
    versions: str
    load: str
    rounds: int
    crowd: float
    others: float
    sizes: list[int]
    moderate: int
    batch_clients: int
    batch_rate: int


def sections(everything: Everything, deaf: Deaf | None, facts: Facts) -> list[Section]:
    now, end = goals(everything, deaf, max(facts.sizes))
    return [
        Section(
            "Single frames, as many as go out",
            SATURATED,
            ["", "us", "frames/s", "of a core", "x bound", "ours"],
            _saturated(everything, facts.sizes),
        ),
        Section(
            f"Latency at {number(facts.moderate, 0)} single frames a second",
            "Milliseconds from XADD to client, p50 / p99, over all clients, and the server's share "
            f"of a core. Entries come evenly spaced. {LATE}",
            ["", *(f"N = {size}" for size in facts.sizes)],
            [
                [found.label, *(_latency(found.followed.get(size)) for size in facts.sizes)]
                for found in everything.values()
            ],
        ),
        Section(
            f"Latency at N = {USUAL}, as much as takes the processor {SHARE:.0%} of a core",
            f"The same load for each. {LATE}",
            ["", "frames/s", "of a core", "p50 ms", "p99 ms"],
            _loaded(everything),
        ),
        Section(
            f"Batches: {facts.batch_clients} clients x {number(facts.batch_rate, 0)} positions/s",
            "A frame every 100 ms. Milliseconds from the tick: from the newest fix in the frame to "
            "the client. CPU in microseconds per position and client.",
            ["", "of a core", "us", "x bound", "p50 ms", "p99 ms"],
            _batched(everything),
        ),
        Section(
            "An idle connection",
            "Growth of the server's memory from a few connections to all, nothing moving yet; "
            "what the kernel holds is not in it.",
            ["", "KiB"],
            [[found.label, number(found.idle_kib, 1)] for found in everything.values()],
        ),
        *([_deaf(deaf)] if deaf else []),
        Section("Goals of this version", "", GOAL, [goal_row(goal) for goal in now]),
        Section("Goals of the project", "", GOAL, [goal_row(goal) for goal in end]),
    ]


SATURATED = (
    "A bounded number of frames is under way, so that the server never waits. us: CPU in "
    "microseconds per frame, for each subject and number of clients; `x bound` and `ours`: as a "
    "multiple of the bound's, and of the processor's."
)
LATE = "`>` marks who had not sent everything 3 s after the load had ended."


def _saturated(everything: Everything, sizes: Sequence[int]) -> Rows:
    rows = []
    for size in sizes:
        for name, found in everything.items():
            runs = found.saturated.get(size, {})
            rows.append(
                [
                    f"{found.label}, N = {size}",
                    number(found.middle("us_per_frame", runs), 2),
                    number(found.middle("frames_per_s", runs), 0),
                    number(found.middle("core", runs), 2),
                    number(cpu_ratio(everything, name, BOUND, size), 2),
                    number(cpu_ratio(everything, name, PROCESSOR, size), 2),
                ]
            )
    return rows


def _latency(run: Followed | None) -> str:
    if run is None:
        return "-"
    late = ">" if run.unfinished else ""
    return f"{late}{run.p50_ms:.1f} / {late}{run.p99_ms:.1f} ({run.core:.0%})"


def _loaded(everything: Everything) -> Rows:
    rows = []
    for found in everything.values():
        runs = found.loaded
        if not runs:
            continue
        late = ">" if any(run.unfinished for run in runs.values()) else ""
        offered = found.middle("offered", runs)
        assert offered is not None
        rows.append(
            [
                found.label,
                number(offered * USUAL, 0),
                number(found.middle("core", runs), 2),
                late + number(found.middle("p50_ms", runs), 1),
                late + number(found.middle("p99_ms", runs), 1),
            ]
        )
    return rows


def _batched(everything: Everything) -> Rows:
    rows = []
    for name, found in everything.items():
        runs = found.batched
        late = ">" if any(run.unfinished for run in runs.values()) else ""
        rows.append(
            [
                found.label,
                number(found.middle("core", runs), 2),
                number(found.middle("us_per_position", runs), 3),
                number(batch_ratio(everything, name, BOUND), 2),
                late + number(found.middle("p50_ms", runs), 1),
                late + number(found.middle("p99_ms", runs), 1),
            ]
        )
    return rows


def _deaf(deaf: Deaf) -> Section:
    without, there = (
        [number(value, 1) for value in values] for values in (deaf.without_ms, deaf.with_ms)
    )
    return Section(
        "One that never reads",
        f"The others' p99 in milliseconds at N = {USUAL} and {SHARE:.0%} of a core, turn by turn; "
        "their ratio, median: "
        f"{deaf.ratio:.2f}. He asks for attributes of 4 KB, which nobody else does, so that what "
        f"may wait for him is soon full; in the end he is: {'; '.join(deaf.endings)}.",
        ["", *(f"turn {turn + 1}" for turn in range(len(without)))],
        [["without him", *without], ["with him", *there]],
    )


def markdown(
    facts: Facts, found: Sequence[Section], remarks: Sequence[str], better: Sequence[str]
) -> str:
    parts = [INTRODUCTION.format(**msgspec.structs.asdict(facts))]
    parts += [f"**Note: {remark}.**\n" for remark in remarks]
    parts += tables(found, "###")
    parts.append("### Where another is better\n")
    parts.append(
        "\n".join(f"- {sentence}." for sentence in better) if better else "Nowhere in this run."
    )
    return "\n".join(parts) + "\n"
