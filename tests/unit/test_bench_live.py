"""The pure parts of `make bench-live`: frames as its crowd reads them, figures, and the report."""

import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from processor.adapters.websocket.transport import framed
from processor.core.live.messages import position_text, positions_text

EVENT = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
FIX = b'{"deviceId":"35%013d","lat":41.5,"lon":19.8,"ts":%d,"speed":77.0,"course":123.0}'
NOW_MS = 1_795_000_000_000


@pytest.fixture(scope="module")
def bench() -> SimpleNamespace:
    # bench/ is not installed and not on the path: it is no part of the service.
    root = str(Path(__file__).parents[2])
    sys.path.insert(0, root)
    try:
        from bench import document
        from bench.live import figures, frames, report
    finally:
        sys.path.remove(root)
    return SimpleNamespace(document=document, figures=figures, frames=frames, report=report)


# -- frames ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 100_000])
def test_a_frame_of_any_size_is_found(bench, size):
    frame = framed(bytes(size))
    found, rest = bench.frames.frames(frame * 2, 2 * len(frame))
    assert [(opcode, stop - start) for opcode, start, stop in found] == [(1, size), (1, size)]
    assert rest == 2 * len(frame)


def test_what_is_not_whole_waits_for_its_rest(bench):
    frames = [framed(bytes(size)) for size in (3, 200, 70_000)]
    data = b"".join(frames)
    ends = [sum(map(len, frames[: count + 1])) for count in range(3)]
    for end in [*range(2_000), *range(len(data) - 5, len(data) + 1)]:
        found, rest = bench.frames.frames(bytearray(data), end)
        whole = [each for each in ends if each <= end]
        assert len(found) == len(whole)
        assert rest == (whole[-1] if whole else 0)


def test_a_masked_frame_is_no_servers(bench):
    frame = bench.frames.masked(bench.frames.TEXT, b"hello")
    with pytest.raises(ValueError, match="mask"):
        bench.frames.frames(frame, len(frame))


def test_the_instant_of_the_last_fix(bench):
    fixes = [FIX % (number, NOW_MS + number) for number in range(50)]
    for text, expected in (
        (position_text(EVENT, fixes[7]), NOW_MS + 7),
        (positions_text(EVENT, fixes), NOW_MS + 49),
        (b'{"type":"error","message":"no"}', None),
    ):
        data = b"before" + text + b'"ts":1111111111111'
        assert bench.frames.last_fix_ms(data, 6, 6 + len(text)) == expected


# -- figures ---------------------------------------------------------------------------------------


def test_quantiles_are_those_of_the_buckets(bench):
    waited = [(10, 50), (20, 49), (9_000, 1)]
    assert bench.figures.quantile(waited, 0.50) == 1.1
    assert bench.figures.quantile(waited, 0.99) == 2.1
    assert bench.figures.quantile(waited, 1.00) == 900.1
    assert math.isnan(bench.figures.quantile([], 0.5))


def found(bench, label: str, us: list[float], *, core: float = 0.3, p99: float = 9.0):
    followed = bench.figures.Followed(20, core, 3.0, p99, 0, 0.1)
    return bench.figures.Found(
        label,
        idle_kib=30.0,
        saturated={
            500: {
                round_: bench.figures.Saturated(1e6 / each, each, 1.0, 0.5)
                for round_, each in enumerate(us)
            }
        },
        followed={500: followed},
        loaded={0: followed},
        batched={0: followed, 1: followed},
    )


@pytest.fixture
def everything(bench):
    return {
        "bound": found(bench, "the bound", [5.0, 10.0, 5.0]),
        "processor": found(bench, "processor", [6.0, 11.0, 5.5]),
        "node": found(bench, "Node ws", [9.0, 20.0, 11.0], p99=4.0),
    }


def test_a_ratio_is_taken_within_a_round(bench, everything):
    assert bench.figures.cpu_ratio(everything, "processor", "bound", 500) == pytest.approx(1.1)
    assert bench.figures.cpu_ratio(everything, "processor", "node", 500) == pytest.approx(0.55)
    assert bench.figures.cpu_ratio(everything, "processor", "bound", 100) is None
    assert bench.figures.cpu_ratio(everything, "processor", "starlette", 500) is None
    del everything["node"].saturated[500][0]
    del everything["node"].saturated[500][2]
    assert bench.figures.cpu_ratio(everything, "processor", "node", 500) == pytest.approx(0.55)


