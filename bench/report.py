"""The figures as tables: on the terminal, and as docs/PERFORMANCE.md. Both from the same rows."""

from collections.abc import Mapping, Sequence

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from bench.offered import GRACE_S, Latency
from bench.results import BOUND, PROCESSOR, Goal, Measured, Workload, goals, ratio

INTRODUCTION = """\
# Performance, measured

Written by `{command}`; do not edit, run it again.

{date}, {machine}. {versions}.
PostgreSQL: {settings}.{load}

Client, Redis and PostgreSQL share the machine, so CPU per record is the honest figure and the rate
its consequence. Everything is one interleaved run: {rounds} rounds over {records} generated
entries, another order of the subjects in each, medians; a ratio is taken within a round. The clock
runs from the first entry read to the last acknowledged, seen from outside. A peer counts at its
better batch size. After each run the rows are counted and their content is compared.

- **the bound** (`bench/runners/bound.py`): own reader, decode, straight COPY (with duplicates: COPY
  to a temporary table and INSERT .. ON CONFLICT), 3 in flight, and nothing else.
- **processor**: `processor run` with its defaults; metrics, device state, change notes, log.
- **Node worker**: ioredis, pg, multi-row insert, sentinels by a JSON.parse reviver. **tuned**: the
  same without the reviver; shown so that nobody has to wonder.
- **FastStream**: batch subscriber, pydantic model, asyncpg with one unnest insert.
- **naive loop**: redis-py, json, executemany.
"""

LATENCY = f"""\
Milliseconds from entry id to acknowledged, p50 / p99, while so many records a second arrive. Seen
from outside by looking at the group about once a millisecond, the same for all: figures err
upwards by about 2 ms, and by the wait for an older batch where batches overlap. `>` marks who had
not caught up {GRACE_S:.0f} s after the load had ended; higher loads are then left out. The subjects
run side by side and are offered the load in turns."""

Rows = Sequence[Sequence[str]]


class Facts(msgspec.Struct):
    """Of the run as a whole."""

    command: str
    date: str
    machine: str
    versions: str
    settings: str
    load: str
    rounds: int
    records: int


class Section(msgspec.Struct):
    title: str
    text: str
    head: Sequence[str]
    rows: Rows


def sections(
    fresh: Workload,
    mixed: Workload,
    latency: Mapping[str, Sequence[Latency] | str],
    loads: Sequence[int],
) -> list[Section]:
    followed = {name: found for name, found in latency.items() if not isinstance(found, str)}
    now, end = goals(fresh, mixed, followed)
    cpu = (
        "Records a second; CPU in microseconds per record; MiB: the client's memory at its "
        "highest. `x bound`: the rate as a multiple of the bound's; `ours`: how many times faster "
        "the processor is."
    )
    return [
        Section("Throughput, no duplicates", cpu, THROUGHPUT, _throughput(fresh)),
        Section("Throughput, 5 % duplicates and 1 % late", cpu, THROUGHPUT, _throughput(mixed)),
        Section(
            "Latency",
            LATENCY,
            ["", *(f"{load:,}/s".replace(",", " ") for load in loads)],
            [_latency(fresh, name, found, loads) for name, found in latency.items()],
        ),
        Section("Goals of this version", "", GOAL, [goal_row(goal) for goal in now]),
        Section("Goals of the project", "", GOAL, [goal_row(goal) for goal in end]),
    ]


THROUGHPUT = ["", "batch", "rec/s", "client", "redis", "postgres", "MiB", "x bound", "ours"]
GOAL = ["goal", "", "measured", ""]


def _throughput(workload: Workload) -> Rows:
    rows = []
    for name, m in workload.items():
        if not m.best:
            rows.append([m.label, *["-"] * 8])
            continue
        rows.append(
            [
                m.label,
                str(m.batch or "own"),
                number(m.middle("records_per_s"), 0),
                number(m.middle("client_us"), 1),
                number(m.middle("redis_us"), 1),
                number(m.middle("postgres_us"), 1),
                number(m.middle("peak_mib"), 0),
                number(ratio(workload, name, BOUND), 2),
                number(ratio(workload, PROCESSOR, name), 2),
            ]
        )
    return rows


def _latency(
    workload: Workload, name: str, found: Sequence[Latency] | str, loads: Sequence[int]
) -> list[str]:
    label = workload[name].label
    if isinstance(found, str):
        return [label, *["-"] * len(loads)]
    cells = [
        f"{'>' if each.unfinished else ''}{each.p50_ms:.1f} / "
        f"{'>' if each.unfinished else ''}{each.p99_ms:.1f}"
        for each in found
    ]
    return [label, *cells, *["-"] * (len(loads) - len(cells))]


def goal_row(goal: Goal) -> list[str]:
    sign = ">=" if goal.at_least else "<="
    value = "not measured" if goal.value is None else f"{goal.value:.2f}"
    return [goal.what, f"{sign} {goal.target:g}", value, "met" if goal.met else "MISSED"]


def number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}".replace(",", " ")


def show(console: Console, found: Sequence[Section], remarks: Sequence[str]) -> None:
    for section in found:
        table = Table(
            title=section.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
        )
        for position, name in enumerate(section.head):
            table.add_column(
                name,
                justify="right" if position else "left",
                no_wrap=not position,
                min_width=max(map(len, name.split()), default=0),
            )
        for row in section.rows:
            style = {"MISSED": "red", "met": "green"}.get(row[-1])
            table.add_row(*row, style=style)
        console.print(table)
    for remark in remarks:
        console.print(f"[yellow]{remark}[/yellow]")


def markdown(facts: Facts, found: Sequence[Section], remarks: Sequence[str]) -> str:
    parts = [INTRODUCTION.format(**msgspec.structs.asdict(facts))]
    parts += [f"**Note: {remark}.**\n" for remark in remarks]
    return "\n".join([*parts, *tables(found, "##")])


def tables(found: Sequence[Section], heading: str) -> list[str]:
    """Each section as markdown, under headings of that level."""
    parts = []
    for section in found:
        parts.append(f"{heading} {section.title}\n")
        if section.text:
            parts.append(f"{section.text}\n")
        lines = [section.head, ["---", *["---:"] * (len(section.head) - 1)], *section.rows]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n")
    return parts


def as_json(
    facts: Facts,
    workloads: Mapping[str, Workload],
    latency: Mapping[str, Sequence[Latency] | str],
    remarks: Sequence[str],
) -> bytes:
    """Every run, the medians, the ratios to and of the processor, the goals."""

    def figures(workload: Workload, name: str, m: Measured) -> dict[str, object]:
        names = ("records_per_s", "client_us", "redis_us", "postgres_us", "peak_mib")
        return {
            "batch": m.batch,
            "medians": {figure: m.middle(figure) for figure in names},
            "of_bound": ratio(workload, name, BOUND),
            "processor_times": ratio(workload, PROCESSOR, name),
            "failure": m.failure,
            "runs": m.runs,
        }

    followed = {name: found for name, found in latency.items() if not isinstance(found, str)}
    fresh, mixed = workloads.values()
    now, end = ([{**msgspec.structs.asdict(goal), "met": goal.met} for goal in some]
                for some in goals(fresh, mixed, followed))  # fmt: skip
    document = {
        "facts": facts,
        "workloads": {
            key: {name: figures(workload, name, m) for name, m in workload.items()}
            for key, workload in workloads.items()
        },
        "latency": latency,
        "goals": {"this version": now, "project": end},
        "remarks": remarks,
    }
    return msgspec.json.format(msgspec.json.encode(document))
