"""The contract of AuthVerifier (core/ports): in memory, by Directus, and with all doors open.

Directus and memory decide; an open service refuses nobody, so only what is said of grants applies.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable

import pytest

from processor.adapters.directus.client import DirectusClient
from processor.adapters.directus.verifier import DirectusAuthVerifier
from processor.adapters.memory.auth import MemoryAuthVerifier
from processor.adapters.open_auth import ANYBODY, OpenAuth
from processor.adapters.system import SystemClock
from processor.core.errors import Unavailable
from processor.core.ports import Access, AuthVerifier

SESSION = "directus_session_token"
RECHECK_MS = 400
BEYOND_S = 0.25
"""More than half of the interval of rechecks."""


class MemorySite:
    """A member of an event's club, in memory."""

    def __init__(self) -> None:
        self.verifier = MemoryAuthVerifier()
        self.user_id, self.event, self.other_event = (str(uuid.uuid4()) for _ in range(3))
        self.verifier.grant(self.user_id, self.event)

    def log_in(self) -> str:
        cookie = f"{SESSION}={uuid.uuid4()}.{uuid.uuid4()}"
        self.verifier.login(cookie, self.user_id)
        return cookie

    def log_out(self, cookie: str) -> None:
        self.verifier.logout(cookie)

    def suspend(self) -> None:
        self.verifier.suspend(self.user_id)

    def dismiss(self) -> None:
        self.verifier.revoke(self.user_id, self.event)

    def admit(self) -> None:
        self.verifier.grant(self.user_id, self.event)

    def go_away(self) -> None:
        self.verifier.away()

    def come_back(self) -> None:
        self.verifier.back()


class DirectusSite:
    """The same in a real Directus; `server` is the one that is asked and that may go away."""

    def __init__(self, rally, server) -> None:
        self._rally, self._server = rally, server
        self.user_id, self.event, self.other_event = rally.member.id, rally.event, rally.other_event
        self.verifier = DirectusAuthVerifier(
            DirectusClient(server.url, connections=8),
            session_cookie=SESSION,
            auth_timeout_ms=5000,
            authz_timeout_ms=3000,
            recheck_ms=RECHECK_MS,
            max_concurrency=8,
            max_rps=20,
            clock=SystemClock(),
            tell=lambda *_: None,
        )

    def log_in(self) -> str:
        return self._rally.directus.log_in(self._rally.member)

    def log_out(self, cookie: str) -> None:
        self._rally.directus.log_out(cookie)

    def suspend(self) -> None:
        self._rally.directus.suspend(self._rally.member)

    def dismiss(self) -> None:
        self._rally.office.dismiss(self._rally.organization, self.user_id)

    def admit(self) -> None:
        self._rally.office.admit(self._rally.organization, self.user_id)

    def go_away(self) -> None:
        self._server.stop()

    def come_back(self) -> None:
        self._server.start()


class OpenSite:
    """Everybody is welcome."""

    def __init__(self) -> None:
        self.verifier = OpenAuth()
        self.user_id = ANYBODY
        self.event = str(uuid.uuid4())

    def log_in(self) -> str:
        return ""


MEMORY, OPEN = "memory", "open"
DIRECTUS = pytest.param("directus", marks=pytest.mark.directus)

Site = MemorySite | DirectusSite | OpenSite


async def built(request: pytest.FixtureRequest, server: str = "directus") -> AsyncIterator[Site]:
    match request.param:
        case "memory":
            yield MemorySite()
        case "open":
            yield OpenSite()
        case "directus":
            asked = request.getfixturevalue(server)
            site = DirectusSite(request.getfixturevalue("rally"), asked)
            yield site
            await site.verifier.aclose()


