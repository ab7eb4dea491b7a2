"""The facts of the XAPI classes: fields with types, defaults and database columns; calls; errors.

A simulated pool is only worth testing against when its records are complete, so no field list is written in
code: everything comes from `datamodel.json` beside this file. The API and the database disagree in places
(columns join their namespaces with two underscores; some columns are not shown by the API at all), so each
field carries its column, and fields with `public` false exist in the database only. What can be called, and what
can go wrong, is in `calls.json`: it is read when first asked for, since making a pool needs none of it.

Effects: none
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib import resources
from typing import Any, assert_never

Record = dict[str, Any]
"""One object as XAPI returns it: int, float, bool, str, lists and dicts; refs and times are strings."""

Records = dict[str, dict[str, Record]]
"""A whole pool: class -> ref -> record."""

NULL = "OpaqueRef:NULL"
EPOCH = "19700101T00:00:00Z"


class Kind(Enum):
    """What a type is at its outside."""

    STRING = "string"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    DATETIME = "datetime"
    ENUM = "enum"
    REF = "ref"
    SET = "set"
    MAP = "map"
    RECORD = "record"


@dataclass(frozen=True, slots=True)
class FieldType:
    """A type of the datamodel: `map(string,enum vm_operations)` taken apart."""

    kind: Kind
    name: str = ""
    """Of an enum its name, of a ref the class it points to, of a record the class it is of."""
    key: "FieldType | None" = None
    """Of a map the type of its keys."""
    value: "FieldType | None" = None
    """Of a map or a set the type of its values."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of one class. `default` is None where the API has none and a value must be given."""

    name: str
    type: FieldType
    qualifier: str
    default: Any
    column: str
    public: bool


@dataclass(frozen=True, slots=True)
class ApiClass:
    """One class: its public fields in the API's order, and all its columns in the order of the database."""

    name: str
    persistent: bool
    events: bool
    fields: Mapping[str, Field]
    columns: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """`one_class.one_field` holds a ref; `many_class.many_field` holds the set that must say the same."""

    one_class: str
    one_field: str
    many_class: str
    many_field: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a call. The session, which comes before all others, is not among them."""

    name: str
    type: FieldType
    has_default: bool
    """Whether it may be left out; the value then taken is the operation's own."""


@dataclass(frozen=True, slots=True)
class Message:
    """A call that is not made from a field: `VM.start`."""

    class_name: str
    name: str
    params: tuple[Parameter, ...]
    result: FieldType | None
    """None where nothing is returned."""
    errors: tuple[str, ...]
    """The codes that its documentation names; others occur as well."""
    asynchronous: bool
    """Whether `Async.` may stand before it."""


@dataclass(frozen=True, slots=True)
class Calls:
    """What can be called and what can go wrong."""

    messages: Mapping[str, Message]
    errors: Mapping[str, tuple[str, ...]]
    emergency: frozenset[str]
    classes_without_async: frozenset[str]


@dataclass(frozen=True, slots=True)
class Datamodel:
    """All facts together."""

    api: tuple[int, int]
    schema: tuple[int, int]
    tables: tuple[str, ...]
    relations: tuple[Relation, ...]
    enums: Mapping[str, tuple[str, ...]]
    classes: Mapping[str, ApiClass]

    @property
    def messages(self) -> Mapping[str, Message]:
        """`VM.start` and all other calls but the getters and setters of fields, which follow from the classes."""
        return load_calls().messages

    @property
    def errors(self) -> Mapping[str, tuple[str, ...]]:
        """Every documented error code with the names of its parameters, in their order."""
        return load_calls().errors

    @property
    def emergency_calls(self) -> frozenset[str]:
        """The calls that a host answers although it cannot reach its pool's master."""
        return load_calls().emergency

    @property
    def classes_without_async(self) -> frozenset[str]:
        """The classes whose calls are never run as tasks of their own."""
        return load_calls().classes_without_async

    def default_record(self, class_name: str) -> Record:
        """A complete public record, every value fresh: the API's default, or the empty value of the type.

        Refs without a target are the null ref, also where the API's own default is an empty string: that is
        what the server answers for an object made by itself.
        """
        return {field.name: self.default_value(field) for field in self.classes[class_name].fields.values()}

    def default_value(self, field: Field) -> Any:
        """The value that an object has in a field nobody has set."""
        if field.type.kind is Kind.REF and not field.default:
            return NULL
        if field.default is None:
            return self._empty(field.type)
        match field.default:
            case list():
                return list(field.default)
            case dict():
                return dict(field.default)
            case _:
                return field.default

    def _empty(self, kind_of: FieldType) -> Any:
        match kind_of.kind:
            case Kind.STRING:
                return ""
            case Kind.INT:
                return 0
            case Kind.FLOAT:
                return 0.0
            case Kind.BOOL:
                return False
            case Kind.DATETIME:
                return EPOCH
            case Kind.ENUM:
                return self.enums[kind_of.name][0]
            case Kind.REF:
                return NULL
            case Kind.SET:
                return []
            case Kind.MAP | Kind.RECORD:
                return {}
            case _:
                assert_never(kind_of.kind)


