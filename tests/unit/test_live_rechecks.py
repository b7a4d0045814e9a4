"""Everybody who is connected is looked at again, and again. Virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from processor.adapters.faulty import Fault, faulty
from processor.adapters.memory.auth import MemoryAuthVerifier
from processor.adapters.memory.lines import MemoryBroadcaster, MemoryLine
from processor.adapters.memory.live import MemoryRally, MemorySnapshots
from processor.adapters.memory.positions import MemoryTable
from processor.adapters.memory.virtual_time import VirtualClock, VirtualLoop
from processor.core.live.clients import Client, Clients
from processor.core.live.delivery import Delivery
from processor.core.live.newest import NewestFixes
from processor.core.live.rechecks import AGAIN_S, GONE_MAX, IDLE_S, Rechecks
from processor.core.live.registry import Registry
from processor.core.live.session import SessionLimits
from processor.core.live.snapshot import SnapshotMaker
from processor.core.notices import Notice, RechecksAged

EVERY_S = 60.0


class Scene:
    """`takes_s` is how long Directus takes to answer; `asked_s` is when it was asked."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.clock = VirtualClock(loop, 1_780_819_200_000)
        self.verifier = MemoryAuthVerifier()
        self.takes_s = 0.0
        self.asked_s: list[float] = []
        self.seen: list[Notice] = []
        self.luck = 0.5
        registry, broadcaster = Registry(), MemoryBroadcaster()
        delivery = Delivery(registry, broadcaster)
        self.clients = Clients(
            registry=registry,
            maker=SnapshotMaker(NewestFixes(10, 60_000), delivery),
            snapshots=MemorySnapshots(MemoryTable(), MemoryRally(), clock_ahead_ms=60_000),
            verifier=faulty(self.verifier, self._plan, self.clock),
            broadcaster=broadcaster,
            clock=self.clock,
            observer=self,
            limits=SessionLimits(rate=10, burst=20, subscriptions=20),
            snapshot_timeout_ms=1500,
        )
        self.rechecks = Rechecks(
            self.clients,
            every_ms=int(EVERY_S * 1000),
            clock=self.clock,
            chance=self,
            observer=self,
        )

    def _plan(self, call: str) -> Fault:
        self.asked_s.append(self.clock.elapsed())
        return Fault(delay_s=self.takes_s)

    def fraction(self) -> float:
        return self.luck

    def observe(self, notice: Notice) -> None:
        self.seen.append(notice)

    def arrive(self, user_id: str) -> Client:
        self.verifier.login(f"s={user_id}", user_id)
        client = self.clients.arrive(MemoryLine(), user_id, f"s={user_id}")
        self.rechecks.add(client)
        return client

    def ages_s(self) -> list[float]:
        """How long whoever waited longest had waited, every few seconds."""
        return [each.longest_s for each in self.seen if isinstance(each, RechecksAged)]


def played(play: Callable[[Scene], Coroutine[Any, Any, None]], runners: int = 1) -> Scene:
    loop = VirtualLoop(Random(1))

    async def main() -> Scene:
        scene = Scene(loop)
        running = [asyncio.create_task(scene.rechecks.run()) for _ in range(runners)]
        running.append(asyncio.create_task(scene.rechecks.watch()))
        await play(scene)
        assert not any(task.done() for task in running)
        for task in running:
            task.cancel()
        return scene

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main())


def closed(client: Client) -> int | None:
    assert isinstance(client.line, MemoryLine)
    return client.line.closed


def test_a_client_is_looked_at_about_every_interval() -> None:
    async def play(scene: Scene) -> None:
        scene.arrive("ann")
        await scene.clock.sleep(3 * (EVERY_S + IDLE_S))

    scene = played(play)
    intervals_s = [b - a for a, b in zip([0.0, *scene.asked_s], scene.asked_s, strict=False)]
    assert len(intervals_s) == 3
    assert all(EVERY_S <= each <= EVERY_S + IDLE_S for each in intervals_s)
    assert max(scene.ages_s()) <= EVERY_S + IDLE_S


def test_those_who_came_together_are_not_looked_at_together() -> None:
    async def play(scene: Scene) -> None:
        for scene.luck in (0.0, 0.999):
            scene.arrive(f"user-{scene.luck}")
        await scene.clock.sleep(1.2 * EVERY_S)

    first, second = played(play).asked_s[:2]
    assert second - first > 0.15 * EVERY_S


def test_a_session_that_ends_is_closed_within_the_interval() -> None:
    async def play(scene: Scene) -> None:
        ann, bob = scene.arrive("ann"), scene.arrive("bob")
        scene.verifier.logout("s=ann")
        await scene.clock.sleep(EVERY_S + IDLE_S)
        assert (closed(ann), closed(bob)) == (4401, None)

    played(play)


def test_while_directus_is_away_nobody_is_closed_and_it_is_asked_again_soon() -> None:
    async def play(scene: Scene) -> None:
        ann = scene.arrive("ann")
        scene.verifier.away()
        scene.verifier.logout("s=ann")
        await scene.clock.sleep(10 * EVERY_S)
        assert closed(ann) is None
        assert scene.ages_s()[-1] > 9 * EVERY_S, "and that is said"
        waits_s = [b - a for a, b in zip(scene.asked_s, scene.asked_s[1:], strict=False)]
        assert all(AGAIN_S <= each <= AGAIN_S + IDLE_S for each in waits_s)
        scene.verifier.back()
        await scene.clock.sleep(AGAIN_S + IDLE_S)
        assert closed(ann) == 4401

    played(play)


def test_where_directus_is_slow_the_interval_stretches_for_all_alike() -> None:
    async def play(scene: Scene) -> None:
        scene.takes_s = 30
        for n in range(10):
            scene.arrive(f"user-{n}")
        await scene.clock.sleep(20 * EVERY_S)

    settled = played(play, runners=2).ages_s()[-100:]
    assert all(2 * EVERY_S <= each <= 4 * EVERY_S for each in settled)


def test_one_that_is_answered_slowly_does_not_hold_up_the_others() -> None:
    async def play(scene: Scene) -> None:
        scene.arrive("ann")
        scene.takes_s = 1000
        await scene.clock.sleep(EVERY_S + IDLE_S)
        scene.takes_s = 0
        bob = scene.arrive("bob")
        scene.verifier.logout("s=bob")
        await scene.clock.sleep(EVERY_S + IDLE_S)
        assert closed(bob) == 4401

    played(play, runners=2)


def test_who_is_gone_is_not_asked_about() -> None:
    async def play(scene: Scene) -> None:
        scene.clients.leave(scene.arrive("ann"))
        await scene.clock.sleep(3 * EVERY_S)

    assert played(play).asked_s == []


def test_those_who_are_gone_are_swept_out_before_they_would_have_been_due() -> None:
    async def play(scene: Scene) -> None:
        staying = scene.arrive("ann")
        for _ in range(5 * GONE_MAX):
            gone = scene.arrive("bob")
            scene.clients.leave(gone)
            assert gone.cookie == ""
        assert len(scene.rechecks._due) <= GONE_MAX + 4
        assert any(client is staying for _, _, client in scene.rechecks._due)

    played(play)
