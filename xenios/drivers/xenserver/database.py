"""Reads a XenServer pool database file (`xe pool-dump-database`, /var/lib/xcp/state.db) without loading it whole.

The file is XML with one element per row and one attribute per field (xapi's db_xml.ml). It may come from anywhere, so
it is read as hostile: it is streamed, a DOCTYPE (the door of entity bombs) is refused before anything expands, one
element may neither grow nor nest without end, and only the columns of `records.py` are kept. A file that ends or breaks
in the middle still yields the rows before the break, and says what is lost. docs/decisions/0003 says why lxml.

Effects: reads a file
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from types import NoneType
from typing import Any, BinaryIO, NoReturn, Protocol, cast, get_args, get_type_hints

from lxml import etree

from xenios.drivers.threads import DaemonThreads
from xenios.drivers.xenserver.marshal import (
    UnreadableValue,
    bool_of,
    float_of,
    int_of,
    map_of,
    set_of,
    text_of,
)
from xenios.drivers.xenserver.records import CLASSES, NULL_REF, Record, Records, Ref
from xenios.errors import TargetUnreadable
from xenios.model.collection import ReadFailure

CHUNK_BYTES = 128 * 1024
ELEMENT_BYTES_MAX = 8 * 1024 * 1024
"""How much may come without a new element. libxml2 itself ends at 10 million bytes."""
DEPTH_MAX = 16
"""Elements within each other: three in a database of today. Each open one costs a parser memory."""
FAILURES_MAX = 100
_REMEMBERED = 256
"""Sets and maps of which a reader keeps what they mean: those of many rows are equal (guests of one system)."""

_DECODERS: dict[Any, Callable[[str], Any]] = {
    str: text_of,
    int: int_of,
    float: float_of,
    bool: bool_of,
    list[str]: set_of,
    dict[str, str]: map_of,
}
_hints_of = cache(get_type_hints)  # a millisecond for all classes
_NAMESPACES = ("name", "memory", "VCPUs", "PV", "HVM")
_NOT_A_DUMP = "give the output of `xe pool-dump-database file-name=FILE`, or a copy of /var/lib/xcp/state.db"
_OTHER_FORMATS = (
    (b"\x1f\x8b", "gzip-compressed: unpack it first (gunzip)"),
    (b"PK\x03\x04", "a zip archive: unpack it first"),
    (b"\xfd7zXZ", "xz-compressed: unpack it first (unxz)"),
    (b"BZh", "bzip2-compressed: unpack it first (bunzip2)"),
    (b"SQLite format 3", "an SQLite database"),
    (b"QFI\xfb", "a qcow2 disk image"),
    (b"conectix", "a VHD disk image"),
)


class Database:
    """What a database file holds, as far as it could be read."""

    def __init__(self) -> None:
        self.records = Records()
        self.schema: tuple[int, int] | None = None
        self.generation = 0
        """How many changes the pool had seen."""
        self.failures: list[ReadFailure] = []
        self.damaged: set[Ref] = set()
        """Rows of which a value could not be read, also when there are too many failures to list."""
        self.unread: set[str] = set()
        """Classes of which rows may be lacking: no table, one that breaks off, or rows that nothing can refer to."""
        self.modified_at = 0
        """When the file was last written, in microseconds since 1970 (UTC)."""


class TableReader(Protocol):
    """Takes the rows of one table."""

    def add(self, attributes: Mapping[str, str]) -> None:
        """One row: its columns as they stand in the file."""

    def report_missing_references(self) -> None:
        """After the last row: tells of rows that nothing can refer to."""


async def read_database(
    path: Path, tables: Callable[[Database], Mapping[str, TableReader]] | None = None
) -> Database:
    """Reads the file, letting other work run in between. Raises TargetUnreadable when it is no such file.

    `tables` gives the readers of the tables that are wanted, when it is not the columns of `records.py`.
    """
    threads = DaemonThreads(1, f"reading {path}")  # a dead network file system must not hold up other work
    file = _File(path)
    try:
        return await threads.run(lambda: _Parser(path, tables or _readers_of_records).parse(file))
    except OSError as error:
        raise TargetUnreadable(
            f"cannot read {path}: {error.strerror or error}",
            remedy="check the path and that you may read it; "
            "a KVM host is given as a URI, such as qemu+ssh://root@host/system",
        ) from error
    finally:
        file.stop()
        threads.run(file.close)  # after what the thread is at now, also when nobody waits for that any more
        threads.stop()


class _File:
    """The file in the thread that reads it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._stopped = False

    def open(self) -> os.stat_result:
        """Opens it and tells what it is."""
        self._file = open(self._path, "rb", opener=_open_without_waiting)  # noqa: SIM115 - close() closes it
        return os.fstat(self._file.fileno())

    def read_on(self) -> bytes:
        """The next piece; empty at the end, and when nobody waits for it any more."""
        return self._file.read(CHUNK_BYTES) if self._file is not None and not self._stopped else b""

    def stop(self) -> None:
        """Lets the thread come to its end soon. Another thread may call this."""
        self._stopped = True

    def close(self) -> None:
        """Closes it, if it was opened."""
        if self._file is not None:
            self._file.close()


