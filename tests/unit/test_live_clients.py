"""A browser asks and is answered, and whatever may come between the two. Virtual time."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from processor.adapters.faulty import Fault, faulty
from processor.adapters.memory.auth import MemoryAuthVerifier
from processor.adapters.memory.lines import MemoryBroadcaster, MemoryLine
from processor.adapters.memory.live import Entered, MemoryRally, MemorySnapshots
from processor.adapters.memory.positions import MemoryPositionSink, MemoryTable
from processor.adapters.memory.virtual_time import VirtualClock, VirtualLoop
from processor.core.errors import Refused, Unavailable
from processor.core.live.clients import TRAILS_A_SECOND, TRAILS_AT_ONCE, Client, Clients
from processor.core.live.delivery import Delivery, DeviceMap
from processor.core.live.messages import topic_of
from processor.core.live.newest import NewestFixes
from processor.core.live.registry import Registry
from processor.core.live.session import SessionLimits
from processor.core.live.snapshot import SnapshotMaker
from processor.core.model import Position
from processor.core.notices import (
    Answered,
    AudienceCounted,
    Notice,
    SnapshotTaken,
)

A, B, HIDDEN = (f"00000000-0000-4000-8000-{n:012d}" for n in range(3))
AT = datetime(2026, 6, 7, 8, tzinfo=UTC)
AT_MS = 1_780_819_200_000
AWAY = Unavailable("directus", "connection", "no connection to Directus")
TIMEOUT_MS = 1500


def fix(seconds: int, device_id: str = "1") -> Position:
    at = AT + timedelta(seconds=seconds)
    return Position(device_id, at, 41.5, 19.25, 3.0, 271.0, 63.5, 9, 0, "8E", b"{}")


class Scene:
    """Ann may see events A and B. Device 1 drives in A. `faults` are what happens to the next calls
    of that name."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.clock = VirtualClock(loop, AT_MS)
        self.seen: list[Notice] = []
        self.faults: dict[str, list[Fault]] = {}
        self.verifier = MemoryAuthVerifier()
        self.verifier.login("s=ann", "ann")
        for event_id in (A, B):
            self.verifier.grant("ann", event_id)
        self.table = MemoryTable()
        rally = MemoryRally({"d": "1"}, {"e": A}, [Entered("e", "d")])
        self.newest = NewestFixes(10, 60_000)
        self.registry, broadcaster = Registry(), MemoryBroadcaster()
        self.delivery = Delivery(self.registry, broadcaster)
        self.delivery.swap(DeviceMap(rally.assignments()), lambda _: None)
        snapshots = MemorySnapshots(self.table, rally, clock_ahead_ms=60_000)
        self.clients = Clients(
            registry=self.registry,
            maker=SnapshotMaker(self.newest, self.delivery),
            snapshots=faulty(snapshots, self.fault, self.clock),
            verifier=faulty(self.verifier, self.fault, self.clock),
            broadcaster=broadcaster,
            clock=self.clock,
            observer=self,
            limits=SessionLimits(rate=10, burst=20, subscriptions=2),
            snapshot_timeout_ms=TIMEOUT_MS,
        )

    def fault(self, call: str) -> Fault:
        faults = self.faults.get(call)
        return faults.pop(0) if faults else Fault()

    def observe(self, notice: Notice) -> None:
        self.seen.append(notice)

    def of_kind(self, kind: type[Any]) -> list[Any]:
        return [notice for notice in self.seen if isinstance(notice, kind)]

    def ann(self) -> "Browser":
        return Browser(self)

    async def store(self, *fixes: Position) -> None:
        await MemoryPositionSink(self.table).store(fixes)

    def read(self, position: Position) -> None:
        """From the stream."""
        self.newest.learn(position, AT_MS)
        self.delivery.deliver(position, 0)


