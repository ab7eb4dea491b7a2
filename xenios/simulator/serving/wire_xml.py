"""XML-RPC as XAPI reads and writes it: calls from bytes, replies to bytes.

A client that is only ever tested against textbook XML-RPC breaks on a real pool: XAPI's integers carry no tag and
arrive as strings, its times have no hyphens, the names of map members are not escaped (an `other_config` key with `&`
makes the whole reply malformed), and it never sends a fault. All of that is reproduced here, byte for byte, after
ocaml-rpc's xmlrpc.ml; the raw replies in tests/fixtures/xapi hold it to the original.

Replies are written by the declared type of the result, not by the Python value. An encoder is compiled once for each
type, a record's into a row of (what stands before a value, how the value is written): pools with thousands of VMs are
read again and again.

Calls are read as hostile. lxml expands no entity, follows no DTD and ends at 256 nested elements; a DOCTYPE is refused
(XAPI would pass over it; no client sends one).

Effects: none
"""

from __future__ import annotations

import binascii
import math
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, assert_never

from lxml import etree

from xenios.simulator.facts.datamodel import FieldType, Kind, load_datamodel

Encoder = Callable[[Any], str]
"""Makes `<value>…</value>` of a value."""

_HEAD = b'<?xml version="1.0"?><methodResponse><params><param>'
_TAIL = b"</param></params></methodResponse>"
_SUCCESS = (
    _HEAD
    + b"<value><struct><member><name>Status</name><value>Success</value></member><member><name>Value</name>"
)
_FAILURE = (
    _HEAD + b"<value><struct><member><name>Status</name><value>Failure</value></member>"
    b"<member><name>ErrorDescription</name>"
)
_END = b"</member></struct></value>" + _TAIL

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""What XML cannot hold: dropped. All other characters but four stand as they are, DEL among them."""
_TIME = re.compile("[0-9]{8}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")

_BLANK = re.compile("[\n \t]*")
_WHOLE_NUMBER = re.compile("[+-]?[0-9][0-9_]*")
_NUMBERS_END = 2**63


class MalformedCall(Exception):
    """A request body that is no call. XAPI answers HTTP 500 and closes; the text is for the reply's page."""


class WireTime(str):
    """A parameter that came as `<dateTime.iso8601>`: a text all the same, but XAPI can tell it from a string."""

    __slots__ = ()


# --- replies ---------------------------------------------------------------------------------------------------------


def escaped(text: str) -> str:
    """A string as XAPI writes it between tags; control characters that XML cannot hold are left out."""
    if _is_plain(text):
        return text
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return _CONTROL.sub("", text)


def _is_plain(text: str) -> bool:
    """Whether escaping would change nothing; may say no where it would not. Five searches in C, for short and long."""
    return text.isprintable() and "<" not in text and "&" not in text and '"' not in text and ">" not in text


def encode_value(value: Any, kind_of: FieldType | None) -> str:
    """One value as `<value>…</value>`, by its type (None: void). This is also what a task's `result` holds."""
    return encoder_of(kind_of)(value)


def encode_success(value: Any, kind_of: FieldType | None) -> bytes:
    """The reply of a call that went well. Strings that hold half of a surrogate pair get a question mark for it."""
    if kind_of is not None and kind_of.kind is Kind.MAP:
        # The largest replies. Bytes member by member: one emoji would make a text of 10 MB take four bytes per letter.
        each = encoder_of(kind_of.value)
        members = (
            f"<member><name>{key}</name>{each(item)}</member>".encode("utf-8", "replace")
            for key, item in value.items()
        )
        inner = b"".join([b"<value><struct>", *members, b"</struct></value>"])
    else:
        inner = encoder_of(kind_of)(value).encode("utf-8", "replace")
    return b"".join([_SUCCESS, inner, _END])


def encode_failure(code: str, params: Iterable[str]) -> bytes:
    """The reply of a call that failed: never a fault, always a list of strings."""
    return b"".join([_FAILURE, _array(map(_string, (code, *params))).encode("utf-8", "replace"), _END])


def encode_events(batch: Mapping[str, Any]) -> bytes:
    """The reply of event.from, the one place where XAPI writes integers with a tag: `valid_ref_counts`."""
    events = [_event(event).encode("utf-8", "replace") for event in batch["events"]]
    rest = (
        "</data></array></value></member>"
        f"<member><name>valid_ref_counts</name>{_COUNTS(batch['valid_ref_counts'])}</member>"
        f"<member><name>token</name>{_string(batch['token'])}</member></struct></value>"
    )
    head = b"<value><struct><member><name>events</name><value><array><data>"
    return b"".join([_SUCCESS, head, *events, rest.encode(), _END])


