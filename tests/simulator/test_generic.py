"""Can every class be read and written field by field, and found, as the data model says?

Effects: none
"""

from typing import Any

import pytest

from tests.support.simulated import Client, Simulated, simulated_pool
from tests.support.xapi_replies import result
from xenios.simulator.api_error import ApiError
from xenios.simulator.dispatch import IMPLEMENTED
from xenios.simulator.facts.datamodel import FieldType, Kind, load_datamodel
from xenios.simulator.generic import find_method, method_names

NOPE = "OpaqueRef:nope"
CLASSES = sorted(set(load_datamodel().classes) - {"event", "message"})


async def refusal(client: Client, method: str, *params: Any) -> list[str]:
    with pytest.raises(ApiError) as error:
        await client.call(method, *params)
    return error.value.description


def some(simulated: Simulated, class_name: str) -> str:
    rows = simulated.pool.tables.rows(class_name)
    return next(iter(rows)) if rows else simulated.pool.tables.create(class_name, {})


# ---- reading ----


@pytest.mark.parametrize("class_name", CLASSES)
async def test_every_field_can_be_read_alone_and_in_its_record(class_name: str) -> None:
    async with simulated_pool() as simulated:
        client, ref = await simulated.log_in(), some(simulated, class_name)
        record = await client.call(f"{class_name}.get_record", ref)
        api_class = load_datamodel().classes[class_name]
        assert record.keys() == api_class.fields.keys()
        for name, field in api_class.fields.items():
            assert await client.call(f"{class_name}.get_{name}", ref) == record[name]
            method = find_method(f"{class_name}.get_{name}")
            assert method is not None
            assert method.result == field.type
        assert await client.call(f"{class_name}.get_by_uuid", record["uuid"]) == ref
        if "name_label" in record and class_name != "pool":
            assert ref in await client.call(f"{class_name}.get_by_name_label", record["name_label"])


@pytest.mark.parametrize("class_name", sorted(set(CLASSES) - {"session", "user"}))
async def test_all_objects_of_a_class_can_be_read(class_name: str) -> None:
    async with simulated_pool() as simulated:
        client, ref = await simulated.log_in(), some(simulated, class_name)
        refs = await client.call(f"{class_name}.get_all")
        records = await client.call(f"{class_name}.get_all_records")
        assert refs == list(records)
        assert ref in refs
        assert await client.call(f"{class_name}.get_all_records_where", "true") == records
        assert await client.call(f"{class_name}.get_all_where", "false") == []


async def test_reading_copies_nothing() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        assert await client.call("VM.get_all_records") is simulated.pool.tables.live_rows("VM")


async def test_what_is_not_there_is_told_with_its_class() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        uuid = (await client.call("VM.get_record", some(simulated, "VM")))["uuid"]
        assert await refusal(client, "VM.get_record", NOPE) == ["HANDLE_INVALID", "VM", NOPE]
        assert await refusal(client, "VM.get_name_label", uuid) == ["HANDLE_INVALID", "VM", uuid]
        assert await refusal(client, "task.get_status", NOPE) == ["HANDLE_INVALID", "task", NOPE]
        assert await refusal(client, "VM.set_name_label", NOPE, "x") == ["HANDLE_INVALID", "VM", NOPE]
        assert await refusal(client, "VM.get_by_uuid", "no uuid") == ["UUID_INVALID", "VM", "no uuid"]
        assert await client.call("VM.get_by_name_label", "nobody's name") == []


async def test_classes_without_objects_are_empty() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        assert await client.call("Bond.get_all") == []
        assert await client.call("Bond.get_all_records") == {}
        assert await client.call("Cluster.get_all_records_where", "true") == {}
        assert await refusal(client, "Bond.get_record", NOPE) == ["HANDLE_INVALID", "Bond", NOPE]
        assert await refusal(client, "Bond.get_by_uuid", "x") == ["UUID_INVALID", "Bond", "x"]


# ---- writing ----

_PLAIN_VALUES = {
    Kind.STRING: "a text",
    Kind.INT: 7,
    Kind.FLOAT: 2.5,
    Kind.BOOL: True,
    Kind.DATETIME: "20260821T02:00:23Z",
    Kind.REF: NOPE,
}