@pytest.fixture(params=[MEMORY, DIRECTUS, OPEN])
async def site(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    """One that lets somebody in."""
    async for each in built(request):
        yield each


@pytest.fixture(params=[MEMORY, DIRECTUS])
async def strict(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    """One that refuses, too."""
    async for each in built(request):
        yield each


@pytest.fixture(params=[MEMORY, DIRECTUS])
async def frail(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    """One that may go away."""
    async for each in built(request, "own_directus"):
        yield each


def both(verifier: AuthVerifier, cookie: str, event: str) -> Awaitable[list[object]]:
    """Who it is, and whether he may read the event."""
    return asyncio.gather(verifier.identify(cookie), verifier.may_read(cookie, event))


def tampered(cookie: str) -> str:
    """With a signature that does not fit."""
    body, _, signature = cookie.rpartition(".")
    return f"{body}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


# ------------------------------------------------------------------------------------ what it says


@pytest.mark.parametrize("recheck", [False, True])
async def test_a_session_is_its_users_and_may_read_his_event(site, recheck: bool) -> None:
    cookie = site.log_in()
    assert await site.verifier.identify(cookie, recheck=recheck) == site.user_id
    assert await site.verifier.may_read(cookie, site.event, recheck=recheck) is Access.GRANTED


async def test_other_cookies_make_no_difference(site) -> None:
    cookie = f"theme=dark; {site.log_in()}; x=1"
    assert await both(site.verifier, cookie, site.event) == [site.user_id, Access.GRANTED]


async def test_another_session_of_the_same_user_is_his_too(site) -> None:
    for cookie in (site.log_in(), site.log_in()):
        assert await both(site.verifier, cookie, site.event) == [site.user_id, Access.GRANTED]


@pytest.mark.parametrize("recheck", [False, True])
async def test_an_event_of_others_is_forbidden(strict, recheck: bool) -> None:
    cookie = strict.log_in()
    access = await strict.verifier.may_read(cookie, strict.other_event, recheck=recheck)
    assert access is Access.FORBIDDEN


async def test_an_event_that_is_not_there_is_forbidden_like_any_other(strict) -> None:
    access = await strict.verifier.may_read(strict.log_in(), str(uuid.uuid4()))
    assert access is Access.FORBIDDEN


@pytest.mark.parametrize(
    "cookie",
    [f"{SESSION}=garbage", f"{SESSION}=a.b.c", f"{SESSION}=J\xc3\xb6rg", f"{SESSION}=\xff\xfe"],
)
async def test_garbage_is_nobodys_session(strict, cookie: str) -> None:
    assert await both(strict.verifier, cookie, strict.event) == [None, Access.ENDED]


@pytest.mark.parametrize("cookie", ["", " ", "theme=dark", f"{SESSION}=", ";;=;"])
async def test_without_a_session_nobody_is_anybody(strict, cookie: str) -> None:
    assert await strict.verifier.identify(cookie) is None
    assert await strict.verifier.may_read(cookie, strict.event) is not Access.GRANTED


async def test_a_session_whose_signature_does_not_fit_is_nobodys(strict) -> None:
    cookie = tampered(strict.log_in())
    assert await strict.verifier.identify(cookie) is None
    assert await strict.verifier.may_read(cookie, strict.event) is not Access.GRANTED


async def test_a_session_that_was_logged_out_has_ended(strict) -> None:
    cookie, other = strict.log_in(), strict.log_in()
    strict.log_out(cookie)
    assert await both(strict.verifier, cookie, strict.event) == [None, Access.ENDED]
    assert await both(strict.verifier, other, strict.event) == [strict.user_id, Access.GRANTED]


async def test_the_sessions_of_a_user_who_is_suspended_have_ended(strict) -> None:
    cookie = strict.log_in()
    strict.suspend()
    assert await both(strict.verifier, cookie, strict.event) == [None, Access.ENDED]


# --------------------------------------------------------------------------------- how old it is


async def test_a_recheck_sees_that_a_session_has_ended(strict) -> None:
    cookie = strict.log_in()
    assert await both(strict.verifier, cookie, strict.event) == [strict.user_id, Access.GRANTED]
    strict.log_out(cookie)
    assert await strict.verifier.identify(cookie) in {strict.user_id, None}
    await asyncio.sleep(BEYOND_S)
    assert await strict.verifier.identify(cookie, recheck=True) is None
    access = await strict.verifier.may_read(cookie, strict.event, recheck=True)
    assert access is Access.ENDED


async def test_what_a_recheck_has_seen_holds_for_everybody(strict) -> None:
    cookie = strict.log_in()
    assert await strict.verifier.may_read(cookie, strict.event) is Access.GRANTED
    strict.dismiss()
    await asyncio.sleep(BEYOND_S)
    access = await strict.verifier.may_read(cookie, strict.event, recheck=True)
    assert access is Access.FORBIDDEN
    assert await strict.verifier.may_read(cookie, strict.event) is Access.FORBIDDEN


async def test_who_is_let_in_soon_gets_in(strict) -> None:
    cookie = strict.log_in()
    strict.dismiss()
    assert await strict.verifier.may_read(cookie, strict.event) is Access.FORBIDDEN
    strict.admit()
    async with asyncio.timeout(5):
        access = Access.FORBIDDEN
        while access is not Access.GRANTED:
            await asyncio.sleep(0.1)
            access = await strict.verifier.may_read(cookie, strict.event)


# --------------------------------------------------------------------------- sharing and patience


async def test_all_who_ask_the_same_get_the_same_answer(site) -> None:
    cookie = site.log_in()
    asked = [both(site.verifier, cookie, site.event) for _ in range(200)]
    answers = await asyncio.gather(*asked)
    assert answers == [[site.user_id, Access.GRANTED]] * 200


async def test_a_cancelled_question_is_still_answered_for_the_others(site) -> None:
    cookie = site.log_in()
    asked = [asyncio.create_task(site.verifier.identify(cookie)) for _ in range(3)]
    await asyncio.sleep(0)
    asked[0].cancel()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert answers[1:] == [site.user_id, site.user_id]


async def test_people_do_not_wait_for_rechecks(strict) -> None:
    """Sixty of these take Directus's share of three seconds."""
    cookie = strict.log_in()
    rechecks = [
        asyncio.create_task(strict.verifier.identify(f"{SESSION}=garbage-{n}", recheck=True))
        for n in range(60)
    ]
    await asyncio.sleep(0.1)
    waiting = [each for each in rechecks if not each.done()]  # none, where an answer takes no time
    assert await strict.verifier.identify(cookie) == strict.user_id
    assert not waiting or not all(each.done() for each in waiting)
    assert await asyncio.gather(*rechecks) == [None] * 60


# ---------------------------------------------------------------------------------------- away


@pytest.mark.parametrize("recheck", [False, True])
async def test_nothing_can_be_decided_while_it_is_away(frail, recheck: bool) -> None:
    cookie = frail.log_in()
    verifier = frail.verifier
    await verifier.ask()
    frail.go_away()
    with pytest.raises(Unavailable) as caught:
        await verifier.ask()
    assert (caught.value.dependency, caught.value.reason) == ("directus", "connection")
    with pytest.raises(Unavailable):
        await verifier.identify(cookie, recheck=recheck)
    with pytest.raises(Unavailable):
        await verifier.may_read(cookie, frail.event, recheck=recheck)
    frail.come_back()
    await verifier.ask()
    assert await both(verifier, cookie, frail.event) == [frail.user_id, Access.GRANTED]
