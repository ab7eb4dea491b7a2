"""Makes records of what came over the wire, also where single values are not what XAPI writes.

A pool's answer of a thousand records is not thrown away for one that a plugin or a bug spoiled: the values that can be
read are, the others take their default, and the record is told to be damaged, so that nobody takes a default for the
truth.

Effects: none
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from xenios.drivers.xenserver.mirror import WATCHED, RecordEvent
from xenios.drivers.xenserver.records import CLASSES, Record, Ref
from xenios.drivers.xenserver.wire import UnreadableAnswer, record_of
from xenios.model.collection import ReadFailure

_REMEDY = "see what wrote these values; a toolstack restart on the master makes XAPI write many of them anew"
_NO_RECORD = "the whole record"
_NAMES = {name.lower(): name for name in WATCHED}


class Event(msgspec.Struct):
    """One event of event.from. `snapshot` is absent when the object is deleted."""

    operation: str
    ref: Ref
    class_name: str = msgspec.field(name="class")
    snapshot: msgspec.Raw = msgspec.Raw()


@dataclass(slots=True)
class Decoded:
    """Records of one class, and what is wrong with them."""

    table: Mapping[Ref, Record]
    damaged: set[Ref] = field(default_factory=set)
    unreadable: set[Ref] = field(default_factory=set)
    """Records of which nothing could be read; they are not in the table."""
    failures: list[ReadFailure] = field(default_factory=list)


def table_from(name: str, raw: Mapping[Ref, msgspec.Raw]) -> Decoded:
    """Decodes each record of a class by itself."""
    table: dict[Ref, Record] = {}
    decoded = Decoded(table)
    spoiled: Counter[str] = Counter()
    for ref, record in raw.items():
        made, fields = _record_from(name, record)
        spoiled.update(fields)
        if made is None:
            decoded.unreadable.add(ref)
        else:
            table[ref] = made
            if fields:
                decoded.damaged.add(ref)
    decoded.failures = _failures(name, spoiled)
    return decoded


def events_from(events: Iterable[Event]) -> tuple[list[RecordEvent], dict[str, Decoded]]:
    """The events of classes that are read, and by class what is wrong with their records."""
    found: list[RecordEvent] = []
    wrong: dict[str, Decoded] = defaultdict(lambda: Decoded({}))
    spoiled: dict[str, Counter[str]] = defaultdict(Counter)
    for event in events:
        name = _NAMES.get(event.class_name.lower())
        if name is None:
            continue
        if event.operation == "del":
            found.append(RecordEvent(name, event.ref, None))
            continue
        record, fields = _record_from(name, event.snapshot)
        if record is not None:
            found.append(RecordEvent(name, event.ref, record))
        if fields:
            (wrong[name].damaged if record is not None else wrong[name].unreadable).add(event.ref)
            spoiled[name].update(fields)
    for name, fields_of_class in spoiled.items():
        wrong[name].failures = _failures(name, fields_of_class)
    return found, dict(wrong)


def _record_from(name: str, raw: msgspec.Raw) -> tuple[Record | None, list[str]]:
    """A record and the names of the fields whose values could not be read."""
    kind = CLASSES[name]
    try:
        return record_of(raw, kind), []
    except UnreadableAnswer:
        pass
    try:
        values = record_of(raw, dict[str, msgspec.Raw])
    except UnreadableAnswer:
        return None, [_NO_RECORD]
    readable: dict[str, Any] = {}
    spoiled: list[str] = []
    for known in msgspec.structs.fields(kind):
        if known.encode_name in values:
            try:
                readable[known.name] = record_of(values[known.encode_name], known.type)
            except UnreadableAnswer:
                spoiled.append(known.name)
    return kind(**readable), spoiled


def _failures(name: str, spoiled: Mapping[str, int]) -> list[ReadFailure]:
    """One failure for each field, or a broken release would be told a thousand times."""
    return [
        ReadFailure(
            what=f"{name} records: {what}",
            because=f"{count} of them {'has a value' if count == 1 else 'have values'} there that cannot be read",
            remedy=_REMEDY,
        )
        for what, count in spoiled.items()
    ]
