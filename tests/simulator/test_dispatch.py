"""Are calls understood and refused as XAPI does it, with its codes and texts?

Effects: none
"""

import asyncio
from typing import Any

import pytest

from tests.support.simulated import NOW, Client, Simulated, simulated_pool
from xenios.errors import XeniosError
from xenios.simulator.api_error import ApiError, ConnectionCut
from xenios.simulator.clock import ManualClock
from xenios.simulator.coerce import coerce
from xenios.simulator.dispatch import IMPLEMENTED, Call, implements
from xenios.simulator.facts.datamodel import FieldType, Kind, load_datamodel, parse_type
from xenios.simulator.generic import find_method
from xenios.simulator.pool import SimulatedPool

NOPE = "OpaqueRef:nope"


async def refusal(client: Client, method: str, *params: Any) -> list[str]:
    with pytest.raises(ApiError) as error:
        await client.call(method, *params)
    return error.value.description


# ---- names ----


@pytest.mark.parametrize("name", ["VM.fly", "vm.get_all", "Nonsense.get_all", "nonsense", "", ".", "VM."])
async def test_an_unknown_call_is_told_by_its_name(name: str) -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        assert await refusal(client, name) == ["MESSAGE_METHOD_UNKNOWN", name]


async def test_an_underscore_may_stand_for_the_dot() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        assert await client.call("VM_get_all") == await client.call("VM.get_all")
        assert await client.call("VM_metrics_get_all") == await client.call("VM_metrics.get_all")
        assert await refusal(client, "Async.VM_start", NOPE, False, False) == [
            "MESSAGE_METHOD_UNKNOWN",
            "VM_start",
        ]


async def test_calls_about_the_server_itself_need_no_session() -> None:
    async with simulated_pool() as simulated:
        answer = await simulated.pool.answer(simulated.master, "system.listMethods", [])
        assert answer.bare
        assert {"VM.start", "VM.get_record", "event.from", "VM.add_tags", "Bond.get_all"} <= set(answer.value)
        assert await simulated.pool.call(simulated.master, "system.isAlive", ["hello"]) == "hello"


# ---- parameters ----


@pytest.mark.parametrize(
    ("method", "params", "expected", "received"),
    [
        ("VM.get_all", 1, "0", "1"),
        ("VM.get_record", 0, "1", "0"),
        ("VM.start", 1, "3", "1"),
        ("VM.start", 4, "3", "4"),
        ("event.from", 2, "3", "2"),
    ],
)
async def test_counts_leave_out_the_session(method: str, params: int, expected: str, received: str) -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        error = await refusal(client, method, *["x"] * params)
        assert error == ["MESSAGE_PARAMETER_COUNT_MISMATCH", method, expected, received]


async def test_a_call_without_session_has_one_parameter_too_few() -> None:
    async with simulated_pool() as simulated:
        with pytest.raises(ApiError) as error:
            await simulated.pool.call(simulated.master, "VM.get_all", [])
        assert error.value.description == ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.get_all", "0", "-1"]


@pytest.mark.parametrize(
    ("value", "declared", "text"),
    [
        ("abc", "int", 'Failure("Int64.of_string")'),
        ("", "int", 'Failure("Int64.of_string")'),
        ("9223372036854775808", "int", 'Failure("Int64.of_string")'),
        (True, "int", "Failure(\"Expected int64, got 'B(true)'\")"),
        (1.5, "int", "Failure(\"Expected int64, got 'F(1.5)'\")"),
        (5, "string", "Failure(\"Expected string, got 'I(5)'\")"),
        ('a"b\\', "bool", 'Failure("Expected bool, got \'S(a\\"b\\\\)\'")'),
        (None, "ref VM", "Failure(\"Expected string, got 'N'\")"),
        (["a"], "string", "Failure(\"Expected string, got '[S(a)]'\")"),
        ({"a": 1}, "string", "Failure(\"Expected string, got '{a:I(1)}'\")"),
        ("Sleeping", "enum vm_power_state", 'Failure("Unknown tag/contents")'),
        ("x", "float", 'Failure("float_of_string")'),
        ("x", "set(string)", "Failure(\"Expected list, got 'S(x)'\")"),
        ([1], "set(string)", "Failure(\"Expected string, got 'I(1)'\")"),
        ("x", "map(string,string)", "Failure(\"Expected dict, got 'S(x)'\")"),
        ("yesterday", "datetime", 'Invalid_argument("date.ml:parse: yesterday")'),
        ("20261341T99:00:00Z", "datetime", 'Invalid_argument("date.ml:parse: 20261341T99:00:00Z")'),
        ({}, "record VIF", 'Server_helpers.Dispatcher_FieldNotFound("device")'),
    ],
)
def test_a_wrong_type_is_refused_in_xapis_words(value: Any, declared: str, text: str) -> None:
    with pytest.raises(ApiError) as error:
        coerce(value, parse_type(declared))
    assert error.value.description == ["INTERNAL_ERROR", text]