def encode_methods(names: Iterable[str]) -> bytes:
    """The reply of system.listMethods: a bare array, without a Status."""
    return b"".join([_HEAD, _array(map(_string, names)).encode("utf-8", "replace"), _TAIL])


@cache
def encoder_of(kind_of: FieldType | None) -> Encoder:
    """The encoder of a type. A record of a class without a field list is written by its Python values."""
    if kind_of is None:
        return _void
    match kind_of.kind:
        case Kind.STRING | Kind.ENUM | Kind.REF:
            return _string
        case Kind.INT:
            return _whole_number
        case Kind.FLOAT:
            return _fraction
        case Kind.BOOL:
            return _truth
        case Kind.DATETIME:
            return _time
        case Kind.SET:
            return _set_encoder(encoder_of(kind_of.value))
        case Kind.MAP:
            return _map_encoder(encoder_of(kind_of.value))
        case Kind.RECORD:
            return _record_encoder(kind_of.name)
        case _:
            assert_never(kind_of.kind)


def _string(text: str) -> str:
    return f"<value>{escaped(text)}</value>"


def _whole_number(number: int) -> str:
    return f"<value>{number:d}</value>"


def _tagged_number(number: int) -> str:
    return f"<value><i4>{number:d}</i4></value>"


def _fraction(number: float) -> str:
    return f"<value><double>{printed(number)}</double></value>"


def printed(number: float) -> str:
    """As C prints `%.16g`, which is what OCaml prints."""
    if math.isnan(number) and math.copysign(1.0, number) < 0:
        return "-nan"
    return format(float(number), ".16g")


def _truth(truth: bool) -> str:
    return f"<value><boolean>{'1' if truth else '0'}</boolean></value>"


def _time(text: str) -> str:
    return f"<value><dateTime.iso8601>{text}</dateTime.iso8601></value>"


def _void(_: object) -> str:
    return "<value></value>"


def _array(encoded: Iterable[str]) -> str:
    return f"<value><array><data>{''.join(encoded)}</data></array></value>"


def _set_encoder(each: Encoder) -> Encoder:
    def encode(members: Sequence[Any]) -> str:
        if not members:
            return "<value><array><data></data></array></value>"
        if each is _string and _is_plain("".join(members)):
            inner = "</value><value>".join(members)
            return f"<value><array><data><value>{inner}</value></data></array></value>"
        return _array(map(each, members))

    return encode


def _map_encoder(each: Encoder) -> Encoder:
    def encode(pairs: Mapping[Any, Any]) -> str:
        if not pairs:
            return "<value><struct></struct></value>"
        # The key as it is: XAPI does not escape it.
        if each is _string and _is_plain("".join(pairs.values())):
            members = [
                f"<member><name>{key}</name><value>{text}</value></member>" for key, text in pairs.items()
            ]
        else:
            members = [f"<member><name>{key}</name>{each(value)}</member>" for key, value in pairs.items()]
        return f"<value><struct>{''.join(members)}</struct></value>"

    return encode


def _record_encoder(class_name: str) -> Encoder:
    if class_name == _EVENT_CLASS:
        return _event
    known = load_datamodel().classes.get(class_name)
    if known is None:
        return _by_value
    names = tuple(known.fields)
    encoders = [encoder_of(field.type) for field in known.fields.values()]
    values_of = itemgetter(*names)
    # Strings and numbers are left for the template, as long as all strings of a record are plain: most are.
    template = "".join(
        f"<member><name>{name}</name>{'<value>%s</value>' if each in (_string, _whole_number) else '%s'}</member>"
        for name, each in zip(names, encoders, strict=True)
    )
    template = f"<value><struct>{template}</struct></value>"
    strings = [number for number, each in enumerate(encoders) if each is _string]
    strings_of = itemgetter(
        *(names[number] for number in strings), "uuid"
    )  # two at least, or it gives no tuple
    others = [
        (number, each)
        for number, each in enumerate(encoders)
        if each is not _string and each is not _whole_number
    ]

    def encode(record: Mapping[str, Any]) -> str:
        if len(record) != len(names):  # an answer made empty on purpose
            return _by_value(record)
        values = list(values_of(record))
        if not _is_plain("".join(strings_of(record))):
            for number in strings:
                values[number] = escaped(values[number])
        for number, each in others:
            values[number] = each(values[number])
        return template % tuple(values)

    return encode


def _by_value(value: Any) -> str:
    """For what the datamodel has no fields of: a text that looks like a time is one."""
    match value:
        case bool():
            return _truth(value)
        case int():
            return _whole_number(value)
        case float():
            return _fraction(value)
        case str():
            return _time(value) if _TIME.fullmatch(value) else _string(value)
        case Mapping():
            return _map_encoder(_by_value)(value)
        case Sequence():
            return _array(map(_by_value, value))
        case _:
            raise TypeError(f"no API value is a {type(value).__name__}")


