"""Is JSON-RPC written and read as a real xapi does it?

Effects: reads files
"""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.xapi_replies import reply, result
from xenios.simulator.facts.datamodel import load_datamodel, parse_type
from xenios.simulator.serving.wire_json import (
    JsonCall,
    decode_call,
    encode_early_failure,
    encode_events,
    encode_failure,
    encode_success,
    printed,
)
from xenios.simulator.serving.wire_xml import MalformedCall

V1 = JsonCall("VM.x", [], version=1, id=1)
V2 = JsonCall("VM.x", [], version=2, id=1)


@pytest.mark.parametrize(
    ("name", "class_name"),
    [("vm_all", "VM"), ("host_all", "host"), ("pool_all", "pool"), ("task_all", "task")],
)
def test_records_are_written_to_the_byte(name: str, class_name: str) -> None:
    kind = parse_type(f"map(ref {class_name},record {class_name})")
    assert encode_success(V2, result(name), kind) == reply(f"{name}.json")


def test_events_are_written_to_the_byte() -> None:
    assert encode_events(V2, result("event_from_all")) == reply("event_from_all.json")


def test_a_list_of_methods_is_written_to_the_byte() -> None:
    assert encode_success(V2, result("listMethods"), parse_type("set(string)")) == reply("listMethods.json")


def test_a_failure_is_written_to_the_byte() -> None:
    assert encode_failure(V2, "HANDLE_INVALID", ["VM", "OpaqueRef:nope"]) == reply("handle_invalid.json")


def test_envelopes_of_version_1() -> None:
    assert encode_success(V1, "a", parse_type("string")) == b'{"result":"a","error":null,"id":1}'
    assert encode_failure(V1, "CODE", ["a", "b"]) == b'{"result":null,"error":["CODE","a","b"],"id":1}'


def test_an_id_comes_back_as_it_was() -> None:
    call = JsonCall("VM.x", [], version=2, id='a"\x7f')
    assert encode_success(call, 5, parse_type("int")) == b'{"jsonrpc":"2.0","result":5,"id":"a\\"\\u007f"}'


def test_a_failure_before_dispatch_is_a_plain_list_with_id_0() -> None:
    call = JsonCall("VM.x", [], version=2, id=77)
    assert encode_early_failure(call, "HOST_IS_SLAVE", ["10.0.0.1"]) == (
        b'{"jsonrpc":"2.0","error":["HOST_IS_SLAVE","10.0.0.1"],"id":0}'
    )
    assert encode_early_failure(V1, "HOST_STILL_BOOTING", []) == (
        b'{"result":null,"error":["HOST_STILL_BOOTING"],"id":0}'
    )


def test_a_failing_list_of_methods_is_not_translated() -> None:
    call = JsonCall("system.listMethods", [], version=2, id=1)
    assert encode_failure(call, "CODE", []) == b'{"jsonrpc":"2.0","error":["CODE"],"id":1}'


def test_void_is_an_empty_string() -> None:
    assert encode_success(V2, None, None) == b'{"jsonrpc":"2.0","result":"","id":1}'


@pytest.mark.parametrize(
    ("kind", "value", "wire"),
    [
        ("string", '"\\/\b\f\n\r\t\x01\x1f\x7f', r'"\"\\/\b\f\n\r\t\u0001\u001f\u007f"'),
        ("string", "é 漢 🐘 \u2028", '"é 漢 🐘 \u2028"'),
        ("int", 2**63 - 1, "9223372036854775807"),
        ("float", 1, "1.0"),
        ("float", 0.1, "0.1"),
        ("float", 9.95, "9.949999999999999"),
        ("float", 0.1 + 0.2, "0.30000000000000004"),
        ("float", 1e20, "1e+20"),
        ("float", 1e15, "1000000000000000.0"),
        ("float", -0.0, "-0.0"),
        ("float", math.nan, "NaN"),
        ("float", math.inf, "Infinity"),
        ("float", -math.inf, "-Infinity"),
        ("bool", True, "true"),
        ("datetime", "20260821T02:00:23Z", '"20260821T02:00:23Z"'),
        ("set(float)", [0.5, math.nan], "[0.5,NaN]"),
        ("map(int,float)", {0: 0.5, 1: 2}, '{"0":0.5,"1":2.0}'),
        ("map(string,string)", {"R&D": "<"}, '{"R&D":"<"}'),
        ("record data_source", {"name": "cpu0", "value": math.nan}, '{"name":"cpu0","value":NaN}'),
    ],
)
def test_a_value_is_written_by_its_type(kind: str, value: Any, wire: str) -> None:
    expected = f'{{"jsonrpc":"2.0","result":{wire},"id":1}}'.encode()
    assert encode_success(V2, value, parse_type(kind)) == expected


