"""Feeding without a server: reading, playing in virtual time, looping, and the dry run."""

import asyncio
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from processor.adapters.files.producer import Payload
from processor.adapters.files.tape import BETWEEN_PASSES, Cue, Tape
from processor.adapters.files.tracks import WrongFile
from processor.adapters.memory.virtual_time import VirtualLoop
from processor.entrypoints import feed as room
from processor.entrypoints.cli import processor
from processor.entrypoints.feed import play, tape_of

START = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


def payload(number: int, instant: datetime = START) -> Payload:
    return Payload(str(number), instant, instant.isoformat(), '{"timestamp":""}')


def cues(*offsets: float) -> Iterator[Cue]:
    return (Cue(offset, payload(number), "live") for number, offset in enumerate(offsets))


def line(device_id: str, second: int) -> str:
    return f'{{"device_id":"{device_id}","timestamp":"2026-05-04T10:00:{second:02d}.000Z"}}\n'


GPX = (
    '<gpx><trk><trkseg><trkpt lat="45" lon="13"><time>2026-05-04T10:00:00Z</time></trkpt>'
    '<trkpt lat="45.001" lon="13"><time>2026-05-04T10:00:10Z</time></trkpt></trkseg></trk></gpx>'
)


class Player:
    """Plays cues in virtual time, each send taking `send_s`; stops at `stop_s`."""

    def __init__(self, send_s: float = 0.0, stop_s: float | None = None) -> None:
        self._send_s, self._stop_s = send_s, stop_s
        self.sent: list[tuple[float, list[str]]] = []
        self.counted = 0

    def play(self, planned: Iterator[Cue]) -> dict[str, int]:
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(random.Random(1))) as runner:
            return dict(runner.run(self._play(planned)))

    async def _play(self, planned: Iterator[Cue]) -> Mapping[str, int]:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        if self._stop_s is not None:
            loop.call_later(self._stop_s, stop.set)

        async def send(entries: Sequence[Mapping[str, str]]) -> None:
            self.sent.append((round(loop.time(), 3), [each["device_id"] for each in entries]))
            await asyncio.sleep(self._send_s)

        def count(entries: int) -> None:
            self.counted += entries

        return await play(planned, send, stop=stop, sent=count)


def test_each_cue_is_sent_when_it_is_due_and_what_is_due_together_goes_together() -> None:
    player = Player()
    assert player.play(cues(0, 0, 1.5, 1.501, 4)) == {"live": 5}
    assert player.sent == [(0.0, ["0", "1"]), (1.5, ["2", "3"]), (4.0, ["4"])]
    assert player.counted == 5


def test_what_fell_due_during_a_slow_send_follows_at_once() -> None:
    player = Player(send_s=10)
    player.play(cues(0, 1, 2, 30))
    assert player.sent == [(0.0, ["0"]), (10.0, ["1", "2"]), (30.0, ["3"])]


def test_as_fast_as_possible_is_in_chunks() -> None:
    player = Player()
    player.play(cues(*[0.0] * (2 * room.CHUNK + 1)))
    assert [len(devices) for _, devices in player.sent] == [room.CHUNK, room.CHUNK, 1]


def test_asked_to_stop_it_sends_no_more_and_says_what_it_sent() -> None:
    player = Player(stop_s=5)
    assert player.play(cues(0, 1, 60)) == {"live": 2}
    assert player.sent == [(0.0, ["0"]), (1.0, ["1"])]


def test_a_loop_goes_on_in_time_until_it_would_be_rejected() -> None:
    now = datetime.now(UTC)
    tape = Tape([payload(1, now), payload(1, now + timedelta(hours=8))])
    plan = partial(Tape.plan, speed=3600.0, chance=random.Random(1))
    looped = list(room._passes(tape, plan, 3600.0))
    # 8 h, 16 h and 24 h from now, less the seconds between: the third pass would end too late
    assert len(looped) == 4
    instants = [cue.payload.fixed_at for cue in looped]
    assert instants == sorted(set(instants))
    assert instants[2] - instants[1] == BETWEEN_PASSES
    assert [round(cue.offset_s, 3) for cue in looped] == [0.0, 8.0, 8.003, 16.003]


def test_gpx_files_get_one_device_each_and_payloads_keep_theirs(tmp_path: Path) -> None:
    for name in ("a.gpx", "b.gpx"):
        (tmp_path / name).write_text(GPX)
    (tmp_path / "c.ndjson").write_text(line("own", 5))
    files = [tmp_path / name for name in ("a.gpx", "c.ndjson", "b.gpx")]
    chance = random.Random(1)
    assert tape_of(files, device="0099", chance=chance).devices == {"0099", "0100", "own"}
    assert tape_of(files, device="car", chance=chance).devices == {"car", "car-2", "own"}


def test_more_than_the_stream_keeps_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "PAYLOADS_MAX", 2)
    (tmp_path / "many").write_text("".join(line("1", second) for second in range(3)))
    with pytest.raises(WrongFile, match="more than 2"):
        tape_of([tmp_path / "many"], device="1", chance=random.Random(1))


def test_a_dry_run_needs_no_server(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("".join(line("1", second) for second in range(50)))
    arguments = ["feed", str(tmp_path / "a"), "--dry-run", "--json", "--duplicates", "1"]
    arguments += ["--late", "0.1", "--speed", "7", "--stream", "s"]
    result = CliRunner().invoke(processor, arguments, standalone_mode=False)
    assert result.return_value == 0, result.output
    assert json.loads(result.stdout) == {
        "dry_run": True,
        "stream": "s",
        "entries": 100,
        "live": 45,
        "late": 5,
        "duplicates": 50,
        "seconds": 7.0,
        "devices": 1,
        "first_fix": "2026-05-04T10:00:00.000Z",
        "last_fix": "2026-05-04T10:00:49.000Z",
    }
