"""Loads a real pool's database (`xe pool-dump-database`, state.db) completely, so that it can be served.

A takeover is rehearsed on a copy of one's own pool. The driver's reader keeps a tenth of the columns, all it needs to
report; a server needs every public field of every class, of the type that the API gives it. So the same streaming,
distrustful parser is used with other readers of rows. Columns that only the database knows are dropped; columns that
an older release did not have get the defaults of the data model.

A file of which something cannot be read is refused: a rehearsal on half a pool would promise what the pool does not
keep.

Effects: reads a file
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

from xenios.drivers.xenserver.database import FAILURES_MAX, Database, TableReader, read_database
from xenios.drivers.xenserver.marshal import UnreadableValue, bool_of, int_of, map_of, set_of, text_of
from xenios.errors import TargetUnreadable
from xenios.model.collection import ReadFailure
from xenios.simulator.facts.datamodel import (
    ApiClass,
    Datamodel,
    FieldType,
    Kind,
    Record,
    Records,
    load_datamodel,
)

_TOLD_MAX = 3
_REMEDY = "dump the database again (xe pool-dump-database file-name=FILE); xenios inspect FILE shows what is readable"


@dataclass(frozen=True, slots=True)
class LoadedDatabase:
    """A pool as its database has it."""

    records: Records
    """Every class of the data model that the file has; the rows in the order in which XAPI lists them."""
    generation: int
    """The count of changes, which event tokens continue."""
    schema: tuple[int, int] | None
    """Of the release that wrote the file; None when it does not say."""


async def load_database(path: Path) -> LoadedDatabase:
    """All records of a dump. Raises TargetUnreadable when it is none, or not a whole one."""
    rows: Records = {}

    def readers(database: Database) -> Mapping[str, TableReader]:
        facts = load_datamodel()
        for api_class in facts.classes.values():
            rows[api_class.name] = {}
        return {
            api_class.name: _Rows(api_class, facts, rows[api_class.name], database)
            for api_class in facts.classes.values()
        }

    try:
        database = await read_database(path, readers)
    except TargetUnreadable as error:
        if isinstance(error.__cause__, OSError):
            # The advice in it is for who may have meant another kind of target.
            raise TargetUnreadable(str(error), remedy="check the path and that you may read it") from error
        raise
    if database.failures:
        raise TargetUnreadable(f"{path} is not whole: {_told(database.failures)}", remedy=_REMEDY)
    for name in ("pool", "host"):
        if not rows[name]:
            raise TargetUnreadable(f"{path} holds no {name}, so there is nothing to serve", remedy=_REMEDY)
    # XAPI lists a class by its refs, the highest first.
    ordered = {name: dict(sorted(found.items(), reverse=True)) for name, found in rows.items()}
    return LoadedDatabase(ordered, max(1, database.generation), database.schema)


def _told(failures: list[ReadFailure]) -> str:
    told = "; ".join(f"{failure.what}: {failure.because}" for failure in failures[:_TOLD_MAX])
    return told + (f"; and {len(failures) - _TOLD_MAX} more" if len(failures) > _TOLD_MAX else "")


class _Rows:
    """Decodes the rows of one table into complete records."""

    def __init__(
        self, api_class: ApiClass, facts: Datamodel, rows: dict[str, Record], database: Database
    ) -> None:
        self._class = api_class
        self._facts = facts
        self._rows = rows
        self._failures = database.failures
        self._fields = [(field, _decoder_of(field.type)) for field in api_class.fields.values()]

    def add(self, attributes: Mapping[str, str]) -> None:
        """One row."""
        if len(self._failures) > FAILURES_MAX:
            return  # the file is refused anyway
        ref = attributes.get("_ref") or attributes.get("ref")
        if not ref or ref in self._rows:
            self._failures.append(
                ReadFailure(
                    what=f"a row of {self._class.name}",
                    because="it has no reference" if not ref else f"the reference {ref} is there twice",
                    remedy=_REMEDY,
                )
            )
            return
        record: Record = {}
        for field, decode in self._fields:
            value = attributes.get(field.column)
            try:
                record[field.name] = self._facts.default_value(field) if value is None else decode(value)
            except UnreadableValue as error:
                self._failures.append(
                    ReadFailure(
                        what=f"{field.name} of {self._class.name} {ref}", because=str(error), remedy=_REMEDY
                    )
                )
        self._rows[ref] = record

    def report_missing_references(self) -> None:
        """They are told of as they come."""


def _decoder_of(kind_of: FieldType) -> Callable[[str], Any]:
    match kind_of.kind:
        case Kind.STRING:
            return text_of
        case Kind.ENUM | Kind.REF | Kind.DATETIME:
            return _word_of
        case Kind.INT:
            return int_of
        case Kind.BOOL:
            return bool_of
        case Kind.FLOAT:
            return _fraction_of
        case Kind.SET:
            return _set_decoder(kind_of.value)
        case Kind.MAP:
            return _map_decoder(kind_of.value)
        case Kind.RECORD:
            raise TypeError("no column holds a record")
        case _:
            assert_never(kind_of.kind)


def _word_of(value: str) -> str:
    return sys.intern(text_of(value))  # refs stand in many rows, enum values in nearly all


def _fraction_of(value: str) -> float:
    """Unlike the driver's: NaN and infinity are served as they are, since clients must survive them."""
    try:
        return float(value)
    except ValueError as error:
        raise UnreadableValue(f"{value[:40]!r} is no number") from error


def _set_decoder(member: FieldType | None) -> Callable[[str], Any]:
    if member is None or member.kind is Kind.STRING:
        return set_of
    decode = _word_of if member.kind in (Kind.ENUM, Kind.REF, Kind.DATETIME) else _decoder_of(member)
    return lambda value: [decode(text) for text in set_of(value)]


def _map_decoder(content: FieldType | None) -> Callable[[str], Any]:
    if content is None or content.kind is Kind.STRING:
        return map_of
    decode = _decoder_of(content)
    return lambda value: {key: decode(text) for key, text in map_of(value).items()}
