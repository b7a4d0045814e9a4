"""One run: begin, warm up, rest, live through it all, rest again."""

import itertools
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field, frozen

from processor.entrypoints.demo import sql
from processor.entrypoints.demo.office import RallyOffice
from processor.entrypoints.demo.process import Server, free_port
from proof.kill.run import servers
from proof.service import Service
from proof.soak.crowd import Crowd
from proof.soak.judging import EMPTY_AT_REST, Sample, faults
from proof.soak.load import Trackers
from proof.soak.weighing import Scales

STREAM = "telemetry:soak"
TABLES = Path(__file__).parents[2] / "schema" / "tables.sql"
EVENTS, SHARED_DEVICES, OWN_DEVICES = 3, 20, 20
"""Some devices drive in every event; most of those that send drive in none."""

SAMPLE_EACH_S = 2.0
RESTARTS = 30
"""About so many in a run: of Redis and PostgreSQL in turns, never closer than RESTART_EACH_S."""
RESTART_EACH_S = 20.0
AWAY_S = 0.2, 3.0
WARM_UP = 0.1
"""Of the run, and at most WARM_UP_S, before the first rest: pools and caches are full then."""
WARM_UP_S = 60.0
READY_WITHIN_S = 60.0
REST_WITHIN_S = 60.0
LAST_TENTH_WITHOUT_RESTARTS = 0.95


@frozen
class Plan:
    """How long and how hard. `cap` devices are remembered, and `devices` send."""

    minutes: float
    rate: int
    browsers: int
    seed: int
    devices: int = 600
    cap: int = 400


@define
class Outcome:
    plan: Plan
    samples: list[Sample] = field(factory=list)
    rest: Sample | None = None
    rest_again: Sample | None = None
    restarts: Counter[str] = field(factory=Counter)
    sent: int = 0
    bad: int = 0
    visits: Counter[str] = field(factory=Counter)
    refused: int = 0
    frames: int = 0
    said: Counter[str] = field(factory=Counter)
    faults: list[str] = field(factory=list)


@contextmanager
def served(
    plan: Plan, folder: Path
) -> Iterator[tuple[Service, Server, Server, Sequence[str], int]]:
    """The service under the plan's settings, its servers, the ids of the events, live's port."""
    with servers() as (valkey, postgres):
        sql.execute(postgres.url, TABLES.read_text(encoding="utf-8"))
        office = RallyOffice(postgres.url)
        club = office.organization()
        events = [office.event(club) for _ in range(EVENTS)]
        shared = [office.device(_imei(number)) for number in range(SHARED_DEVICES)]
        for place, event in enumerate(events):
            first = SHARED_DEVICES + place * OWN_DEVICES
            own = [office.device(_imei(first + number)) for number in range(OWN_DEVICES)]
            for device in shared + own:
                office.fit(office.entry(event), device)
        live_port = free_port()
        service = Service(
            folder,
            "soak",
            {
                "REDIS_URL": valkey.url,
                "POSTGRES_URL": postgres.url,
                "REDIS_TELEMETRY_STREAM": STREAM,
                "ROLES": "ingest,live",
                "LIVE_AUTH": "open",
                "LIVE_WS_HOST": "127.0.0.1",
                "LIVE_WS_PORT": str(live_port),
                "LIVE_WS_ALLOWED_ORIGINS": "https://rally.example",
                "LIVE_WS_MAX_CONNECTIONS_PER_USER": "10000",
                "LIVE_WS_BACKPRESSURE_THRESHOLD_BYTES": "65536",
                "LIVE_DEVICE_EVENT_REFRESH_MS": "5000",
                "DEVICE_STATE_LRU_CAP": str(plan.cap),
                "DEAD_LETTER_MAXLEN": "10000",
            },
        )
        service.start()
        try:
            service.wait_until_ready(READY_WITHIN_S)
            yield service, valkey, postgres, events, live_port
        finally:
            if service.alive:
                service.kill()


def run(plan: Plan, tell: Callable[[Outcome], None] = lambda outcome: None) -> Outcome:
    """Live through the plan. From the main thread: servers and process end with it."""
    outcome = Outcome(plan)
    with (
        tempfile.TemporaryDirectory(prefix="processor-soak-") as folder,
        served(plan, Path(folder)) as (service, valkey, postgres, events, port),
    ):
        chance = random.Random(plan.seed)
        scales = Scales(service)
        seconds = plan.minutes * 60
        with _loaded(plan, valkey, port, events, outcome):
            time.sleep(min(WARM_UP_S, seconds * WARM_UP))
        outcome.rest = _rested(scales)
        with _loaded(plan, valkey, port, events, outcome):
            end_s = time.monotonic() + seconds
            turns = itertools.cycle((("redis", valkey), ("postgres", postgres)))
            each_s = max(RESTART_EACH_S, seconds / RESTARTS)
            restart_s = time.monotonic() + each_s
            while (now_s := time.monotonic()) < end_s and service.alive:
                outcome.samples.append(scales.sample())
                tell(outcome)
                time.sleep(SAMPLE_EACH_S)
                left_s = end_s - now_s
                if now_s > restart_s and left_s > seconds * (1 - LAST_TENTH_WITHOUT_RESTARTS):
                    name, server = next(turns)
                    server.stop()
                    time.sleep(chance.uniform(*AWAY_S))
                    server.start()
                    outcome.restarts[name] += 1
                    restart_s = time.monotonic() + each_s
        if service.alive:
            outcome.rest_again = _rested(scales)
            outcome.faults += faults(outcome.samples, outcome.rest, outcome.rest_again)
            if not service.ready():
                outcome.faults.append("it is not ready in the end")
        else:
            outcome.faults.append(f"it has ended by itself: {service.last_words()}")
        outcome.said.update(
            f"{line.get('level')} {line.get('message')}"
            for line in service.said()
            if line.get("level") not in ("debug", "info")
        )
        outcome.faults += [
            f"in the log: {each}" for each in outcome.said if each.startswith("critical")
        ]
    return outcome


def _imei(number: int) -> str:
    """As load.py names them."""
    return f"35{number:013d}"


@contextmanager
def _loaded(
    plan: Plan, valkey: Server, port: int, events: Sequence[str], outcome: Outcome
) -> Iterator[None]:
    """Trackers and browsers, until the end of the block."""
    trackers = Trackers(valkey.url, STREAM, plan.rate, plan.devices, plan.seed)
    crowd = Crowd(port, events, plan.browsers, plan.seed)
    trackers.start()
    crowd.start()
    try:
        yield
    finally:
        crowd.end()
        trackers.end()
        outcome.sent += trackers.sent
        outcome.bad += trackers.bad
        outcome.visits.update(crowd.visits)
        outcome.refused += crowd.refused
        outcome.frames += crowd.frames


def _rested(scales: Scales) -> Sample:
    """Weighed when nothing is under way any more; or after a minute, as it is then."""
    deadline_s = time.monotonic() + REST_WITHIN_S
    while True:
        sample = scales.sample()
        quiet = all(sample.metrics.get(name) == 0 for name in EMPTY_AT_REST)
        if quiet or time.monotonic() > deadline_s:
            # What has just closed is still closing.
            time.sleep(SAMPLE_EACH_S)
            return scales.sample()
        time.sleep(SAMPLE_EACH_S / 4)