def value_for(declared: FieldType) -> Any:
    """A value of a type that is not its default."""
    facts = load_datamodel()
    if declared.kind is Kind.MAP and declared.key is not None:
        return {facts.enums[declared.key.name][0] if declared.key.name else "key": "value"}
    if declared.kind is Kind.SET and declared.value is not None:
        return [value_for(declared.value)]
    return facts.enums[declared.name][-1] if declared.kind is Kind.ENUM else _PLAIN_VALUES[declared.kind]


@pytest.mark.parametrize("class_name", CLASSES)
async def test_every_writable_field_can_be_written(class_name: str) -> None:
    async with simulated_pool() as simulated:
        client, ref = await simulated.log_in(), some(simulated, class_name)
        for name, field in load_datamodel().classes[class_name].fields.items():
            # What has rules of its own is tested where those are.
            if field.qualifier != "RW" or f"{class_name}.set_{name}" in IMPLEMENTED:
                continue
            value = value_for(field.type)
            assert await client.call(f"{class_name}.set_{name}", ref, value) is None
            assert await client.call(f"{class_name}.get_{name}", ref) == value


async def test_what_may_not_be_written_has_no_setter() -> None:
    async with simulated_pool() as simulated:
        client, vm = await simulated.log_in(), some(simulated, "VM")
        for name in ("VM.set_power_state", "VM.set_uuid", "VM.add_to_power_state", "VM.remove_from_tags"):
            assert await refusal(client, name, vm, "x") == ["MESSAGE_METHOD_UNKNOWN", name]


async def test_maps_are_written_key_by_key() -> None:
    async with simulated_pool() as simulated:
        client, vm = await simulated.log_in(), some(simulated, "VM")
        await client.call("VM.set_other_config", vm, {"a": "1"})
        await client.call("VM.add_to_other_config", vm, "b", "2")
        error = await refusal(client, "VM.add_to_other_config", vm, "b", "2")
        assert error == ["MAP_DUPLICATE_KEY", "VM", "other_config", vm, "b"]
        assert await client.call("VM.get_other_config", vm) == {"a": "1", "b": "2"}
        await client.call("VM.remove_from_other_config", vm, "a")
        await client.call("VM.remove_from_other_config", vm, "never there")
        assert await client.call("VM.get_other_config", vm) == {"b": "2"}
        for method, *params in (
            ["VM.add_to_other_config", "", "x"],
            ["VM.set_other_config", {"": "x"}],
        ):
            assert await refusal(client, str(method), vm, *params) == [
                "INTERNAL_ERROR",
                "Db_exn.Empty_key_in_map",
            ]


async def test_a_duplicate_key_is_told_by_the_column() -> None:
    async with simulated_pool() as simulated:
        client, vm = await simulated.log_in(), some(simulated, "VM")
        await client.call("VM.set_HVM_boot_params", vm, {"order": "c"})
        error = await refusal(client, "VM.add_to_HVM_boot_params", vm, "order", "d")
        assert error[:3] == ["MAP_DUPLICATE_KEY", "VM", "HVM__boot_params"]


async def test_sets_are_written_member_by_member_and_again() -> None:
    async with simulated_pool() as simulated:
        client, vm = await simulated.log_in(), some(simulated, "VM")
        await client.call("VM.set_tags", vm, [])
        for _ in range(2):
            await client.call("VM.add_tags", vm, "one")
        await client.call("VM.add_tags", vm, "two")
        assert await client.call("VM.get_tags", vm) == ["one", "two"]
        for _ in range(2):
            await client.call("VM.remove_tags", vm, "one")
        assert await client.call("VM.get_tags", vm) == ["two"]


async def test_a_setter_with_a_bad_value_changes_nothing() -> None:
    async with simulated_pool() as simulated:
        client, vm = await simulated.log_in(), some(simulated, "VM")
        before = dict(await client.call("VM.get_record", vm))
        assert (await refusal(client, "VM.set_actions_after_reboot", vm, "explode"))[0] == "INTERNAL_ERROR"
        assert (await refusal(client, "VM.set_name_label", vm, 5))[0] == "INTERNAL_ERROR"
        assert (await refusal(client, "VM.set_tags", vm, "text"))[0] == "INTERNAL_ERROR"
        assert await client.call("VM.get_record", vm) == before


