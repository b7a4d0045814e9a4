"""Who is let in, by headers and by head count; and what a session may say, in any order."""

from collections import Counter, deque
from itertools import count

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from processor.core.live.admission import Admission, House
from processor.core.live.messages import Code, Subscribe, Unsubscribe
from processor.core.live.session import (
    BAD_MESSAGES_MAX,
    FORBIDDEN_MAX,
    FORBIDDEN_WITHIN_S,
    RATE_LIMITED_EVERY_S,
    RATE_LIMITED_MAX,
    Session,
    SessionLimits,
)

ORIGIN = "https://rally.example"


def house(**values: object) -> House:
    usual: dict[str, object] = {
        "origins": frozenset({ORIGIN}),
        "allow_no_origin": False,
        "own_page": False,
        "cookie_needed": True,
        "loopback_only": False,
        "most": 4,
        "most_per_user": 2,
    }
    return House(**(usual | values))


def knock(door: Admission, **headers: str | None) -> int | None:
    refusal = door.knock(**({"origin": ORIGIN, "host": "x", "cookie": "a=b"} | headers))
    return refusal.status if refusal else None


def test_a_refusal_takes_no_place() -> None:
    door = Admission(house())
    assert knock(door) == 503, "closed"
    door.missing.clear()
    assert knock(door, origin="https://evil.example") == 403
    assert knock(door, origin=None) == 403
    assert knock(door, cookie="") == 401
    assert door._asking == 0


def test_origin_goes_before_cookie_and_cookie_before_room() -> None:
    door = Admission(house())
    assert knock(door, origin=None, cookie="") == 403
    assert knock(door, cookie="") == 401


def test_in_an_open_house_no_cookie_is_needed() -> None:
    door = Admission(house(cookie_needed=False), missing=set())
    assert knock(door, cookie="") is None


@pytest.mark.parametrize("port", ["", ":80", ":65535"])
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LocalHost", "[::1]"])
def test_names_of_this_machine(name: str, port: str) -> None:
    assert knock(Admission(house(loopback_only=True), missing=set()), host=name + port) is None


@pytest.mark.parametrize(
    "host",
    ["", ":80", "::1", "evil.example", "127.0.0.1.evil.example", "127.0.0.1:", "127.0.0.1:x",
     "localhost:80:80", "[::1]x", "[::1", "127.0.0.1:123456", "127.0.0.1\n", "127.0.0.1:80, x",
     "127.0.0.1:٨٠"],
)  # fmt: skip
def test_no_names_of_this_machine(host: str) -> None:
    assert knock(Admission(house(loopback_only=True), missing=set()), host=host) == 403


