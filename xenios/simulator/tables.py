"""The database of a simulated pool: rows, one generation number for all, and what changed since a generation.

XAPI's events are not a log. A row remembers in which generation it was created and last changed, a table
remembers its last few hundred deletions, and `event.from` compares those numbers with the client's token. So it
is done here, and everything odd that clients must survive follows: changes in between are folded, old deletions
are forgotten without a word, and after a restart every object looks new.

Values in a record are replaced and never changed in place, so a shallow copy of a record is a faithful one. The
"many" sides of relations follow by themselves; a ref to a deleted row stays where it was, dangling. Strings end at
the first character that XML forbids: the real database keeps no more of them either.

Effects: none
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from xenios.simulator.api_error import ApiError
from xenios.simulator.facts.datamodel import NULL, Record, Records, Relation, load_datamodel
from xenios.simulator.watchers import Watchers

DELETIONS_MAX = 512
"""When a table remembers as many deletions, all but the newest `DELETIONS_KEPT` are forgotten."""
DELETIONS_KEPT = 256

_LOST_ON_RESTART = ("session", "task")
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(slots=True)
class _Table:
    """One class. `changed` holds the rows touched since the start in the order of their last change."""

    rows: dict[str, Record]
    changed: dict[str, tuple[int, int]] = field(default_factory=dict)
    """ref -> (created, changed), generations. A row that is not here is as old as the table itself."""
    deleted: list[tuple[int, int, str]] = field(default_factory=list)
    """(created, deleted, ref), oldest first."""
    newest: int = 0
    """The generation of the last change."""


class Change(NamedTuple):
    """One row that is not as it was: its class, its ref, and the generation of what happened to it."""

    class_name: str
    ref: str
    generation: int


@dataclass(frozen=True, slots=True)
class Delta:
    """What happened to the wanted rows since a generation, folded to one change for each row."""

    added: list[Change]
    modified: list[Change]
    deleted: list[Change]
    newest: int
    """The highest generation told, or the one asked from when nothing is told."""

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.added or self.modified or self.deleted)


@dataclass(frozen=True, slots=True)
class Saved:
    """The tables as they were at some moment."""

    records: Records
    generation: int


def _deleted_since(
    name: str, table: _Table, generation: int, wanted: Callable[[str, str], bool]
) -> list[Change]:
    """The newest deletion first."""
    gone = []
    for created, deleted, ref in reversed(table.deleted):
        if deleted <= generation:
            break
        if created <= generation and wanted(name, ref):
            gone.append(Change(name, ref, deleted))
    return gone


def storable(value: Any) -> Any:
    """A value as the database keeps it: every string ends at the first character that XML does not allow."""
    match value:
        case str():
            found = _NOT_IN_XML.search(value)
            return value if found is None else value[: found.start()]
        case list():
            return [storable(item) for item in value]
        case dict():
            return {storable(key): storable(item) for key, item in value.items()}
        case _:
            return value


class Tables:
    """All rows of a pool. Reading gives the live records: whoever keeps one must copy it."""

    def __init__(self, records: Records, generation: int = 1, random: Random | None = None) -> None:
        """Take over `records` as they are, all of them as old as `generation`; new ids come from `random`."""
        self._facts = load_datamodel()
        self._random = random or Random(0)  # noqa: S311 (believable, not secret)
        self._ones: dict[str, list[Relation]] = {}
        self._with_events = {name for name, api_class in self._facts.classes.items() if api_class.events}
        for relation in self._facts.relations:
            self._ones.setdefault(relation.one_class, []).append(relation)
        self._watchers = Watchers()
        self._lower = tuple((name, name.lower()) for name in reversed(self._facts.tables))
        self._fill(records, generation)

    def _fill(self, records: Records, generation: int) -> None:
        self.generation = self._base = generation
        self._tables = {
            name: _Table(records.get(name, {}), newest=generation) for name in self._facts.classes
        }
        for name, rows in records.items():
            if name not in self._tables:
                self._tables[name] = _Table(rows, newest=generation)

    # ---- reading ----

    def rows(self, class_name: str) -> Mapping[str, Record]:
        """The rows of one class; empty for a class of which there can be none."""
        table = self._tables.get(class_name)
        return MappingProxyType(table.rows) if table is not None else {}

    def live_rows(self, class_name: str) -> dict[str, Record]:
        """The rows of one class as the dict itself, for encoders that know no other mapping. Not to be changed."""
        table = self._tables.get(class_name)
        return table.rows if table is not None else {}

    def find(self, class_name: str, ref: str) -> Record | None:
        """The record behind a ref, or None."""
        table = self._tables.get(class_name)
        return None if table is None else table.rows.get(ref)

    def get(self, class_name: str, ref: str) -> Record:
        """The record behind a ref. Raises HANDLE_INVALID [class, ref]."""
        record = self.find(class_name, ref)
        if record is None:
            raise ApiError("HANDLE_INVALID", class_name, ref)
        return record

    def counts(self) -> dict[str, int]:
        """How many rows each table of the database has, under its lower-case name; in the server's order."""
        tables = self._tables
        return {lower: len(tables[name].rows) if name in tables else 0 for name, lower in self._lower}

    # ---- writing ----

    def new_uuid(self) -> str:
        """A uuid that nothing has yet; the same ones in each run with the same seed."""
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def next_generation(self) -> int:
        """Count a change that is no change of a row, as a new message is."""
        self.generation += 1
        return self.generation

    def create(self, class_name: str, values: Mapping[str, Any], ref: str | None = None) -> str:
        """Add a row with these values, defaults for all else and a new uuid unless given; returns its ref.

        Raises KeyError for fields that the class does not have.
        """
        record = self._facts.default_record(class_name)
        if unknown := values.keys() - record.keys():
            raise KeyError(f"{class_name} has no field {', '.join(sorted(unknown))}")
        if "uuid" in record and "uuid" not in values:
            record["uuid"] = self.new_uuid()
        record.update((name, storable(value)) for name, value in values.items())
        new_ref = ref or f"OpaqueRef:{self.new_uuid()}"
        self.generation += 1
        table = self._tables[class_name]
        table.rows[new_ref] = record
        table.changed[new_ref] = (self.generation, self.generation)
        table.newest = self.generation
        touched = {class_name}
        for relation in self._ones.get(class_name, ()):
            self._link(relation, record[relation.one_field], new_ref, touched)
        self._watchers.tell(touched)
        return new_ref

    def change(self, class_name: str, ref: str, **values: Any) -> None:
        """Set fields of a row. Equal values change nothing and make no event, as in XAPI.

        Raises HANDLE_INVALID [class, ref], and KeyError for fields that the class does not have.
        """
        record = self.get(class_name, ref)
        if unknown := values.keys() - record.keys():
            raise KeyError(f"{class_name} has no field {', '.join(sorted(unknown))}")
        kept = {name: storable(value) for name, value in values.items()}
        different = {name: value for name, value in kept.items() if record[name] != value}
        if not different:
            return
        self.generation += 1
        touched: set[str] = set()
        for relation in self._ones.get(class_name, ()):
            if relation.one_field in different:
                self._unlink(relation, record[relation.one_field], ref, touched)
                self._link(relation, different[relation.one_field], ref, touched)
        record.update(different)
        self._mark(class_name, ref, touched)
        self._watchers.tell(touched)

    def touch(self, class_name: str, ref: str) -> None:
        """Make an event for a row as it is. Raises HANDLE_INVALID [class, ref]."""
        self.get(class_name, ref)
        self.generation += 1
        touched: set[str] = set()
        self._mark(class_name, ref, touched)
        self._watchers.tell(touched)

    def delete(self, class_name: str, ref: str) -> None:
        """Remove a row; refs to it stay where they are. Raises HANDLE_INVALID [class, ref]."""
        record = self.get(class_name, ref)
        self.generation += 1
        table = self._tables[class_name]
        created, _ = table.changed.pop(ref, (self._base, self._base))
        del table.rows[ref]
        if len(table.deleted) + 1 >= DELETIONS_MAX:
            del table.deleted[: len(table.deleted) + 1 - DELETIONS_KEPT]
        table.deleted.append((created, self.generation, ref))
        table.newest = self.generation
        touched = {class_name}
        for relation in self._ones.get(class_name, ()):
            self._unlink(relation, record[relation.one_field], ref, touched)
        self._watchers.tell(touched)

    def _mark(self, class_name: str, ref: str, touched: set[str]) -> None:
        table = self._tables[class_name]
        created, _ = table.changed.pop(ref, (self._base, self._base))
        # Taken out and put in again, so that the dict stays in the order of the last change.
        table.changed[ref] = (created, self.generation)
        table.newest = self.generation
        touched.add(class_name)

    def _link(self, relation: Relation, target: str, ref: str, touched: set[str]) -> None:
        record = self._target(relation, target)
        if record is not None and ref not in record[relation.many_field]:
            record[relation.many_field] = [*record[relation.many_field], ref]
            self._mark(relation.many_class, target, touched)

    def _unlink(self, relation: Relation, target: str, ref: str, touched: set[str]) -> None:
        record = self._target(relation, target)
        if record is not None and ref in record[relation.many_field]:
            record[relation.many_field] = [other for other in record[relation.many_field] if other != ref]
            self._mark(relation.many_class, target, touched)

    def _target(self, relation: Relation, target: str) -> Record | None:
        return None if target == NULL else self.find(relation.many_class, target)

    # ---- what changed ----

    def since(
        self,
        generation: int,
        wanted: Callable[[str, str], bool],
        classes: Iterable[str] | None = None,
    ) -> Delta:
        """Every wanted (class, ref) that was added, changed or deleted after a generation, folded as XAPI does.

        What was created after it is added, however often it was changed; what was created and deleted after it is
        not told at all. `classes` spares looking at other tables; the cost does not depend on rows unchanged.
        """
        added: list[Change] = []
        modified: list[Change] = []
        deleted: list[Change] = []
        newest = generation
        for name in self._tables if classes is None else classes:
            table = self._tables.get(name)
            if table is None or table.newest <= generation or name not in self._with_events:
                continue
            created, changed, last = self._changed_since(name, table, generation, wanted)
            gone = _deleted_since(name, table, generation, wanted)
            added += created
            modified += changed
            deleted += gone
            newest = max(newest, last, *(change.generation for change in gone[:1]))
        return Delta(added, modified, deleted, newest)

    def _changed_since(
        self, name: str, table: _Table, generation: int, wanted: Callable[[str, str], bool]
    ) -> tuple[list[Change], list[Change], int]:
        added: list[Change] = []
        modified: list[Change] = []
        newest = generation
        for ref in reversed(table.changed):
            created, changed = table.changed[ref]
            if changed <= generation:
                break
            if not wanted(name, ref):
                continue
            newest = max(newest, changed)
            if created > generation:
                added.append(Change(name, ref, created))
            else:
                modified.append(Change(name, ref, changed))
        if self._base > generation:
            # Older than the start of these tables: whatever was not touched since counts as created then.
            for ref in reversed(table.rows):
                if ref not in table.changed and wanted(name, ref):
                    newest = max(newest, self._base)
                    added.append(Change(name, ref, self._base))
        added.reverse()
        modified.reverse()
        return added, modified, newest

    def watch(
        self, callback: Callable[[], None], classes: Collection[str] | None = None
    ) -> Callable[[], None]:
        """Call back after each change (of these classes); returns what ends it. The callback must not write."""
        return self._watchers.add(callback, classes)

    # ---- restarts ----

    def restart(self) -> None:
        """Forget what only memory held: sessions, tasks, deletions, and when a row was created or changed.

        To every token given out before, each row is new now.
        """
        records = {name: table.rows for name, table in self._tables.items()}
        for name in _LOST_ON_RESTART:
            records[name] = {}
        self._fill(records, self.generation + 1)

    def save(self) -> Saved:
        """A copy of all rows as they are now."""
        records = {
            name: {ref: dict(record) for ref, record in table.rows.items()}
            for name, table in self._tables.items()
        }
        return Saved(records, self.generation)

    def restore(self, saved: Saved) -> None:
        """Take back an older state together with its generation, which may be smaller than clients' tokens."""
        records = {
            name: {ref: dict(record) for ref, record in rows.items()} for name, rows in saved.records.items()
        }
        for name in _LOST_ON_RESTART:
            records[name] = {}
        self._fill(records, saved.generation)
        self._watchers.tell(tuple(self._tables))
