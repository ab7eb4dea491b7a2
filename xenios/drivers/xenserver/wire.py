"""XAPI's two ways to write a call and its answer: JSON-RPC v2, and XML-RPC for hosts that know nothing else.

Both decode straight into the types that the caller names. JSON is what every release since 7.3 speaks; it is a third of
the size and a twentieth of the work. XAPI leaves the grammar in places, and each is met here:

* JSON may hold the bare words NaN and Infinity, which are not JSON. They are put in quotes and read as numbers.
* A failure in JSON has two forms: {"code":1,"message":CODE,"data":[…]} or the plain list [CODE, …].
* XML writes integers without a tag, so that only the wanted type tells them from text.
* XML does not escape the keys of maps. Where that makes an answer unreadable, it is escaped here and read again.

Source: ocaml-rpc's jsonrpc.ml and xmlrpc.ml.

Effects: none
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import Any, Generic, TypeVar, cast
from xml.sax.saxutils import escape

import msgspec

T = TypeVar("T")

_TYPES_REMEMBERED = 128
_JSON_WORDS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|-?(?:NaN|Infinity)', re.DOTALL)
_AS_TEXT = {b"NaN": b'"nan"', b"-NaN": b'"nan"', b"Infinity": b'"inf"', b"-Infinity": b'"-inf"'}
_XML_KEY = re.compile(rb"<name>(.*?)</name>(?=<value[ />])", re.DOTALL)
_XML_ROOT = b"<methodResponse"
_XML_NESTED_MAX = 64
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class ApiFailure(Exception):
    """XAPI's own "no": a code of its list, and parameters in the order of that list."""

    def __init__(self, code: str, params: Sequence[str] = ()) -> None:
        super().__init__(code, *params)
        self.code = code
        self.params = tuple(params)

    def __str__(self) -> str:
        return f"{self.code} ({', '.join(self.params)})" if self.params else self.code


class UnreadableAnswer(Exception):
    """The answer is not what XAPI writes; the text says where it stops being so, without quoting it."""


class NotXapi(UnreadableAnswer):
    """It is no answer of that encoding at all."""


class _JsonFailure(msgspec.Struct):
    message: str = ""
    data: list[str] = []


class _JsonAnswer(msgspec.Struct, Generic[T]):
    result: T | msgspec.UnsetType = msgspec.UNSET
    error: _JsonFailure | list[str] | None = None


class _JsonSayingNo(msgspec.Struct):
    error: _JsonFailure | list[str] | None = None


class _XmlAnswer(msgspec.Struct, Generic[T]):
    Status: str = ""
    Value: T | msgspec.UnsetType = msgspec.UNSET


_Decode = Callable[[bytes | msgspec.Raw], Any]
"""What a decoder for one wanted type does."""


@lru_cache(_TYPES_REMEMBERED)
def _decode_answer(result: Hashable, strict: bool) -> _Decode:
    return msgspec.json.Decoder(_JsonAnswer[result], strict=strict).decode  # type: ignore[valid-type]


@lru_cache(_TYPES_REMEMBERED)
def _decode_xml_answer(result: Hashable) -> _Decode:
    return msgspec.json.Decoder(_XmlAnswer[result], strict=False).decode  # type: ignore[valid-type]


@lru_cache(_TYPES_REMEMBERED)
def _decode_part(kind: Hashable) -> _Decode:
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(cast("Any", kind), strict=False)
    return decoder.decode


# --- JSON-RPC v2 -----------------------------------------------------------------------------------------------------


def json_request(method: str, params: Sequence[Any]) -> bytes:
    """A call. Raises ValueError for a number that JSON cannot write."""
    _check_numbers(params)
    return msgspec.json.encode({"jsonrpc": "2.0", "method": method, "params": list(params), "id": 1})