class Browser:
    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.line = MemoryLine()
        self.client: Client = scene.clients.arrive(self.line, "ann", "s=ann")

    def say(self, kind: str, event_id: str = A, **members: Any) -> "asyncio.Task[None]":
        """The answering; of what is answered at once, it is done."""
        text = json.dumps({"type": kind, "topic": topic_of(event_id), **members})
        asked = self.scene.clients.hear(self.client, text)
        return asyncio.create_task(self._answered(asked))

    async def _answered(self, asked: Any) -> None:
        if asked is not None:
            await self.scene.clients.subscribe(self.client, asked)

    @property
    def told(self) -> list[Any]:
        return [json.loads(text) for text in self.line.texts]

    @property
    def heard(self) -> list[tuple[str | None, ...]]:
        """(type, or code of an error, id) of each message."""
        return [(each.get("code", each["type"]), each.get("id")) for each in self.told]

    @property
    def topics(self) -> list[str]:
        return [each.topic.event_id for each in self.scene.registry.of(self.line)]


Play = Callable[[Scene], Coroutine[Any, Any, None]]


def played(play: Play) -> Scene:
    loop = VirtualLoop(Random(1))

    async def main() -> Scene:
        scene = Scene(loop)
        await play(scene)
        return scene

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main())


# -- subscribe ---------------------------------------------------------------------------------


def test_a_subscribe_is_answered_by_a_snapshot_and_then_by_what_moves() -> None:
    async def play(scene: Scene) -> None:
        await scene.store(fix(1))
        browser = scene.ann()
        await browser.say("subscribe", id="7")
        scene.read(fix(2))
        subscribed, position = browser.told
        assert (subscribed["type"], subscribed["id"]) == ("subscribed", "7")
        assert [each["ts"] for each in subscribed["snapshot"]] == [AT_MS + 1000]
        assert subscribed["serverTime"] == AT_MS
        assert (position["type"], position["ts"]) == ("position", AT_MS + 2000)

    scene = played(play)
    assert scene.of_kind(Answered) == [Answered("subscribed")]
    assert scene.of_kind(SnapshotTaken) == [SnapshotTaken(1, 0.0, None)]
    assert scene.of_kind(AudienceCounted)[-1] == AudienceCounted(1, 1)


def test_what_moves_while_the_database_is_asked_is_in_the_snapshot_and_not_sent_before() -> None:
    async def play(scene: Scene) -> None:
        await scene.store(fix(1))
        scene.faults = {"newest": [Fault(delay_s=1)]}
        browser = scene.ann()
        answering = browser.say("subscribe")
        await scene.clock.sleep(0.5)
        scene.read(fix(2))
        assert browser.told == []
        await answering
        scene.read(fix(3))
        subscribed, position = browser.told
        assert [each["ts"] for each in subscribed["snapshot"]] == [AT_MS + 2000]
        assert position["ts"] == AT_MS + 3000

    assert played(play).of_kind(SnapshotTaken) == [SnapshotTaken(1, 1.0, None)]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault(before=Unavailable("database", "connection", "away")), "away"),
        (Fault(before=Refused("database", "business-schema", "public.x is missing")), "public.x"),
        (Fault(delay_s=60), "no answer in time"),
    ],
)
def test_without_the_database_a_subscribe_is_answered_with_what_live_knows_and_counted(
    fault: Fault, sentence: str
) -> None:
    async def play(scene: Scene) -> None:
        await scene.store(fix(9))
        scene.read(fix(2))
        scene.faults = {"newest": [fault]}
        browser = scene.ann()
        await browser.say("subscribe")
        assert scene.clock.elapsed() <= TIMEOUT_MS / 1000
        assert [each["ts"] for each in browser.told[0]["snapshot"]] == [AT_MS + 2000]
        scene.read(fix(3))
        assert browser.told[1]["ts"] == AT_MS + 3000

    (taken,) = played(play).of_kind(SnapshotTaken)
    assert taken.size == 1
    assert sentence in taken.fault


def test_trails_that_take_too_long_do_not_take_the_snapshot_with_them() -> None:
    async def play(scene: Scene) -> None:
        await scene.store(fix(1), fix(2))
        scene.faults = {"trails": [Fault(delay_s=60)]}
        browser = scene.ann()
        await browser.say("subscribe", history=5)
        (subscribed,) = browser.told
        assert [each["ts"] for each in subscribed["snapshot"]] == [AT_MS + 2000]
        assert [each["ts"] for each in subscribed["trails"]["1"]] == [AT_MS + 2000]

    assert played(play).of_kind(SnapshotTaken)[0].fault == "no answer in time"