def test_goals_are_met_or_missed_and_never_hidden(bench, everything):
    deaf = bench.figures.Deaf([10.0, 10.0, 20.0], [10.5, 20.0, 20.0], ["still connected"] * 3)
    now, end = bench.figures.goals(everything, deaf, 2_000)
    assert [goal.met for goal in now] == [True, True]
    assert [goal.met for goal in end] == [True] * 8
    now, end = bench.figures.goals(everything, None, 500)  # too few clients, and nobody deaf
    assert [goal.value for goal in end[3:5]] == [None, None]
    assert [goal.met for goal in end] == [True, True, True, False, False, True, True, False]
    now, end = bench.figures.goals({}, None, 2_000)
    assert not any(goal.met for goal in (*now, *end))


def test_who_did_not_follow_has_no_latency(bench, everything):
    everything["processor"].loaded[0].unfinished = 1
    _, end = bench.figures.goals(everything, None, 2_000)
    (goal,) = (each for each in end if "of a core" in each.what and "p99" in each.what)
    assert goal.value is None


def test_where_a_peer_is_better_is_said_and_the_bound_is_no_peer(bench, everything):
    sentences = bench.figures.better_than_ours(everything)
    assert sentences == [
        "Node ws is better in p99 at 500 clients (ms): 4 and 9",
        "Node ws is better in p99 from the tick in batches (ms): 4 and 9",
    ]


# -- report ----------------------------------------------------------------------------------------


def facts(bench):
    return bench.report.Facts(
        command="make bench-live", date="2026-11-25 00:00 UTC", machine="2 x some", load="",
        versions="Python 3.11", rounds=3, crowd=0.8, others=0.01, sizes=[500], moderate=20_000,
        batch_clients=500, batch_rate=1_000,
    )  # fmt: skip


def test_the_report_has_each_figure_and_each_goal(bench, everything):
    deaf = bench.figures.Deaf([10.0], [20.0], ["still connected, 9 bytes unread"])
    sections = bench.report.sections(everything, deaf, facts(bench))
    text = bench.report.markdown(facts(bench), sections, ["a remark"], ["Node is better"])
    assert "| processor, N = 500 | 6.00 | 166 667 | 1.00 | 1.10 | 1.00 |" in text
    assert "| Node ws | 3.0 / 4.0 (30%) |" in text
    assert "| x the others' p99, one never reading | <= 1.1 | 2.00 | MISSED |" in text
    assert "| x Node ws's CPU per frame, N = 500 | <= 0.65 | 0.55 | met |" in text
    assert "**Note: a remark.**" in text
    assert "- Node is better." in text
    assert "still connected, 9 bytes unread" in text


def test_who_could_not_be_measured_has_a_row_all_the_same(bench, everything):
    everything["node"] = bench.figures.Found("Node ws", failure="cannot run: no node")
    sections = bench.report.sections(everything, None, facts(bench))
    text = bench.report.markdown(facts(bench), sections, [], [])
    assert "| Node ws, N = 500 | - | - | - | - | - |" in text
    assert "| x Node ws's CPU per frame, N = 500 | <= 0.65 | not measured | MISSED |" in text
    assert "Nowhere in this run." in text


def test_each_command_leaves_the_parts_of_others_alone(bench):
    whole = bench.document.with_part("# One\n\nold\n", "live", "# Live\n\nfigures\n")
    assert whole == "# One\n\nold\n\n<!-- live -->\n# Live\n\nfigures\n<!-- /live -->\n"
    whole = bench.document.with_part(whole, "domain", "# Domain")
    whole = bench.document.with_part(whole, "live", "# Live\n\nnewer")
    whole = bench.document.with_head(whole, "# One\n\nnew\n")
    assert whole == (
        "# One\n\nnew\n\n<!-- live -->\n# Live\n\nnewer\n<!-- /live -->\n"
        "\n<!-- domain -->\n# Domain\n<!-- /domain -->\n"
    )
    assert bench.document.with_part("", "live", "x").strip().startswith("<!-- live -->")
