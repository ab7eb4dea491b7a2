"""Which facts go together: one fact may leave to another only some of its values. What cannot happen is never claimed.

A bond points one way, from what is the case to what follows from it: without a record there is no wish. It is used to
tell what would change a decision; no rule depends on it.

Effects: none
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from msgspec.structs import replace

from xenios.decide.adopt import AdoptionFacts, HostSeen
from xenios.decide.facts import (
    HOLDS_MEMORY,
    ON,
    Facts,
    Move,
    PowerChange,
    PowerSeen,
    Quiet,
    WishAge,
    Wished,
    WishedPlace,
    Work,
)
from xenios.decide.ownership import MarkSeen
from xenios.decide.presence import Sighting
from xenios.model.collection import Quality
from xenios.model.record import Custody, DriftPolicy

AnyFacts = TypeVar("AnyFacts")

_NOT_TOLD = frozenset({PowerSeen.UNKNOWN, PowerSeen.UNRECOGNISED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bond:
    """Where `when` holds, the fact has one of these values."""

    when: Callable[[Any], bool]
    fact: str
    allowed: tuple[StrEnum, ...]
    """The first is what it becomes when it has to give way."""


def _no_record(f: Any) -> bool:
    return f.custody is Custody.UNMANAGED


def _bond(when: Callable[[Any], bool], fact: str, *allowed: StrEnum) -> Bond:
    return Bond(when=when, fact=fact, allowed=allowed)


_OF_RECORDS = (
    _bond(
        _no_record,
        "mark",
        MarkSeen.OURS,
        *(mark for mark in MarkSeen if mark not in (MarkSeen.OTHER_RECORD, MarkSeen.OTHER_EPOCH)),
    ),
    _bond(_no_record, "work", Work.IDLE, Work.ANOTHERS),
)

BONDS: Mapping[type, tuple[Bond, ...]] = {
    Facts: (
        *_OF_RECORDS,
        _bond(_no_record, "wished", Wished.NOTHING),
        _bond(_no_record, "wish_age", WishAge.NEW),
        _bond(_no_record, "place", WishedPlace.ANYWHERE),
        _bond(_no_record, "drift", DriftPolicy.FOLLOW),
        _bond(_no_record, "power_change", PowerChange.NONE, PowerChange.SUSPENDED, PowerChange.UNKNOWN),
        _bond(_no_record, "move", Move.NONE),
        _bond(lambda f: f.power not in ON, "place", WishedPlace.ANYWHERE),
        _bond(lambda f: f.power not in ON, "move", Move.NONE),
        _bond(lambda f: f.power in _NOT_TOLD, "power_change", PowerChange.UNKNOWN),
        _bond(lambda f: f.power in HOLDS_MEMORY, "power_change", PowerChange.NONE, PowerChange.STARTED),
        _bond(lambda f: f.power is PowerSeen.SUSPENDED, "power_change", PowerChange.SUSPENDED),
        _bond(
            lambda f: f.power not in HOLDS_MEMORY | _NOT_TOLD | {PowerSeen.SUSPENDED},
            "power_change",
            PowerChange.NONE,
            PowerChange.STOPPED,
        ),
        _bond(lambda f: f.sighting is Sighting.NO_VIEW, "quality", Quality.PARTIAL),
        _bond(lambda f: f.sighting is Sighting.NO_VIEW, "quiet", Quiet.NO_COMPLETE_VIEW),
        _bond(lambda f: f.quality is Quality.COMPLETE, "quiet", Quiet.OVER, Quiet.TOO_EARLY),
        _bond(
            lambda f: f.quality is not Quality.COMPLETE,
            "sighting",
            Sighting.NOT_KNOWN,
            *(
                sighting
                for sighting in Sighting
                if sighting not in (Sighting.NOT_LISTED_ONCE, Sighting.CONFIRMED_ABSENT)
            ),
        ),
    ),
    AdoptionFacts: (
        *_OF_RECORDS,
        _bond(
            lambda f: f.power in HOLDS_MEMORY,
            "host",
            HostSeen.ANSWERS,
            *(host for host in HostSeen if host is not HostSeen.NONE),
        ),
    ),
}
"""By the class of the facts; facts of other tables do not depend on each other."""


def broken_bond(facts: object) -> Bond | None:
    """The first bond that these facts break; None: they can be."""
    for bond in BONDS.get(type(facts), ()):
        if getattr(facts, bond.fact) not in bond.allowed and bond.when(facts):
            return bond
    return None


def with_change(facts: AnyFacts, name: str, value: StrEnum) -> AnyFacts | None:
    """The facts with one of them changed, and what must follow from that; None: it cannot be so beside the others."""
    changed: Any = replace(facts, **{name: value})  # type: ignore[type-var]
    given = {name}
    if isinstance(facts, Facts) and name == "power" and value not in _NOT_TOLD:
        changed = replace(changed, power_change=_power_change(facts, changed))
        given.add("power_change")
    while (bond := broken_bond(changed)) is not None:
        if bond.fact in given:
            return None
        given.add(bond.fact)
        changed = replace(changed, **{bond.fact: bond.allowed[0]})
    return changed  # type: ignore[no-any-return]


def _power_change(before: Facts, after: Facts) -> PowerChange:
    """What the record says about the change, when it was last written as things were before."""
    if after.power is PowerSeen.SUSPENDED:
        return PowerChange.SUSPENDED
    is_on, was_on = after.power in HOLDS_MEMORY, before.power in HOLDS_MEMORY
    if after.custody is Custody.UNMANAGED or before.power in _NOT_TOLD:
        return PowerChange.NONE
    if is_on == was_on:
        return before.power_change
    if before.power_change is not PowerChange.NONE:
        return PowerChange.NONE
    return PowerChange.STARTED if is_on else PowerChange.STOPPED
