"""Who watches a simulated world: safety at each step with an effect, liveness and state at last.

Safety is judged where the effect is, inside of all faults: when an entry is acknowledged, when a
dead letter is stored, when a row is. Whatever is wrong is wrong at that very step.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from processor.adapters.memory.stream import key_of
from processor.core.model import PANIC, Position
from processor.core.ports import DeadLetter, Outcome
from tests.simulation.traffic import AHEAD_H, DEVICES
from tests.wiring import GROUP

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

FATAL_TRIALS = 3


class Judge:
    """`dead` are the entries that were ever confirmed as dead letters, and why; `taken` those that
    one process settled while another had them, too: its trial may be marked after that."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.dead: dict[str, str] = {}
        self.taken: set[str] = set()
        self.acknowledged = 0

    # -- safety: acked is a subset of durable, no fix twice, only bad records dead ---------------

    def source(self, source: Any, process: "Process") -> Any:
        return _Watched(source, acknowledge=lambda ids: self._acknowledging(ids, process))

    def sink(self, sink: Any, process: "Process") -> Any:
        return _Watched(sink, store=lambda positions: self._storing(positions, process))

    def dead_letters(self, letters: Any) -> Any:
        return _Watched(letters, send=self._burying)

    def trials(self, trials: Any, process: "Process") -> Any:
        def mark(entry_id: str, count: int) -> Any:
            begins = count > self._world.stream.trials.get(entry_id, 0)
            if self._holder(entry_id) is None:
                self.taken.add(entry_id)

            def marked(_: None) -> None:
                process.trying = entry_id if begins else None

            return marked

        def forget(entry_ids: Sequence[str]) -> None:
            if process.trying in entry_ids:
                process.trying = None

        return _Watched(trials, mark=mark, forget=forget)

    def durable(self, entry_id: str) -> bool:
        """Is it a row, or a dead letter? A panic record is only where it is not in its shadow."""
        written = self._world.written[entry_id]
        row = self._world.table.rows.get(written.key) if written.key else None
        if row is not None and written.kind == "good":
            return row.priority == PANIC or written.priority != PANIC or entry_id in self.dead
        return row is not None or entry_id in self.dead

    def _holder(self, entry_id: str) -> str | None:
        """Who was handed an entry last, None if it is settled."""
        group = self._world.stream.groups.get(GROUP)
        delivery = group.pending.get(key_of(entry_id)) if group else None
        return None if delivery is None else delivery.consumer

    def _acknowledging(self, entry_ids: Sequence[str], process: "Process") -> Any:
        for entry_id in entry_ids:
            if self._holder(entry_id) not in (None, process.name):
                self.taken.add(entry_id)
            gone = entry_id in self._world.endangered  # nothing is left to store
            assert gone or self.durable(entry_id), f"{entry_id} acknowledged, not durable"
        self.acknowledged += len(entry_ids)

    def _burying(self, letters: Sequence[DeadLetter]) -> Any:
        for letter in letters:
            entry_id, reason = letter.entry.id, letter.cause.reason.value
            written = self._world.written[entry_id]
            if reason == "conflict":
                others = [
                    each.priority
                    for each in self._world.written.values()
                    if each.key == written.key
                ]
                assert min(others) < PANIC == written.priority, f"{entry_id}: no conflict"
            elif reason == "kills-the-process":
                deadly = self._world.deadly_trials[entry_id] >= FATAL_TRIALS
                assert written.kind == "deadly" or deadly, f"{entry_id} condemned, and innocent"
            else:
                assert reason in written.reasons(), f"{entry_id} ({written.kind}) dead: {reason}"
            assert letter.entry.fields == written.fields, f"{entry_id} was changed"

        def stored(_: None) -> None:
            for letter in letters:
                self.dead[letter.entry.id] = letter.cause.reason.value

        return stored

    def _storing(self, positions: Sequence[Position], process: "Process") -> Any:
        before = dict(self._world.table.rows)
        keys = [(p.fixed_at.date(), *p.key) for p in positions]
        assert keys == sorted(set(keys)), "a batch out of order, or with a key twice"

        def stored(outcomes: Sequence[Outcome]) -> None:
            rows = self._world.table.rows
            assert all(rows[key] is row for key, row in before.items()), "a row was changed"
            for position, outcome in zip(positions, outcomes, strict=True):
                if outcome is Outcome.INSERTED:
                    process.inserted[position.device_id] += 1

        return stored

    # -- liveness, and the state, once everything has healed --------------------------------------

    def everything_has_its_place(self) -> None:
        world = self._world
        for entry_id, written in world.written.items():
            if entry_id in world.endangered and not self.durable(entry_id):
                continue
            assert self.durable(entry_id), f"{entry_id} ({written.kind}) is nowhere"
        wanted = {written.key for written in world.written.values() if written.kind == "good"}
        assert world.table.rows.keys() <= wanted, "a row that nobody wrote"
        # Whoever is read for the first time again, as the group was lost, is no suspect any more.
        begun_again = world.happened["the group destroyed"] + world.happened["a fail-over"]
        # And a mark stays that could not be taken back, or whose trial died with its process, if it
        # is another who settles the entry.
        left = world.stream.trials.keys() - world.endangered - world.interrupted - self.taken
        assert begun_again or not left, f"marks are left of {left}"

    def what_was_lost_was_said(self, said: int) -> None:
        """Where nobody died and no reply was lost, the numbers are the same."""
        world = self._world
        lost = [entry_id for entry_id in world.endangered if not self.durable(entry_id)]
        assert said >= len(lost), f"{len(lost)} lost, {said} said"

    def the_states_are_right(self, process: "Process") -> None:
        """As one that reads all rows, one after another, would have them."""
        for device_id in DEVICES:
            state = process.states.get(device_id)
            if state is None:
                assert len(process.states) == process.devices, f"{device_id} is unknown"
                continue
            newest = self._newest(device_id)
            assert state.last_position == newest, f"{device_id}: {state.last_position}"
            assert state.last_seen == (newest.fixed_at if newest else None)

    def _newest(self, device_id: str) -> Position | None:
        fits: dict[datetime, Position] = {}
        for row in self._world.table.rows.values():
            ahead_s = row.fixed_at.timestamp() - self._world.clock.now() / 1000
            honest = row.satellites > 0 and ahead_s < AHEAD_H * 1800
            if row.device_id == device_id and honest:
                fits[row.fixed_at] = row
        return fits[max(fits)] if fits else None


class _Watched:
    """A port, some of whose methods are looked at: before, and, where that gives back a function,
    after they took effect."""

    def __init__(self, port: Any, **looks: Any) -> None:
        self._port = port
        self._looks = looks

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        look = self._looks.get(name)
        if look is None:
            return method

        async def call(*arguments: Any) -> Any:
            after = look(*arguments)
            answer = await method(*arguments)
            if after is not None:
                after(answer)
            return answer

        return call