@pytest.mark.parametrize(
    ("value", "declared", "understood"),
    [
        ("1024", "int", 1024),
        ("-7", "int", -7),
        ("0x10", "int", 16),
        ("1_000", "int", 1000),
        ("9223372036854775807", "int", 2**63 - 1),
        (5, "float", 5.0),
        ("2.5", "float", 2.5),
        ("20260821T02:00:23Z", "datetime", "20260821T02:00:23Z"),
        ("2026-08-21T02:00:23Z", "datetime", "20260821T02:00:23Z"),
        ("20260821T04:00:23+02:00", "datetime", "20260821T02:00:23Z"),
        ("20260821T02:00:23", "datetime", "20260821T02:00:23Z"),
        ("running", "enum vm_power_state", "Running"),
        ({"1": "2"}, "map(int,float)", {1: 2.0}),
        (["a", "ü"], "set(string)", ["a", "ü"]),
    ],
)
def test_input_is_understood_liberally(value: Any, declared: str, understood: Any) -> None:
    result = coerce(value, parse_type(declared))
    assert (result, type(result)) == (understood, type(understood))


def test_broken_unicode_is_refused() -> None:
    with pytest.raises(ApiError) as error:
        coerce("a\udc80", FieldType(Kind.STRING))
    assert error.value.description[:2] == ["INVALID_VALUE", "Invalid UTF-8 string in parameter"]


def test_a_constructors_record_gets_its_defaults() -> None:
    api_class = load_datamodel().classes["VDI"]
    given = {
        field.name: load_datamodel().default_value(field)
        for field in api_class.fields.values()
        if field.qualifier in ("RW", "StaticRO") and field.default is None
    }
    record = coerce({**given, "virtual_size": "1024", "nobody knows": "this"}, parse_type("record VDI"))
    assert record["virtual_size"] == 1024
    assert record["tags"] == []
    assert "nobody knows" not in record


# ---- registering ----


def test_every_implementation_is_a_call_that_exists() -> None:
    for name in IMPLEMENTED:
        assert find_method(name) is not None, name


def test_a_call_has_one_implementation() -> None:
    with pytest.raises(ValueError, match="twice"):
        implements("event.from")(lambda call: None)


async def test_a_call_without_implementation_says_so() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        name = next(
            name
            for name, message in load_datamodel().messages.items()
            if name not in IMPLEMENTED and not message.params and name.startswith("host.")
        )
        assert await refusal(client, name) == ["NOT_IMPLEMENTED", name]


async def test_a_defect_is_told_as_internal_error_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(call: Call) -> None:
        raise RuntimeError("a screw is loose")

    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        found = IMPLEMENTED["event.get_current_id"]
        broken_one = type(found)(broken, found.reads, found.needs_session, found.params, found.result)
        monkeypatch.setitem(IMPLEMENTED, "event.get_current_id", broken_one)
        assert await refusal(client, "event.get_current_id") == [
            "INTERNAL_ERROR",
            "RuntimeError: a screw is loose",
        ]
        [defect] = simulated.pool.defects
        assert isinstance(defect, RuntimeError)
        simulated.pool.defects.clear()


def test_records_that_are_no_pool_are_refused() -> None:
    for records in ({}, {"pool": {"OpaqueRef:1": {"master": NOPE}}}):
        with pytest.raises(XeniosError, match="no pool"):
            SimulatedPool(records, clock=ManualClock(NOW))


# ---- hosts in trouble ----


