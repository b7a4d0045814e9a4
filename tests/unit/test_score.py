"""`processor score`, `processor course`: files in, numbers out, and what is wrong in a sentence."""

import json
import os
import random
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from processor.domain.instants import iso
from processor.entrypoints.cli import ended, processor
from processor.entrypoints.scoreboard import clock, shortened
from tests.driving import START, place

ROOT = Path(__file__).parents[2]
DRIVE = ROOT / "src/processor/entrypoints/demo/tracks/around-visnjan-with-car.gpx"
VISNJAN = ROOT / "examples/visnjan.json"
RULES = ROOT / "examples/rules/cross-country.toml"

RESULT_KEYS = {
    "entry", "stage", "status", "elapsed_ms", "penalty_ms", "total_ms", "position", "gap_ms",
    "class_position", "tied", "provisional",
}  # fmt: skip
CROSSING_KEYS = {
    "entry", "device_id", "segment", "object", "kind", "ts", "before_ts", "after_ts", "distance_m",
    "lat", "lon", "speed_kmh", "visit",
}  # fmt: skip
TIMING_KEYS = {
    "entry", "stage", "segment", "kind", "object", "sequence", "ts", "uncertainty_ms", "status",
    "source", "explanation",
}  # fmt: skip
PENALTY_KEYS = {
    "entry", "stage", "segment", "type", "object", "occurrence", "penalty_seconds", "outcome",
    "explanation",
}  # fmt: skip


def run(*arguments: object) -> Result:
    return CliRunner().invoke(processor, [str(a) for a in arguments], standalone_mode=False)


def scored(*arguments: object) -> dict[str, Any]:
    result = run("score", *arguments, "--json")
    assert result.exception is None, result.exception
    told: dict[str, Any] = json.loads(result.stdout)
    return told


# -- a small course of our own --------------------------------------------------------------------


def point(east: float, north: float) -> dict[str, Any]:
    return {"type": "Point", "coordinates": list(place(east, north))}


def small_course(**stage: Any) -> dict[str, Any]:
    """Start, W1 at 1 km, W2 300 m beside the road at 2 km, a speed zone, finish line at 4 km."""
    line = [list(place(4000, -50)), list(place(4000, 50))]
    corners = [(2500, -50), (3000, -50), (3000, 50), (2500, 50), (2500, -50)]
    ring = [list(place(*corner)) for corner in corners]
    objects = [
        {"id": "S", "kind": "start", "geometry": point(0, 0), "radius_m": 50},
        {"id": "W1", "kind": "WPM", "geometry": point(1000, 0), "radius_m": 90, "sort_order": 1},
        {"id": "W2", "kind": "WPM", "geometry": point(2000, 300), "radius_m": 90, "sort_order": 2},
        {"id": "F", "kind": "finish", "geometry": {"type": "LineString", "coordinates": line}},
    ]
    zone = {"id": "Z", "geometry": {"type": "Polygon", "coordinates": [ring]}, "limit_kmh": 50}
    segment = {"id": "SS1", "type": "special-stage", "objects": objects, "zones": [zone]}
    return {"version": 1, "stages": [{"id": "SS1", "segments": [segment], **stage}]}


def payloads(speed_kmh: float, device_id: str = "350000000000301", late_s: float = 0) -> list[str]:
    """Due east from -20 m to 4.3 km, a payload a second, standing 10 s before."""
    lines = []
    east, second = -20.0, -10.0
    while east < 4300:
        lon, lat = place(east, 0)
        driving = second >= late_s
        lines.append(
            json.dumps(
                {
                    "device_id": device_id,
                    "timestamp": iso(START + round(second * 10**6)),
                    "latitude": lat,
                    "longitude": lon,
                    "altitude": 100,
                    "angle": 90,
                    "speed": speed_kmh if driving else 0,
                    "satellites": 9,
                    "priority": 0,
                    "attributes": {},
                }
            )
        )
        second += 1
        east += speed_kmh / 3.6 if driving else 0
    return lines


@pytest.fixture
def course(tmp_path: Path) -> Path:
    path = tmp_path / "course.json"
    path.write_text(json.dumps(small_course()), encoding="utf-8")
    return path


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    path = tmp_path / "301.ndjson"
    path.write_text("\n".join(payloads(72)), encoding="utf-8")
    return path


# -- what comes out -------------------------------------------------------------------------------