def test_trails_come_with_the_snapshot_where_history_was_asked_for() -> None:
    async def play(scene: Scene) -> None:
        await scene.store(*(fix(seconds) for seconds in range(5)))
        browser = scene.ann()
        await browser.say("subscribe", history=3)
        trail = browser.told[0]["trails"]["1"]
        assert [each["ts"] - AT_MS for each in trail] == [2000, 3000, 4000]

    played(play)


# -- leave -------------------------------------------------------------------------------------


def test_an_event_that_may_not_be_read_is_forbidden_and_the_tenth_ends_the_connection() -> None:
    async def play(scene: Scene) -> None:
        browser = scene.ann()
        for n in range(10):
            assert browser.line.closed is None
            await browser.say("subscribe", HIDDEN, id=str(n))
        assert browser.heard == [("forbidden", str(n)) for n in range(10)]
        assert browser.line.closed == 4403
        assert browser.topics == []

    assert not played(play).of_kind(SnapshotTaken), "the database was not asked"


def test_a_forbidden_event_takes_no_room_for_subscriptions() -> None:
    async def play(scene: Scene) -> None:
        browser = scene.ann()
        for event_id in (HIDDEN, A, B):
            await browser.say("subscribe", event_id)
        assert [code for code, _ in browser.heard] == ["forbidden", "subscribed", "subscribed"]
        await browser.say("subscribe", HIDDEN)
        assert browser.heard[-1] == ("too-many-subscriptions", None)

    played(play)


def test_where_it_cannot_be_decided_the_answer_is_unavailable_and_the_connection_stays() -> None:
    async def play(scene: Scene) -> None:
        browser = scene.ann()
        scene.faults = {"may_read": [Fault(before=AWAY)]}
        await browser.say("subscribe", id="7")
        assert browser.heard == [("unavailable", "7")]
        assert (browser.line.closed, browser.topics) == (None, [])
        assert browser.client.session.topics == set()
        await browser.say("subscribe", id="8")
        assert browser.heard[-1] == ("subscribed", "8")

    played(play)


def test_a_session_that_has_ended_ends_the_connection_at_the_next_subscribe() -> None:
    async def play(scene: Scene) -> None:
        browser = scene.ann()
        scene.verifier.logout("s=ann")
        await browser.say("subscribe")
        assert (browser.line.closed, browser.told) == (4401, [])

    played(play)


# -- again, and no more ------------------------------------------------------------------------


def test_to_subscribe_anew_is_a_new_snapshot_and_the_new_options() -> None:
    async def play(scene: Scene) -> None:
        browser = scene.ann()
        await browser.say("subscribe", id="1")
        await browser.say("subscribe", id="2", attributes=True)
        scene.read(fix(2))
        assert browser.heard == [("subscribed", "1"), ("subscribed", "2"), ("position", None)]
        assert "attributes" in browser.told[-1]
        assert browser.topics == [A]

    played(play)


def test_a_subscription_outlives_an_undecided_subscribe_and_not_a_forbidden_one() -> None:
    async def play(scene: Scene) -> None:
        browser = scene.ann()
        await browser.say("subscribe")
        scene.faults = {"may_read": [Fault(before=AWAY)]}
        await browser.say("subscribe")
        scene.read(fix(2))
        scene.verifier.revoke("ann", A)
        await browser.say("subscribe")
        scene.read(fix(3))
        codes = [code for code, _ in browser.heard]
        assert codes == ["subscribed", "unavailable", "position", "forbidden"]
        assert browser.topics == []
        assert browser.client.session.topics == set()

    assert played(play).of_kind(AudienceCounted)[-1] == AudienceCounted(1, 0)


def test_unsubscribe_is_answered_at_once_and_nothing_follows() -> None:
    async def play(scene: Scene) -> None:
        browser = scene.ann()
        await browser.say("subscribe")
        browser.say("unsubscribe", id="8")
        scene.read(fix(2))
        assert browser.heard == [("subscribed", None), ("unsubscribed", "8")]
        browser.say("unsubscribe", id="9")
        assert browser.heard[-1] == ("unsubscribed", "9"), "even where there was nothing to leave"
        assert browser.client.session.topics == set()

    played(play)


