"""The loop: take an input that is known, change it, look what becomes of it, keep what is new.

An input is kept if its outcome's `signature` was not seen before. That is coarser than counting
lines and costs nothing, and it has no clock in it: input number n of a seed is the same on every
machine, so what a failure prints replays exactly.
"""

import gc
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from attrs import field, mutable

from proof.fuzz import Broken
from proof.fuzz.mutators import mutate

KEPT_MAX = 3_000
"""Inputs that are kept: beyond that new ones take the place of old ones."""

WEIGHED_EACH = 500
"""Every so many inputs one is weighed, and so is each that is kept."""

PROMISE = 12
"""Letters by which one broken promise is told from another while an input is made smaller."""

SHRUNK_WITHIN_S = 10.0
"""For making a found input smaller: who looks at it waits."""


class Target(Protocol):
    """What is fuzzed: a module with these names."""

    NAME: str

    def seeds(self) -> list[bytes]: ...

    def check(self, data: bytes) -> str:
        """The outcome's name. Raises Broken."""
        ...

    def signature(self, data: bytes) -> str:
        """What makes an input worth keeping; it was checked before."""
        ...

    def weigh(self, data: bytes) -> None:
        """Raises Broken if it takes too much memory."""
        ...


@mutable
class Tally:
    """What came of a run."""

    target: str
    seed: int
    inputs: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(factory=Counter)
    kept: int = 0


class Found(AssertionError):
    """An input broke a promise: which, by which input, how to see it again. `guided` inputs have
    no number by which they could be had again: they are what is told."""

    def __init__(self, tally: Tally, data: bytes, broken: Broken, *, guided: bool = False) -> None:
        shown = repr(data) if len(data) <= 2_000 else f"{data[:2_000]!r} .. of {len(data)} bytes"
        target, seed, number = tally.target, tally.seed, tally.inputs
        again = f"\n  again: make fuzz TARGET={target} SEED={seed} INPUTS={number}"
        super().__init__(
            f"{broken}\n  target {target}, input {number} of seed {seed}: {shown}"
            + ("" if guided else again)
        )
        self.data, self.broken = data, broken


def run(
    target: Target,
    seed: int,
    *,
    seconds: float = float("inf"),
    inputs: float = float("inf"),
    heard: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Fuzz until that many seconds or inputs are over. `heard` is told every second how it goes.

    Raises Found, with the input made small.
    """
    chance = random.Random(f"{target.NAME} {seed}")
    first = target.seeds()
    pool, seen, tally = list(first), set[str](), Tally(target.NAME, seed)
    began_s = said_s = time.monotonic()
    gc.collect()
    gc.freeze()  # or the collector looks at all of it while an input's time is taken
    try:
        while tally.inputs < inputs:
            now_s = time.monotonic()
            tally.seconds = now_s - began_s
            if tally.seconds >= seconds:
                break
            if now_s - said_s >= 1:
                said_s = now_s
                heard(tally)
            place, tally.inputs = tally.inputs, tally.inputs + 1
            data = (
                first[place]
                if place < len(first)
                else mutate(_parent(pool, len(first), chance), pool, chance)
            )
            try:
                tally.outcomes[target.check(data)] += 1
                new = (signature := target.signature(data)) not in seen
                if new or place % WEIGHED_EACH == 0:
                    target.weigh(data)
            except Broken as broken:
                small, broken = smaller(target, data, broken)
                raise Found(tally, small, broken) from broken
            if new:
                seen.add(signature)
                tally.kept = len(seen)
                if len(pool) < KEPT_MAX:
                    pool.append(data)
                else:
                    pool[chance.randrange(len(first), KEPT_MAX)] = data
    finally:
        gc.unfreeze()
    return tally


def _parent(pool: list[bytes], first: int, chance: random.Random) -> bytes:
    """One of those that are kept: the latest more often, for what is new is not explored yet, and
    the `first` ones more often, for what is sound can go wrong in most ways."""
    way = chance.random()
    if way < 0.25:
        return pool[-chance.randint(1, min(20, len(pool)))]
    return pool[chance.randrange(first)] if way < 0.65 else chance.choice(pool)


def smaller(target: Target, data: bytes, broken: Broken) -> tuple[bytes, Broken]:
    """A shorter input that breaks the same promise (the first words of it), and how it says so."""
    promise = str(broken)[:PROMISE]
    deadline_s = time.monotonic() + SHRUNK_WITHIN_S
    piece = len(data) // 2
    while piece and time.monotonic() < deadline_s:
        place = 0
        while place < len(data) and time.monotonic() < deadline_s:
            less = data[:place] + data[place + piece :]
            try:
                target.check(less)
                target.weigh(less)
            except Broken as still:
                if str(still)[:PROMISE] == promise:
                    data, broken = less, still
                    continue
            place += piece
        piece //= 2
    return data, broken
