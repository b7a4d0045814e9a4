"""docs/ACCURACY.md: what the figures of `make accuracy` say, in a few tables."""

import platform
import time
from collections.abc import Callable, Mapping
from functools import reduce

from attrs import frozen

from bench.machine import machine
from proof.accuracy.figures import SIGMA_M, Figures
from proof.accuracy.trials import (
    EXACT,
    LATITUDES,
    MINUTE,
    PATHS,
    RATES_HZ,
    RECEIVERS,
    STAND,
    WHITE,
)
from proof.document import ROOT, table

OURS, LINEAR, LATER = "ours", "linear", "later fix"
METHODS = (OURS, LINEAR, LATER)
DOCUMENT = ROOT / "docs" / "ACCURACY.md"


@frozen
class Key:
    """What figures are kept apart by."""

    method: str
    receiver: str
    rate: float
    path: str
    target: str
    latitude: float


All = Mapping[Key, Figures]
Where = Callable[[Key], bool]


def some(found: All, where: Where) -> Figures:
    """The figures of all keys of which that holds, together."""
    return reduce(Figures.plus, (f for key, f in found.items() if where(key)), Figures())


def moving(key: Key) -> bool:
    return key.path != STAND


def write(text: str, command: str) -> None:
    now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    origin = f"Written by `{command}`; do not edit, run it again. {now}, {machine()},"
    DOCUMENT.write_text(
        f"# Accuracy, measured\n\n{origin} Python {platform.python_version()}.\n\n{text}"
    )


def text(found: All, each: int, cpu_s: float) -> str:
    return "\n".join(
        (
            LIMIT.format(sigma=SIGMA_M),
            table(
                ("speed across the edge", *(f"{kmh} km/h" for kmh in SPEEDS_KMH)),
                [(f"{SIGMA_M:g} m are", *(f"{SIGMA_M / kmh * 3600:.0f} ms" for kmh in SPEEDS_KMH))],
            ),
            TRIED.format(
                trials=len(PATHS) * 3 * len(LATITUDES) * each,
                tracks=len(PATHS) * 3 * len(LATITUDES) * each * len(RECEIVERS) * len(RATES_HZ),
                crossings=some(found, lambda key: key.method == OURS).true,
                cpu=cpu_s,
            ),
            "## By receiver and rate\n",
            OVERVIEW,
            _overview(found),
            "## By path\n",
            BY_PATH,
            *_by_path(found),
            "## Coverage of uncertainty_ms\n",
            COVERAGE,
            _coverage(found),
            "## Missed and false crossings\n",
            COUNTS,
            _counts(found),
            "## By latitude and by object\n",
            "`ours` at 1 Hz, without the stand: RMS and largest error in ms.\n",
            _by_place(found),
            "## The worst of each\n",
            WORST,
            _worst(found),
        )
    )


SPEEDS_KMH = (20, 50, 90, 130)
LIMIT = """\
**With {sigma:g} m of noise nobody can do better than {sigma:g} m / v**, v being the speed across \
the edge: a
receiver that is off by that much to one side for longer than the time between two fixes, as real
ones are, sees the edge earlier or later by the time that it takes to drive it. No arithmetic on the
fixes takes that away, and `uncertainty_ms` says it with every crossing.
"""
TRIED = """\
Simulated vehicles drive {trials} times past a gate (60 m, up to 30 degrees askew), a disc (radius
40 to 90 m) or an area, at latitudes 0, 41, 60 and 70, on seven kinds of path; the drives are closed
formulas, so the true instants are known exactly; they are the same at every latitude. Each drive is
seen by 16 trackers: {tracks} tracks with {crossings} true crossings, {cpu:.0f} s of CPU. Three
methods see the same fixes:

- **ours**: `processor.domain`, with its default settings;
- **linear**: where the straight line between two fixes meets the edge, driven evenly;
- **later fix**: the first fix on the other side, as fleet trackers take it (a disc needs a fix
  inside).
"""
OVERVIEW = """\
RMS / largest error in ms, all paths but the stand. `3 m / v`: that limit, RMS over these crossings;
where each fix errs by itself, two fixes average a little of it away. `within`: the share of ours
that is right within its own uncertainty_ms, 95 % wanted. A figure of the later fix at a low rate is
that of the crossings which it saw at all.
"""
BY_PATH = """\
RMS error in ms: ours / linear / later fix. Half a circle is cut short by its chords, and no speed
tells that. **A stand near an edge** is the price of a rule: an enter counts at once, and of several
crosses of a gate the first, so noise that carries a standing car over the edge is believed, up to
the whole minute early, once. The other two then have several crossings, of which the nearest is
compared here and the others are false (below); they were told by the truth which one to take.
"""
COVERAGE = f"""\
The share of ours within its own uncertainty_ms in %, 95 wanted: noise of each fix by itself
("{WHITE}") / noise that lasts ("{MINUTE}"). The formula allows for a
change of speed along the chord. In a bend the car is beside its chord as well, and where the
device's speeds are believed that part is cut to a third, so half a circle at 0.2 Hz is less sure
than it says. Near a stand the error is that of the rule above, which no formula knows.
"""
COUNTS = f"""\
Of a thousand true crossings, "{MINUTE}": missed + false, ours / linear / later fix. A chord
that cuts a bend passes a gate beside its post, or an area's corner, whoever draws it.
"""
WORST = """\
The largest error of ours without the stand, and where it was. `make accuracy ACCURACY='--trial N'`
tells all about one.
"""