def test_the_json_has_the_members_of_the_format(course: Path, drive: Path):
    told = scored(course, drive, "--rules", RULES)
    assert set(told) == {
        "course_version", "rules_version", "crossings", "timing", "penalties", "results",
        "warnings",
    }  # fmt: skip
    for name, keys in (
        ("crossings", CROSSING_KEYS),
        ("timing", TIMING_KEYS),
        ("penalties", PENALTY_KEYS),
        ("results", RESULT_KEYS),
    ):
        assert told[name]
        assert all(keys <= set(row) for row in told[name]), name
    assert {row["entry"] for row in told["results"]} == {"301"}
    assert {row["device_id"] for row in told["crossings"]} == {"350000000000301"}


def test_a_drive_is_timed_and_what_was_missed_is_measured(course: Path, drive: Path):
    told = scored(course, drive)
    (result,) = told["results"]
    # 3950 m from the start's edge to the finish line at 20 m/s, cut to the second.
    assert (result["status"], result["elapsed_ms"]) == ("finished", 197_000)
    missed = [row for row in told["crossings"] if row["kind"] == "missed"]
    assert [(row["object"], row["ts"]) for row in missed] == [("W2", None)]
    assert missed[0]["distance_m"] == pytest.approx(210, abs=0.01)


def test_penalties_are_charged_and_explained(course: Path, drive: Path):
    told = scored(course, drive, "--rules", RULES)
    missed = [row for row in told["penalties"] if row["type"] == "missed-waypoint"]
    assert [(row["object"], row["penalty_seconds"]) for row in missed] == [("W2", 900.0)]
    assert all(row["explanation"]["text"] for row in told["penalties"])
    (result,) = told["results"]
    assert result["status"] == "did-not-finish"  # under 70 % of two waypoints
    assert result["total_ms"] == result["elapsed_ms"] + result["penalty_ms"]
    charged = sum(row["penalty_seconds"] for row in told["penalties"])
    assert result["penalty_ms"] == pytest.approx(charged * 1000)


@pytest.mark.parametrize(("count", "passed"), [(1, 0), (10, 0), (10, 1), (10, 4), (10, 5)])
def test_who_misses_most_of_the_waypoints_pays_for_each(tmp_path: Path, count: int, passed: int):
    """The finish stands though it is for review, and what was missed before it is missed."""
    told = small_course()
    ends = [o for o in told["stages"][0]["segments"][0]["objects"] if o["id"] in ("S", "F")]
    waypoints = [
        {
            "id": f"W{k}",
            "kind": "WPM",
            "geometry": point(300 * k, 0 if k <= passed else 200),
            "radius_m": 50,
            "sort_order": k,
        }
        for k in range(1, count + 1)
    ]
    told["stages"][0]["segments"][0] |= {"objects": [*ends, *waypoints], "zones": []}
    course, drive = tmp_path / "course.json", tmp_path / "301.ndjson"
    course.write_text(json.dumps(told), encoding="utf-8")
    drive.write_text("\n".join(payloads(72)), encoding="utf-8")
    scores = scored(course, drive, "--rules", RULES)
    (result,) = scores["results"]
    assert (result["status"], result["position"]) == ("did-not-finish", None)
    missed = [row for row in scores["penalties"] if row["type"] == "missed-waypoint"]
    assert [row["penalty_seconds"] for row in missed] == [900.0] * (count - passed)


def test_who_retired_is_out_of_the_last_stage_that_he_began(tmp_path: Path):
    first = small_course(starts_at=iso(START - 60 * 10**6), ends_at=iso(START + 900 * 10**6))
    again = small_course(starts_at=iso(START + 3540 * 10**6))["stages"][0]
    again["id"] = again["segments"][0]["id"] = "SS2"
    for thing in again["segments"][0]["objects"]:
        thing["id"] += "2"
    again["segments"][0]["zones"] = []
    told = {**first, "stages": [*first["stages"], again]}
    told["entries"] = [{"id": "301", "status": "retired"}]
    course, drive = tmp_path / "course.json", tmp_path / "301.ndjson"
    course.write_text(json.dumps(told), encoding="utf-8")
    lines = [json.loads(line) for line in payloads(72)]
    for number, seconds in ((0, 0), (1, 3600)):
        if number:
            for line in lines[: len(lines)]:
                moment = datetime.fromisoformat(line["timestamp"]) + timedelta(seconds=seconds)
                line["timestamp"] = moment.isoformat()
        with drive.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        statuses = [row["status"] for row in scored(course, drive)["results"]]
        expected = ["did-not-finish"] * 2 if number == 0 else ["finished", "did-not-finish"]
        assert statuses == expected