@cache
def _snapshot_encoder(lower_case_class: str) -> Encoder:
    for name in load_datamodel().classes:
        if name.lower() == lower_case_class:
            return _record_encoder(name)
    return _by_value


def _event(event: Mapping[str, Any]) -> str:
    members = [
        f"<member><name>{key}</name>"
        f"{_snapshot_encoder(event['class'])(value) if key == 'snapshot' else _by_value(value)}</member>"
        for key, value in event.items()
    ]
    return f"<value><struct>{''.join(members)}</struct></value>"


_COUNTS = _map_encoder(_tagged_number)
_EVENT_CLASS = "event"
"""Its objects hold a snapshot of any other class, and none at all of what is gone."""


# --- calls -----------------------------------------------------------------------------------------------------------


def decode_call(body: bytes) -> tuple[str, list[Any]]:
    """The method and its parameters. Raises MalformedCall.

    Untagged text stays text: only the declared type of a parameter says whether "5" means a number. None stands for
    `<nil/>`, bytes for `<base64>`.
    """
    root = _document(body)
    if _tag(root) != "methodCall":
        raise MalformedCall(f"open_tag({_tag(root)}) instead of open_tag(methodCall)")
    children = _children(root)
    if [_tag(child) for child in children] != ["methodName", "params"]:
        raise MalformedCall("a methodCall holds a methodName and params")
    params = []
    for param in _children(children[1]):
        values = _children(param)
        if _tag(param) != "param" or len(values) != 1:
            raise MalformedCall("params hold param elements with one value each")
        params.append(_decoded(values[0]))
    return _text(children[0]), params


def _document(body: bytes) -> etree._Element:
    if body.lstrip(b" \t\r\n")[:1] != b"<":
        raise MalformedCall("the body is no XML")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    if b"<!DOCTYPE" in body:  # said before parsing, and below for other encodings of the same
        raise MalformedCall("the body has a DOCTYPE")
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, LookupError, ValueError) as error:
        raise MalformedCall(f"XML parsing error: {error}") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise MalformedCall("the body has a DOCTYPE")
    return root


def _tag(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _children(element: etree._Element) -> list[etree._Element]:
    """The elements within, between which only blanks may stand."""
    children = list(element)
    for text in (element.text, *(child.tail for child in children)):
        if text and not _BLANK.fullmatch(text):
            raise MalformedCall(f"text where {_tag(element)} holds elements")
    return children


def _text(element: etree._Element) -> str:
    if len(element):
        raise MalformedCall(f"open_tag({_tag(element[0])}) within {_tag(element)}")
    return element.text or ""


def _decoded(value: etree._Element) -> Any:
    if _tag(value) != "value":
        raise MalformedCall(f"open_tag({_tag(value)}) instead of open_tag(value)")
    if not len(value):
        return value.text or ""
    children = _children(value)
    if len(children) != 1:
        raise MalformedCall("a value holds one thing")
    return _tagged(children[0])


def _tagged(element: etree._Element) -> Any:
    tag = _tag(element)
    match tag:
        case "string":
            return _text(element)
        case "nil":
            return None
        case "array":
            return _members_of_array(element)
        case "struct":
            return _pairs(element)
        case _:
            return _from_text(tag, _text(element))


def _from_text(tag: str, text: str) -> Any:
    if not text:
        raise MalformedCall(f"an empty {tag}")
    try:
        match tag:
            case "int" | "i4" | "i8":
                return _number_from(text)
            case "boolean":
                return text == "1"  # "true" is false: so it is in XAPI
            case "double":
                return float(text)
            case "dateTime.iso8601":
                return WireTime(text)
            case "base64":
                return b64decode(text, validate=True)
            case _:
                raise MalformedCall(f"open_tag({tag}) where a type is named")
    except (ValueError, binascii.Error) as error:
        raise MalformedCall(f"{text[:40]!r} is no {tag}") from error


def _number_from(text: str) -> int:
    if not _WHOLE_NUMBER.fullmatch(text):
        raise ValueError(text)
    number = int(text.rstrip("_").replace("_", ""))
    if not -_NUMBERS_END <= number < _NUMBERS_END:
        raise ValueError(text)
    return number


def _members_of_array(element: etree._Element) -> list[Any]:
    children = _children(element)
    if not children:
        return []
    if len(children) != 1 or _tag(children[0]) != "data":
        raise MalformedCall("an array holds one data element")
    return [_decoded(value) for value in _children(children[0])]


def _pairs(element: etree._Element) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for member in _children(element):
        children = _children(member)
        if _tag(member) != "member" or [_tag(child) for child in children] != ["name", "value"]:
            raise MalformedCall("a struct holds members of a name and a value")
        pairs.setdefault(_text(children[0]), _decoded(children[1]))  # of two equal names the first counts
    return pairs