# ---- expressions ----


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ('field "power_state" = "Running"', lambda vm: vm["power_state"] == "Running"),
        ('field "name__label" = "web-002"', lambda vm: vm["name_label"] == "web-002"),
        ('field "is_a_template" = "true"', lambda vm: vm["is_a_template"]),
        ('not (field "is_a_template" = "true")', lambda vm: not vm["is_a_template"]),
        ('field "domid" = "-1"', lambda vm: vm["domid"] == -1),
        (
            'field "is_a_template"="false" and (field "power_state"="Halted" or field "power_state"="Paused")',
            lambda vm: not vm["is_a_template"] and vm["power_state"] in ("Halted", "Paused"),
        ),
        ('field "tags" = "()"', lambda vm: vm["tags"] == []),
        ("\"a\" = 'a'", lambda vm: True),
        ("true and not false", lambda vm: True),
        ('false or field "name_label" = "\\"quoted\\""', lambda vm: vm["name_label"] == '"quoted"'),
    ],
)
async def test_objects_can_be_found_by_an_expression(expression: str, wanted: Any) -> None:
    async with simulated_pool(vms=30) as simulated:
        client = await simulated.log_in()
        found = await client.call("VM.get_all_records_where", expression)
        rows = simulated.pool.tables.rows("VM")
        assert found == {ref: vm for ref, vm in rows.items() if wanted(vm)}
        assert await client.call("VM.get_all_where", expression) == list(found)


@pytest.mark.parametrize(
    "expression",
    [
        "bogus",
        'field "bogus" = "1"',
        "",
        "field",
        "(true",
        "true)",
        'field "uuid"',
        '"open',
        "true true",
        "=",
    ],
)
async def test_a_bad_expression_is_refused(expression: str) -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        error = await refusal(client, "VM.get_all_records_where", expression)
        assert error[:2] == ["INVALID_VALUE", expression]


# ---- messages ----


async def test_messages_can_be_made_found_and_deleted() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        vm = await client.call("VM.get_record", some(simulated, "VM"))
        first = await client.call("message.create", "OURS", 3, "VM", vm["uuid"], "a body")
        second = await client.call("message.create", "OURS", 4, "Host", "another", "a body")
        record = await client.call("message.get_record", first)
        assert (record["name"], record["priority"], record["cls"]) == ("OURS", 3, "VM")
        assert await client.call("message.get_all") == [first, second]
        assert await client.call("message.get_by_uuid", record["uuid"]) == first
        assert list(await client.call("message.get", "VM", vm["uuid"], "19700101T00:00:00Z")) == [first]
        assert list(await client.call("message.get_since", "20260820T00:00:00Z")) == [first, second]
        assert list(await client.call("message.get_all_records_where", 'field "cls" = "Host"')) == [second]
        await client.call("message.destroy_all", {"priority": "4"})
        assert list(await client.call("message.get_all_records")) == [first]
        await client.call("message.destroy_many", [first, NOPE])
        assert await refusal(client, "message.destroy", first) == ["HANDLE_INVALID", "message", first]
        assert await refusal(client, "message.get_by_uuid", "x") == ["UUID_INVALID", "message", "x"]


# ---- the list of calls ----


def test_the_calls_of_a_real_server_are_known() -> None:
    real = set(result("listMethods"))
    ours = set(method_names())
    # Nothing is made up, and of the classes with records every getter, setter and documented call is there.
    assert ours <= real
    for class_name in CLASSES:
        for name in load_datamodel().classes[class_name].fields:
            assert f"{class_name}.get_{name}" in ours & real


def test_every_call_that_is_listed_can_be_found() -> None:
    names = method_names()
    assert len(names) == len(set(names)) > 1500
    for name in names:
        assert find_method(name) is not None, name


def test_a_call_that_only_looks_like_a_setter_is_none() -> None:
    method = find_method("host.set_power_on_mode")
    assert method is not None
    assert [param.name for param in method.params] == ["self", "power_on_mode", "power_on_config"]
    assert not method.reads
