"""A snapshot's memory of the VM: all its columns at that time, as one s-expression in the field snapshot_metadata.

Going back to a snapshot reads this text and not the snapshot's own fields, which is why it brings back the VM's name
and its blocked operations. Source: vm_to_string in xapi's helpers.ml; the order of the columns is a real server's.

Effects: none
"""

from collections.abc import Callable
from typing import Any

from xenios.drivers.xenserver.marshal import (
    UnreadableValue,
    bool_of,
    float_of,
    int_of,
    map_of,
    set_of,
)
from xenios.simulator.database_file import dialect_of, plain_text
from xenios.simulator.facts.datamodel import FieldType, Kind, Record, load_datamodel


def metadata_of(vm: str, record: Record) -> str:
    """The VM's record as its snapshot keeps it."""
    facts = load_datamodel()
    dialect = dialect_of(facts.schema)
    columns = {"_ref": vm}
    for field in facts.classes["VM"].columns:
        value = record.get(field.name) if field.public else None
        value = facts.default_value(field) if value is None else value
        columns[field.column] = (
            dialect.expression(value) if isinstance(value, list | dict) else plain_text(value)
        )
    return dialect.expression({column: columns[column] for column in sorted(columns, reverse=True)})


def fields_from(metadata: str) -> Record:
    """The public fields in such a text; those that cannot be read are left out, and an empty text has none."""
    if not metadata:
        return {}
    try:
        columns = map_of(_plain(metadata))
    except UnreadableValue:
        return {}
    fields: Record = {}
    for field in load_datamodel().classes["VM"].columns:
        if field.public and field.column in columns:
            try:
                fields[field.name] = _value_of(columns[field.column], field.type)
            except UnreadableValue:
                continue
    return fields


def _plain(text: str) -> str:
    """Keep percent signs: here, unlike in a database file, they protect nothing."""
    return text.replace("%", "%%")


_SCALARS: dict[Kind, Callable[[str], Any]] = {Kind.INT: int_of, Kind.FLOAT: float_of, Kind.BOOL: bool_of}


def _value_of(text: str, kind_of: FieldType) -> Any:
    if kind_of.kind is Kind.SET and kind_of.value is not None:
        return [_value_of(member, kind_of.value) for member in set_of(_plain(text))]
    if kind_of.kind is Kind.MAP and kind_of.value is not None:
        return {key: _value_of(value, kind_of.value) for key, value in map_of(_plain(text)).items()}
    return _SCALARS.get(kind_of.kind, str)(text)
