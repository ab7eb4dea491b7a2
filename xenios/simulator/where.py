"""The little language of get_all_records_where: `field "power_state" = "Running" and not (field "domid" = "-1")`.

It compares what the database stores, and that is text: `true`, `1024`, `OpaqueRef:…`. A field may be called by its
name in the API or by its database column, with its double underscores.

Effects: none
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from xenios.simulator.api_error import ApiError
from xenios.simulator.database_file import dialect_of, plain_text
from xenios.simulator.facts.datamodel import Record, load_datamodel

Test = Callable[[Record], bool]
"""Whether a record is wanted."""

_TOKEN = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'|([A-Za-z_]+)|([=()]))')


def parse_expression(text: str, class_name: str) -> Test:
    """The test that an expression describes, for records of a class. Raises INVALID_VALUE [expression, reason]."""
    try:
        return _Parser(text, class_name).whole()
    except _Wrong as error:
        raise ApiError("INVALID_VALUE", text, str(error)) from None


class _Wrong(Exception):
    """Why an expression is none."""


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    text = text.rstrip()
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise _Wrong("Stdlib.Parsing.Parse_error")
        position = found.end()
        double, single, word, sign = found.groups()
        if word is not None:
            yield "word", word
        elif sign is not None:
            yield "sign", sign
        else:
            quoted = double if double is not None else single
            yield "text", re.sub(r"\\(.)", r"\1", quoted)


class _Parser:
    """`or` binds weaker than `and`, `and` weaker than `not`."""

    def __init__(self, text: str, class_name: str) -> None:
        self._rest = list(_tokens(text))
        self._rest.reverse()
        fields = load_datamodel().classes[class_name].fields.values()
        self._names = {field.column: field.name for field in fields} | {
            field.name: field.name for field in fields
        }

    def whole(self) -> Test:
        test = self._or()
        if self._rest:
            raise _Wrong("Stdlib.Parsing.Parse_error")
        return test

    def _accept(self, kind: str, value: str) -> bool:
        if self._rest and self._rest[-1] == (kind, value):
            self._rest.pop()
            return True
        return False

    def _expect(self, kind: str) -> str:
        if not self._rest or self._rest[-1][0] != kind:
            raise _Wrong("Stdlib.Parsing.Parse_error")
        return self._rest.pop()[1]

    def _or(self) -> Test:
        left = self._and()
        while self._accept("word", "or"):
            left = _either(left, self._and())
        return left

    def _and(self) -> Test:
        left = self._not()
        while self._accept("word", "and"):
            left = _both(left, self._not())
        return left

    def _not(self) -> Test:
        if self._accept("word", "not"):
            inner = self._not()
            return lambda record: not inner(record)
        if self._accept("sign", "("):
            test = self._or()
            if not self._accept("sign", ")"):
                raise _Wrong("Stdlib.Parsing.Parse_error")
            return test
        for word, truth in (("true", True), ("false", False)):
            if self._accept("word", word):
                return (lambda _: True) if truth else (lambda _: False)
        return self._comparison()

    def _comparison(self) -> Test:
        left = self._operand()
        if not self._accept("sign", "="):
            raise _Wrong("Stdlib.Parsing.Parse_error")
        right = self._operand()
        return lambda record: left(record) == right(record)

    def _operand(self) -> Callable[[Record], str]:
        if self._accept("word", "field"):
            called = self._expect("text")
            name = self._names.get(called)
            if name is None:
                raise _Wrong(f'Db_exn.DBCache_NotFound("missing column", "{called}", "")')
            return lambda record: stored_text(record[name])
        text = self._expect("text")
        return lambda _: text


def _either(left: Test, right: Test) -> Test:
    return lambda record: left(record) or right(record)


def _both(left: Test, right: Test) -> Test:
    return lambda record: left(record) and right(record)


def stored_text(value: Any) -> str:
    """A value as the database stores it."""
    match value:
        case str():
            return value
        case list() | dict():
            return dialect_of(load_datamodel().schema).expression(value)
        case _:
            return plain_text(value)