def test_the_faster_comes_first(course: Path, tmp_path: Path):
    files = []
    for name, speed in (("slow", 50), ("fast", 100), ("twin", 100)):
        path = tmp_path / f"{name}.ndjson"
        path.write_text("\n".join(payloads(speed, f"device-{name}")), encoding="utf-8")
        files.append(path)
    told = scored(course, *files)
    places = [(row["entry"], row["position"], row["gap_ms"]) for row in told["results"]]
    assert [(entry, position) for entry, position, _ in places] == [
        ("fast", 1), ("twin", 1), ("slow", 3)
    ]  # fmt: skip
    assert places[0][2] == places[1][2] == 0
    assert places[2][2] == 142_000


def test_equal_inputs_give_equal_bytes_whatever_their_order(course: Path, tmp_path: Path):
    lines = payloads(90)
    shuffled = [*lines, *lines[::7]]
    random.Random(7).shuffle(shuffled)
    one, other = tmp_path / "a", tmp_path / "b"
    for folder, of_301 in ((one, lines), (other, shuffled)):
        folder.mkdir()
        (folder / "301.ndjson").write_text("\n".join(of_301), encoding="utf-8")
        (folder / "302.ndjson").write_text("\n".join(payloads(80, "d302")), encoding="utf-8")
    first = run("score", course, one / "301.ndjson", one / "302.ndjson", "--json", "--rules", RULES)
    last = run(
        "score", course, other / "302.ndjson", other / "301.ndjson", "--json", "--rules", RULES
    )
    assert first.stdout == last.stdout


def test_a_late_upload_in_a_file_of_its_own_fills_the_hole(course: Path, tmp_path: Path):
    lines = payloads(72)
    whole, early, late = tmp_path / "whole.ndjson", tmp_path / "e.ndjson", tmp_path / "l.ndjson"
    whole.write_text("\n".join(lines), encoding="utf-8")
    early.write_text("\n".join([*lines[:40], *lines[120:]]), encoding="utf-8")
    late.write_text("\n".join(lines[40:120]), encoding="utf-8")
    assert scored(course, f"x={whole}") == scored(course, f"x={late}", f"x={early}")
    hole = scored(course, f"x={early}")
    assert "gap" in hole["results"][0]["waiting_for"] or hole["results"][0]["provisional"]


# -- whose a track is -----------------------------------------------------------------------------


def test_an_entry_is_named_by_the_argument_the_course_or_the_file(tmp_path: Path, drive: Path):
    told = small_course()
    told["entries"] = [
        {"id": "77", "class": "C-2", "devices": [{"device_id": "350000000000301"}]},
        {"id": "78", "class": "C-2"},
    ]
    course = tmp_path / "course.json"
    course.write_text(json.dumps(told), encoding="utf-8")
    by_device = scored(course, drive)
    assert [(r["entry"], r["status"]) for r in by_device["results"]] == [
        ("77", "finished"), ("78", "waiting")
    ]  # fmt: skip
    said = scored(course, f"78={drive}")
    assert [r["entry"] for r in said["results"] if r["status"] == "finished"] == ["78"]
    unknown = scored(course, f"99={drive}")
    assert ("99", "unknown-entry") in [(w["entry"], w["what"]) for w in unknown["warnings"]]


def test_a_target_makes_the_start_assigned(tmp_path: Path, drive: Path):
    told = small_course()
    told["entries"] = [{"id": "301", "start_at": {"SS1": iso(START)}}]
    course = tmp_path / "course.json"
    course.write_text(json.dumps(told), encoding="utf-8")
    start = next(row for row in scored(course, drive)["timing"] if row["kind"] == "start")
    assert (start["ts"], start["source"]) == (iso(START), "assigned")


# -- what is shown and written --------------------------------------------------------------------


def test_tables_say_the_same(course: Path, drive: Path):
    result = run("score", course, drive, "--explain")
    assert result.exception is None
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert rows[0] == ["# results"]
    assert rows[1][:3] == ["stage", "pos", "entry"]
    assert rows[2][:3] == ["SS1", "1", "301"]
    assert "3:17" in rows[2]
    assert ["# not passed"] in rows
    assert any("W2" in row and "210.0 m" in row for row in rows)


def test_crossings_are_written_for_maps(course: Path, drive: Path, tmp_path: Path):
    for name, sign in (("out.gpx", "<wpt"), ("out.geojson", '"FeatureCollection"')):
        assert run("score", course, drive, "--crossings", tmp_path / name).exception is None
        assert sign in (tmp_path / name).read_text(encoding="utf-8")
    wrong = run("score", course, drive, "--crossings", tmp_path / "out.kml")
    assert "must end in .gpx or .geojson" in str(wrong.exception)