def _open_without_waiting(path: str, flags: int) -> int:
    # Without waiting: a named pipe would wait for a writer for ever.
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


class _Refused(Exception):
    """The file is hostile or no database; the text says why."""


class _Parser:
    """What lxml calls as elements pass: which table we are in, and each wanted row decoded."""

    def __init__(self, path: Path, tables: Callable[[Database], Mapping[str, TableReader]]) -> None:
        self.database = Database()
        self._path = path
        self._tables = tables(self.database)
        self.database.unread = set(self._tables)  # each until its </table> has passed
        self._table_name = ""
        self._table: TableReader | None = None
        self._row: Mapping[str, str] | None = None
        self._depth = 0
        self._read_bytes = 0
        self._bytes_since_element = 0
        self._rows = 0
        self._rows_at_last_read = 0
        self._refused = False

    def parse(self, file: _File) -> Database:
        """Reads the file to its end, or to where nothing more can be made of it."""
        status = file.open()
        if not stat.S_ISREG(status.st_mode):
            raise TargetUnreadable(f"{self._path} is not a regular file", remedy=_NOT_A_DUMP)
        self.database.modified_at = status.st_mtime_ns // 1000
        self._file = file
        target_and_source = cast("Any", self)  # the type stubs ask for callbacks that lxml does without
        try:
            etree.parse(
                target_and_source,
                etree.XMLParser(target=target_and_source, no_network=True, load_dtd=False),
            )
        except _Refused as error:
            self._break_off(str(error))
        except etree.XMLSyntaxError as error:
            if self._read_bytes == 0:
                raise TargetUnreadable(f"{self._path} is empty", remedy=_NOT_A_DUMP) from None
            self._break_off(f"{error.msg}; the file is damaged or cut off there")
        else:
            self._report_missing_tables()
        for table in self._tables.values():
            table.report_missing_references()
        return self.database

    def _check_beginning(self, chunk: bytes) -> None:
        for magic, what in _OTHER_FORMATS:
            if chunk.startswith(magic):
                raise TargetUnreadable(
                    f"{self._path} is no XenServer pool database but {what}", remedy=_NOT_A_DUMP
                )

    def _break_off(self, because: str) -> None:
        if self._rows == 0:
            raise TargetUnreadable(
                f"{self._path} is no XenServer pool database: {because}", remedy=_NOT_A_DUMP
            )
        self.database.failures.append(
            ReadFailure(
                what=f"the rest of {self._path} after {self._rows} rows",
                because=because,
                remedy="dump the database again and compare the sizes of the files; what is shown is what came before",
            )
        )

    def _report_missing_tables(self) -> None:
        """A table without rows is an answer; no table is none."""
        if len(self.database.unread) == len(self._tables):
            raise TargetUnreadable(
                f"{self._path} is no XenServer pool database: it has none of its tables", remedy=_NOT_A_DUMP
            )
        for name in sorted(self.database.unread.intersection(CLASSES)):
            self.database.failures.append(
                ReadFailure(
                    what=f"table {name}",
                    because="the database does not have it",
                    remedy="dump the database again; what such a table would hold is unknown, not absent",
                )
            )

    def _refuse(self, because: str) -> NoReturn:
        self._refused = True
        raise _Refused(because)

    # lxml calls these, by these names.

    def read(self, _: int = -1) -> bytes:
        """The next piece. lxml asks for it when all elements of the last one have passed, also after a refusal."""
        if self._refused:
            return b""
        if self._rows > self._rows_at_last_read:
            self._rows_at_last_read = self._rows
            self._bytes_since_element = 0
        if self._bytes_since_element > ELEMENT_BYTES_MAX:
            self._refuse(f"one element is longer than {ELEMENT_BYTES_MAX / 2**20:g} MiB")
        piece = self._file.read_on()
        if self._read_bytes == 0:
            self._check_beginning(piece)
        self._read_bytes += len(piece)
        self._bytes_since_element += len(piece)
        return piece

    def doctype(self, *_: object) -> None:
        """Before anything that a DOCTYPE declares."""
        self._refuse("it has a DOCTYPE, which no XenServer writes and which may hide an entity bomb")

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """At each element."""
        self._depth = depth = self._depth + 1
        if name == "row" and 1 < depth <= DEPTH_MAX:
            self._row = attributes  # not taken before its end: where a file breaks off, half a row may arrive
            return
        self._bytes_since_element = 0
        if depth == 1 and name != "database":
            self._refuse(f"it begins with <{name[:40]}> instead of <database>")
        if depth > DEPTH_MAX:
            self._refuse(f"its elements are nested more than {DEPTH_MAX} deep")
        if name == "table":
            self._table_name = attributes.get("name", "")
            self._table = self._tables.get(self._table_name)
            if self._table is not None:
                self.database.unread.add(self._table_name)
        elif name == "pair":
            self._manifest(attributes)

    def end(self, name: str) -> None:
        """At the end of each element."""
        self._depth -= 1
        if name == "row":
            self._rows += 1
            row, self._row = self._row, None
            if row is not None and self._table is not None:
                self._table.add(row)
        elif name == "table":
            self.database.unread.discard(self._table_name)
            self._table_name, self._table = "", None

    def close(self) -> None:
        """At the end of the file."""

    def _manifest(self, attributes: Mapping[str, str]) -> None:
        value = attributes.get("value", "")
        number = int(value) if re.fullmatch(r"[0-9]{1,18}", value) else None
        major, minor = self.database.schema or (0, 0)
        match attributes.get("key"), number:
            case "schema_major_vsn", int(number):
                self.database.schema = (number, minor)
            case "schema_minor_vsn", int(number):
                self.database.schema = (major, number)
            case "generation_count", int(number):
                self.database.generation = number
            case _:
                pass


