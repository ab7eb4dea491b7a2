"""Both encodings of XAPI: the recorded answers of a real pool say the same in both, and rubbish is told to be rubbish.

Effects: reads files
"""

from __future__ import annotations

import json
import math
import xmlrpc.client
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.odd_server import END_OF_HEADERS, json_failure, json_result, xml_failure, xml_result
from tests.support.xapi_replies import records, reply
from xenios.drivers.xenserver.records import CLASSES, HostRecord, PoolRecord, VmRecord
from xenios.drivers.xenserver.wire import (
    ApiFailure,
    NotXapi,
    UnreadableAnswer,
    json_answer,
    json_request,
    record_of,
    xml_answer,
    xml_request,
)

VMS = dict[str, VmRecord]


class Event(msgspec.Struct, rename={"class_name": "class"}):
    class_name: str
    operation: str
    ref: str
    snapshot: msgspec.Raw = msgspec.Raw()


class Batch(msgspec.Struct):
    events: list[Event]
    token: str
    valid_ref_counts: dict[str, int]


def body(answer: bytes) -> bytes:
    return answer.partition(END_OF_HEADERS)[2]


def said(answer: str) -> bytes:
    """A JSON-RPC answer with this result, written by hand."""
    return f'{{"jsonrpc":"2.0","result":{answer},"id":1}}'.encode()


# --- answers of a real pool ---


@pytest.mark.parametrize(
    ("name", "kind"),
    [("vm_all", VMS), ("host_all", dict[str, HostRecord]), ("pool_all", dict[str, PoolRecord])],
)
def test_both_encodings_say_the_same(name: str, kind: Any) -> None:
    by_json = json_answer(reply(f"{name}.json"), kind)
    assert by_json
    assert by_json == xml_answer(reply(f"{name}.xml"), kind)


def test_every_field_is_read_as_it_was_written() -> None:
    """Names with tabs, line ends, quotes, per cent signs and emoji among them."""
    written = json.loads(reply("vm_all.json"))["result"]
    for answer in (json_answer(reply("vm_all.json"), VMS), xml_answer(reply("vm_all.xml"), VMS)):
        assert set(answer) == set(written)
        for ref, vm in answer.items():
            assert msgspec.to_builtins(vm) == {
                name: written[ref][name] for name in VmRecord.__struct_fields__
            }


def test_records_of_every_class_are_read() -> None:
    for name, rows in records().items():
        if name in CLASSES:
            answer = json_answer(said(json.dumps(rows)), dict[str, CLASSES[name]])  # type: ignore[valid-type]
            assert set(answer) == set(rows)


def test_events_say_the_same_and_their_snapshots_can_be_left_for_later() -> None:
    by_json = json_answer(reply("event_from_all.json"), Batch)
    by_xml = xml_answer(reply("event_from_all.xml"), Batch)
    assert by_json.token == by_xml.token
    assert by_json.valid_ref_counts == by_xml.valid_ref_counts
    assert by_json.valid_ref_counts["vm"] == 27
    vms = 0
    for one, other in zip(by_json.events, by_xml.events, strict=True):
        assert (one.class_name, one.operation, one.ref) == (other.class_name, other.operation, other.ref)
        if one.class_name == "vm":
            vms += 1
            assert record_of(one.snapshot, VmRecord) == record_of(other.snapshot, VmRecord)
    assert vms == 27


def test_a_refusal_is_told_with_code_and_parameters() -> None:
    for read in (
        lambda: json_answer(reply("handle_invalid.json"), str),
        lambda: xml_answer(reply("handle_invalid.xml"), VMS),
    ):
        with pytest.raises(ApiFailure) as raised:
            read()
        assert (raised.value.code, raised.value.params) == ("HANDLE_INVALID", ("VM", "OpaqueRef:nope"))


# --- the odd forms ---


