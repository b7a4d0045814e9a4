"""Patience: how long between tries, what is said, and how a stop cuts it short. Virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from processor.adapters.memory.virtual_time import VirtualClock, VirtualLoop
from processor.core.errors import Refused, TooMuch, Unavailable
from processor.core.ingest.patience import (
    LONG_PAUSE_S,
    LONGEST_PAUSE_S,
    SLICE_S,
    Once,
    Patience,
)
from processor.core.notices import DependencyAnswered, DependencyRefused, Notice, RetryScheduled


class Notices:
    def __init__(self) -> None:
        self.seen: list[Notice] = []

    def observe(self, notice: Notice) -> None:
        self.seen.append(notice)


class Always:
    def __init__(self, fraction: float) -> None:
        self._fraction = fraction

    def fraction(self) -> float:
        return self._fraction


class Scene:
    """A patience in virtual time, and a call that fails as it is told."""

    def __init__(self, fraction: float = 1.0) -> None:
        self.loop = VirtualLoop(Random(0))
        self.clock = VirtualClock(self.loop, 0)
        self.notices = Notices()
        self.patience = Patience(self.clock, Always(fraction), self.notices)

    def run(self, what: Callable[[], Awaitable[object]]) -> object:
        async def main() -> object:
            return await what()

        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            return runner.run(main())

    def failing(self, *errors: Exception) -> Callable[[], Awaitable[str]]:
        left = list(errors)

        async def call() -> str:
            if left:
                raise left.pop(0)
            return "answer"

        return call

    def waits(self) -> list[float]:
        return [n.wait_s for n in self.notices.seen if isinstance(n, RetryScheduled)]


def away(pause: Unavailable.Pause = Unavailable.Pause.SHORT) -> Unavailable:
    return Unavailable("database", "connection", "connection refused", pause)


def test_pauses_double_up_to_the_longest_and_begin_anew_after_an_answer() -> None:
    scene = Scene()

    async def twice() -> None:
        call = scene.failing(*[away()] * 10)
        assert await scene.patience.persist("database", call) == "answer"
        await scene.patience.persist("database", scene.failing(away()))

    scene.run(twice)
    assert scene.waits() == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, *[LONGEST_PAUSE_S] * 3, 0.1]
    assert scene.loop.time() == pytest.approx(sum(scene.waits()))
    assert scene.notices.seen.count(DependencyAnswered("database")) == 2


def test_a_lost_race_is_run_again_at_once_three_times() -> None:
    scene = Scene()
    call = scene.failing(*[away(Unavailable.Pause.NONE)] * 5)
    scene.run(lambda: scene.patience.persist("database", call))
    assert scene.waits() == [0, 0, 0, 0.1, 0.2]


def test_a_full_or_refusing_server_is_left_alone_for_long() -> None:
    scene = Scene()
    call = scene.failing(
        away(Unavailable.Pause.LONG), Refused("database", "password", "password wrong")
    )
    scene.run(lambda: scene.patience.persist("database", call))
    assert scene.waits() == [LONG_PAUSE_S]
    assert DependencyRefused("database", "password", "password wrong", LONG_PAUSE_S) in (
        scene.notices.seen
    )
    assert scene.loop.time() == pytest.approx(2 * LONG_PAUSE_S)


def test_too_much_passes_only_where_it_can_be_divided() -> None:
    scene = Scene()
    too_much = TooMuch("database", "timeout", "statement timeout")

    async def both() -> None:
        assert await scene.patience.persist("database", scene.failing(too_much)) == "answer"
        with pytest.raises(TooMuch):
            await scene.patience.persist("database", scene.failing(too_much), divisible=True)

    scene.run(both)


def test_a_stop_cuts_the_pause_short_and_passes_the_next_error_on() -> None:
    scene = Scene()

    async def stopped() -> None:
        call = scene.failing(*[away(Unavailable.Pause.LONG)] * 9)
        waiting = asyncio.create_task(scene.patience.persist("database", call))
        await scene.clock.sleep(1.01)
        scene.patience.stop()
        with pytest.raises(Unavailable):
            await waiting

    scene.run(stopped)
    assert scene.loop.time() <= 1.01 + SLICE_S


@pytest.mark.parametrize(("fraction", "part"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_a_pause_lies_between_half_and_the_whole_of_it(fraction: float, part: float) -> None:
    scene = Scene(fraction)
    scene.run(lambda: scene.patience.persist("database", scene.failing(away(), away())))
    assert scene.waits() == pytest.approx([0.1 * part, 0.2 * part])


def test_an_answer_is_said_after_a_failure_and_the_first_time() -> None:
    scene = Scene()

    async def thrice() -> None:
        for _ in range(3):
            scene.patience.answered("database")

    scene.run(thrice)
    assert scene.notices.seen == [DependencyAnswered("database")]


def test_whoever_has_no_patience_is_told_at_once_and_tells_of_an_answer() -> None:
    scene = Scene()
    once = Once(scene.patience)

    async def play() -> None:
        with pytest.raises(Unavailable):
            await once.persist("database", scene.failing(away()))
        assert scene.notices.seen == []
        assert await once.persist("database", scene.failing()) == "answer"

    scene.run(play)
    assert scene.notices.seen == [DependencyAnswered("database")]
    assert scene.loop.time() == 0
