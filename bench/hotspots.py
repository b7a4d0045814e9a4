"""`make profile`: where `processor run` spends its time while it drains a full stream.

    python -m bench.hotspots [--records N] [--duplicates SHARE] [--top N] [--sort tottime]

cProfile charges every call of a Python function a fraction of a microsecond, so it exaggerates
small functions: read it for what is there, and measure a change with `make bench`. The profile is
kept in bench/results/ for other viewers.
"""

import argparse
import pstats
import sys
import time

from bench.drain import Work, drain
from bench.entries import Mix, entries
from bench.place import opened
from bench.run import ROOT
from bench.subjects import PROCESSOR, Start, Subject, Target
from bench.wire import additions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--records", type=int, default=60_000)
    parser.add_argument("--duplicates", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--top", type=int, default=20)
    parser.add_argument("--sort", default="tottime", choices=("tottime", "cumtime", "ncalls"))
    options = parser.parse_args()
    file = ROOT / "bench" / "results" / "processor.prof"
    file.parent.mkdir(exist_ok=True)

    def start(target: Target, batch: int | None, duplicates: bool) -> Start:
        plain = PROCESSOR.start(target, batch, duplicates)
        command = [sys.executable, "-m", "cProfile", "-o", str(file), "-m", "processor", "run"]
        return Start(command, plain.environment)

    profiled = Subject("profiled", "processor under cProfile", (None,), start)
    with opened() as place:
        target = Target(place.redis, place.postgres, "telemetry:bench-profile", "bench")
        mix = Mix(options.records, duplicates=options.duplicates)
        made = list(entries(mix, int(time.time() * 1000)))
        place.wire.load(additions(target.stream, made))
        ((last_id, _),) = place.wire.ask("XREVRANGE", target.stream, "+", "-", "COUNT", 1)
        rows = len({(entry["device_id"], entry["ts"]) for entry in made})
        run = drain(place, profiled, None, target, Work(len(made), rows, last_id, rows < len(made)))
    print(
        f"{run.records_per_s:,.0f} records/s under the profiler; CPU per record in us: client "
        f"{run.client_us:.1f}, Redis {run.redis_us:.1f}, PostgreSQL {run.postgres_us or 0:.1f}"
    )
    pstats.Stats(str(file)).strip_dirs().sort_stats(options.sort).print_stats(options.top)


if __name__ == "__main__":
    main()
