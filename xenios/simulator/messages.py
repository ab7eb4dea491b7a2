"""The messages of a simulated pool ("VM web-001 was started"), and the calls about them.

The real server keeps them in files and not in its database, which clients notice: the database counts none of
them, and event tokens carry a second number for them alone.

Effects: none
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from xenios.simulator.api_error import ApiError
from xenios.simulator.dispatch import Call, implements
from xenios.simulator.facts.datamodel import FieldType, Kind, Parameter, Record
from xenios.simulator.population.book import stamp
from xenios.simulator.tables import Tables, storable
from xenios.simulator.watchers import Watchers
from xenios.simulator.where import parse_expression

MESSAGES_MAX = 10_000
DELETIONS_MAX = 512
"""Older deletions are not told any more."""


@dataclass(frozen=True, slots=True)
class News:
    """Messages made and deleted since a generation."""

    added: list[str]
    deleted: list[str]
    newest: int


class Messages:
    """All messages, oldest first."""

    def __init__(self, records: dict[str, Record], tables: Tables, now: Callable[[], datetime]) -> None:
        """Take over `records`, {ref: record}; generations and ids come from `tables`."""
        self._tables = tables
        self._now = now
        self.watchers = Watchers()
        self.restore(dict(sorted(records.items(), key=lambda item: str(item[1]["timestamp"]))))

    def restore(self, records: dict[str, Record]) -> None:
        """Take over other records; all of them are as old as the tables are now."""
        self.rows = records
        self._generations = dict.fromkeys(records, self._tables.generation)
        self._deleted: list[tuple[int, int, str]] = []

    def create(self, name: str, priority: int, cls: str, obj_uuid: str, body: str) -> str:
        """Write a message; returns its ref."""
        ref = f"OpaqueRef:{self._tables.new_uuid()}"
        self.rows[ref] = {
            "uuid": self._tables.new_uuid(),
            "name": storable(name),
            "priority": priority,
            "cls": cls,
            "obj_uuid": obj_uuid,
            "timestamp": stamp(self._now()),
            "body": storable(body),
        }
        self._generations[ref] = self._tables.next_generation()
        if len(self.rows) > MESSAGES_MAX:
            oldest = next(iter(self.rows))
            del self.rows[oldest]
            del self._generations[oldest]
        self.watchers.tell(("message",))
        return ref

    def get(self, ref: str) -> Record:
        """The message behind a ref. Raises HANDLE_INVALID [message, ref]."""
        if ref not in self.rows:
            raise ApiError("HANDLE_INVALID", "message", ref)
        return self.rows[ref]

    def delete(self, ref: str) -> None:
        """Remove a message. Raises HANDLE_INVALID [message, ref]."""
        self.get(ref)
        del self.rows[ref]
        created = self._generations.pop(ref)
        self._deleted.append((created, self._tables.next_generation(), ref))
        del self._deleted[:-DELETIONS_MAX]
        self.watchers.tell(("message",))

    def since(self, generation: int) -> News:
        """What was made and deleted after a generation."""
        added = []
        newest = generation
        for ref in reversed(self._generations):
            if self._generations[ref] <= generation:
                break
            newest = max(newest, self._generations[ref])
            added.append(ref)
        added.reverse()
        deleted = []
        for created, gone, ref in self._deleted:
            if created <= generation < gone:
                newest = max(newest, gone)
                deleted.append(ref)
        return News(added, deleted, newest)


# ---- calls ----

_RECORDS = FieldType(Kind.MAP, key=FieldType(Kind.REF, "message"), value=FieldType(Kind.RECORD, "message"))
_EXPRESSION = (Parameter("expr", FieldType(Kind.STRING), has_default=False),)


@implements("message.create")
def message_create(call: Call, name: str, priority: int, cls: str, obj_uuid: str, body: str) -> str:
    """Write a message about an object."""
    return call.pool.messages.create(name, priority, cls, obj_uuid, body)


@implements("message.destroy")
def message_destroy(call: Call, message: str) -> None:
    """Delete one message."""
    call.pool.messages.delete(message)


@implements("message.destroy_many")
def message_destroy_many(call: Call, messages: list[str]) -> None:
    """Delete several messages; unknown ones are left out of account."""
    for ref in messages:
        if ref in call.pool.messages.rows:
            call.pool.messages.delete(ref)


@implements("message.destroy_all")
def message_destroy_all(call: Call, filters: dict[str, str]) -> None:
    """Delete all messages, or those within the times `after` and `before` and of a `priority`."""
    before, after, priority = (filters.get(name, "") for name in ("before", "after", "priority"))
    for ref, record in list(call.pool.messages.rows.items()):
        if before and record["timestamp"] >= before:
            continue
        if after and record["timestamp"] <= after:
            continue
        if priority in ("", str(record["priority"])):
            call.pool.messages.delete(ref)


@implements("message.get")
def message_get(call: Call, cls: str, obj_uuid: str, since: str) -> dict[str, Record]:
    """The messages about one object after a time."""
    return {
        ref: record
        for ref, record in call.pool.messages.rows.items()
        if record["cls"] == cls and record["obj_uuid"] == obj_uuid and record["timestamp"] > since
    }


@implements("message.get_since")
def message_get_since(call: Call, since: str) -> dict[str, Record]:
    """The messages after a time."""
    rows = call.pool.messages.rows
    return {ref: record for ref, record in rows.items() if record["timestamp"] > since}


@implements("message.get_all")
def message_get_all(call: Call) -> list[str]:
    """The refs of all messages."""
    return list(call.pool.messages.rows)


@implements("message.get_record")
def message_get_record(call: Call, message: str) -> Record:
    """One message."""
    return call.pool.messages.get(message)


@implements("message.get_by_uuid")
def message_get_by_uuid(call: Call, uuid: str) -> str:
    """The ref behind a uuid. Raises UUID_INVALID [message, uuid]."""
    for ref, record in call.pool.messages.rows.items():
        if record["uuid"] == uuid:
            return ref
    raise ApiError("UUID_INVALID", "message", uuid)


@implements("message.get_all_records")
def message_get_all_records(call: Call) -> dict[str, Record]:
    """All messages."""
    return call.pool.messages.rows


@implements("message.get_all_records_where", params=_EXPRESSION, result=_RECORDS)
def message_get_all_records_where(call: Call, expr: str) -> dict[str, Any]:
    """The messages that an expression is true of."""
    wanted = parse_expression(expr, "message")
    return {ref: record for ref, record in call.pool.messages.rows.items() if wanted(record)}
