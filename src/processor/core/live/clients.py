"""The browsers that are connected: what each asks, and the answer.

A subscription goes: may the user read the event? -> join -> snapshot -> answer -> stream. It is
joined before the database is asked, and from the answer on it is sent what moves; what was read
from the stream in between is in the snapshot, because live itself knows it.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from typing import TypeVar

from attrs import define, field

from processor.core.errors import Refused, Unavailable
from processor.core.live.messages import (
    Answer,
    Code,
    Command,
    ErrorMessage,
    Subscribe,
    Unsubscribed,
    event_of,
    kind_of,
    text_of,
    topic_of,
)
from processor.core.live.registry import Registry
from processor.core.live.session import Bucket, Session, SessionLimits
from processor.core.live.snapshot import SnapshotMaker, Stored
from processor.core.notices import Answered, AudienceCounted, SnapshotTaken
from processor.core.ports import (
    Access,
    AuthVerifier,
    Broadcaster,
    Clock,
    Line,
    Observer,
    Snapshot,
    Snapshots,
)

T = TypeVar("T")

SESSION_ENDED = 4401

TRAILS_A_SECOND, TRAILS_AT_ONCE = 1, 5
"""Answers with trails for one connection. Each keeps the loop for some ten milliseconds and a
session of the database for fifty: a page asks once, and nobody may live on it."""

REFUSALS: Mapping[Access, tuple[Code, str]] = {
    Access.FORBIDDEN: (Code.FORBIDDEN, "you may not read this event"),
    Access.NOT_FOUND: (Code.NOT_FOUND, "there is no such event"),
}
UNDECIDED = (
    Code.UNAVAILABLE,
    "it cannot be decided now whether you may read this: try again",
)
OVERTAKEN = (Code.ERROR, "unsubscribed, or subscribed anew, before the answer was there")


@define(eq=False)
class Client:
    """One connection of one user. `cookie` is what it came with: for Directus, never shown.
    `asking` are its subscribes for which leave is being asked, by topic, in their order; `trails`
    is how many answers with trails it may still have."""

    line: Line
    user_id: str
    cookie: str
    session: Session
    checked_s: float
    asking: dict[str, list[Subscribe]] = field(factory=dict)
    trails: Bucket = field(factory=lambda: Bucket(TRAILS_A_SECOND, TRAILS_AT_ONCE))

    def ask(self, asked: Subscribe) -> None:
        self.session.topics.add(asked.topic)
        self.asking.setdefault(asked.topic, []).append(asked)

    def decided(self, asked: Subscribe) -> bool:
        """Whether this subscribe is still wanted: no unsubscribe came after it, and none that was
        said later was decided first. Those said earlier are wanted no more."""
        waiting = self.asking.get(asked.topic, [])
        for place, each in enumerate(waiting):
            if each is asked:
                self.asking[asked.topic] = waiting[place + 1 :]
                return True
        return False

    def drop(self, topic: str) -> None:
        self.session.topics.discard(topic)
        self.asking.pop(topic, None)

    def __repr__(self) -> str:
        return "Client(...)"


class Clients:
    """All connections of this instance."""

    def __init__(
        self,
        *,
        registry: Registry,
        maker: SnapshotMaker,
        snapshots: Snapshots,
        verifier: AuthVerifier,
        broadcaster: Broadcaster,
        clock: Clock,
        observer: Observer,
        limits: SessionLimits,
        snapshot_timeout_ms: int,
    ) -> None:
        self._registry = registry
        self._maker = maker
        self._snapshots = snapshots
        self._verifier = verifier
        self._broadcaster = broadcaster
        self._clock = clock
        self._observer = observer
        self._limits = limits
        self._snapshot_timeout_s = snapshot_timeout_ms / 1000
        self._clients: dict[Line, Client] = {}

    def __len__(self) -> int:
        return len(self._clients)

    def connected(self) -> list[Client]:
        return list(self._clients.values())

    def is_connected(self, client: Client) -> bool:
        return client.line in self._clients

    def arrive(self, line: Line, user_id: str, cookie: str) -> Client:
        """Somebody whom Directus knows as this user is connected."""
        now_s = self._clock.elapsed()
        client = Client(line, user_id, cookie, Session(self._limits, now_s), now_s)
        self._clients[line] = client
        self._count()
        return client

    def leave(self, client: Client) -> None:
        """The connection is gone."""
        self._registry.hang_up(client.line)
        self._clients.pop(client.line, None)
        client.cookie = ""  # whoever still holds the client has no use for it
        self._count()

    def hear(self, client: Client, text: str) -> Subscribe | None:
        """Take in a message and answer what can be answered at once. What comes back needs
        `subscribe`, beside whatever else the client says meanwhile."""
        heard = client.session.hear(text, self._clock.elapsed())
        if heard.answer:
            self._tell(client, heard.answer)
        if heard.hang_up:
            client.line.close(heard.hang_up, heard.answer.message if heard.answer else "")
            return None
        return self._begin(client, heard.command) if heard.command else None

    def _begin(self, client: Client, command: Command) -> Subscribe | None:
        if isinstance(command, Subscribe):
            client.ask(command)
            return command
        event_id = event_of(command.topic)
        assert event_id is not None, "a session lets no other topic pass"
        client.drop(command.topic)
        self._registry.leave(client.line, event_id)
        self._tell(client, Unsubscribed(command.topic, command.id))
        self._count()
        return None

    # -- subscribe: authorise, join, snapshot, answer ----------------------------------------

    async def subscribe(self, client: Client, asked: Subscribe) -> None:
        """Answer a subscribe, one way or the other."""
        event_id = event_of(asked.topic)
        assert event_id is not None, "a session lets no other topic pass"
        access = None
        with suppress(Unavailable):
            access = await self._verifier.may_read(client.cookie, event_id)
        wanted = client.decided(asked)
        if not self.is_connected(client):
            return
        if access is None:
            self._refuse(client, asked, *UNDECIDED)
        elif access is Access.ENDED:
            client.line.close(SESSION_ENDED, "the session has ended")
        elif access is not Access.GRANTED:
            self._registry.leave(client.line, event_id)  # it may have been readable before
            self._count()
            self._refuse(client, asked, *REFUSALS[access])
            if access is Access.FORBIDDEN and (
                code := client.session.forbidden(self._clock.elapsed())
            ):
                client.line.close(code, "too many events that you may not read")
        elif not wanted:
            self._refuse(client, asked, *OVERTAKEN)
        else:
            await self._grant(client, event_id, asked)

    def _refuse(self, client: Client, asked: Subscribe, code: Code, sentence: str) -> None:
        topics = [topic_of(each.topic.event_id) for each in self._registry.of(client.line)]
        if asked.topic not in topics and not client.asking.get(asked.topic):
            client.drop(asked.topic)
        self._tell(client, ErrorMessage(code, sentence, asked.topic, asked.id))

    async def _grant(self, client: Client, event_id: str, asked: Subscribe) -> None:
        subscription = self._registry.join(client.line, event_id, asked)
        self._count()
        began_s = self._clock.elapsed()
        stored = await self._stored(client, event_id, asked)
        if not self._registry.is_joined(subscription):
            if self.is_connected(client):
                self._refuse(client, asked, *OVERTAKEN)
            return
        answer, floors = self._maker.made(subscription, stored, self._clock.now())
        self._tell(client, answer)
        self._registry.answer(subscription, floors)
        seconds = self._clock.elapsed() - began_s
        self._observer.observe(SnapshotTaken(len(answer.snapshot), seconds, stored.fault))

    async def _stored(self, client: Client, event_id: str, asked: Subscribe) -> Stored:
        """What the database has, if it says so in time. Trails, which take it longer, do not take
        the snapshot with them; who asks for them too often gets none."""
        newest = self._in_time(self._snapshots.newest(event_id, self._maker.held(event_id)))
        if not asked.history or not client.trails.spend(self._clock.elapsed()):
            known, fault = await newest
            return Stored(known or Snapshot(()), fault=fault)
        count = self._maker.trail_count(event_id, asked)
        trails = self._snapshots.trails(event_id, count, attributes=asked.attributes)
        (known, fault), (past, other) = await asyncio.gather(newest, self._in_time(trails))
        return Stored(known or Snapshot(()), past, fault or other)

    async def _in_time(self, question: Awaitable[T]) -> tuple[T | None, str | None]:
        """The answer, or why there is none."""
        try:
            async with asyncio.timeout(self._snapshot_timeout_s):
                return await question, None
        except TimeoutError:
            return None, "no answer in time"
        except (Unavailable, Refused) as error:
            return None, error.sentence

    # -- recheck, and small things -----------------------------------------------------------

    async def recheck(self, client: Client) -> None:
        """Look again who this is, and what may be read. Raises Unavailable if it cannot be known:
        then everything stays as it is."""
        user_id = await self._verifier.identify(client.cookie, recheck=True)
        if user_id != client.user_id:
            client.line.close(SESSION_ENDED, "the session has ended")
            return
        for subscription in self._registry.of(client.line):
            event_id = subscription.topic.event_id
            access = await self._verifier.may_read(client.cookie, event_id, recheck=True)
            if access is Access.ENDED:
                client.line.close(SESSION_ENDED, "the session has ended")
                return
            if access is not Access.GRANTED and self._registry.is_joined(subscription):
                self._registry.leave(client.line, event_id)
                client.drop(topic_of(event_id))
                # Also where it is not found any more: to this user it is one and the same.
                self._tell(client, ErrorMessage(*REFUSALS[Access.FORBIDDEN], topic_of(event_id)))
                self._count()
        client.checked_s = self._clock.elapsed()

    def longest_unchecked_s(self) -> float:
        """How long ago whoever waits longest for a recheck was looked at; 0 where nobody is."""
        now_s = self._clock.elapsed()
        return max((now_s - client.checked_s for client in self._clients.values()), default=0.0)

    def _tell(self, client: Client, answer: Answer) -> None:
        self._broadcaster.broadcast(text_of(answer), [client.line])
        self._observer.observe(Answered(kind_of(answer)))

    def _count(self) -> None:
        self._observer.observe(AudienceCounted(len(self._clients), len(self._registry)))