@pytest.mark.parametrize("slow", ["may_read", "newest"])
def test_who_unsubscribes_before_the_answer_is_there_is_not_subscribed(slow: str) -> None:
    async def play(scene: Scene) -> None:
        scene.faults = {slow: [Fault(delay_s=1)]}
        browser = scene.ann()
        answering = browser.say("subscribe", id="1")
        await scene.clock.sleep(0.5)
        browser.say("unsubscribe", id="2")
        await answering
        scene.read(fix(2))
        assert browser.heard == [("unsubscribed", "2"), ("error", "1")]
        assert browser.topics == []
        assert browser.client.session.topics == set()

    played(play)


@pytest.mark.parametrize("first_takes_s", [0.0, 1.0, 2.0])
def test_of_two_subscribes_under_way_the_later_one_is_in_force(first_takes_s: float) -> None:
    async def play(scene: Scene) -> None:
        scene.faults = {"may_read": [Fault(delay_s=first_takes_s), Fault(delay_s=1)]}
        browser = scene.ann()
        first = browser.say("subscribe", id="1")
        await scene.clock.sleep(0.1)
        await asyncio.gather(first, browser.say("subscribe", id="2", attributes=True))
        scene.read(fix(2))
        assert browser.heard[-2:] != [("subscribed", "1"), ("position", None)]
        assert ("subscribed", "2") in browser.heard
        assert "attributes" in browser.told[-1]
        assert browser.topics == [A]

    played(play)


def test_a_subscribe_that_fails_is_none_of_the_business_of_the_next_one() -> None:
    async def play(scene: Scene) -> None:
        scene.faults = {"may_read": [Fault(delay_s=0.5, before=AWAY), Fault(delay_s=1)]}
        browser = scene.ann()
        first = browser.say("subscribe", id="1")
        await scene.clock.sleep(0.1)
        await asyncio.gather(first, browser.say("subscribe", id="2"))
        assert browser.heard == [("unavailable", "1"), ("subscribed", "2")]

    played(play)


def test_an_unsubscribe_counts_for_what_was_said_before_it_and_not_for_what_comes_after() -> None:
    async def play(scene: Scene) -> None:
        scene.faults = {"may_read": [Fault(delay_s=2), Fault(delay_s=1)]}
        browser = scene.ann()
        first = browser.say("subscribe", id="1")
        await scene.clock.sleep(0.1)
        browser.say("unsubscribe", id="2")
        await asyncio.gather(first, browser.say("subscribe", id="3"))
        assert browser.heard == [("unsubscribed", "2"), ("subscribed", "3"), ("error", "1")]
        assert browser.topics == [A]

    played(play)


@pytest.mark.parametrize("slow", ["may_read", "newest"])
def test_who_is_gone_before_the_answer_is_there_leaves_nothing_behind(slow: str) -> None:
    async def play(scene: Scene) -> None:
        scene.faults = {slow: [Fault(delay_s=1)]}
        browser = scene.ann()
        answering = browser.say("subscribe")
        await scene.clock.sleep(0.5)
        scene.clients.leave(browser.client)
        await answering
        assert browser.told == []
        assert (len(scene.clients), len(scene.registry)) == (0, 0)

    assert played(play).of_kind(AudienceCounted)[-1] == AudienceCounted(0, 0)


def test_what_is_not_understood_is_answered_and_the_third_ends_the_connection() -> None:
    async def play(scene: Scene) -> None:
        browser = scene.ann()
        for _ in range(3):
            assert browser.line.closed is None
            await browser.say("explode", id="7")
        assert browser.heard == [("bad-message", "7")] * 3
        assert browser.line.closed == 4400

    played(play)


def test_a_client_shows_its_cookie_to_nobody() -> None:
    async def play(scene: Scene) -> None:
        assert "s=ann" not in repr(scene.ann().client)

    played(play)


# -- recheck -----------------------------------------------------------------------------------