def test_a_picture_is_drawn(course: Path, drive: Path, tmp_path: Path):
    assert run("score", course, drive, "--plot", tmp_path / "out.png").exception is None
    picture = (tmp_path / "out.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000


@pytest.mark.parametrize(
    ("ms", "text"),
    [(None, ""), (0, "0:00"), (59_000, "0:59"), (61_500, "1:01.5"), (3_723_004, "1:02:03.004")],
)
def test_durations_are_written_as_timekeepers_write_them(ms: int | None, text: str):
    assert clock(ms) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(900.0, "900"), (2.2727, "2.27"), (2.5, "2.5"), (1234567.5, "1234567.5")]
)
def test_penalties_are_written_without_exponents(seconds: float, text: str):
    assert shortened(seconds) == text


# -- what is remarkable ---------------------------------------------------------------------------


def warned(told: dict[str, Any]) -> list[tuple[str, str]]:
    return [(row["entry"], row["what"]) for row in told["warnings"]]


def test_gaps_and_leaps_are_warnings(course: Path, tmp_path: Path):
    lines = payloads(72)
    there, back = json.loads(lines[100]), place(-5000, 3000)
    there["longitude"], there["latitude"] = back
    path = tmp_path / "301.ndjson"
    path.write_text("\n".join([*lines[:30], *lines[95:100], json.dumps(there), *lines[101:]]))
    rows = [row for row in scored(course, path)["warnings"] if row["what"] in ("gap", "leap")]
    assert [row["what"] for row in rows] == ["gap", "leap", "leap"]
    assert (rows[0]["from"], rows[0]["to"]) == (
        json.loads(lines[29])["timestamp"], json.loads(lines[95])["timestamp"]
    )  # fmt: skip


def test_what_nobody_could_judge_or_nothing_matches_is_a_warning(tmp_path: Path, drive: Path):
    told = small_course()
    segment = told["stages"][0]["segments"][0]
    segment["objects"] = [o for o in segment["objects"] if o["id"] != "S"]
    told["entries"] = [{"id": "301", "devices": [{"device_id": "999"}]}]
    course, rules = tmp_path / "course.json", tmp_path / "rules.toml"
    course.write_text(json.dumps(told), encoding="utf-8")
    row = '[[formula]]\ntype = "speed-limit"\noperator = "add"\npenalty = 5\n'
    rules.write_text(f'{row}level = "segment"\nlevel_id = "SS9"\n{row}applies_to.object = "z"\n')
    assert {("", "no-start"), ("", "rules-unmatched"), ("301", "unknown-device")} <= set(
        warned(scored(course, f"301={drive}", "--rules", rules))
    )


def test_a_zone_without_speeds_is_not_judged_in_silence(course: Path, tmp_path: Path):
    fixes = map(json.loads, payloads(72))
    path, rules = tmp_path / "301.csv", tmp_path / "rules.toml"
    rows = (f"{fix['timestamp']},{fix['latitude']},{fix['longitude']}" for fix in fixes)
    path.write_text("\n".join(["time,lat,lon", *rows]))
    rules.write_text('[[formula]]\ntype = "speed-limit"\noperator = "add"\npenalty = 5\n')
    assert ("301", "no-speed") in warned(scored(course, path, "--rules", rules))


def test_who_never_began_missed_nothing(tmp_path: Path, drive: Path):
    told = small_course()
    told["entries"] = [{"id": "301"}, {"id": "302"}]
    course = tmp_path / "course.json"
    course.write_text(json.dumps(told), encoding="utf-8")
    missed = [row for row in scored(course, drive)["crossings"] if row["kind"] == "missed"]
    assert {row["entry"] for row in missed} == {"301"}


def test_a_device_that_two_entries_had_in_turn_is_of_both(tmp_path: Path):
    told, half = small_course(), iso(START + 1800 * 10**6)
    device = "350000000000301"
    told["entries"] = [
        {"id": "1", "devices": [{"device_id": device, "valid_to": half}]},
        {"id": "2", "devices": [{"device_id": device, "valid_from": half}]},
    ]
    course, path = tmp_path / "course.json", tmp_path / "all.ndjson"
    course.write_text(json.dumps(told), encoding="utf-8")
    early, late = payloads(72), [json.loads(line) for line in payloads(90)]
    for number, fix in enumerate(late):
        fix["timestamp"] = iso(START + (3600 + number) * 10**6)
    path.write_text("\n".join([*early, *map(json.dumps, late)]), encoding="utf-8")
    told = scored(course, path)
    assert [row["entry"] for row in told["results"] if row["status"] == "finished"] == ["2", "1"]
    finishes = [row["entry"] for row in told["crossings"] if row["object"] == "F"]
    assert sorted(finishes) == ["1", "2"]