@pytest.mark.parametrize(
    "answer",
    [
        b'{"jsonrpc":"2.0","error":{"code":1,"message":"HOST_IS_SLAVE","data":["192.0.2.1"]},"id":1}',
        b'{"jsonrpc":"2.0","error":["HOST_IS_SLAVE","192.0.2.1"],"id":0}',
        b'{"result":null,"error":["HOST_IS_SLAVE","192.0.2.1"],"id":1}',
        b'{"error":["HOST_IS_SLAVE","192.0.2.1"],"result":"","id":1}',
    ],
)
@pytest.mark.parametrize("kind", [str, VMS, int])
def test_every_form_of_a_refusal_in_json(answer: bytes, kind: type[Any]) -> None:
    with pytest.raises(ApiFailure) as raised:
        json_answer(answer, kind)
    assert (raised.value.code, raised.value.params) == ("HOST_IS_SLAVE", ("192.0.2.1",))


def test_words_that_are_no_json_are_numbers_and_only_outside_of_texts() -> None:
    answer = json_answer(
        said(
            '{"a":{"HVM_shadow_multiplier":NaN,"name_label":"NaN \\" Infinity"},'
            '"b":{"HVM_shadow_multiplier":-Infinity},"c":{"HVM_shadow_multiplier":Infinity,"x":[NaN]}}'
        ),
        VMS,
    )
    assert math.isnan(answer["a"].HVM_shadow_multiplier)
    assert answer["a"].name_label == 'NaN " Infinity'
    assert answer["b"].HVM_shadow_multiplier == -math.inf
    assert answer["c"].HVM_shadow_multiplier == math.inf
    raw = json_answer(said('{"a":{"HVM_shadow_multiplier":NaN}}'), dict[str, msgspec.Raw])["a"]
    assert math.isnan(record_of(raw, VmRecord).HVM_shadow_multiplier)
    by_xml = xml_answer(
        body(
            xml_result(
                "<struct><member><name>a</name><value><struct><member><name>HVM_shadow_multiplier</name>"
                "<value><double>nan</double></value></member></struct></value></member></struct>"
            )
        ),
        VMS,
    )
    assert math.isnan(by_xml["a"].HVM_shadow_multiplier)


def test_missing_fields_take_their_defaults_and_others_are_passed_over() -> None:
    answer = json_answer(
        said('{"a":{},"b":{"power_state":"Hibernating","new_in_2031":[{}],"VCPUs_max":1,"VCPUs_max":2}}'), VMS
    )
    assert answer["a"] == VmRecord()
    assert answer["b"] == VmRecord(power_state="Hibernating", VCPUs_max=2)


def test_whole_numbers_beyond_53_bits_are_kept() -> None:
    size = 2**63 - 1
    assert json_answer(said(f'{{"a":{{"memory_static_max":{size}}}}}'), VMS)["a"].memory_static_max == size
    assert xml_answer(body(xml_result(str(size))), int) == size


def test_text_that_is_not_utf_8_costs_only_itself() -> None:
    answer = json_answer(said('{"a":{"name_label":"m?ller"},"b":{}}').replace(b"?", b"\xfc"), VMS)
    assert answer["a"].name_label == "m�ller"
    assert "b" in answer


def test_keys_that_xapi_does_not_escape_are_read() -> None:
    """XML-RPC's own clients fail on these; the recorded answer has such a key too."""
    for key in ("a&b", "a<b", "</name>", "&amp", "x<value>y"):
        xml = body(xml_result(f"<struct><member><name>{key}</name><value>1</value></member></struct>"))
        assert xml_answer(xml, dict[str, str]) == {key: "1"}


def test_a_carriage_return_stays_one() -> None:
    xml = body(xml_result("<struct><member><name>a\rb</name><value>c\r\nd</value></member></struct>"))
    assert xml_answer(xml, dict[str, str]) == {"a\rb": "c\r\nd"}


def test_void_is_an_empty_text() -> None:
    assert json_answer(body(json_result("")), str) == ""
    assert xml_answer(body(xml_result("")), str) == ""


# --- requests ---

SCALARS = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]))
VALUES = st.recursive(
    SCALARS | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=8
)


@given(st.lists(VALUES))
def test_json_requests_say_what_was_meant(params: list[Any]) -> None:
    written = json.loads(json_request("VM.get_all", params))
    assert written == {"jsonrpc": "2.0", "method": "VM.get_all", "params": params, "id": 1}


@given(st.lists(VALUES))
def test_xml_requests_say_what_was_meant(params: list[Any]) -> None:
    read, method = xmlrpc.client.loads(xml_request("VM.get_all", params))
    assert method == "VM.get_all"
    assert list(read) == params