def _overview(found: All) -> str:
    head = ("", "3 m / v", "ours", "linear", "later fix", "within")
    rows = []
    for receiver in RECEIVERS:
        for rate in RATES_HZ:
            each = {
                method: some(
                    found,
                    lambda key, method=method, receiver=receiver, rate=rate: (  # type: ignore[misc]
                        (key.method, key.receiver, key.rate) == (method, receiver, rate)
                        and moving(key)
                    ),
                )
                for method in METHODS
            }
            noisy = receiver in (WHITE, MINUTE)
            rows.append(
                (
                    f"{receiver}, {rate:g} Hz",
                    f"{each[OURS].best_ms:.0f}" if noisy else "0",
                    *(f"{each[m].rms_ms:.0f} / {each[m].worst_ms:.0f}" for m in METHODS),
                    f"{each[OURS].coverage:.1%}",
                )
            )
    return table(head, rows)


def _grid(cell: Callable[[str, float], str]) -> str:
    return table(
        ("", *(f"{rate:g} Hz" for rate in RATES_HZ)),
        [(path, *(cell(path, rate) for rate in RATES_HZ)) for path in PATHS],
    )


def _of(found: All, method: str, receiver: str, path: str, rate: float) -> Figures:
    return some(
        found,
        lambda key: (
            (key.method, key.receiver, key.path, key.rate) == (method, receiver, path, rate)
        ),
    )


def _by_path(found: All) -> list[str]:
    parts = []
    for receiver in RECEIVERS:

        def cell(path: str, rate: float, receiver: str = receiver) -> str:
            return " / ".join(
                f"{_of(found, method, receiver, path, rate).rms_ms:.0f}" for method in METHODS
            )

        parts += [f"### {receiver[0].upper()}{receiver[1:]}\n", _grid(cell)]
    return parts


def _coverage(found: All) -> str:
    return _grid(
        lambda path, rate: " / ".join(
            f"{100 * _of(found, OURS, receiver, path, rate).coverage:.1f}"
            for receiver in (WHITE, MINUTE)
        )
    )


def _counts(found: All) -> str:
    def cell(path: str, rate: float) -> str:
        each = [_of(found, method, MINUTE, path, rate) for method in METHODS]
        return " / ".join(
            f"{1000 * f.missed / f.true:.0f}+{1000 * f.false / f.true:.0f}" for f in each
        )

    return _grid(cell)


def _by_place(found: All) -> str:
    places: list[tuple[str, Where]] = [
        *(
            (f"{latitude:g} N", lambda key, latitude=latitude: key.latitude == latitude)
            for latitude in LATITUDES
        ),
        *(
            (name, lambda key, name=name: key.target == name)
            for name in dict.fromkeys(key.target for key in found)
        ),
    ]
    rows = []
    for name, there in places:
        cells = []
        for receiver in (EXACT, MINUTE):
            these = some(
                found,
                lambda key, receiver=receiver, there=there: (  # type: ignore[misc]
                    (key.method, key.receiver, key.rate) == (OURS, receiver, 1.0)
                    and moving(key)
                    and there(key)
                ),
            )
            cells.append(f"{these.rms_ms:.1f} / {these.worst_ms:.1f}")
        rows.append((name, *cells, f"{these.coverage:.1%}"))
    return table(("", EXACT, MINUTE, "within"), rows)


def _worst(found: All) -> str:
    rows = []
    for receiver in RECEIVERS:
        for rate in RATES_HZ:
            worst = some(
                found,
                lambda key, receiver=receiver, rate=rate: (  # type: ignore[misc]
                    (key.method, key.receiver, key.rate) == (OURS, receiver, rate) and moving(key)
                ),
            )
            rows.append((f"{receiver}, {rate:g} Hz", f"{worst.worst_ms:.0f}", worst.worst_case))
    return table(("", "ms", "where"), rows)