class _TableReader:
    """Decodes the rows of one class into its records."""

    def __init__(self, name: str, database: Database) -> None:
        self._name = name
        self._database = database
        self._class = CLASSES[name]
        self._rows: dict[str, Record] = getattr(database.records, name)
        defaults = self._class()
        self._fields: list[tuple[str, str, Callable[[str], Any], Any]] = [
            (field, column, _decoder_of(hint), _as_written(getattr(defaults, field)))
            for field, hint in _hints_of(self._class).items()
            for column in _columns_of(field)
        ]
        self._without_reference = 0

    def add(self, attributes: Mapping[str, str]) -> None:
        """One row. A value that cannot be decoded keeps its default and is reported; the row stays, as damaged."""
        reference = attributes.get("_ref") or attributes.get("ref")
        if not reference:
            self._without_reference += 1
            return
        get = attributes.get
        try:
            # Without what says the same as the record's default: most values are like that. Nearly all text is plain.
            values: dict[str, Any] = {
                field: value if decode is text_of and "%" not in value else decode(value)
                for field, column, decode, default in self._fields
                if (value := get(column, default)) != default
            }
        except UnreadableValue:
            values = self._readable(attributes, reference)
        if reference in self._rows:
            self._database.damaged.add(reference)
            self._report(
                f"second row of {self._name} {reference}", "the reference is there twice", attributes
            )
            return
        self._rows[reference] = self._class(**values)

    def _readable(self, attributes: Mapping[str, str], reference: Ref) -> dict[str, Any]:
        """The values of a row that is damaged; what cannot be decoded is reported."""
        values: dict[str, Any] = {}
        for field, column, decode, default in self._fields:
            if (value := attributes.get(column, default)) == default:
                continue
            try:
                values[field] = decode(value)
            except UnreadableValue as error:
                self._database.damaged.add(reference)
                uuid = attributes.get("uuid", reference)
                self._report(f"{field} of {self._name} {uuid}", str(error), attributes)
        return values

    def report_missing_references(self) -> None:
        """Rows that nothing can refer to are counted, not kept."""
        if self._without_reference:
            self._database.unread.add(self._name)
            self._report(f"{self._without_reference} rows of {self._name}", "they have no reference", {})

    def _report(self, what: str, because: str, attributes: Mapping[str, str]) -> None:
        failures = self._database.failures
        if len(failures) < FAILURES_MAX:
            failures.append(
                ReadFailure(
                    what=what,
                    because=because,
                    remedy="the database is damaged here; compare with `xe` on the pool",
                    subject_uuid=attributes.get("uuid"),
                )
            )
        elif len(failures) == FAILURES_MAX:
            failures.append(
                ReadFailure(what="more of the same", because="there are too many to list", remedy="see above")
            )


def _readers_of_records(database: Database) -> Mapping[str, TableReader]:
    return {name: _TableReader(name, database) for name in CLASSES}


def _decoder_of(hint: Any) -> Callable[[str], Any]:
    """By a field's type; of one that may be None, by the type that it has otherwise."""
    if NoneType in get_args(hint):
        [hint] = [member for member in get_args(hint) if member is not NoneType]
    decode = _DECODERS[hint]
    return decode if decode is text_of else lru_cache(_REMEMBERED)(decode)


def _as_written(default: object) -> str | None:
    """How a default stands in the file; None where the record's default is no value but "not told"."""
    match default:
        case bool():
            return "true" if default else "false"
        case int():
            return str(default)
        case str() if default.isalnum() or default in ("", NULL_REF):
            return default
        case [] | {}:
            return "()" if not default else None
        case _:
            return None


def _columns_of(field: str) -> tuple[str, ...]:
    """A field's possible columns: XAPI joins namespace and name by one underscore in the API and by two here.

    Not every field that looks so is in a namespace (pool.name_label, PV_drivers_version), hence both.
    """
    for namespace in _NAMESPACES:
        if field.startswith(f"{namespace}_"):
            return (f"{namespace}__{field[len(namespace) + 1 :]}", field)
    return (field,)
