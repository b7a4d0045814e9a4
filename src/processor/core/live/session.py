"""One browser's side of the conversation: what it says, what it may say, and when it has said
enough. Pure: text and time go in, a command or an answer comes out.

| it says                                 | it gets                  | too often            |
|-----------------------------------------|--------------------------|----------------------|
| more than `rate` a second after a burst | `rate-limited`           | 10th answer: 4429    |
| what is no message of ours              | `bad-message`            | 3rd: 4400            |
| a topic that is not `event:<uuid>`      | `unknown-topic`          |                      |
| one subscription too many               | `too-many-subscriptions` |                      |
| an event that it may not read           | `forbidden`              | 10 in a minute: 4403 |
"""

from collections import deque

from attrs import field, frozen, mutable

from processor.core.live.messages import (
    Code,
    Command,
    ErrorMessage,
    NotUnderstood,
    Subscribe,
    event_of,
    read_command,
)

BAD_MESSAGES_MAX = 3
RATE_LIMITED_MAX = 10
RATE_LIMITED_EVERY_S = 1.0
FORBIDDEN_MAX = 10
FORBIDDEN_WITHIN_S = 60.0
"""The contract's numbers: a client with a bug gets some sentences to learn from it, and whoever
only tries out what there is to find is sent away."""


@frozen
class SessionLimits:
    """`rate` messages a second, after a `burst`; `subscriptions` at a time."""

    rate: int
    burst: int
    subscriptions: int


@frozen
class Heard:
    """What came of a message: something to do, something to answer, a reason to hang up."""

    command: Command | None = None
    answer: ErrorMessage | None = None
    hang_up: int | None = None


@mutable
class Bucket:
    """So many a second, after so many at once. Times are monotonic, in seconds."""

    rate: float
    burst: float
    _tokens: float = field(init=False)
    _filled_s: float | None = None

    def __attrs_post_init__(self) -> None:
        self._tokens = self.burst

    def spend(self, now_s: float) -> bool:
        """Whether there was one left; it is taken."""
        if self._filled_s is not None:
            grown = self._tokens + (now_s - self._filled_s) * self.rate
            self._tokens = min(self.burst, grown)
        self._filled_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    @property
    def empty(self) -> bool:
        return self._tokens < 1


@mutable
class Session:
    """`topics` are those subscribed to, or about to be. Times are monotonic, in seconds."""

    limits: SessionLimits
    now_s: float
    topics: set[str] = field(factory=set)
    _messages: Bucket = field(init=False)
    _bad: int = 0
    _limited: int = 0
    _limited_said_s: float | None = None
    _forbidden_s: deque[float] = field(factory=lambda: deque(maxlen=FORBIDDEN_MAX))

    def __attrs_post_init__(self) -> None:
        self._messages = Bucket(self.limits.rate, self.limits.burst)

    def hear(self, text: str, now_s: float) -> Heard:
        """Judge a message. A command that comes out has a known form of topic, and room."""
        if not self._messages.spend(now_s):
            return self._too_fast(text, now_s)
        try:
            command = read_command(text)
        except NotUnderstood as error:
            return self._not_understood(error)
        if event_of(command.topic) is None:
            sentence = "a topic is event:<uuid>, in lower case"
            return self._refused(command, Code.UNKNOWN_TOPIC, sentence)
        if isinstance(command, Subscribe):
            if command.include:
                sentence = "this version has no racing frames: leave out include"
                return self._refused(command, Code.ERROR, sentence)
            most = self.limits.subscriptions
            if command.topic not in self.topics and len(self.topics) >= most:
                sentence = f"{most} subscriptions a connection: unsubscribe from one first"
                return self._refused(command, Code.TOO_MANY_SUBSCRIPTIONS, sentence)
        return Heard(command)

    @property
    def exhausted(self) -> bool:
        """Has it said as much as it may for now?"""
        return self._messages.empty

    def forbidden(self, now_s: float) -> int | None:
        """Note that an event was forbidden; a close code if that happens too often."""
        seen = self._forbidden_s
        seen.append(now_s)
        often = len(seen) == FORBIDDEN_MAX and now_s - seen[0] <= FORBIDDEN_WITHIN_S
        return 4403 if often else None

    def _too_fast(self, text: str, now_s: float) -> Heard:
        said_s = self._limited_said_s
        if said_s is not None and now_s - said_s < RATE_LIMITED_EVERY_S:
            return Heard()
        self._limited_said_s = now_s
        self._limited += 1
        rate = self.limits.rate
        sentence = f"{rate} messages a second: nothing is done about this one"
        answer = ErrorMessage(Code.RATE_LIMITED, sentence, *_named(text))
        return Heard(answer=answer, hang_up=4429 if self._limited >= RATE_LIMITED_MAX else None)

    def _not_understood(self, error: NotUnderstood) -> Heard:
        self._bad += 1
        answer = ErrorMessage(Code.BAD_MESSAGE, error.sentence, error.topic, error.id)
        return Heard(answer=answer, hang_up=4400 if self._bad >= BAD_MESSAGES_MAX else None)

    def _refused(self, command: Command, code: Code, sentence: str) -> Heard:
        return Heard(answer=ErrorMessage(code, sentence, command.topic, command.id))


def _named(text: str) -> tuple[str | None, str | None]:
    """Topic and id of a message that nothing is done about; who sent it waits for its answer."""
    try:
        command = read_command(text)
    except NotUnderstood as error:
        return error.topic, error.id
    return command.topic, command.id
