"""JSON-RPC v1 and v2 as XAPI reads and writes it: calls from bytes, replies to bytes.

After ocaml-rpc's jsonrpc.ml and yojson, with what clients stumble over: a failure of v2 has code 1 always and its
details in `data`; an error that arises before a call is dispatched (emergency mode) comes as a plain list in the v2
envelope, with id 0; numbers may be the bare tokens NaN and Infinity, which are no JSON; void is an empty string. There
are no batches and no notifications.

msgspec does the work where its bytes are yojson's. They differ in two places: yojson escapes the DEL character, and it
prints numbers with a fraction in a way of its own. So only types that can hold such a number are looked through.

Effects: none
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, assert_never

import msgspec

from xenios.simulator.facts.datamodel import FieldType, Kind, load_datamodel
from xenios.simulator.serving.wire_xml import MalformedCall

Preparer = Callable[[Any], Any]
"""Makes of a value what msgspec writes as yojson would."""

_NUMBERS_END = 2**63
_PLAIN_FRACTIONS_END = 1e15
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class JsonCall:
    """A call, and what its reply must repeat."""

    method: str
    params: list[Any]
    version: int
    """1 or 2."""
    id: int | str


# --- calls -----------------------------------------------------------------------------------------------------------


def decode_call(body: bytes) -> JsonCall:
    """The call in a request. Raises MalformedCall, which XAPI answers with HTTP 500.

    Bytes that are no UTF-8 arrive as lone surrogates: XAPI looks at them only when it dispatches the call.
    """
    try:
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        content = _decoded_leniently(body)
    if not isinstance(content, dict):
        raise MalformedCall("Invalid request body")
    if "method" not in content:
        raise MalformedCall("Required field method is missing")
    method = content["method"]
    if not isinstance(method, str):
        raise MalformedCall("Invalid field 'method' in request body")
    version = _version_of(content)
    return JsonCall(method, _params_of(content, version), version, _id_of(content))


def _decoded_leniently(body: bytes) -> Any:
    """Once more as yojson reads: NaN and Infinity are numbers, and a string may hold any bytes."""
    try:
        return json.loads(body.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise MalformedCall(f"JSON parsing error: {error}") from error


def _version_of(content: Mapping[str, Any]) -> int:
    if "jsonrpc" not in content:
        return 1
    if content["jsonrpc"] == "2.0":
        return 2
    raise MalformedCall("Invalid field 'jsonrpc' in request body")


def _params_of(content: Mapping[str, Any], version: int) -> list[Any]:
    match content.get("params"):
        case list() as params:
            _refuse_numbers_out_of_range(params)
            return params
        case dict() as params if version == 2:
            _refuse_numbers_out_of_range([params])
            return [params]
        case None if version == 2:
            return []
        case None if "params" not in content:
            raise MalformedCall("Required field params is missing")
        case _:
            raise MalformedCall("Invalid field 'params' in request body")


def _refuse_numbers_out_of_range(params: list[Any]) -> None:
    """XAPI reads numbers of 64 bits; a longer one breaks the whole request."""
    unseen = list(params)
    while unseen:
        value = unseen.pop()
        if isinstance(value, list):
            unseen += value
        elif isinstance(value, dict):
            unseen += value.values()
        elif isinstance(value, int) and not -_NUMBERS_END <= value < _NUMBERS_END:
            raise MalformedCall('Failure("Int64.of_string")')


def _id_of(content: Mapping[str, Any]) -> int | str:
    number = content.get("id")
    if isinstance(number, str):
        return number
    if isinstance(number, int) and not isinstance(number, bool) and -_NUMBERS_END <= number < _NUMBERS_END:
        return number
    raise MalformedCall("Invalid field 'id' in request body")  # also a notification, which has none


# --- replies ---------------------------------------------------------------------------------------------------------


def encode_success(call: JsonCall, value: Any, kind_of: FieldType | None) -> bytes:
    """The reply of a call that went well, by the declared type of its result (None: void)."""
    result = b'""' if kind_of is None else _encoded(prepared(value, kind_of))
    if call.version == 1:
        return b'{"result":' + result + b',"error":null,"id":' + _encoded(call.id) + b"}"
    return b'{"jsonrpc":"2.0","result":' + result + b',"id":' + _encoded(call.id) + b"}"


def encode_failure(call: JsonCall, code: str, params: Sequence[str]) -> bytes:
    """The reply of a call that failed."""
    if (
        call.version == 1 or call.method == "system.listMethods"
    ):  # the latter is not translated, whatever the version
        return _with_error(call.version, [code, *params], call.id)
    return _with_error(2, {"code": 1, "message": code, "data": list(params)}, call.id)


def encode_early_failure(call: JsonCall, code: str, params: Sequence[str]) -> bytes:
    """The reply when an error arises before the call is dispatched: a plain list whatever the version, and id 0."""
    return _with_error(call.version, [code, *params], 0)


def encode_events(call: JsonCall, batch: Mapping[str, Any]) -> bytes:
    """The reply of event.from."""
    events = [_prepare_event(event) for event in batch["events"]]
    result = {"events": events, "valid_ref_counts": batch["valid_ref_counts"], "token": batch["token"]}
    return encode_success(call, result, _AS_IT_IS)


_AS_IT_IS = FieldType(Kind.MAP)


def prepared(value: Any, kind_of: FieldType) -> Any:
    """What to give msgspec: the value itself, but for numbers with a fraction."""
    prepare = preparer_of(kind_of)
    return value if prepare is None else prepare(value)


@cache
def preparer_of(kind_of: FieldType | None) -> Preparer | None:
    """What must be done to values of a type; None: nothing."""
    if kind_of is None:
        return None
    match kind_of.kind:
        case Kind.STRING | Kind.ENUM | Kind.REF | Kind.INT | Kind.BOOL | Kind.DATETIME:
            return None
        case Kind.FLOAT:
            return _fraction
        case Kind.SET:
            return _set_preparer(preparer_of(kind_of.value))
        case Kind.MAP:
            return _map_preparer(preparer_of(kind_of.value))
        case Kind.RECORD:
            return _record_preparer(kind_of.name)
        case _:
            assert_never(kind_of.kind)


def _set_preparer(each: Preparer | None) -> Preparer | None:
    return None if each is None else lambda members: [each(member) for member in members]


def _map_preparer(each: Preparer | None) -> Preparer | None:
    return None if each is None else lambda pairs: {key: each(value) for key, value in pairs.items()}


def _record_preparer(class_name: str) -> Preparer | None:
    if class_name == "event":
        return _prepare_event
    known = load_datamodel().classes.get(class_name)
    if known is None:
        return _by_value
    preparers = [
        (field.name, prepare)
        for field in known.fields.values()
        if (prepare := preparer_of(field.type)) is not None
    ]
    if not preparers:
        return None

    def prepare_record(record: Mapping[str, Any]) -> Any:
        changed = None
        for name, prepare in preparers if record else ():  # a record may have been made empty on purpose
            value = record[name]
            new = prepare(value)
            if new is not value:
                changed = changed if changed is not None else dict(record)
                changed[name] = new
        return record if changed is None else changed

    return prepare_record


def _prepare_event(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """An event holds a snapshot of any class, and none of what is gone."""
    if "snapshot" not in event or (snapshot := _snapshot_preparer(event["class"])) is None:
        return event
    return {**event, "snapshot": snapshot(event["snapshot"])}


@cache
def _snapshot_preparer(lower_case_class: str) -> Preparer | None:
    for name in load_datamodel().classes:
        if name.lower() == lower_case_class:
            return _record_preparer(name)
    return _by_value


def _by_value(value: Any) -> Any:
    """For what the datamodel has no fields of."""
    match value:
        case float():
            return _fraction(value)
        case Mapping():
            return {key: _by_value(item) for key, item in value.items()}
        case list() | tuple():
            return [_by_value(item) for item in value]
        case _:
            return value


def _fraction(number: float) -> Any:
    if type(number) is float and number.is_integer() and abs(number) < _PLAIN_FRACTIONS_END:
        return number  # msgspec writes 1.0 as yojson does; nearly all are like this
    return msgspec.Raw(printed(float(number)).encode())


def printed(number: float) -> str:
    """As yojson prints it: 16 digits, 17 where 16 would not give the same number back, and always a sign of a fraction.

    What is not finite becomes a bare token that is no JSON, and that only some readers take.
    """
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    text = format(number, ".16g")
    if float(text) != number:
        text = format(number, ".17g")
    return text if any(letter not in "-0123456789" for letter in text) else f"{text}.0"


def _encoded(value: Any) -> bytes:
    try:
        text = _encoder.encode(value)
    except UnicodeEncodeError:  # half of a surrogate pair: bytes of a request that were no UTF-8
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_spelled_out).encode(
            "utf-8", "replace"
        )
    return text.replace(b"\x7f", b"\\u007f") if b"\x7f" in text else text


def _spelled_out(value: object) -> Any:
    if isinstance(value, msgspec.Raw):
        return json.loads(bytes(value))
    raise TypeError(f"no API value is a {type(value).__name__}")


def _with_error(version: int, error: Any, call_id: int | str) -> bytes:
    if version == 1:
        return b'{"result":null,"error":' + _encoded(error) + b',"id":' + _encoded(call_id) + b"}"
    return b'{"jsonrpc":"2.0","error":' + _encoded(error) + b',"id":' + _encoded(call_id) + b"}"
