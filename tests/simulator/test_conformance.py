"""Would XenServer's own client take the simulator for a real pool, and are its replies those of a real one?

The database of a real pool is served and compared with what the real pool answered, byte by byte where the recorded
replies allow it; a made pool is driven by the official client, unchanged, and checked field by field against the data
model.

Effects: opens sockets on loopback; reads files
"""

import itertools
import json
import math
import re
import xmlrpc.client
from collections.abc import Callable, Iterator
from typing import Any
from xml.parsers.expat import ExpatError

import pytest
import XenAPI

from tests.support.administrator import vm_settings
from tests.support.served_pool import Serving, post, serving, xml_call
from tests.support.xapi_replies import STATE_DB, records, reply, result
from xenios.simulator.database_load import load_database
from xenios.simulator.facts.datamodel import NULL, FieldType, Kind, load_datamodel

FACTS = load_datamodel()
TIME = re.compile(r"\d{8}T\d\d:\d\d:\d\dZ")
UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NOT_LISTED = {"session", "event", "user"}
"""Classes whose objects cannot be listed."""


class _RealPool:
    """Serves the real pool's database: `async with _RealPool() as pool`."""

    async def __aenter__(self) -> Serving:
        loaded = await load_database(STATE_DB)
        self._serving = serving(records=loaded.records, generation=loaded.generation)
        return await self._serving.__aenter__()

    async def __aexit__(self, *reason: Any) -> None:
        await self._serving.__aexit__(*reason)


# --- the real pool, served


async def test_every_record_of_a_real_pool_comes_back_as_it_was() -> None:
    async with _RealPool() as pool:
        session = await pool.log_in()
        for name, rows in records().items():
            served = await pool.json(f"{name}.get_all_records", session)
            # As JSON, so that 1 is not 1.0, and the order of objects and fields counts.
            assert json.dumps(served) == json.dumps(rows), name
        assert pool.pool.journal.writes() == []


@pytest.mark.parametrize(
    ("name", "class_name"),
    [("vm_all", "VM"), ("host_all", "host"), ("pool_all", "pool"), ("task_all", "task")],
)
async def test_records_are_a_real_pools_to_the_byte(name: str, class_name: str) -> None:
    method = f"{class_name}.get_all_records"
    async with _RealPool() as pool:
        session = await pool.log_in()
        for path in ("/", "/RPC2", "/json", "/what/ever"):  # all of them XML-RPC
            assert (await pool.post(xml_call(method, session), path)).body == reply(f"{name}.xml")
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": [session], "id": 1}).encode()
        assert (await pool.post(body, "/jsonrpc")).body == reply(f"{name}.json")


async def test_a_handle_that_does_not_exist_is_refused_to_the_byte() -> None:
    async with _RealPool() as pool:
        session = await pool.log_in()
        call = xml_call("VM.get_record", session, "OpaqueRef:nope")
        assert (await pool.post(call)).body == reply("handle_invalid.xml")
        params = f'["{session}","OpaqueRef:nope"]'
        body = f'{{"jsonrpc":"2.0","method":"VM.get_record","params":{params},"id":1}}'.encode()
        assert (await pool.post(body, "/jsonrpc")).body == reply("handle_invalid.json")


