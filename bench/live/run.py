"""`make bench-live`: the fan-out, its bound and two peers, in one interleaved run.

    python -m bench.live [--clients N ..] [--rounds N] [--seconds S] [--only NAME ..] [--quick]
                         [--no-document]

Each subject (subjects.py) serves a stream of its own to a crowd of its own (crowd.py), all at the
same time, and the load (offering.py) goes from one to the next. First the crowd at its largest
wants batches; then single frames, with fewer and fewer clients. The figures (figures.py) go to the
terminal, to bench/results/ as JSON and, unless a part was left out, into docs/PERFORMANCE.md.
"""

import argparse
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version

import msgspec
from rich.console import Console

from bench.document import write_part
from bench.drain import Failed
from bench.live.figures import PROCESSOR, SHARE, USUAL, Deaf, Followed, Found, better_than_ours
from bench.live.measure import Server, serving, subscribe
from bench.live.offering import devices
from bench.live.place import with_event
from bench.live.report import Facts, markdown, sections
from bench.live.subjects import SUBJECTS, WS_PEER
from bench.machine import Others, busy, machine, node_versions
from bench.place import Place
from bench.report import show
from bench.run import ROOT

CLIENTS = (100, 500, 2000)
MODERATE = 20_000
"""Single frames a second which every subject can follow."""
BATCH_RATE = 1_000
CROWD_BUSY = 0.9
"""Share of a core from which on the crowd may have been the one that was slow."""
OTHERS = 0.05
"""Share of the machine from which on what else ran on it may be seen in the figures."""
DEAF_TURNS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--clients", type=int, nargs="+", default=list(CLIENTS), metavar="N")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[s.name for s in SUBJECTS])
    parser.add_argument("--quick", action="store_true", help="100 and 500 clients, one round")
    parser.add_argument("--no-document", action="store_true", help="leave docs/ as it is")
    options = parser.parse_args()
    if options.quick:
        options.clients, options.rounds, options.seconds = [100, 500], 1, 1.0
    options.clients.sort()
    whole = options.only is None and options.clients == list(CLIENTS)
    load_before, began, others = os.getloadavg()[0], time.monotonic(), Others()
    console = Console(stderr=True)
    with with_event(devices()) as place:
        bench = Bench(console, place, options)
        bench.run()
        versions = place.versions()
    facts = _facts(options, load_before, versions, bench.crowd_busiest(), others.share())
    remarks = bench.remarks()
    if facts.others > OTHERS:
        remarks.append(f"what else ran on the machine took {facts.others:.0%} of it")
    better = better_than_ours(bench.found)
    found = sections(bench.found, bench.deaf, facts)
    show(Console(width=max(80, min(140, Console().width))), found, [*remarks, *better])
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    file = results / time.strftime("live-%Y%m%dT%H%M%SZ.json", time.gmtime())
    everything = {"facts": facts, "subjects": bench.found, "deaf": bench.deaf, "remarks": remarks}
    file.write_bytes(msgspec.json.format(msgspec.json.encode(everything)))
    written = str(file.relative_to(ROOT))
    if whole and not options.no_document:
        text = markdown(facts, found, remarks, better)
        write_part(ROOT / "docs" / "PERFORMANCE.md", "live", text)
        written += " and docs/PERFORMANCE.md"
    print(f"Measured in {time.monotonic() - began:.0f} s. Every run is in {written}.")


