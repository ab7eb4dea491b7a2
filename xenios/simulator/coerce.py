"""What a client sent, made into what a call takes; or the error with which XAPI refuses it.

XAPI is liberal where XML-RPC clients differ (an int may come as a string) and strict elsewhere (a string may not
come as an int). The refusals are the texts of its own exceptions, and clients have been seen to match on them.

Effects: none
"""

import re
from datetime import UTC, datetime
from typing import Any, assert_never

from xenios.simulator.api_error import ApiError
from xenios.simulator.facts.datamodel import FieldType, Kind, Record, load_datamodel

_INT = re.compile(r"[+-]?(0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|0[uU]?[0-9_]+|[0-9][0-9_]*)")
_STAMP = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)T(\d\d):?(\d\d):?(\d\d)(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?")
_INT64 = 1 << 63
SET_BY_THE_CREATOR = ("RW", "StaticRO")
"""The qualifiers of the fields that a constructor takes."""


def internal_error(text: str) -> ApiError:
    """How an exception that nobody expected is told: `Failure("…")`."""
    return ApiError("INTERNAL_ERROR", text)


def _failure(text: str) -> ApiError:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return internal_error(f'Failure("{escaped}")')


def _unexpected(expected: str, value: Any) -> ApiError:
    return _failure(f"Expected {expected}, got '{_shown(value)}'")


def _shown(value: Any) -> str:
    match value:
        case None:
            return "N"
        case bool():
            return f"B({str(value).lower()})"
        case int():
            return f"I({value})"
        case float():
            return f"F({value:g})"
        case str():
            return f"S({value})"
        case dict():
            return "{" + ";".join(f"{key}:{_shown(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ";".join(_shown(item) for item in value) + "]"
        case _:
            return str(value)


def coerce(value: Any, kind_of: FieldType) -> Any:
    """The value as the declared type has it. Raises INTERNAL_ERROR or INVALID_VALUE where XAPI does."""
    match kind_of.kind:
        case Kind.STRING | Kind.REF:
            return _string(value)
        case Kind.INT:
            return _int(value)
        case Kind.FLOAT:
            return _float(value)
        case Kind.BOOL:
            if not isinstance(value, bool):
                raise _unexpected("bool", value)
            return value
        case Kind.DATETIME:
            return _datetime(value)
        case Kind.ENUM:
            return _enum(value, kind_of.name)
        case Kind.SET:
            if not isinstance(value, list | tuple):
                raise _unexpected("list", value)
            return [coerce(item, kind_of.value) if kind_of.value else item for item in value]
        case Kind.MAP:
            return _map(value, kind_of)
        case Kind.RECORD:
            return _record(value, kind_of.name)
        case _:
            assert_never(kind_of.kind)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise _unexpected("string", value)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ApiError("INVALID_VALUE", "Invalid UTF-8 string in parameter", ascii(value)) from None
    return value


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _unexpected("int64", value)
    if isinstance(value, str):
        if not _INT.fullmatch(value):
            raise _failure("Int64.of_string")
        text = value.replace("_", "").lower().replace("0u", "")
        sign, digits = (text[0], text[1:]) if text[0] in "+-" else ("", text)
        base = {"0x": 16, "0o": 8, "0b": 2}.get(digits[:2], 10)
        value = int(sign + (digits[2:] if base != 10 else digits), base)
    if not -_INT64 <= value < _INT64:
        raise _failure("Int64.of_string")
    return int(value)


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _unexpected("float", value)
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise _failure("float_of_string") from None


def _datetime(value: Any) -> str:
    """In XAPI's spelling; what has no time zone is UTC."""
    if not isinstance(value, str):
        raise _unexpected("datetime", value)
    found = _STAMP.fullmatch(value)
    if found is None:
        raise internal_error(f'Invalid_argument("date.ml:parse: {value}")')
    *numbers, zone = found.groups()
    try:
        moment = datetime(*(int(number) for number in numbers), tzinfo=UTC)  # type: ignore[misc,arg-type]
        if zone not in (None, "Z"):
            shifted = datetime.strptime(zone.replace(":", ""), "%z")
            moment = moment.replace(tzinfo=shifted.tzinfo).astimezone(UTC)
    except (ValueError, OverflowError):
        raise internal_error(f'Invalid_argument("date.ml:parse: {value}")') from None
    return moment.strftime("%Y%m%dT%H:%M:%SZ")


def _enum(value: Any, name: str) -> str:
    allowed = load_datamodel().enums.get(name)
    if not isinstance(value, str):
        raise _unexpected("string", value)
    if allowed is not None and value not in allowed:
        lowered = {each.lower(): each for each in allowed}
        if value.lower() not in lowered:
            raise _failure("Unknown tag/contents")
        return lowered[value.lower()]
    return value


def _map(value: Any, kind_of: FieldType) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise _unexpected("dict", value)
    if kind_of.key is None or kind_of.value is None:
        return value
    return {coerce(key, kind_of.key): coerce(item, kind_of.value) for key, item in value.items()}


def _record(value: Any, class_name: str) -> Record:
    """A constructor's record: what was given, and the defaults of what the creator may leave out."""
    if not isinstance(value, dict):
        raise _unexpected("dict", value)
    facts = load_datamodel()
    api_class = facts.classes.get(class_name)
    if api_class is None:
        return value
    record: Record = {}
    for field in api_class.fields.values():
        if field.name in value:
            record[field.name] = coerce(value[field.name], field.type)
        elif field.qualifier in SET_BY_THE_CREATOR:
            if field.default is None:
                raise internal_error(f'Server_helpers.Dispatcher_FieldNotFound("{field.name}")')
            record[field.name] = facts.default_value(field)
    return record