async def test_the_first_events_of_a_real_pool() -> None:
    """All of what a real pool told at first, but for what it does not keep in its database."""
    real = result("event_from_all")
    kept = {name.lower() for name in records()}
    async with _RealPool() as pool:
        session = await pool.log_in()
        ours = await pool.json("event.from", session, ["*"], "", 5.0)
    assert list(ours) == list(real)
    assert list(ours["valid_ref_counts"]) == list(real["valid_ref_counts"])
    assert {name: ours["valid_ref_counts"][name] for name in kept} == {
        name: real["valid_ref_counts"][name] for name in kept
    }
    assert ours["valid_ref_counts"]["message"] == real["valid_ref_counts"]["message"] == 0
    assert re.fullmatch(r"\d{20},\d{20}", ours["token"])
    assert ours["token"].startswith("00000000000000058357,")

    def told(events: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
        return {
            (event["class"], event["ref"]): json.dumps({**event, "id": ""})
            for event in events
            if event["class"] in kept
        }

    assert told(ours["events"]) == told(real["events"])


async def test_events_in_xml_are_a_real_pools_to_the_byte() -> None:
    """One event of each class, as it stands in the bytes of the real reply."""
    real = reply("event_from_all.xml").decode()
    async with _RealPool() as pool:
        session = await pool.log_in()
        classes = "<value><array><data><value>*</value></data></array></value>"
        call = xml_call("event.from", session).decode().replace(
            "</params>",
            f"<param>{classes}</param><param><value></value></param>"
            "<param><value><double>5</double></value></param></params>",
        )  # fmt: skip
        ours = (await pool.post(call.encode())).body.decode()
    for name, rows in records().items():
        if not FACTS.classes[name].events:
            continue
        ref = next(iter(rows))
        found = re.search(
            f"<value>{name.lower()}</value></member><member><name>operation</name>.{{,90}}{ref}", ours
        )
        assert found, name
        begin = ours.index("<name>snapshot</name>", found.end())
        end = ours.find("<value><struct><member><name>id</name>", begin)
        snapshot = ours[
            begin : end if end > 0 else ours.index("</data></array></value></member><member><name>valid")
        ]
        assert snapshot in real, name


async def test_no_call_is_known_that_a_real_pool_does_not_know() -> None:
    real = set(result("listMethods"))
    async with serving() as pool:
        ours = await pool.json("system.listMethods")
        assert len(ours) == len(set(ours)) > 1000
        assert set(ours) - real == set()
        bare = (await pool.post(xml_call("system.listMethods"))).body
        (listed,), _ = xmlrpc.client.loads(bare.decode())
        assert listed == ours
        documented = {
            f"{message.class_name}.{message.name}" for message in FACTS.messages.values()
        }  # fmt: skip
        assert documented & real - set(ours) == set()


# --- the official client on a made pool


IS_WELL_FORMED: dict[Kind, Callable[[Any], object]] = {
    Kind.INT: lambda value: isinstance(value, str) and re.fullmatch("-?[0-9]+", value),
    Kind.STRING: lambda value: isinstance(value, str),
    Kind.ENUM: lambda value: isinstance(value, str),
    Kind.REF: lambda value: isinstance(value, str) and value.startswith("OpaqueRef:"),
    Kind.FLOAT: lambda value: isinstance(value, float),
    Kind.BOOL: lambda value: isinstance(value, bool),
    Kind.DATETIME: lambda value: isinstance(value, xmlrpc.client.DateTime) and TIME.fullmatch(value.value),
    Kind.SET: lambda value: isinstance(value, list),
    Kind.MAP: lambda value: isinstance(value, dict) and all(isinstance(key, str) for key in value),
}
"""What the values of each type look like when Python's client has read them from XML-RPC."""


def wrong_values(value: Any, kind: FieldType, where: str) -> Iterator[str]:
    """Where a value is not what its declared type becomes on the wire."""
    if not IS_WELL_FORMED[kind.kind](value):
        yield f"{where}: {value!r}"
    elif kind.kind is Kind.ENUM and value not in FACTS.enums[kind.name]:
        yield f"{where}: {value!r} is no {kind.name}"
    elif kind.value is not None:
        for member in value.values() if isinstance(value, dict) else value:
            yield from wrong_values(member, kind.value, f"{where}[]")


async def test_every_field_of_every_class_has_its_name_place_and_type() -> None:
    def look(xenapi: Any) -> tuple[list[str], int]:
        wrong, seen = [], 0
        for name, api_class in FACTS.classes.items():
            if name in NOT_LISTED:
                continue
            rows = getattr(xenapi, name).get_all_records()
            refs = getattr(xenapi, name).get_all()
            if name not in ("task", "message"):  # these come and go
                assert list(rows) == refs
            for ref, record in rows.items():
                seen += 1
                assert ref.startswith("OpaqueRef:")
                assert list(record) == list(api_class.fields), name
                for field in api_class.fields.values():
                    wrong += list(wrong_values(record[field.name], field.type, f"{name}.{field.name}"))
        return wrong, seen

    async with serving(3, 40) as pool:
        wrong, seen = await pool.as_administrator(look)
    assert wrong == []
    assert seen > 500


async def test_each_getter_gives_what_the_record_has() -> None:
    def look(xenapi: Any) -> None:
        for name in ("VM", "VBD", "VIF", "VDI", "SR", "network", "host", "pool", "PIF"):
            proxy = getattr(xenapi, name)
            ref, record = next(iter(proxy.get_all_records().items()))
            assert proxy.get_record(ref) == record
            assert proxy.get_by_uuid(record["uuid"]) == ref
            for field in FACTS.classes[name].fields:
                assert getattr(proxy, f"get_{field}")(ref) == record[field], f"{name}.{field}"
            if "name_label" in record and name != "pool":
                assert ref in proxy.get_by_name_label(record["name_label"])
                assert proxy.get_by_name_label("no such name") == []

    async with serving(2, 20) as pool:
        await pool.as_administrator(look)


async def test_an_administrators_day() -> None:
    """Create, start, move, snapshot, clone, shut down, destroy: all by the official client."""

    def work(xenapi: Any) -> list[str]:
        done = []
        settings = {
            name: str(value) if type(value) is int else value for name, value in vm_settings().items()
        }
        vm = xenapi.VM.create({**settings, "name_label": "R&D <1>"})
        assert UUID.fullmatch(xenapi.VM.get_uuid(vm))
        assert xenapi.VM.get_name_label(vm) == "R&D <1>"
        xenapi.VM.add_to_other_config(vm, "key", "a < b & c")
        assert xenapi.VM.get_other_config(vm)["key"] == "a < b & c"
        xenapi.VM.add_tags(vm, "mine")
        assert xenapi.VM.get_tags(vm) == ["mine"]
        xenapi.VM.set_memory_static_max(vm, str(2**31))
        assert xenapi.VM.get_memory_static_max(vm) == str(2**31)
        xenapi.VM.start(vm, False, False)
        done.append(xenapi.VM.get_power_state(vm))
        task = xenapi.Async.VM.hard_shutdown(vm)
        token = ""
        while xenapi.task.get_status(task) == "pending":
            batch = getattr(xenapi.event, "from")([f"task/{task}"], token, 5.0)
            token = batch["token"]
        assert xenapi.task.get_status(task) == "success"
        assert xenapi.task.get_result(task) == "<value></value>"
        xenapi.task.destroy(task)
        done.append(xenapi.VM.get_power_state(vm))
        copy = xenapi.VM.clone(vm, "copy")
        task = xenapi.Async.VM.clone(vm, "another")
        while xenapi.task.get_status(task) == "pending":
            pass
        another = xenapi.task.get_result(task).removeprefix("<value>").removesuffix("</value>")
        assert xenapi.VM.get_name_label(another) == "another"
        for ref in (vm, copy, another):
            xenapi.VM.destroy(ref)
        assert not {vm, copy, another} & set(xenapi.VM.get_all())
        return done

    async with serving(2, 10) as pool:
        assert await pool.as_administrator(work) == ["Running", "Halted"]
        told = [entry.method for entry in pool.pool.journal.writes()]
        assert told[0] == "VM.create"
        assert {entry.originator for entry in pool.pool.journal.writes()} == {"an administrator"}


def details(call: Any, *params: Any) -> list[str]:
    """The code and parameters with which a call is refused."""
    with pytest.raises(XenAPI.Failure) as refused:
        call(*params)
    found: list[str] = refused.value.details
    return found


async def test_refusals_have_the_codes_and_parameters_of_a_real_pool() -> None:
    def work(xenapi: Any) -> None:
        vm = next(ref for ref, vm in xenapi.VM.get_all_records().items() if vm["power_state"] == "Running")
        nope = "OpaqueRef:nope"
        xenapi.VM.add_to_other_config(vm, "key", "value")
        for said, refusal in [
            (details(xenapi.VM.get_record, nope), ["HANDLE_INVALID", "VM", nope]),
            (details(xenapi.VM.start, nope, False, False), ["HANDLE_INVALID", "VM", nope]),
            (details(xenapi.VM.get_by_uuid, "x"), ["UUID_INVALID", "VM", "x"]),
            (details(xenapi.VM.no_such_call, vm), ["MESSAGE_METHOD_UNKNOWN", "VM.no_such_call"]),
            (
                details(xenapi.VM.get_record),
                ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.get_record", "1", "0"],
            ),
            (
                details(xenapi.VM.add_to_other_config, vm, "key", "value"),
                ["MAP_DUPLICATE_KEY", "VM", "other_config", vm, "key"],
            ),
            (
                details(xenapi.VM.set_user_version, vm, "abc"),
                ["INTERNAL_ERROR", 'Failure("Int64.of_string")'],
            ),
            (
                details(xenapi.VM.set_name_label, vm, 5),
                ["INTERNAL_ERROR", "Failure(\"Expected string, got 'I(5)'\")"],
            ),
            (
                details(xenapi.Async.VM.get_uuid, vm),
                ["Fault", "No async mode for this operation (rpc: VM.get_uuid)"],
            ),
        ]:
            assert said == refusal
        # Which of several missing fields is named first is the server's own business.
        code, text = details(xenapi.VM.create, {"name_label": "no more than a name"})
        assert code == "INTERNAL_ERROR"
        assert re.fullmatch(r'Server_helpers\.Dispatcher_FieldNotFound\("\w+"\)', text)

    async with serving(1, 10) as pool:
        await pool.as_administrator(work)


async def test_who_may_log_in() -> None:
    async with serving(2, 0) as pool:
        call = xml_call("session.login_with_password", "root", "wrong", "1.0", "me")
        (said,), _ = xmlrpc.client.loads((await pool.post(call)).body.decode())
        assert said["Status"] == "Failure"
        assert said["ErrorDescription"][:2] == ["SESSION_AUTHENTICATION_FAILED", "root"]
        # A supporter names the master before it looks at the password.
        (said,), _ = xmlrpc.client.loads((await pool.post(call, host=1)).body.decode())
        assert said == {"Status": "Failure", "ErrorDescription": ["HOST_IS_SLAVE", "127.0.0.1"]}
        with pytest.raises(XenAPI.Failure) as refused:
            await pool.json("session.login_with_password", "root", "xenios", host=1)
        assert refused.value.details == ["HOST_IS_SLAVE", "127.0.0.1"]
        with pytest.raises(XenAPI.Failure) as refused:
            await pool.json("VM.get_all", "OpaqueRef:no-session")
        assert refused.value.details == ["SESSION_INVALID", "OpaqueRef:no-session"]


async def test_a_served_dump_names_the_address_where_it_is_served() -> None:
    """Its records keep the real pool's addresses, at which nothing of ours listens."""
    loaded = await load_database(STATE_DB)
    [master] = loaded.records["host"]
    supporter = {**loaded.records["host"][master], "address": "10.99.0.3", "name_label": "z", "uuid": "z"}
    loaded.records["host"]["OpaqueRef:supporter"] = supporter
    async with serving(records=loaded.records) as pool:
        with pytest.raises(XenAPI.Failure) as refused:
            await pool.json("session.login_with_password", "root", "xenios", host=1)
        assert refused.value.details == ["HOST_IS_SLAVE", "127.0.0.1"]
        session = await pool.log_in()
        assert await pool.json("host.get_address", session, master) == "10.99.0.2"


async def test_a_map_key_with_markup_breaks_the_official_client_as_on_a_real_pool() -> None:
    async with serving(1, 3) as pool:
        session = await pool.log_in()
        [vm, *_] = await pool.json("VM.get_all", session)
        await pool.json("VM.add_to_other_config", session, vm, "R&D", "x")

        def look(xenapi: Any) -> None:
            with pytest.raises(ExpatError):
                xenapi.VM.get_all_records()

        await pool.as_administrator(look)
        assert (await pool.json("VM.get_all_records", session))[vm]["other_config"]["R&D"] == "x"


async def test_is_alive_echoes() -> None:
    async with serving() as pool:
        assert await pool.json("system.isAlive:xx", "some text") == "some text"
        (said,), _ = xmlrpc.client.loads(
            (await pool.post(xml_call("system.isAlive:xx", "a&b"))).body.decode()
        )
        assert said == {"Status": "Success", "Value": "a&b"}


async def test_numbers_that_are_no_json() -> None:
    async with serving(1, 3) as pool:
        session = await pool.log_in()
        [vm, *_] = await pool.json("VM.get_all", session)
        pool.pool.tables.change("VM", vm, HVM_shadow_multiplier=math.nan)
        read = f'{{"method":"VM.get_HVM_shadow_multiplier","params":["{session}","{vm}"],"id":1}}'
        assert (await pool.post(read.encode(), "/jsonrpc")).body == b'{"result":NaN,"error":null,"id":1}'
        write = f'{{"method":"VM.set_HVM_shadow_multiplier","params":["{session}","{vm}",Infinity],"id":1}}'
        assert (await pool.post(write.encode(), "/jsonrpc")).status == 200


async def test_text_that_is_no_text() -> None:
    async with serving(1, 3) as pool:
        session = await pool.log_in()
        body = b'{"jsonrpc":"2.0","method":"VM.get_by_name_label","params":["%s","a\xff"],"id":1}'
        said = json.loads((await pool.post(body % session.encode(), "/jsonrpc")).body)
        assert said["error"]["message"] == "INVALID_VALUE"
        assert said["error"]["data"][0] == "Invalid UTF-8 string in parameter"


async def test_underscores_stand_for_dots() -> None:
    async with serving() as pool:
        session = await pool.log_in()
        vms = await pool.json("VM.get_all_records", session)
        assert await pool.json("VM_get_all_records", session) == vms
        metrics = await pool.json("VM_metrics.get_all", session)
        assert await pool.json("VM_metrics_get_all", session) == metrics
        assert await pool.json("VM.get_by_uuid", session, next(iter(vms.values()))["uuid"]) in vms
        assert NULL not in vms


# --- what XAPI answers with a page


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (post(b"no call"), 500),
        (post(b"<methodCall><methodName>VM.get_all</methodName></methodCall>"), 500),
        (post(b'{"method":"VM.get_all","params":[],"id":1}', "/"), 500),
        (post(b"no JSON", "/jsonrpc"), 500),
        (post(b'[{"method":"VM.get_all","params":[],"id":1}]', "/jsonrpc"), 500),
        (post(b'{"jsonrpc":"2.0","method":"VM.get_all","params":[]}', "/jsonrpc"), 500),
        (post(b'{"jsonrpc":"2.0","method":"VM.get_all","params":[],"id":1.5}', "/jsonrpc"), 500),
        (post(b'{"method":"VM.get_all","id":1}', "/jsonrpc"), 500),
        (post(xml_call("VM.get_all"), "/jsonrpc"), 500),
        (b"POST / HTTP/1.1\r\n\r\n", 500),
        (b"GET / HTTP/1.1\r\n\r\n", 403),
        (b"GET /nothing HTTP/1.1\r\n\r\n", 404),
        (b"DELETE / HTTP/1.1\r\n\r\n", 501),
    ],
)
async def test_what_is_no_call_gets_a_page_and_the_end_of_the_connection(
    request_bytes: bytes, status: int
) -> None:
    async with serving(1, 0) as pool:
        said = await pool.exchange(request_bytes)
        assert said.status == status
        assert said.headers["connection"] == "close"
        assert said.body.lstrip().startswith(b"<html>")


async def test_no_reply_is_the_same_twice_by_accident() -> None:
    """Refs and uuids that the pool makes are new each time, also for equal requests."""
    async with serving(1, 0) as pool:
        sessions = [await pool.log_in() for _ in range(5)]
        assert len(set(sessions)) == 5
        for one, other in itertools.combinations(sessions, 2):
            assert one.partition(":")[2] != other.partition(":")[2]