class Bench:
    """All subjects side by side. One that fails is left out from then on, and said."""

    def __init__(self, console: Console, place: Place, options: argparse.Namespace) -> None:
        self._console = console
        self._place = place
        self._sizes: list[int] = options.clients
        self._rounds: int = options.rounds
        self._seconds: float = options.seconds
        self._servers: dict[str, Server] = {}
        wanted = [s for s in SUBJECTS if options.only is None or s.name in options.only]
        self._subjects = wanted
        self.found = {subject.name: Found(subject.label) for subject in wanted}
        self.deaf: Deaf | None = None

    def run(self) -> None:
        with ExitStack() as stack:
            self._start(stack)
            self._batches()
            for size in reversed(self._sizes):
                self._singles(size)
                if size == USUAL:
                    self._at_a_share()

    def remarks(self) -> list[str]:
        failures = [f"{each.label}: {each.failure}" for each in self.found.values() if each.failure]
        if (busiest := self.crowd_busiest()) > CROWD_BUSY:
            failures.append(f"the clients took {busiest:.0%} of a core: rates may be theirs")
        return failures

    def crowd_busiest(self) -> float:
        shares = [
            run.crowd
            for found in self.found.values()
            for runs in found.saturated.values()
            for run in runs.values()
        ]
        return max(shares, default=0.0)

    # -- phases ------------------------------------------------------------------------------

    def _start(self, stack: ExitStack) -> None:
        for subject in self._subjects:
            self._say(f"starting {subject.label}")
            if (why := subject.missing()) is not None:
                self.found[subject.name].failure = f"cannot run: {why}"
                continue
            with self._left_out_if_it_fails(subject.name):
                self._servers[subject.name] = stack.enter_context(serving(self._place, subject))

    def _batches(self) -> None:
        most = self._sizes[-1]
        for name in self._turn(0):
            self._say(f"{most} clients of {self.found[name].label}")
            with self._left_out_if_it_fails(name):
                self.found[name].idle_kib = self._servers[name].idle_kib(most)
        for round_ in range(self._rounds):
            for name in self._turn(round_):
                with self._left_out_if_it_fails(name):
                    server = self._servers[name]
                    if round_ == 0:
                        server.batched(BATCH_RATE, 0.5)
                    run = server.batched(BATCH_RATE, 1.5 * self._seconds)
                    self.found[name].batched[round_] = run
                    self._say(
                        f"{most} clients, batches, {self.found[name].label}: {run.core:.0%} of a "
                        f"core, {run.us_per_position:.3f} us a position, p99 {run.p99_ms:.0f} ms"
                    )
        for name in self._turn(0):
            with self._left_out_if_it_fails(name):
                self._servers[name].audience.shrink(0)

    def _singles(self, size: int) -> None:
        for name in self._turn(0):
            with self._left_out_if_it_fails(name):
                server = self._servers[name]
                if server.audience.size < size:
                    server.audience.grow(size, subscribe())
                server.audience.shrink(size)
                server.saturated(0.3)  # compiled, cached, grown
        for round_ in range(self._rounds):
            for name in self._turn(round_):
                with self._left_out_if_it_fails(name):
                    run = self._servers[name].saturated(self._seconds)
                    self.found[name].saturated.setdefault(size, {})[round_] = run
                    self._say(
                        f"{size} clients, {self.found[name].label}: {run.us_per_frame:.2f} us a "
                        f"frame, {run.frames_per_s:,.0f}/s"
                    )
        for name in self._turn(0):
            with self._left_out_if_it_fails(name):
                run_ = self._servers[name].followed(MODERATE / size, 1.5 * self._seconds)
                self.found[name].followed[size] = run_

    def _at_a_share(self) -> None:
        """What takes the processor that share of a core, for it, for the others, and with a client
        that never reads."""
        ours = self.found.get(PROCESSOR)
        us = ours.middle("us_per_frame", ours.saturated.get(USUAL, {})) if ours else None
        if us is None:
            return
        rate = SHARE * 1e6 / us / USUAL
        for round_ in range(self._rounds):
            for name in self._turn(round_):
                earlier = self.found[name].loaded
                if any(run.unfinished for run in earlier.values()):
                    continue  # it does not follow: once is enough
                with self._left_out_if_it_fails(name):
                    earlier[round_] = self._servers[name].followed(rate, 1.5 * self._seconds)
        if PROCESSOR in self._servers:
            with self._left_out_if_it_fails(PROCESSOR):
                self.deaf = self._with_a_deaf_one(self._servers[PROCESSOR], rate)

    def _with_a_deaf_one(self, server: Server, rate: float) -> Deaf:
        deaf = Deaf([], [], [])

        def fat(seconds: float) -> Followed:
            return server.followed(rate, seconds, fat=True)

        fat(0.5)
        for _ in range(DEAF_TURNS):
            deaf.without_ms.append(fat(1.5 * self._seconds).p99_ms)
            server.audience.deafen(subscribe(attributes=True))
            fat(1.0)  # until nothing fits any more
            deaf.with_ms.append(fat(1.5 * self._seconds).p99_ms)
            deaf.endings.append(server.audience.undeafen())
        return deaf

    # -- small things ------------------------------------------------------------------------

    def _turn(self, round_: int) -> list[str]:
        """Who is left, in the order of this round."""
        names = list(self._servers)
        return [*names[round_ % len(names) :], *names[: round_ % len(names)]] if names else []

    @contextmanager
    def _left_out_if_it_fails(self, name: str) -> Iterator[None]:
        try:
            yield
        except Failed as failure:
            self.found[name].failure = f"failed: {failure}"
            self._servers.pop(name, None)
            self._say(f"{self.found[name].label}: {failure}")

    def _say(self, sentence: str) -> None:
        self._console.print(sentence, highlight=False)


def _facts(
    options: argparse.Namespace,
    load_before: float,
    shown: dict[str, str],
    crowd: float,
    others: float,
) -> Facts:
    asked = " ".join(shlex.quote(argument) for argument in sys.argv[1:])
    versions = [
        shown["stream"],
        f"Python {platform.python_version()}",
        *(f"{name} {version(name)}" for name in ("uvicorn", "websockets", "starlette", "hiredis")),
        *node_versions(WS_PEER, "ws", "ioredis"),
    ]
    return Facts(
        command=f'make bench-live BENCH="{asked}"' if asked else "make bench-live",
        date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        machine=machine(),
        versions=", ".join(versions),
        load=f"\n\n{warning}" if (warning := busy(load_before)) else "",
        rounds=options.rounds,
        crowd=crowd,
        others=others,
        sizes=options.clients,
        moderate=MODERATE,
        batch_clients=options.clients[-1],
        batch_rate=BATCH_RATE,
    )
