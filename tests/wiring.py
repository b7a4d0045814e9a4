"""The role `ingest` as production wires it, on a stream and a table in memory.

Tests that play with time and faults take it from here, so that a new part of the role is in each
of them, and the container itself is what they try.
"""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve
from dependency_injector import providers

from processor.adapters.memory.membership import MemoryMembership, MemoryTrials
from processor.adapters.memory.positions import MemoryPositionSink, MemoryTable
from processor.adapters.memory.states import MemoryStateStore
from processor.adapters.memory.stream import MemoryDeadLetters, MemoryStream, MemoryStreamSource
from processor.core.ports import Chance, Clock, Observer
from processor.entrypoints.container import IngestRole
from processor.entrypoints.reading import read
from processor.entrypoints.settings import RunSettings

NOWHERE = {"REDIS_URL": "redis://nowhere", "POSTGRES_URL": "postgresql://nowhere/rally"}
DEFAULTS = read(RunSettings, NOWHERE | {"ROLES": "ingest"})
GROUP = "processor"


def ingest_on_memory(
    stream: MemoryStream,
    table: MemoryTable,
    *,
    consumer: str,
    clock: Clock,
    chance: Chance,
    observer: Observer,
    limits: Mapping[str, int] | None = None,
    suffer: Callable[[str, Any], Any] = lambda _, part: part,
) -> IngestRole:
    """`role.ingest()` is the loop. `limits` are settings of ingest that are not the defaults, by
    their names in IngestSettings; `suffer` gets each part of the role by its name, and gives back
    what takes its place."""
    role = IngestRole(
        settings=evolve(DEFAULTS, ingest=evolve(DEFAULTS.ingest, **limits or {})),
        instance_id=consumer,
        consumer=consumer,
        clock=providers.Object(clock),
        chance=providers.Object(chance),
        observer=providers.Object(observer),
    )
    parts = {
        "source": MemoryStreamSource(stream, group=GROUP, consumer=consumer),
        "membership": MemoryMembership(stream, group=GROUP, consumer=consumer),
        "trials": MemoryTrials(stream),
        "dead_letters": MemoryDeadLetters(stream, instance_id=consumer),
        "sink": MemoryPositionSink(table),
        "state_store": MemoryStateStore(table, clock_ahead_ms=60_000),
    }
    for name, part in parts.items():
        role.providers[name].override(providers.Object(suffer(name, part)))
    return role