def test_a_recheck_that_finds_all_as_it_was_changes_nothing() -> None:
    async def play(scene: Scene) -> None:
        browser = scene.ann()
        await browser.say("subscribe")
        await scene.clock.sleep(30)
        assert scene.clients.longest_unchecked_s() == 30
        await scene.clients.recheck(browser.client)
        assert scene.clients.longest_unchecked_s() == 0
        assert browser.heard == [("subscribed", None)]
        assert browser.topics == [A]

    played(play)


@pytest.mark.parametrize("other", [None, "bob"])
def test_a_recheck_closes_a_session_that_has_ended_or_is_another_users(other: str | None) -> None:
    async def play(scene: Scene) -> None:
        browser = scene.ann()
        await browser.say("subscribe")
        scene.verifier.logout("s=ann")
        if other:
            scene.verifier.login("s=ann", other)
        await scene.clients.recheck(browser.client)
        assert browser.line.closed == 4401

    played(play)


def test_a_recheck_unsubscribes_an_event_that_is_no_longer_readable_and_no_other() -> None:
    async def play(scene: Scene) -> None:
        browser = scene.ann()
        await browser.say("subscribe", A)
        await browser.say("subscribe", B)
        scene.verifier.revoke("ann", A)
        await scene.clients.recheck(browser.client)
        scene.read(fix(2))
        assert browser.heard[2:] == [("forbidden", None)]
        assert browser.told[-1]["topic"] == topic_of(A)
        assert (browser.line.closed, browser.topics) == (None, [B])
        assert browser.client.session.topics == {topic_of(B)}

    assert played(play).of_kind(AudienceCounted)[-1] == AudienceCounted(1, 1)


def test_a_recheck_that_cannot_be_decided_changes_nothing() -> None:
    async def play(scene: Scene) -> None:
        browser = scene.ann()
        await browser.say("subscribe")
        scene.verifier.logout("s=ann")
        scene.verifier.away()
        with pytest.raises(Unavailable):
            await scene.clients.recheck(browser.client)
        assert (browser.line.closed, browser.topics) == (None, [A])
        await scene.clock.sleep(30)
        assert scene.clients.longest_unchecked_s() == 30

    played(play)


def test_a_recheck_ends_what_is_being_answered_too() -> None:
    async def play(scene: Scene) -> None:
        browser = scene.ann()
        scene.faults = {"newest": [Fault(delay_s=1)]}
        answering = browser.say("subscribe", id="1")
        await scene.clock.sleep(0.5)
        scene.verifier.revoke("ann", A)
        await scene.clients.recheck(browser.client)
        await answering
        assert browser.heard == [("forbidden", None), ("error", "1")]
        assert browser.topics == []
        assert browser.client.session.topics == set()

    played(play)


def test_a_recheck_leaves_alone_what_was_subscribed_anew_meanwhile() -> None:
    async def play(scene: Scene) -> None:
        browser = scene.ann()
        await browser.say("subscribe", id="1")
        scene.verifier.revoke("ann", A)
        scene.faults = {"may_read": [Fault(delay_s=1)]}
        rechecking = asyncio.create_task(scene.clients.recheck(browser.client))
        await scene.clock.sleep(0.5)
        scene.verifier.grant("ann", A)
        await browser.say("subscribe", id="2")
        scene.verifier.revoke("ann", A)
        await rechecking
        assert browser.heard == [("subscribed", "1"), ("subscribed", "2")]
        assert browser.topics == [A], "until the next recheck"

    played(play)


def test_who_asks_for_trails_again_and_again_gets_snapshots() -> None:
    async def play(scene: Scene) -> None:
        await scene.store(*(fix(n) for n in range(5)))
        browser = scene.ann()
        for _ in range(TRAILS_AT_ONCE + 1):
            await browser.say("subscribe", history=3)
        lengths = [len(each["trails"]["1"]) for each in browser.told]
        assert lengths == [3] * TRAILS_AT_ONCE + [1]
        await scene.clock.sleep(1 / TRAILS_A_SECOND)
        await browser.say("subscribe", history=3)
        assert len(browser.told[-1]["trails"]["1"]) == 3

    played(play)
