"""A value that is read again and again. Virtual time."""

import asyncio
from random import Random

import pytest

from processor.adapters.memory.virtual_time import VirtualClock, VirtualLoop
from processor.core.errors import Refused, Unavailable
from processor.core.refreshed import FIRST_AGAIN_S, Refreshed

AWAY = Unavailable("database", "connection", "away")
MISSING = Refused("database", "business-schema", "public.entries is missing")
EVERY_S = 30.0


class Scene:
    """`answers` are what reads bring, in their order, the last one for ever."""

    def __init__(self, clock: VirtualClock, answers: list[int | Exception], luck: float) -> None:
        self.answers = answers
        self.clock = clock
        self.luck = luck
        self.read_s: list[float] = []
        self.said: list[int | Exception] = []
        self.refreshed = Refreshed(
            0,
            self.read,
            every_ms=int(EVERY_S * 1000),
            clock=clock,
            chance=self,
            swapped=self.said.append,
            failed=self.said.append,
        )

    async def read(self) -> int:
        self.read_s.append(self.clock.elapsed())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def fraction(self) -> float:
        return self.luck


def played(answers: list[int | Exception], for_s: float, luck: float = 0.5) -> Scene:
    loop = VirtualLoop(Random(1))

    async def main() -> Scene:
        scene = Scene(VirtualClock(loop, 0), answers, luck)
        assert scene.refreshed.value == 0
        running = asyncio.create_task(scene.refreshed.run())
        await scene.clock.sleep(for_s)
        running.cancel()
        return scene

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main())


def test_it_is_read_at_once_and_then_every_interval() -> None:
    scene = played([1, 2, 3], 65)
    assert scene.read_s == [0, 30, 60]
    assert scene.said == [1, 2, 3]
    assert scene.refreshed.value == 3


@pytest.mark.parametrize(("luck", "second_s"), [(0.0, 27), (0.999, 32.994)])
def test_those_who_were_started_together_do_not_read_together(luck: float, second_s: float) -> None:
    assert played([1], 35, luck).read_s == pytest.approx([0, second_s])


@pytest.mark.parametrize("error", [AWAY, MISSING])
def test_what_cannot_be_read_anew_stays_as_it_was_and_is_said(error: Exception) -> None:
    scene = played([1, error], 65)
    assert scene.refreshed.value == 1
    assert scene.said == [1, error, error]
    assert scene.read_s == [0, 30, 60]


def test_as_long_as_there_is_no_value_it_is_tried_again_soon() -> None:
    scene = played([AWAY, AWAY, 7, AWAY], 35)
    assert scene.read_s == [0, FIRST_AGAIN_S, 2 * FIRST_AGAIN_S, 2 * FIRST_AGAIN_S + EVERY_S]
    assert scene.refreshed.value == 7


def test_a_refusal_waits_its_full_turn_for_only_a_person_mends_it() -> None:
    assert played([MISSING, 7], 35).read_s == [0, EVERY_S]


def test_a_bug_is_not_taken_for_a_failure() -> None:
    loop = VirtualLoop(Random(1))

    async def main() -> None:
        await Scene(VirtualClock(loop, 0), [ZeroDivisionError()], 0.5).refreshed.run()

    with pytest.raises(ZeroDivisionError), asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
