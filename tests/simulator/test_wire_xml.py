"""Is XML-RPC written and read as a real xapi does it?

Effects: reads files
"""

import math
import xmlrpc.client
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.xapi_replies import reply, result
from xenios.simulator.facts.datamodel import FieldType, Kind, load_datamodel, parse_type
from xenios.simulator.serving.wire_xml import (
    MalformedCall,
    WireTime,
    decode_call,
    encode_events,
    encode_failure,
    encode_methods,
    encode_success,
    encode_value,
)

STRING = parse_type("string")


def all_records(class_name: str) -> FieldType:
    return parse_type(f"map(ref {class_name},record {class_name})")


def call(params: str, method: str = "VM.start") -> bytes:
    """The body of a call with these `<param>` elements."""
    return (
        f'<?xml version="1.0"?><methodCall><methodName>{method}</methodName>'
        f"<params>{params}</params></methodCall>"
    ).encode()


def decoded(value: str) -> Any:
    """What a single parameter, `<value>…</value>`, is read as."""
    _, [only] = decode_call(call(f"<param>{value}</param>"))
    return only


# --- replies, against the real ones


@pytest.mark.parametrize(
    ("name", "class_name"),
    [("vm_all", "VM"), ("host_all", "host"), ("pool_all", "pool"), ("task_all", "task")],
)
def test_records_are_written_to_the_byte(name: str, class_name: str) -> None:
    assert encode_success(result(name), all_records(class_name)) == reply(f"{name}.xml")


def test_events_are_written_to_the_byte() -> None:
    assert encode_events(result("event_from_all")) == reply("event_from_all.xml")


def test_a_failure_is_written_to_the_byte() -> None:
    assert encode_failure("HANDLE_INVALID", ["VM", "OpaqueRef:nope"]) == reply("handle_invalid.xml")


# --- replies, value by value


@pytest.mark.parametrize(
    ("kind", "value", "wire"),
    [
        ("string", "a", "a"),
        ("string", "", ""),
        ("string", 'a<b>&"c"\'', "a&lt;b&gt;&amp;&quot;c&quot;'"),
        ("string", "tab\tline\nreturn\rdel\x7f", "tab\tline\nreturn\rdel\x7f"),
        ("string", "dropped: \x00\x01\x0b\x1f.", "dropped: ."),
        ("string", "é 漢 🐘", "é 漢 🐘"),
        ("int", 5, "5"),
        ("int", -(2**63), "-9223372036854775808"),
        ("float", 0.1, "<double>0.1</double>"),
        ("float", 1, "<double>1</double>"),
        ("float", 2 / 3, "<double>0.6666666666666666</double>"),
        ("float", 1e20, "<double>1e+20</double>"),
        ("float", 9.95, "<double>9.949999999999999</double>"),
        ("float", math.inf, "<double>inf</double>"),
        ("float", -math.inf, "<double>-inf</double>"),
        ("float", math.nan, "<double>nan</double>"),
        ("float", math.copysign(math.nan, -1), "<double>-nan</double>"),
        ("bool", True, "<boolean>1</boolean>"),
        ("bool", False, "<boolean>0</boolean>"),
        ("datetime", "20260821T02:00:23Z", "<dateTime.iso8601>20260821T02:00:23Z</dateTime.iso8601>"),
        ("string", "20260821T02:00:23Z", "20260821T02:00:23Z"),
        ("enum vm_power_state", "Halted", "Halted"),
        ("ref VM", "OpaqueRef:NULL", "OpaqueRef:NULL"),
        ("set(string)", [], "<array><data></data></array>"),
        ("set(string)", ["a", "<"], "<array><data><value>a</value><value>&lt;</value></data></array>"),
        ("set(int)", [1], "<array><data><value>1</value></data></array>"),
        ("map(string,string)", {}, "<struct></struct>"),
        (
            "map(int,float)",
            {0: 0.5},
            "<struct><member><name>0</name><value><double>0.5</double></value></member></struct>",
        ),
        # The name of a member is not escaped: the reply is no XML then. So it is on a real pool.
        (
            "map(string,string)",
            {"R&D": "a&b"},
            "<struct><member><name>R&D</name><value>a&amp;b</value></member></struct>",
        ),
    ],
)
def test_a_value_is_written_by_its_type(kind: str, value: Any, wire: str) -> None:
    assert encode_value(value, parse_type(kind)) == f"<value>{wire}</value>"


def test_void_is_an_empty_string_and_never_nil() -> None:
    assert encode_value(None, None) == "<value></value>"


def test_list_methods_has_no_status() -> None:
    assert encode_methods(["VM.start", "VM.stop"]) == (
        b'<?xml version="1.0"?><methodResponse><params><param><value><array><data><value>VM.start</value>'
        b"<value>VM.stop</value></data></array></value></param></params></methodResponse>"
    )


def test_a_record_of_a_class_without_field_list_is_written_by_its_values() -> None:
    written = encode_value({"name": "cpu0", "value": 1.5, "enabled": True}, parse_type("record data_source"))
    assert written == (
        "<value><struct><member><name>name</name><value>cpu0</value></member>"
        "<member><name>value</name><value><double>1.5</double></value></member>"
        "<member><name>enabled</name><value><boolean>1</boolean></value></member></struct></value>"
    )


def test_half_a_surrogate_pair_does_not_break_a_reply() -> None:
    assert b"<value>a?b</value>" in encode_success("a\ud800b", STRING)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff"), max_size=20)


def expected(text: str) -> str:
    """What Python's reader makes of it: control characters are gone, and XML knows one line end only."""
    kept = "".join(letter for letter in text if letter >= " " or letter in "\t\n\r")
    return kept.replace("\r\n", "\n").replace("\r", "\n")