# -- what is wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("course_text", "track_text", "code", "words"),
    [
        ("{", None, 1, "course.json"),
        ('{"version": 1, "stages": []}', None, 1, "course.json, stages"),
        (None, "", 1, "track.ndjson"),
        (None, "<gpx></gpx>", 1, "trkpt"),
        (None, "garbage", 1, "track.ndjson"),
    ],
)
def test_a_wrong_file_is_one_sentence_and_exit_code_1(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    course_text: str | None,
    track_text: str | None,
    code: int,
    words: str,
):
    course, track = tmp_path / "course.json", tmp_path / "track.ndjson"
    course.write_text(course_text or json.dumps(small_course()), encoding="utf-8")
    track.write_text("\n".join(payloads(72)) if track_text is None else track_text)
    arguments = ["score", str(course), str(track)]
    assert ended(lambda: processor.main(arguments, "processor", standalone_mode=False)) == code
    said = capsys.readouterr().err
    assert words in said
    assert len(said.strip().splitlines()) == 1
    assert "Traceback" not in said


def test_a_file_that_is_not_there_is_exit_code_2(course: Path, capsys: pytest.CaptureFixture[str]):
    for arguments in (
        ["score", str(course), "nowhere.gpx"],
        ["score", str(course), "301=nowhere.gpx"],
        ["score", "nowhere.json", str(course)],
        ["course", "lint", "nowhere.json"],
        ["score", str(course)],
    ):
        assert ended(lambda a=arguments: processor.main(a, "p", standalone_mode=False)) == 2
        assert capsys.readouterr().err


def test_what_cannot_be_written_is_said_before_the_work(course: Path, drive: Path, tmp_path: Path):
    for option, name in (("--plot", "x.png"), ("--crossings", "x.gpx")):
        wrong = run("score", course, drive, option, tmp_path / "nowhere" / name)
        assert "there is no folder" in str(wrong.exception)
        assert wrong.stdout == ""


def test_a_full_disk_behind_stdout_is_a_sentence(course: Path, drive: Path):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("a device of Linux")
    with full.open("w") as out:
        done = subprocess.run(
            [sys.executable, "-m", "processor", "score", course, drive],
            stdout=out, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "standard output: No space left on device\n")


def test_a_name_that_is_not_utf_8_can_be_printed(course: Path, drive: Path, tmp_path: Path):
    path = tmp_path / os.fsdecode(b"\xff.ndjson")
    path.write_bytes(drive.read_bytes())
    assert [row["entry"] for row in scored(course, path)["results"]] == [r"\xff"]


# -- the course -----------------------------------------------------------------------------------


def test_the_lint_says_place_and_remedy_and_exits_1(tmp_path: Path):
    told = small_course()
    objects = told["stages"][0]["segments"][0]["objects"]
    objects[0]["radius_m"] = 10
    path = tmp_path / "course.json"
    path.write_text(json.dumps(told), encoding="utf-8")
    result = run("course", "lint", path, "--json")
    assert result.return_value == 1
    (finding,) = [
        f for f in json.loads(result.stdout)["findings"] if f["what"] == "start-edge-near"
    ]
    assert finding["place"] == "SS1/SS1/S"
    assert finding["remedy"]
    assert run("course", "lint", VISNJAN).return_value == 0


def test_the_schema_is_the_published_one():
    result = run("course", "schema")
    published = (ROOT / "docs/course.schema.json").read_text(encoding="utf-8")
    assert json.loads(result.stdout) == json.loads(published)


# -- the examples ---------------------------------------------------------------------------------


def test_the_commands_of_the_readme_work():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = [line for line in text.splitlines() if line.startswith("processor score ")]
    arguments = command.split()[1:]
    done = subprocess.run(
        [sys.executable, "-m", "processor", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "finished" in done.stdout


def test_the_program_in_examples_runs():
    done = subprocess.run(
        [sys.executable, "examples/score_my_track.py", VISNJAN, DRIVE, RULES],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "missed W2, by 47.0 m" in done.stdout
    assert "SS1: finished" in done.stdout
