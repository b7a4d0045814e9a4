"""`make kill`: three instances, killed and killed again, and the sum at the end.

    python -m proof.kill [--minutes M | --kills N] [--seed S] [--no-document]

Exit code 1 if anything was lost, came twice or is otherwise not as it has to be.
"""

import argparse
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

from attrs import frozen
from rich.console import Console

from processor.entrypoints.demo.process import NotStarted
from proof.document import table, write
from proof.kill.chaos import Blows
from proof.kill.run import Outcome, run, servers
from proof.service import NotReady

MINUTES = 10.0
SHOWN = 20  # faults that are told one by one


@frozen
class Enough:
    """So many minutes, or so many SIGKILLs of processes that were ready."""

    until: float | None
    kills: int | None

    def __call__(self, blows: Blows) -> bool:
        if self.kills is not None:
            return blows.kills >= self.kills
        return self.until is not None and time.monotonic() >= self.until


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--minutes", type=float, help=f"how long to strike, {MINUTES:g}")
    parser.add_argument("--kills", type=int, help="end after so many SIGKILLs instead")
    parser.add_argument("--seed", type=int, help="whom to strike and what to send, in this order")
    parser.add_argument("--no-document", action="store_true", help="leave docs/ as it is")
    options = parser.parse_args()
    minutes = options.minutes or (None if options.kills else MINUTES)
    seed = secrets.randbelow(2**31) if options.seed is None else options.seed
    console = Console(highlight=False)
    console.print(f"seed {seed}")
    folder = Path(tempfile.mkdtemp(prefix="processor-kill-"))
    try:
        with servers() as (valkey, postgres):
            about = f"{valkey.programs.about}; {postgres.programs.about}"
            console.print(f"[dim]{about}[/dim]")
            until = time.monotonic() + 60 * minutes if minutes else None
            with console.status("") as status:
                outcome = run(
                    valkey,
                    postgres,
                    folder,
                    seed=seed,
                    enough=Enough(until, options.kills),
                    tell=lambda blows: status.update(_counts(blows)),
                )
    except (NotStarted, NotReady) as error:
        print(error, file=sys.stderr)
        return 1
    lines = rows(outcome)
    for name, value in lines:
        console.print(f"{name:<58}{value:>12}")
    for fault in outcome.faults[:SHOWN]:
        console.print(fault, style="red", markup=False, soft_wrap=True)
    if outcome.faults:
        console.print(f"what the instances said is in {folder}")
    else:
        shutil.rmtree(folder)
    if not options.no_document:
        asked = f"MINUTES={minutes:g}" if minutes else f"KILLS={options.kills}"
        write("kill", "The kill ledger", f"make kill {asked}", text(outcome, about))
    return 1 if outcome.faults else 0


def _counts(blows: Blows) -> str:
    return ", ".join(f"{count} x {blow}" for blow, count in blows.dealt.most_common())


def rows(outcome: Outcome) -> list[tuple[str, int | str]]:
    """The sum, name by name."""
    total, blows = outcome.total, outcome.blows
    return [
        ("SIGKILLs of processes that were ready", blows.dealt["SIGKILL"]),
        ("SIGTERMs of such", blows.dealt["SIGTERM"]),
        ("SIGSTOPs of such, until others had taken over", blows.dealt["SIGSTOP"]),
        ("times Redis was killed and started again", blows.dealt["redis"]),
        ("times PostgreSQL was killed and started again", blows.dealt["postgres"]),
        ("seconds", f"{outcome.seconds:.0f}"),
        ("entries in the stream", total.records),
        ("of them sent again because the reply was lost, at most", outcome.unsure),
        ("entries that an instance took over from another", outcome.taken_over),
        ("rows", total.rows),
        ("duplicates", total.duplicates),
        *((f"dead letters: {reason}", count) for reason, count in sorted(total.letters.items())),
        ("dead letters written a second time, recognisable", total.repeated_letters),
        ("pending", total.pending),
        ("lag", total.lag),
        ("lost", total.lost),
        ("twice", total.twice),
        ("wrong", total.wrong),
        ("processes that ended by themselves, late, or not with 0", len(blows.faults)),
        ("seconds of the slowest orderly stop, at most", f"{blows.slowest_stop_s:.1f}"),
        ("seconds from the last entry until all was acknowledged", f"{outcome.quiet_s:.1f}"),
    ]


def text(outcome: Outcome, about: str) -> str:
    """The part of the document."""
    verdict = "**The sum is right.**" if not outcome.faults else "**THE SUM IS WRONG.**"
    return f"""\
Three instances of `processor run` between servers that have on the disk whatever they confirm,
while a producer goes on: new, late, disordered and repeated records, records that say something
else under a known key, and bad ones. Only a process that was ready counts as struck. In the end
every entry of the stream is accounted for, and all columns of every row, all fields of every dead
letter and the change notes are compared with what was sent.

{verdict} Seed {outcome.seed}. Servers: {about}.

{table(["", "count"], rows(outcome))}"""


if __name__ == "__main__":
    sys.exit(main())
