"""Human decisions, append-only. A ruling wins over what was computed, and the computed value stays
beside it (contracts/business-schema.md, Written by us)."""

from collections.abc import Mapping
from enum import StrEnum

from attrs import field, frozen


class RulingKind(StrEnum):
    SET_TIME = "set-time"
    SET_START = "set-start"
    VOID_PASS = "void-pass"  # noqa: S105
    VALIDATE = "validate"
    INVALIDATE = "invalidate"
    WAIVE = "waive"
    OVERRIDE = "override"
    ADD_PENALTY = "add-penalty"
    SET_STATUS = "set-status"
    CHOOSE_DEVICE = "choose-device"
    CONFIRM = "confirm"


@frozen
class Ruling:
    """One decision. What `value` holds depends on the kind:

    set-time, set-start {"at": ISO-8601}; override, add-penalty {"seconds": number} and, of
    add-penalty, optionally {"type": text, "outcome": text}; set-status {"status": a result's
    status}; choose-device {"device_id": text}; the others nothing. `supersedes` is the id of a
    ruling that no longer counts. Instants in microseconds.
    """

    id: str
    entry_id: str
    kind: RulingKind
    value: Mapping[str, object] = field(factory=dict)
    stage_id: str | None = None
    segment_id: str | None = None
    object_id: str | None = None
    pass_number: int | None = None
    type: str | None = None
    evidence_from: int | None = None
    evidence_to: int | None = None
    source: str = "steward"
    reason: str = ""
    decided_by: str = ""
    decided_at: int = 0
    supersedes: str | None = None


def in_force(rulings: tuple[Ruling, ...]) -> tuple[Ruling, ...]:
    """Those that no other supersedes, in the order of their decision (then id): of two on the same
    thing the later one counts."""
    gone = {ruling.supersedes for ruling in rulings if ruling.supersedes}
    return tuple(
        sorted(
            (ruling for ruling in rulings if ruling.id not in gone),
            key=lambda ruling: (ruling.decided_at, ruling.id),
        )
    )