@pytest.mark.parametrize("write", [json_request, xml_request])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_not_sent(write: Any, number: float) -> None:
    """A timeout that is not a number makes XAPI wait for a day."""
    for params in ([number], [[1.0, number]], [{"timeout": number}]):
        with pytest.raises(ValueError, match="cannot be sent"):
            write("event.from", params)


def test_what_xml_cannot_hold_is_not_sent() -> None:
    for text in ("\x00", "a\x1bb", "\ud800", "￿"):
        with pytest.raises(ValueError, match="character"):
            xml_request("session.login_with_password", ["root", text])
    with pytest.raises(ValueError, match="no form"):
        xml_request("VM.get_all", [object()])


# --- rubbish ---

PAGE = b"<!DOCTYPE html><html><body>It works!</body></html>"


@pytest.mark.parametrize(
    "text", [b"", b" \n", PAGE, b"[1,2]", b'"text"', b"null", b"NaN", b"<?xml version='1.0'?>", b"{}"]
)
def test_what_is_no_json_rpc_at_all(text: bytes) -> None:
    with pytest.raises(NotXapi):
        json_answer(text, str)


@pytest.mark.parametrize(
    "text",
    [
        reply("vm_all.json")[:5000],
        b'{"jsonrpc":"2.0","result":{"a":{"uuid":',
        said('{"a":{"uuid":5}}'),
        said('{"a":{"VCPUs_max":"many"}}'),
        said('{"a":null}'),
        said("[]"),
        said("7"),
        said("[" * 100_000 + "]" * 100_000),
        said('{"a":{"x":' + '{"x":' * 100_000 + "1" + "}" * 100_002),
    ],
    ids=range(9),
)
def test_a_damaged_answer_is_told_to_be_one_without_quoting_it(text: bytes) -> None:
    with pytest.raises(UnreadableAnswer) as raised:
        json_answer(text, VMS)
    assert str(raised.value)
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize("text", [b"", PAGE, b"{}", b"<methodCall/>", body(json_failure("X"))])
def test_what_is_no_xml_rpc_at_all(text: bytes) -> None:
    with pytest.raises(NotXapi):
        xml_answer(text, str)


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
    + body(xml_result("&b;"))[21:]
)
FAULT = b"<methodResponse><fault><value><struct></struct></value></fault></methodResponse>"


@pytest.mark.parametrize(
    "text",
    [
        reply("vm_all.xml")[:5000],
        BOMB,
        FAULT,
        b"<methodResponse></methodResponse>",
        b"<methodResponse><params><param><value>text</value></param></params></methodResponse>",
        body(xml_result("<struct><member><name>a</name><value>b</value></member></struct>")),
        body(xml_result("<array><data>" * 200 + "</data></array>" * 200)),
        body(xml_result("<array><data><value>" * 200 + "</value></data></array>" * 200)),
        body(xml_failure("X")).replace(b"Failure", b"Perhaps"),
        body(xml_result("1")).replace(b"methodResponse>", b"methodResponse>&unknown;"),
    ],
    ids=range(10),
)
def test_damaged_xml_is_told_to_be_damaged(text: bytes) -> None:
    with pytest.raises(UnreadableAnswer) as raised:
        xml_answer(text, VMS)
    assert len(str(raised.value)) < 200


@given(st.binary(max_size=200))
def test_no_bytes_break_the_decoders(noise: bytes) -> None:
    for text in (noise, b"{" + noise, b"<methodResponse>" + noise, said("{}") + noise):
        for read in (json_answer, xml_answer):
            try:
                read(text, VMS)
            except (UnreadableAnswer, ApiFailure):
                continue


@given(st.integers(0, 5000), st.binary(min_size=1, max_size=4))
def test_no_damage_in_a_real_answer_breaks_the_decoders(place: int, noise: bytes) -> None:
    for name, read in (("pool_all.json", json_answer), ("pool_all.xml", xml_answer)):
        whole = reply(name)
        place %= len(whole)
        try:
            read(whole[:place] + noise + whole[place + len(noise) :], dict[str, PoolRecord])
        except (UnreadableAnswer, ApiFailure):
            continue
