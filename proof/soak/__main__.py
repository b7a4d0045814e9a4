"""`make soak`: hours of ordinary life, and whether anything grew.

    python -m proof.soak [--minutes M] [--rate R] [--browsers B] [--seed S] [--document]

Exit code 1 if anything grew, or did not come back to where it was.
"""

import argparse
import secrets
import sys

from rich.console import Console

from processor.entrypoints.demo.process import NotStarted
from proof.document import table, write
from proof.service import NotReady
from proof.soak import judging
from proof.soak.judging import Sample
from proof.soak.run import Outcome, Plan, run

MINUTES, RATE, BROWSERS = 60.0, 300, 20
TENTHS = 10


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--rate", type=int, default=RATE, help="records a second")
    parser.add_argument("--browsers", type=int, default=BROWSERS, help="at a time")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--document", action="store_true", help="write docs/RELIABILITY.md")
    asked = parser.parse_args()
    seed = secrets.randbelow(2**31) if asked.seed is None else asked.seed
    plan = Plan(asked.minutes, asked.rate, asked.browsers, seed)
    console = Console(highlight=False)
    console.print(f"seed {seed}")
    try:
        with console.status("") as status:
            outcome = run(plan, lambda found: status.update(_counts(found)))
    except (NotStarted, NotReady) as error:
        print(error, file=sys.stderr)
        return 1
    text = report(outcome)
    print(text)
    for fault in outcome.faults:
        console.print(f"[red]{fault}[/red]", markup=True)
    if asked.document:
        command = f"make soak MINUTES={plan.minutes:g} RATE={plan.rate} BROWSERS={plan.browsers}"
        write("soak", "Soak", command, text)
    return 1 if outcome.faults else 0


def _counts(found: Outcome) -> str:
    last = found.samples[-1]
    return (
        f"{last.at_s:.0f} s: {last.uss_mib:.1f} MiB, {last.descriptors} descriptors,"
        f" {last.metrics.get('live_connections', 0):.0f} browsers,"
        f" {found.restarts.total()} restarts"
    )


def report(outcome: Outcome) -> str:
    """What came of it, as markdown."""
    plan, samples = outcome.plan, outcome.samples
    verdict = "**Nothing grows.**" if not outcome.faults else "**NOT FLAT: SEE BELOW.**"
    lines: list[tuple[str, object]] = [
        ("minutes under load, after the warm-up", f"{plan.minutes:g}"),
        ("records sent", outcome.sent),
        ("of them bad", outcome.bad),
        ("visits of browsers", outcome.visits.total()),
        ("frames that watchers read", outcome.frames),
        *((f"restarts of {name}", count) for name, count in sorted(outcome.restarts.items())),
        ("memory, second half of the run", judging.memory(samples) if samples else "none"),
        ("faults", len(outcome.faults)),
    ]
    curve = [
        _row("at rest, before", outcome.rest),
        *(_tenth(samples, tenth) for tenth in range(TENTHS)),
        _row("at rest, after", outcome.rest_again),
    ]
    faults = "".join(f"- {fault}\n" for fault in outcome.faults)
    said = ", ".join(f"{name} ({count})" for name, count in sorted(outcome.said.items())) or "none"
    return f"""\
`processor run` with the roles ingest and live on real servers: {plan.rate} records a second from
{plan.devices} devices, of which it remembers {plan.cap}; some of them twice, late, ahead of time
or bad; {plan.browsers} browsers at a time that watch, break off, never read, talk nonsense or come
from another site; a scrape with each weighing; Redis and PostgreSQL stopped and started in turns.
{verdict} Seed {plan.seed}.

Memory (what the process has alone) may grow by {judging.GROWTH_MIB_H:g} MiB an hour in the second
half, by the line of least squares and beyond twice its standard error. At rest, with nobody
connected and nothing sent, connections, subscriptions, pending and lag are 0, and descriptors and
threads as many as at the first rest, {judging.BEYOND_REST["descriptors"]} and
{judging.BEYOND_REST["threads"]} more at most.

{table(["", "count"], lines)}
{table(HEAD, curve)}
Warnings and errors in its log: {said}.
{faults}"""


HEAD = ["", "seconds", "USS MiB", "RSS MiB", "descriptors", "threads", "browsers", "tasks"]


def _tenth(samples: list[Sample], tenth: int) -> list[object]:
    first, last = len(samples) * tenth // TENTHS, len(samples) * (tenth + 1) // TENTHS
    part = samples[first:last]
    return _row(f"tenth {tenth + 1}, its middle", part[len(part) // 2] if part else None)


def _row(name: str, sample: Sample | None) -> list[object]:
    if sample is None:
        return [name, *["none"] * (len(HEAD) - 1)]
    tasks = sample.metrics.get("event_loop_tasks")
    return [
        name,
        f"{sample.at_s:.0f}",
        f"{sample.uss_mib:.1f}",
        f"{sample.rss_mib:.1f}",
        sample.descriptors,
        sample.threads,
        int(sample.metrics.get("live_connections", 0)),
        "not told" if tasks is None else int(tasks),
    ]


if __name__ == "__main__":
    sys.exit(main())