def test_a_number_in_a_record_is_written_by_its_type() -> None:
    record = load_datamodel().default_record("VM")
    before = dict(record)
    kind = parse_type("record VM")
    for number, wire in [
        (1.0, "1.0"),
        (1, "1.0"),
        (0.1, "0.1"),
        (9.95, "9.949999999999999"),
        (math.nan, "NaN"),
    ]:
        record["HVM_shadow_multiplier"] = number
        assert f'"HVM_shadow_multiplier":{wire},'.encode() in encode_success(V2, record, kind)
    assert record == before | {"HVM_shadow_multiplier": record["HVM_shadow_multiplier"]}


@given(st.floats(allow_nan=False))
def test_a_number_reads_back_as_itself(number: float) -> None:
    assert json.loads(printed(number)) == number
    assert isinstance(json.loads(printed(number)), float)


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=5))
def test_any_map_reads_back_as_itself(pairs: dict[str, str]) -> None:
    read = json.loads(encode_success(V2, pairs, parse_type("map(string,string)")))
    lossy = {key.encode("utf-8", "replace").decode(): text.encode("utf-8", "replace").decode()
             for key, text in pairs.items()}  # fmt: skip
    assert read["result"] == lossy


# --- calls


def test_a_call_is_read() -> None:
    body = b'{"jsonrpc":"2.0","method":"VM.start","params":["a",true,5,1.5,{"b":[]}],"id":7}'
    assert decode_call(body) == JsonCall("VM.start", ["a", True, 5, 1.5, {"b": []}], 2, 7)
    assert decode_call(b'{"method":"VM.start","params":[],"id":"x"}') == JsonCall("VM.start", [], 1, "x")


def test_version_2_takes_params_in_three_forms() -> None:
    def params(more: bytes) -> list[Any]:
        return decode_call(b'{"jsonrpc":"2.0","method":"m","id":1' + more + b"}").params

    assert params(b"") == []
    assert params(b',"params":null') == []
    assert params(b',"params":{"a":1}') == [{"a": 1}]


def test_bare_words_are_numbers() -> None:
    [first, second] = decode_call(b'{"method":"m","params":[NaN,-Infinity],"id":1}').params
    assert math.isnan(first)
    assert second == -math.inf


def test_bytes_that_are_no_text_are_kept_for_dispatch_to_refuse() -> None:
    assert decode_call(b'{"method":"m","params":["\xff"],"id":1}').params == ["\udcff"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"no JSON",
        b"<methodCall/>",
        b"[]",
        b'[{"method":"m","params":[],"id":1}]',
        b"5",
        b'{"params":[],"id":1}',
        b'{"method":5,"params":[],"id":1}',
        b'{"method":"m","id":1}',
        b'{"method":"m","params":null,"id":1}',
        b'{"method":"m","params":{},"id":1}',
        b'{"method":"m","params":"a","id":1}',
        b'{"method":"m","params":[]}',
        b'{"method":"m","params":[],"id":null}',
        b'{"method":"m","params":[],"id":1.5}',
        b'{"method":"m","params":[],"id":true}',
        b'{"method":"m","params":[],"id":[]}',
        b'{"method":"m","params":[],"id":9223372036854775808}',
        b'{"method":"m","params":[9223372036854775808],"id":1}',
        b'{"method":"m","params":[{"a":[-9223372036854775809]}],"id":1}',
        b'{"jsonrpc":"1.0","method":"m","params":[],"id":1}',
        b'{"jsonrpc":2.0,"method":"m","params":[],"id":1}',
        b'{"method":"m","params":[],"id":1} x',
        b'{"method":"m","params":' + b"[" * 100_000 + b',"id":1}',
    ],
)
def test_what_is_no_call_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedCall):
        decode_call(body)


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with pytest.raises(MalformedCall):
        decode_call(b'{"method":' + body)