@pytest.mark.parametrize(
    "error",
    [ApiError("HOST_STILL_BOOTING"), ApiError("HOST_MASTER_CANNOT_TALK_BACK", "10.0.0.1")],
    ids=lambda error: error.code,
)
async def test_in_emergency_mode_only_few_calls_are_answered(error: ApiError) -> None:
    async with simulated_pool(hosts=2) as simulated:
        pool, [supporter] = simulated.pool, simulated.supporters
        pool.enter_emergency(supporter, error)
        for method, params in (
            ("session.login_with_password", ["root", "xenios"]),
            ("VM.get_all", ["OpaqueRef:any"]),
            ("Async.VM.start", ["OpaqueRef:any", NOPE, False, False]),
        ):
            with pytest.raises(ApiError) as refused:
                await pool.call(supporter, method, params)
            assert refused.value == error
        session = await pool.call(supporter, "session.slave_local_login_with_password", ["root", "xenios"])
        assert await pool.call(supporter, "host.is_in_emergency_mode", [session]) is True
        pool.heal_host(supporter)
        assert await pool.call(supporter, "host.is_in_emergency_mode", [session]) is False


async def test_a_supporter_that_hangs_still_names_the_master() -> None:
    async with simulated_pool(hosts=2) as simulated:
        pool, [supporter] = simulated.pool, simulated.supporters
        pool.hang_host(supporter)
        with pytest.raises(ApiError) as error:
            await pool.call(supporter, "session.login_with_password", ["root", "x"])
        assert error.value.code == "HOST_IS_SLAVE"
        call = asyncio.ensure_future(pool.call(supporter, "pool.get_all", ["OpaqueRef:any"]))
        await simulated.clock.advance(3600)
        assert not call.done()
        call.cancel()
        await simulated.clock.settle()
        assert pool.answering.running() == []


async def test_a_master_that_hangs_answers_nothing() -> None:
    async with simulated_pool() as simulated:
        simulated.pool.hang_host(simulated.master)
        login = asyncio.ensure_future(
            simulated.pool.call(simulated.master, "session.login_with_password", ["root", "xenios"])
        )
        await simulated.clock.advance(600)
        assert not login.done()
        login.cancel()
        await simulated.clock.settle()
        assert login.cancelled()


async def test_a_dead_host_is_silent_and_after_ten_minutes_not_live() -> None:
    async with simulated_pool(hosts=2) as simulated:
        pool, [supporter] = simulated.pool, simulated.supporters
        client = await simulated.log_in()
        metrics = await client.call("host.get_metrics", supporter)
        pool.kill_host(supporter)
        with pytest.raises(ConnectionCut):
            await pool.call(supporter, "system.isAlive", ["x"])
        await simulated.clock.advance(9 * 60)
        assert await client.call("host_metrics.get_live", metrics) is True
        await simulated.clock.advance(2 * 60)
        assert await client.call("host_metrics.get_live", metrics) is False
        pool.heal_host(supporter)
        assert await pool.call(supporter, "system.isAlive", ["x"]) == "x"
        await simulated.clock.advance(31)
        assert await client.call("host_metrics.get_live", metrics) is True


async def test_a_pool_whose_master_dies_is_silent_until_it_has_another() -> None:
    async with simulated_pool(hosts=2) as simulated:
        pool, [supporter], old = simulated.pool, simulated.supporters, simulated.master
        client = await simulated.log_in()
        pool.kill_host(old)
        with pytest.raises(ConnectionCut):
            await client.call("pool.get_all")
        pool.move_master(supporter)
        assert simulated.master == supporter
        again = await simulated.log_in()
        assert await again.call("pool.get_master", pool.pool_ref()) == supporter
        with pytest.raises(ConnectionCut):
            await client.call("pool.get_all")


async def test_the_hosts_clocks_may_be_wrong() -> None:
    async with simulated_pool(clock_offset_seconds=7200.0) as simulated:
        client = await simulated.log_in()
        task = await client.call("task.create", "late", "")
        assert await client.call("task.get_created", task) == "20260821T08:00:00Z"


async def test_an_operation_goes_on_without_its_client_and_reading_does_not() -> None:
    async with simulated_pool(vms=20) as simulated:
        client = await simulated.log_in()
        vm = halted(simulated)
        start = client.start("VM.start", vm, False, False)
        await simulated.clock.advance(0.01)
        start.cancel()
        await simulated.clock.advance(60)
        assert await client.call("VM.get_power_state", vm) == "Running"
        assert not simulated.pool.answering.abandoned_with_client("VM.start")
        assert simulated.pool.answering.abandoned_with_client("event.from")


def halted(simulated: Simulated) -> str:
    for ref, vm in simulated.pool.tables.rows("VM").items():
        if vm["power_state"] == "Halted" and not vm["is_a_template"]:
            return ref
    raise AssertionError("no halted VM")