class AdmissionMachine(RuleBasedStateMachine):
    """Against two counters that are too simple to be wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.door = Admission(house(), missing=set())
        self.asking = 0
        self.inside: Counter[str] = Counter()

    @rule(is_open=st.booleans())
    def turn(self, is_open: bool) -> None:
        self.door.missing = set() if is_open else {"stream"}

    @rule()
    def knock(self) -> None:
        full = self.asking + self.inside.total() >= 4
        status = knock(self.door)
        assert status == (503 if full or not self.door.open else None)
        self.asking += status is None

    @precondition(lambda self: self.asking)
    @rule()
    def give_up(self) -> None:
        self.door.give_up()
        self.asking -= 1

    @precondition(lambda self: self.asking)
    @rule(user=st.sampled_from("ab"))
    def enter(self, user: str) -> None:
        refusal = self.door.enter(user)
        self.asking -= 1
        if not self.door.open:
            assert refusal.status == 503
        elif self.inside[user] >= 2:
            assert refusal.status == 429
        else:
            assert refusal is None
            self.inside[user] += 1

    @precondition(lambda self: self.inside.total())
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        user = data.draw(st.sampled_from(sorted(+self.inside)))
        self.door.leave(user)
        self.inside[user] -= 1

    @invariant()
    def nobody_is_too_many(self) -> None:
        assert self.door._inside == +self.inside
        assert all(self.door._inside.values()), "who is gone is forgotten"
        assert self.door._asking == self.asking
        assert self.asking + self.inside.total() <= 4
        assert max(self.inside.values(), default=0) <= 2


TestAdmission = AdmissionMachine.TestCase

LIMITS = SessionLimits(rate=2, burst=5, subscriptions=3)
EVENTS = [f"event:6f9619ff-8b86-d011-b42d-00cf4fc964f{n}" for n in range(6)]


class SessionMachine(RuleBasedStateMachine):
    """A client that says anything at any pace is read no faster, answered no oftener and kept no
    longer than the contract says."""

    @initialize(start_s=st.floats(0, 1e6))
    def begin(self, start_s: float) -> None:
        self.now_s = start_s
        self.session = Session(LIMITS, start_s)
        self.read_s: list[float] = []
        self.limited_s: list[float] = []
        self.bad = 0
        self.forbidden_s: deque[float] = deque()
        self.ids = count()

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.25, 0.5, 0.999, 1.0, 7.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(event=st.sampled_from(EVENTS))
    def subscribe(self, event: str) -> None:
        heard = self._say(f'{{"type":"subscribe","topic":"{event}"}}')
        if heard is None:
            return
        if event in self.session.topics or len(self.session.topics) < LIMITS.subscriptions:
            assert heard.command == Subscribe(event)
            self.session.topics.add(event)
        else:
            assert heard.answer.code == Code.TOO_MANY_SUBSCRIPTIONS
            assert heard.answer.topic == event

    @rule(event=st.sampled_from(EVENTS))
    def unsubscribe(self, event: str) -> None:
        heard = self._say(f'{{"type":"unsubscribe","topic":"{event}"}}')
        if heard is not None:
            assert heard.command == Unsubscribe(event)
            self.session.topics.discard(event)

    @rule()
    def name_no_event(self) -> None:
        request_id = str(next(self.ids))
        heard = self._say(f'{{"type":"subscribe","topic":"x","id":"{request_id}"}}')
        if heard is not None:
            assert heard.command is heard.hang_up is None
            assert (heard.answer.code, heard.answer.id) == (Code.UNKNOWN_TOPIC, request_id)

    @rule(text=st.sampled_from(["", "{", "[]", '{"type":"x"}']))
    def babble(self, text: str) -> None:
        heard = self._say(text)
        if heard is not None:
            self.bad += 1
            assert heard.answer.code == Code.BAD_MESSAGE
            assert heard.hang_up == (4400 if self.bad >= BAD_MESSAGES_MAX else None)

    @rule()
    def be_forbidden(self) -> None:
        self.forbidden_s.append(self.now_s)
        recent = [each for each in self.forbidden_s if self.now_s - each <= FORBIDDEN_WITHIN_S]
        code = 4403 if len(recent) >= FORBIDDEN_MAX else None
        assert self.session.forbidden(self.now_s) == code

    def _say(self, text: str):
        """What is heard, or None where the message was not read."""
        heard = self.session.hear(text, self.now_s)
        if heard.answer and heard.answer.code == Code.RATE_LIMITED:
            self.limited_s.append(self.now_s)
            over = len(self.limited_s) >= RATE_LIMITED_MAX
            assert heard.hang_up == (4429 if over else None)
            return None
        if heard.command is heard.answer is None:
            assert self.now_s - self.limited_s[-1] < RATE_LIMITED_EVERY_S, "silence has a reason"
            return None
        self.read_s.append(self.now_s)
        return heard

    @invariant()
    def never_more_than_the_allowed(self) -> None:
        if not hasattr(self, "session"):
            return
        read_s = self.read_s
        for index, since_s in enumerate(read_s[-40:], max(0, len(read_s) - 40)):
            allowed = LIMITS.burst + LIMITS.rate * (read_s[-1] - since_s)
            assert len(read_s) - index <= allowed + 1e-6
        pairs = zip(self.limited_s, self.limited_s[1:], strict=False)
        assert all(later - sooner >= RATE_LIMITED_EVERY_S for sooner, later in pairs)
        assert len(self.session.topics) <= LIMITS.subscriptions
        assert len(self.session._forbidden_s) <= FORBIDDEN_MAX


TestSession = SessionMachine.TestCase


def test_after_a_silence_there_is_one_burst_and_no_more() -> None:
    session = Session(LIMITS, 0.0)
    assert [session._messages.spend(1e9) for _ in range(7)] == [True] * 5 + [False] * 2
    assert session.exhausted
    assert [session._messages.spend(1e9 + 0.5) for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("text", "topic", "request_id"),
    [
        ('{"type":"subscribe","topic":"t","id":"7"}', "t", "7"),
        ('{"type":"subscribe","topic":"t"}', "t", None),
        ('{"type":"nonsense","id":"7"}', None, "7"),
        ("nonsense", None, None),
    ],
)
def test_who_is_too_fast_is_told_which_message_it_was(text, topic, request_id) -> None:
    session = Session(SessionLimits(rate=1, burst=1, subscriptions=1), 0.0)
    session.hear("", 0.0)
    answer = session.hear(text, 0.0).answer
    assert (answer.code, answer.topic, answer.id) == (Code.RATE_LIMITED, topic, request_id)


def test_the_door_opens_when_stream_and_devices_are_known_and_once_closed_it_stays_closed() -> None:
    door = Admission(house())
    door.has("stream")
    assert knock(door) == 503, "which device drives where has not been asked"
    door.has("devices")
    assert knock(door) is None
    door.close()
    door.has("stream")
    assert knock(door) == 503