def json_answer(body: bytes, result: type[T]) -> T:
    """What a call gave. Raises ApiFailure, NotXapi when it is no JSON-RPC at all, UnreadableAnswer when damaged."""
    try:
        answer: _JsonAnswer[T] = _decode_answer(cast("Hashable", result), True)(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _json_answer_out_of_form(body, result)  # most often: a failure, whose result is null
    except RecursionError as error:
        raise UnreadableAnswer(_where(error)) from None
    return _outcome(answer)


def _json_answer_out_of_form(body: bytes, result: type[T]) -> T:
    if body.lstrip()[:1] != b"{":
        raise NotXapi("it is no JSON object" if body else "it is empty")
    if b"NaN" in body or b"Infinity" in body:
        body = _JSON_WORDS.sub(_word_as_text, body)
    body = body.decode("utf-8", "replace").encode()
    try:
        said = msgspec.json.decode(body, type=_JsonSayingNo)
        if said.error is not None:
            raise _failure(said.error)
        answer: _JsonAnswer[T] = _decode_answer(cast("Hashable", result), False)(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadableAnswer(_where(error)) from None
    return _outcome(answer)


def _word_as_text(found: re.Match[bytes]) -> bytes:
    return _AS_TEXT.get(found[0], found[0])


def _outcome(answer: _JsonAnswer[T]) -> T:
    if answer.error is not None:
        raise _failure(answer.error)
    if isinstance(answer.result, msgspec.UnsetType):
        raise NotXapi("it has neither result nor error")
    return answer.result


def _failure(error: _JsonFailure | list[str]) -> ApiFailure:
    if isinstance(error, list):
        return ApiFailure(error[0] if error else "", error[1:])
    return ApiFailure(error.message, error.data)


def record_of(raw: msgspec.Raw, kind: type[T]) -> T:
    """Decodes a part that was left raw, such as an event's snapshot, of either encoding. Raises UnreadableAnswer."""
    try:
        decoded: T = _decode_part(cast("Hashable", kind))(raw)
        return decoded
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableAnswer(_where(error)) from None


def _where(error: Exception) -> str:
    """What a decoder says: the place, and what it expected there."""
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)


def _check_numbers(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} cannot be sent")
    if isinstance(value, list | tuple):
        for item in value:
            _check_numbers(item)
    elif isinstance(value, dict):
        _check_numbers(list(value.values()))


# --- XML-RPC ---------------------------------------------------------------------------------------------------------


def xml_request(method: str, params: Sequence[Any]) -> bytes:
    """A call. Raises ValueError for what XML cannot write."""
    _check_numbers(params)
    written = "".join(f"<param>{_xml_value(param)}</param>" for param in params)
    return (
        f'<?xml version="1.0"?><methodCall><methodName>{escape(method)}</methodName>'
        f"<params>{written}</params></methodCall>"
    ).encode()


def _xml_value(value: Any) -> str:
    match value:
        case str():
            if _NOT_IN_XML.search(value):
                raise ValueError("it has a character that XML cannot hold")
            return f"<value><string>{escape(value)}</string></value>"
        case bool():
            return f"<value><boolean>{value:d}</boolean></value>"
        case int():
            return f"<value><int>{value}</int></value>"
        case float():
            return f"<value><double>{value!r}</double></value>"
        case list() | tuple():
            return f"<value><array><data>{''.join(map(_xml_value, value))}</data></array></value>"
        case dict():
            members = (
                f"<member><name>{escape(str(key))}</name>{_xml_value(item)}</member>"
                for key, item in value.items()
            )
            return f"<value><struct>{''.join(members)}</struct></value>"
        case _:
            raise ValueError(f"{type(value).__name__} has no form in XML-RPC")


def xml_answer(body: bytes, result: type[T]) -> T:
    """What a call gave. Raises ApiFailure, NotXapi when it is no XML-RPC at all, UnreadableAnswer when damaged."""
    begins = body.find(_XML_ROOT)
    if begins < 0 or body[:begins].count(b"<") > body[:begins].count(b"<?"):
        raise NotXapi(
            "it is no XML-RPC answer"
        )  # nor may a DOCTYPE, the door of entity bombs, stand before it
    try:
        answer = _xml_document(body)
        if answer.get("Status") == "Failure":
            described = [str(part) for part in answer.get("ErrorDescription", ())]
            raise ApiFailure(described[0] if described else "", described[1:])
        # By way of JSON, so that one decoder knows the types, and a part may be left raw in either encoding.
        read: _XmlAnswer[T] = _decode_xml_answer(cast("Hashable", result))(msgspec.json.encode(answer))
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise UnreadableAnswer(_where(error)) from None
    if read.Status != "Success" or isinstance(read.Value, msgspec.UnsetType):
        raise NotXapi("it has neither value nor error")
    return read.Value


def _xml_document(body: bytes) -> dict[str, Any]:
    root = _xml_root(body)
    if root is None:
        root = _xml_root(_XML_KEY.sub(_key_escaped, body))
    if root is None:
        raise ValueError("it is damaged or cut off")
    if root.find("fault") is not None:
        raise ValueError("it is an XML-RPC fault, which XAPI does not use")
    value = root.find("params/param/value")
    decoded = _from_xml(value, 0) if value is not None else None
    if not isinstance(decoded, dict):
        raise ValueError("it is not the struct that XAPI answers with")
    return decoded


def _xml_root(body: bytes) -> Any:
    """The root element; None when it cannot be read."""
    from lxml import etree  # late: hosts that need it are rare

    # A carriage return is left bare by XAPI, and XML would read it as a line feed.
    body = body.replace(b"\r", b"&#13;")
    # Without huge_tree, libxml2 refuses a single text beyond 10 MB; a pool's answer may be larger, no text in it is.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
    try:
        return etree.fromstring(body, parser)
    except etree.XMLSyntaxError:
        return None


def _key_escaped(found: re.Match[bytes]) -> bytes:
    key = found[1].replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;")
    return b"<name>" + key + b"</name>"


def _from_xml(value: Any, depth: int) -> Any:
    """A <value>. Numbers stay text: what they are, the wanted type says."""
    if depth > _XML_NESTED_MAX:
        raise ValueError("it is nested too deep")
    if len(value) == 0:
        return value.text or ""
    inner = value[0]
    match inner.tag:
        case "struct":
            return {
                member.findtext("name") or "": _from_xml(member.find("value"), depth + 1)
                for member in inner.iterchildren("member")
                if member.find("value") is not None
            }
        case "array":
            return [_from_xml(item, depth + 1) for item in inner.iterfind("data/value")]
        case "boolean":
            return inner.text == "1"
        case "nil":
            return None
        case _:
            return inner.text or ""
