"""Sharing and budget of calls to Directus, in virtual time and in any order of what is ready."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from processor.adapters.directus import sharing
from processor.adapters.directus.budget import KEPT_FREE, Budget
from processor.adapters.directus.errors import unavailable
from processor.adapters.directus.sharing import KEPT_S, MOST_KEPT, REFUSAL_KEPT_S, Shared
from processor.adapters.directus.verifier import DirectusAuthVerifier
from processor.adapters.memory.virtual_time import VirtualClock, VirtualLoop
from processor.core.errors import Unavailable
from processor.core.ports import Access

SEEDS = range(20)
TIMEOUT_S = 3.0
FRESH_S = 30.0
EVER = 3600.0


class Scene:
    """A peer that takes its time, asked through a Shared; what it was asked, and when."""

    def __init__(self, seed: int = 0, *, at_once: int = 8, a_second: int = 20) -> None:
        self.loop = VirtualLoop(Random(seed))
        self.clock = VirtualClock(self.loop, 0)
        self.at_once, self.a_second = at_once, a_second
        self.takes_s = 0.012
        self.away = False
        self.answers: dict[str, str | None] = {}
        self.begun: list[tuple[float, str]] = []
        self.under_way = 0
        self.most_under_way = 0
        self.told: list[tuple[str, str, float]] = []

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def all_of_it() -> None:
            self.budget = Budget(at_once=self.at_once, a_second=self.a_second, clock=self.clock)
            self.shared = self.another(FRESH_S)
            await main()
            await self.shared.aclose()
            assert self.under_way == 0

        # Virtual time fails by itself where everybody waits for ever.
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(all_of_it())

    def another(self, fresh_s: float) -> Shared[str | None]:
        return Shared(
            "identify",
            refusals={None},
            timeout_s=TIMEOUT_S,
            fresh_s=fresh_s,
            budget=self.budget,
            clock=self.clock,
            tell=lambda *what: self.told.append(what),
        )

    async def call(self, key: str) -> str | None:
        self.begun.append((self.clock.elapsed(), key))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.under_way -= 1
        if self.away:
            raise unavailable("connection")
        return self.answers.get(key, f"user of {key}")

    def ask(self, key: str = "k", *, recheck: bool = False) -> Awaitable[str | None]:
        return self.shared.ask(key, lambda: self.call(key), recheck=recheck)

    def start(self, key: str = "k", *, recheck: bool = False) -> "asyncio.Task[str | None]":
        async def asked() -> str | None:
            return await self.ask(key, recheck=recheck)

        return asyncio.create_task(asked())

    async def pass_by(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def asked(self) -> list[str]:
        return [key for _, key in self.begun]


@pytest.fixture(params=SEEDS)
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(request.param)


async def reason_of(awaitable: Awaitable[object]) -> str:
    with pytest.raises(Unavailable) as caught:
        await awaitable
    assert caught.value.dependency == "directus"
    return caught.value.reason


# ---------------------------------------------------------------------------------------- sharing


def test_all_who_ask_the_same_meanwhile_get_one_answer(scene: Scene) -> None:
    async def main() -> None:
        asked = [scene.start(recheck=n % 3 == 0) for n in range(100)]
        assert set(await asyncio.gather(*asked)) == {"user of k"}
        assert scene.asked() == ["k"]
        assert scene.told == [("identify", "success", pytest.approx(scene.takes_s))]

    scene.run(main)


def test_different_keys_are_different_calls(scene: Scene) -> None:
    async def main() -> None:
        assert await asyncio.gather(scene.start("a"), scene.start("b")) == [
            "user of a",
            "user of b",
        ]

    scene.run(main)


def test_who_asked_first_may_go_and_the_others_are_answered(scene: Scene) -> None:
    async def main() -> None:
        first = scene.start()
        await scene.pass_by(scene.takes_s / 3)
        second = scene.start()
        await scene.pass_by(scene.takes_s / 3)
        first.cancel()
        assert await second == "user of k"
        assert first.cancelled()
        assert scene.asked() == ["k"]

    scene.run(main)


def test_a_call_that_has_begun_is_kept_even_if_all_have_gone(scene: Scene) -> None:
    async def main() -> None:
        only = scene.start()
        await scene.pass_by(scene.takes_s / 2)
        only.cancel()
        await scene.pass_by(scene.takes_s)
        assert await scene.ask() == "user of k"
        assert scene.asked() == ["k"]

    scene.run(main)


def test_a_call_that_has_not_begun_goes_with_the_last_who_waits(scene: Scene) -> None:
    async def main() -> None:
        scene.takes_s = 1.0
        busy = [scene.start(f"busy {n}") for n in range(scene.at_once)]
        await scene.pass_by(0.1)
        waiting = [scene.start(), scene.start(recheck=True)]
        await scene.pass_by(0.4)
        for each in waiting:
            each.cancel()
            await asyncio.sleep(0)
        again = scene.start("other")
        await asyncio.gather(*busy, again)
        assert "k" not in scene.asked()
        assert await scene.ask() == "user of k"

    scene.run(main)


def test_who_comes_while_the_last_goes_gets_an_answer(scene: Scene) -> None:
    """Not the cancelled call of the one who went."""

    async def main() -> None:
        scene.takes_s = 0.1
        busy = [scene.start(f"busy {n}") for n in range(scene.at_once)]
        await scene.pass_by(0.05)
        for _ in range(20):
            leaver = scene.start()
            for _ in range(scene.loop._random.randrange(4)):
                await asyncio.sleep(0)
            leaver.cancel()
            if scene.loop._random.random() < 0.5:
                await asyncio.sleep(0)
        assert await scene.ask() == "user of k"
        assert scene.asked().count("k") == 1
        await asyncio.gather(*busy)

    scene.run(main)


def test_an_error_is_everybodys_and_is_not_kept(scene: Scene) -> None:
    async def main() -> None:
        scene.away = True
        asked = [scene.start() for _ in range(5)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Unavailable] * 5
        assert len({id(outcome) for outcome in outcomes}) == 5
        scene.away = False
        assert await scene.ask() == "user of k"
        assert [result for _, result, _ in scene.told] == ["error", "success"]

    scene.run(main)


def test_a_bug_is_not_hidden() -> None:
    scene = Scene()

    async def broken() -> str:
        raise LookupError

    async def main() -> None:
        with pytest.raises(LookupError):
            await scene.shared.ask("k", broken)
        assert await scene.ask() == "user of k"

    scene.run(main)


# ------------------------------------------------------------------------------- how old it may be


@pytest.mark.parametrize(
    ("answer", "kept_s"), [("somebody", KEPT_S), (None, REFUSAL_KEPT_S)], ids=["grant", "refusal"]
)
def test_an_answer_serves_people_for_a_while(answer: str | None, kept_s: float) -> None:
    scene = Scene()

    async def main() -> None:
        scene.answers["k"] = answer
        await scene.ask()
        scene.answers["k"] = "changed"
        await scene.pass_by(kept_s)
        assert await scene.ask() == answer
        await scene.pass_by(0.01)
        assert await scene.ask() == "changed"
        assert scene.told[0][1] == ("success" if answer else "unauthorized")

    scene.run(main)


def test_a_recheck_takes_what_began_within_half_of_its_interval() -> None:
    scene = Scene()

    async def main() -> None:
        scene.takes_s = 1.0
        await scene.ask()
        scene.answers["k"] = None
        await scene.pass_by(FRESH_S - 1.0)  # it began FRESH_S ago, and arrived a second later
        assert await scene.ask(recheck=True) == "user of k"
        await scene.pass_by(0.01)
        assert await scene.ask(recheck=True) is None

    scene.run(main)


def test_a_recheck_refreshes_what_people_get() -> None:
    scene = Scene()

    async def main() -> None:
        shared = scene.another(fresh_s=1.0)
        await shared.ask("k", lambda: scene.call("k"))
        scene.answers["k"] = None
        await scene.pass_by(2.0)
        assert await shared.ask("k", lambda: scene.call("k")) == "user of k"
        assert await shared.ask("k", lambda: scene.call("k"), recheck=True) is None
        assert await shared.ask("k", lambda: scene.call("k")) is None
        assert len(scene.begun) == 2
        await shared.aclose()

    scene.run(main)


def test_a_refusal_serves_no_recheck_for_long() -> None:
    scene = Scene()

    async def main() -> None:
        scene.answers["k"] = None
        assert await scene.ask(recheck=True) is None
        scene.answers["k"] = "let in again"
        await scene.pass_by(REFUSAL_KEPT_S + 0.1)
        assert await scene.ask(recheck=True) == "let in again"

    scene.run(main)


@pytest.mark.parametrize("away", [False, True])
def test_a_recheck_does_not_take_a_call_that_began_too_long_ago(away: bool) -> None:
    for seed in SEEDS:
        scene = Scene(seed)

        async def main(scene: Scene = scene) -> None:
            shared = scene.another(fresh_s=0.5)
            scene.takes_s = 1.0
            person = asyncio.create_task(shared.ask("k", lambda: scene.call("k")))
            await scene.pass_by(0.6)
            scene.away = away
            recheck = asyncio.create_task(shared.ask("k", lambda: scene.call("k"), recheck=True))
            await scene.pass_by(0.3)
            assert len(scene.begun) == 1, "one call at a time for a key"
            await scene.pass_by(0.2)
            scene.away = False
            scene.answers["k"] = None
            assert await recheck is None
            assert len(scene.begun) == 2
            assert (await asyncio.gather(person, return_exceptions=True))[0] is not None
            await shared.aclose()

        scene.run(main)


def test_what_is_kept_is_bounded_and_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_KEPT >= 20 * FRESH_S
    monkeypatch.setattr(sharing, "MOST_KEPT", 5)
    scene = Scene()

    async def main() -> None:
        for n in range(20):
            await scene.ask(f"k{n}")
        kept = scene.shared._kept
        assert len(kept) <= 6  # one more until the next question
        assert "k19" in kept
        await scene.pass_by(max(FRESH_S, KEPT_S) + 1)
        await scene.ask("last")
        assert list(kept) == ["last"]

    scene.run(main)


def test_what_was_refreshed_does_not_keep_what_is_old() -> None:
    scene = Scene()

    async def main() -> None:
        shared = scene.another(fresh_s=1.0)
        for key in ("a", "b"):
            await shared.ask(key, lambda key=key: scene.call(key))
        await scene.pass_by(KEPT_S - 1)
        await shared.ask("a", lambda: scene.call("a"), recheck=True)
        await scene.pass_by(2)
        await shared.ask("c", lambda: scene.call("c"))
        assert list(shared._kept) == ["a", "c"]
        await shared.aclose()

    scene.run(main)


# ----------------------------------------------------------------------------------------- budget


def test_never_more_at_once_nor_in_any_second_than_is_allowed(scene: Scene) -> None:
    async def main() -> None:
        asked = []
        for n in range(60):
            scene.takes_s = scene.loop._random.choice([0.01, 0.1, 0.5])
            asked.append(scene.start(f"k{n}", recheck=n % 2 == 0))
            await scene.pass_by(scene.loop._random.random() * 0.05)
        asked += [scene.start(f"j{n}", recheck=n % 2 == 0) for n in range(40)]
        await asyncio.gather(*asked, return_exceptions=True)
        assert scene.most_under_way <= scene.at_once
        times = [at_s for at_s, _ in scene.begun]
        for first, later in zip(times, times[scene.a_second :], strict=False):
            assert later - first >= 1 - 1e-5

    scene.run(main)


def test_a_crowd_is_served_as_fast_as_is_allowed() -> None:
    scene = Scene()

    async def main() -> None:
        await asyncio.gather(*(scene.start(f"k{n}") for n in range(50)))
        assert scene.clock.elapsed() == pytest.approx(2.0, abs=0.2)

    scene.run(main)


def test_people_go_before_rechecks(scene: Scene) -> None:
    async def main() -> None:
        rechecks = [scene.start(f"recheck {n}", recheck=True) for n in range(200)]
        await scene.pass_by(3.0)
        for n in range(10):
            before_s = scene.clock.elapsed()
            await scene.ask(f"person {n}")
            # The next place at most, and the call itself.
            assert scene.clock.elapsed() - before_s <= 1 / scene.a_second + scene.takes_s + 1e-3
        await asyncio.gather(*rechecks)

    scene.run(main)


def test_rechecks_are_spread_evenly_and_take_all_that_is_left() -> None:
    scene = Scene()

    async def main() -> None:
        await asyncio.gather(*(scene.start(f"k{n}", recheck=True) for n in range(101)))
        times = [at_s for at_s, _ in scene.begun]
        gaps = [later - first for first, later in pairwise(times)]
        assert gaps == [pytest.approx(0.05, abs=1e-5)] * 100

    scene.run(main)


def test_slow_rechecks_leave_places_for_people(scene: Scene) -> None:
    async def main() -> None:
        scene.takes_s = 2.0
        rechecks = [scene.start(f"recheck {n}", recheck=True) for n in range(20)]
        await scene.pass_by(1.5)
        assert scene.under_way == scene.at_once - scene.at_once // KEPT_FREE
        before_s = scene.clock.elapsed()
        await scene.ask("person")
        assert scene.clock.elapsed() - before_s == pytest.approx(scene.takes_s, abs=0.06)
        await asyncio.gather(*rechecks)

    scene.run(main)


def test_a_person_who_wants_what_a_recheck_waits_for_does_not_wait_with_it(scene: Scene) -> None:
    async def main() -> None:
        rechecks = [scene.start(f"k{n}", recheck=True) for n in range(100)]
        await scene.pass_by(1.0)
        last = next(n for n in range(99, -1, -1) if f"k{n}" not in scene.asked())
        before_s = scene.clock.elapsed()
        assert await scene.ask(f"k{last}") == f"user of k{last}"
        assert scene.clock.elapsed() - before_s < 0.1
        assert not all(each.done() for each in rechecks)
        await asyncio.gather(*rechecks)
        assert max(Counter(scene.asked()).values()) == 1

    scene.run(main)


def test_one_place_is_enough_for_everybody() -> None:
    scene = Scene(at_once=1, a_second=1)

    async def main() -> None:
        recheck = scene.start("recheck", recheck=True)
        assert await scene.ask("person") == "user of person"
        assert await recheck == "user of recheck"

    scene.run(main)


# -------------------------------------------------------------------------------------- patience


def test_a_person_who_waits_for_his_turn_in_vain_is_told_in_time(scene: Scene) -> None:
    async def main() -> None:
        scene.takes_s = EVER
        people = [scene.start(f"held {n}") for n in range(scene.at_once)]
        await scene.pass_by(1.0)
        before_s = scene.clock.elapsed()
        assert await reason_of(scene.ask("late")) == "busy"
        assert scene.clock.elapsed() - before_s == pytest.approx(TIMEOUT_S)
        for each in people:
            assert await reason_of(each) == "timeout"
        await scene.shared.aclose()

    scene.run(main)


def test_a_person_is_told_in_time_when_directus_does_not_answer(scene: Scene) -> None:
    async def main() -> None:
        scene.takes_s = EVER
        assert await reason_of(scene.ask()) == "timeout"
        assert scene.clock.elapsed() == pytest.approx(TIMEOUT_S)
        await scene.shared.aclose()

    scene.run(main)


def test_the_patience_of_a_person_is_his_own(scene: Scene) -> None:
    """Who joins a call that is about to be given up waits for it no longer than himself."""

    async def main() -> None:
        scene.takes_s = 4.0
        first = scene.start()
        await scene.pass_by(2.0)
        second = scene.start()
        assert await reason_of(first) == "timeout"
        assert await second == "user of k"

    scene.run(main)


def test_a_recheck_waits_as_long_as_it_must(scene: Scene) -> None:
    async def main() -> None:
        rechecks = [scene.start(f"k{n}", recheck=True) for n in range(400)]
        assert len(set(await asyncio.gather(*rechecks))) == 400
        assert scene.clock.elapsed() > 5 * TIMEOUT_S

    scene.run(main)


@pytest.mark.parametrize("crowd", [200, 5000])
def test_a_queue_that_is_too_long_turns_people_away_at_once(crowd: int) -> None:
    scene = Scene()

    async def main() -> None:
        asked = [scene.start(f"k{n}") for n in range(crowd)]
        await asyncio.sleep(0.001)
        turned_away = [each for each in asked if each.done()]
        assert len(turned_away) == pytest.approx(crowd - scene.a_second * TIMEOUT_S, abs=10)
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert len([found for found in outcomes if isinstance(found, str)]) >= 55
        reasons = Counter(each.reason for each in outcomes if isinstance(each, Unavailable))
        assert set(reasons) <= {"busy", "timeout"}  # the last who have a turn have it too late
        assert reasons["busy"] >= len(turned_away)

    scene.run(main)


def test_a_crowd_turns_nobody_away_who_joins_a_call() -> None:
    scene = Scene()

    async def main() -> None:
        asked = [scene.start(f"k{n}") for n in range(1000)]
        await asyncio.sleep(0.001)
        flying = next(n for n, each in enumerate(asked) if not each.done())
        assert await scene.ask(f"k{flying}") == f"user of k{flying}"
        recheck = scene.start("recheck", recheck=True)
        await asyncio.gather(*asked, return_exceptions=True)
        assert await recheck == "user of recheck"

    scene.run(main)


# ------------------------------------------------------------------------------------------ close


def test_whoever_waits_at_the_end_is_told_and_nobody_is_asked_any_more(scene: Scene) -> None:
    async def main() -> None:
        scene.takes_s = EVER
        asked = [scene.start(f"k{n}", recheck=n % 2 == 0) for n in range(30)]
        await scene.pass_by(0.5)
        await scene.shared.aclose()
        for each in asked:
            assert await reason_of(each) == "closing"
        assert await reason_of(scene.ask("new")) == "closing"
        assert scene.under_way == 0
        assert scene.shared._kept == {}
        assert scene.shared._flights == {}

    scene.run(main)


# --------------------------------------------------------------------------------------- verifier


class Answering:
    """In the place of the client: answers at once, and counts."""

    def __init__(self) -> None:
        self.user: str | None = "somebody"
        self.access = Access.GRANTED
        self.asked = 0

    async def identify(self, cookie: str, timeout_s: float) -> str | None:
        self.asked += 1
        assert timeout_s == 5
        return self.user

    async def may_read(self, cookie: str, event_id: str, timeout_s: float) -> Access:
        self.asked += 1
        assert timeout_s == 3
        return self.access

    async def aclose(self) -> None:
        pass


def verified(main: Callable[[DirectusAuthVerifier, Answering], Awaitable[None]]) -> None:
    loop = VirtualLoop(Random(0))

    async def all_of_it() -> None:
        client = Answering()
        verifier = DirectusAuthVerifier(
            client,
            session_cookie="s",
            auth_timeout_ms=5000,
            authz_timeout_ms=3000,
            recheck_ms=60_000,
            max_concurrency=8,
            max_rps=20,
            clock=VirtualClock(loop, 0),
            tell=lambda *_: None,
        )
        await main(verifier, client)
        await verifier.aclose()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(all_of_it())


def test_rechecks_take_what_is_younger_than_half_of_their_interval() -> None:
    async def main(verifier: DirectusAuthVerifier, client: Answering) -> None:
        for pause_s, asked in ((0, 2), (29.9, 2), (0.2, 4), (29.9, 4), (0.2, 6)):
            await asyncio.sleep(pause_s)
            await verifier.identify("s=1", recheck=True)
            await verifier.may_read("s=1", "event", recheck=True)
            assert client.asked == asked

    verified(main)


@pytest.mark.parametrize("access", Access)
def test_every_answer_but_a_grant_is_a_refusal(access: Access) -> None:
    async def main(verifier: DirectusAuthVerifier, client: Answering) -> None:
        client.access = access
        await verifier.may_read("s=1", "event")
        await asyncio.sleep(REFUSAL_KEPT_S + 0.1)
        await verifier.may_read("s=1", "event")
        assert client.asked == (1 if access is Access.GRANTED else 2)

    verified(main)


def test_an_answer_is_for_one_session_and_one_event() -> None:
    async def main(verifier: DirectusAuthVerifier, client: Answering) -> None:
        await verifier.may_read("s=1", "event")
        client.access = Access.FORBIDDEN
        assert await verifier.may_read("s=1", "event") is Access.GRANTED
        assert await verifier.may_read("theme=dark; s=1", "event") is Access.GRANTED
        assert await verifier.may_read("s=2", "event") is Access.FORBIDDEN
        assert await verifier.may_read("s=1", "other") is Access.FORBIDDEN

    verified(main)


def test_both_questions_draw_on_one_budget() -> None:
    async def main(verifier: DirectusAuthVerifier, client: Answering) -> None:
        for n in range(15):
            await verifier.identify(f"s={n}")
            await verifier.may_read(f"s={n}", "event")
        assert asyncio.get_running_loop().time() == pytest.approx(1.0)

    verified(main)