@given(texts)
def test_any_text_can_be_read_back(text: str) -> None:
    (read,), _ = xmlrpc.client.loads(encode_success(text, STRING).decode())
    assert read == {"Status": "Success", "Value": expected(text)}


@given(st.lists(texts, max_size=5))
def test_any_set_of_texts_can_be_read_back(members: list[str]) -> None:
    (read,), _ = xmlrpc.client.loads(encode_success(members, parse_type("set(string)")).decode())
    assert read == {"Status": "Success", "Value": [expected(text) for text in members]}


@given(st.data())
def test_one_odd_text_in_a_record_leaves_all_other_fields_alone(data: st.DataObject) -> None:
    fields = load_datamodel().classes["VM"].fields
    record = load_datamodel().default_record("VM")
    name = data.draw(
        st.sampled_from([field.name for field in fields.values() if field.type.kind is Kind.STRING])
    )
    record[name] = data.draw(texts)
    (read,), _ = xmlrpc.client.loads(encode_success(record, parse_type("record VM")).decode())
    assert list(read["Value"]) == list(fields)
    assert read["Value"][name] == expected(record[name])
    assert read["Value"]["memory_static_max"] == "0"  # an int is a string to whoever goes by the tags
    assert read["Value"]["is_a_template"] is False


# --- calls


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("<value>a&lt;b</value>", "a<b"),
        ("<value><string>a</string></value>", "a"),
        ("<value/>", ""),
        ("<value></value>", ""),
        ("<value>  </value>", "  "),
        ("<value><string/></value>", ""),
        ("<value> <int>5</int>\n</value>", 5),
        ("<value><i4>-5</i4></value>", -5),
        ("<value><i8>9223372036854775807</i8></value>", 2**63 - 1),
        ("<value><boolean>1</boolean></value>", True),
        ("<value><boolean>0</boolean></value>", False),
        ("<value><boolean>true</boolean></value>", False),
        ("<value><double>1.5</double></value>", 1.5),
        ("<value><double>-inf</double></value>", -math.inf),
        ("<value><base64>YWI=</base64></value>", b"ab"),
        ("<value><nil/></value>", None),
        ("<value><array><data><value>1</value><value><int>2</int></value></data></array></value>", ["1", 2]),
        ("<value><array/></value>", []),
        ("<value><array><data/></array></value>", []),
        ("<value><struct/></value>", {}),
        ("<value><struct><member><name>a</name><value>1</value></member></struct></value>", {"a": "1"}),
        (
            "<value><struct><member><name>a</name><value>1</value></member>"
            "<member><name>a</name><value>2</value></member></struct></value>",
            {"a": "1"},
        ),
        ("<value>a<!-- b -->c<?d e?></value>", "ac"),
        ("<value><![CDATA[<&>]]></value>", "<&>"),
    ],
)
def test_a_parameter_is_read(value: str, meaning: Any) -> None:
    read = decoded(value)
    assert read == meaning
    assert type(read) is type(meaning)


def test_a_time_is_a_text_that_knows_it() -> None:
    read = decoded("<value><dateTime.iso8601>20260821T02:00:23Z</dateTime.iso8601></value>")
    assert read == "20260821T02:00:23Z"
    assert isinstance(read, WireTime)


@given(st.lists(texts | st.booleans() | st.integers(-(2**31), 2**31 - 1), max_size=4))
def test_what_pythons_client_writes_is_read(params: list[Any]) -> None:
    body = xmlrpc.client.dumps(tuple(params), "VM.x", encoding="utf-8", allow_none=True).encode()
    if any(isinstance(param, str) and expected(param) != param for param in params):
        return  # what XML cannot hold, Python writes all the same
    assert decode_call(body) == ("VM.x", params)


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(10)
)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"no XML",
        b'{"method":"VM.start"}',
        b"<a/>",
        b"<methodCall/>",
        b"<methodCall><methodName>VM.x</methodName></methodCall>",
        b"<methodCall><params/><methodName>VM.x</methodName></methodCall>",
        b"<methodCall><methodName>VM<b/></methodName><params/></methodCall>",
        call("")[:-3],
        call("<param/>"),
        call("<value>1</value>"),
        call("<param><int>1</int></param>"),
        call("<param><value>1</value><value>2</value></param>"),
        call("<param><value>a<int>1</int></value></param>"),
        call("<param><value><int>1</int><int>2</int></value></param>"),
        call("<param><value><int/></value></param>"),
        call("<param><value><int>x</int></value></param>"),
        call("<param><value><int>9223372036854775808</int></value></param>"),
        call("<param><value><boolean/></value></param>"),
        call("<param><value><double>x</double></value></param>"),
        call("<param><value><base64>?</base64></value></param>"),
        call("<param><value><other>x</other></value></param>"),
        call("<param><value><array><value>1</value></array></value></param>"),
        call("<param><value><struct><name>a</name></struct></value></param>"),
        call("<param><value><struct><member><value>a</value></member></struct></value></param>"),
        call("<param><value>&unknown;</value></param>"),
        call("<param><value>&#1;</value></param>"),
        call("<param><value>\ufffe</value></param>"),
        call("<param><value>\xff</value></param>".encode().decode("latin-1")).replace(b"\xc3\x83", b"\xff"),
        call("<param><value><array><data>" * 200),
        b"<!DOCTYPE x>" + call(""),
        (BOMB + ">").encode() + b"<methodCall><methodName>&j;</methodName><params/></methodCall>",
        ('<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a><a/>').encode("utf-16"),
        b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]>'
        b"<methodCall><methodName>&f;</methodName><params/></methodCall>",
    ],
)
def test_what_is_no_call_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedCall):
        decode_call(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        decode_call(b"<methodCall>" + body)
    except MalformedCall:
        return
    pytest.fail("some bytes after <methodCall> were taken for a call")
