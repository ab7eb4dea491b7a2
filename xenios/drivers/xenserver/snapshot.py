"""A whole pool in one answer: event.from with no token gives every object, the counts of rows, and the next token.

It is consistent in itself and takes one question where reading class by class takes sixteen; for fifty small pools that
is most of the work. The price is that it comes whole or not at all, so reading.py knows the other way as well.

Each event is decoded straight into the record of its class: the class's name is what tells the types apart.

Source: ocaml/xapi/xapi_event.ml (from_inner); docs/benchmarks.md has the figures.

Effects: none
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

import msgspec

from xenios.drivers.xenserver.mirror import WATCHED
from xenios.drivers.xenserver.records import CLASSES, Record, Records, Ref

BEGINNING = ""
"""The token before everything."""
_DELETED = "del"


class _Existing(msgspec.Struct, tag_field="class", gc=False):
    """An object as it is; one without a record is deleted."""

    operation: str
    ref: Ref


_EXISTING = {
    name: msgspec.defstruct(
        f"Existing_{name}",
        [("snapshot", CLASSES[name] | msgspec.UnsetType, msgspec.UNSET)],
        bases=(_Existing,),
        tag=name.lower(),
        gc=False,
    )
    for name in WATCHED
}
_CLASS_OF = {kind: name for name, kind in _EXISTING.items()}
_AnyExisting: Any = reduce(or_, _EXISTING.values())


class Snapshot(msgspec.Struct):
    """What event.from answers to the beginning, with every value as XAPI writes it."""

    events: list[_AnyExisting]
    token: str
    valid_ref_counts: dict[str, int] = {}

    def records(self) -> Records:
        """The pool's records."""
        tables: dict[str, dict[Ref, Record]] = {name: {} for name in WATCHED}
        for event in self.events:
            if event.operation != _DELETED and event.snapshot is not msgspec.UNSET:
                tables[_CLASS_OF[type(event)]][event.ref] = event.snapshot
        return Records(**tables)  # type: ignore[arg-type]