def parse_type(text: str) -> FieldType:
    """Take `set(ref VBD)`, `map(string,string)`, `enum vm_power_state`, `int` apart."""
    if text.startswith("set(") and text.endswith(")"):
        return FieldType(Kind.SET, value=parse_type(text[4:-1]))
    if text.startswith("map(") and text.endswith(")"):
        key, _, value = text[4:-1].partition(",")
        return FieldType(Kind.MAP, key=parse_type(key), value=parse_type(value))
    kind, _, name = text.partition(" ")
    return FieldType(Kind(kind), name=name)


def _public_fields(rows: Mapping[str, list[Any]]) -> Iterator[Field]:
    for name, row in rows.items():
        column = row[3] if len(row) > 3 else name
        yield Field(name, parse_type(row[0]), row[1], row[2], column, public=True)


def _internal_fields(rows: Mapping[str, list[Any]]) -> Iterator[Field]:
    for column, (type_text, default) in rows.items():
        yield Field(
            column.replace("__", "_"), parse_type(type_text), "internal", default, column, public=False
        )


def _class_from(name: str, facts: Mapping[str, Any]) -> ApiClass:
    fields = {field.name: field for field in _public_fields(facts["fields"])}
    columns = [*fields.values(), *_internal_fields(facts.get("internal", {}))]
    columns.sort(key=lambda field: field.column)
    return ApiClass(name, facts["persistent"], facts["events"], fields, tuple(columns))


def _read(name: str) -> Any:
    return json.loads(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))


def _message_from(full_name: str, row: list[Any]) -> Message:
    class_name, _, name = full_name.partition(".")
    params, result, errors, asynchronous = row
    return Message(
        class_name,
        name,
        tuple(Parameter(param, _parameter_type(type_text), default) for param, type_text, default in params),
        None if result == "void" else _parameter_type(result),
        tuple(errors),
        asynchronous,
    )


@cache
def _parameter_type(text: str) -> FieldType:
    # A secret is a string that must not be logged; on the wire there is no difference.
    return parse_type("string" if text == "secretstring" else text)


@cache
def load_calls() -> Calls:
    """Read what can be called; once per process."""
    facts = _read("calls.json")
    return Calls(
        messages={name: _message_from(name, row) for name, row in facts["messages"].items()},
        errors={code: tuple(names) for code, names in facts["errors"].items()},
        emergency=frozenset(facts["emergency_calls"]),
        classes_without_async=frozenset(facts["classes_without_async"]),
    )


@cache
def load_datamodel() -> Datamodel:
    """Read the facts of the classes; once per process."""
    facts = _read("datamodel.json")
    return Datamodel(
        api=(facts["api"][0], facts["api"][1]),
        schema=(facts["schema"][0], facts["schema"][1]),
        tables=tuple(facts["tables"]),
        relations=tuple(Relation(*row) for row in facts["relations"]),
        enums={name: tuple(values) for name, values in facts["enums"].items()},
        classes={name: _class_from(name, row) for name, row in facts["classes"].items()},
    )
