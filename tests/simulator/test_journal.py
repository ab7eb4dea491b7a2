"""Does the journal keep every write, no read, and no password?

Effects: none
"""

import json
from typing import Any

import pytest

from tests.support.simulated import NOW, Simulated, simulated_pool
from xenios.simulator.answering import ClientInfo
from xenios.simulator.api_error import ApiError
from xenios.simulator.dispatch import reads_by_name
from xenios.simulator.facts.datamodel import FieldType, Kind, Parameter
from xenios.simulator.journal import REDACTED, Entry, redacted


def some_vm(simulated: Simulated) -> str:
    return next(iter(simulated.pool.tables.rows("VM")))


async def test_looking_leaves_no_writes() -> None:
    async with simulated_pool() as simulated:
        client, vm = await simulated.log_in(), some_vm(simulated)
        await client.call("VM.get_all_records")
        await client.call("VM.get_name_label", vm)
        await client.call("VM.get_all_records_where", "true")
        await client.events("", "*")
        await client.call("host.get_servertime", client.host)
        await client.call("session.logout")
        assert simulated.pool.journal.writes() == []
        assert [entry.method for entry in simulated.pool.journal.entries] == [
            "session.login_with_password",
            "session.logout",
        ]


async def test_a_write_is_kept_with_who_where_and_how_it_ended() -> None:
    async with simulated_pool() as simulated:
        client, vm = await simulated.log_in("XenCenter"), some_vm(simulated)
        await client.call("VM.add_to_other_config", vm, "key", "value")
        with pytest.raises(ApiError):
            await client.call("VM.add_to_other_config", vm, "key", "again")
        with pytest.raises(ApiError):
            await client.call("VM.start", "OpaqueRef:nope", False, False)
        await client.call("event.inject", "VM", vm)
        first, second, third, fourth = simulated.pool.journal.writes()
        master = simulated.pool.tables.get("host", simulated.master)
        assert (first.at, first.host, first.user) == (NOW, master["uuid"], "root")
        assert (first.originator, first.method) == ("XenCenter", "VM.add_to_other_config")
        assert (first.params, first.outcome) == ([vm, "key", "value"], "success")
        assert second.outcome == "MAP_DUPLICATE_KEY"
        assert (third.method, third.outcome) == ("VM.start", "HANDLE_INVALID")
        assert fourth.method == "event.inject"


async def test_a_task_is_pending_until_it_ends() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        ended: list[Entry] = []
        simulated.pool.journal.sink = ended.append
        vm = await client.call("VM.get_all_where", 'field "is_a_template" = "true"')
        await client.call("Async.VM.clone", vm[0], "a clone")
        [entry] = simulated.pool.journal.writes()
        assert (entry.method, entry.outcome) == ("Async.VM.clone", "pending")
        assert ended == []
        await simulated.clock.advance(60.0)
        assert entry.outcome == "success"
        assert ended == [entry]


async def test_a_line_for_a_file_is_json() -> None:
    async with simulated_pool() as simulated:
        params = ["root", "xenios", "1.0", "us"]
        client = ClientInfo("127.0.0.9", "curl")
        await simulated.pool.call(simulated.master, "session.login_with_password", params, client=client)
        line = json.loads(simulated.pool.journal.entries[0].as_json())
        assert line["at"] == "20260821T06:00:00Z"
        assert line["client"] == "127.0.0.9"
        assert line["params"] == ["root", REDACTED, "1.0", "us"]
        assert "xenios" not in simulated.pool.journal.entries[0].as_json().replace(REDACTED, "")


async def test_passwords_of_no_call_are_kept() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        await client.call("session.change_password", "xenios", "even better")
        text = "".join(entry.as_json() for entry in simulated.pool.journal.entries)
        assert "even better" not in text
        assert '"xenios"' not in text


def declared(*names: str) -> list[Parameter]:
    return [Parameter(name, FieldType(Kind.STRING), has_default=False) for name in names]


@pytest.mark.parametrize(
    ("params", "names", "kept"),
    [
        (["a", "b"], ["uname", "pwd"], ["a", REDACTED]),
        (
            [{"server": "nfs", "chappassword": "x"}],
            ["device_config"],
            [{"server": "nfs", "chappassword": REDACTED}],
        ),
        ([[{"secret": "x"}]], ["list"], [[{"secret": REDACTED}]]),
        (["more", "than", "declared"], ["one"], ["more", "than", "declared"]),
    ],
)
def test_secrets_are_found_by_their_names(params: list[Any], names: list[str], kept: list[Any]) -> None:
    assert redacted(params, declared(*names)) == kept


@pytest.mark.parametrize(
    ("method", "reads"),
    [
        ("VM.get_possible_hosts", True),
        ("host.compute_free_memory", True),
        ("VM.assert_can_boot_here", True),
        ("VM.start", False),
        ("VM.set_memory", False),
        ("VM.add_to_other_config", False),
        ("VM.destroy", False),
        ("host.evacuate", False),
        ("VDI.update", False),
    ],
)
def test_names_promise_to_change_nothing(method: str, *, reads: bool) -> None:
    assert reads_by_name(method) is reads


async def test_a_refused_session_writes_nothing() -> None:
    async with simulated_pool() as simulated:
        with pytest.raises(ApiError):
            await simulated.pool.call(simulated.master, "VM.destroy", ["OpaqueRef:nope", "OpaqueRef:x"])
        assert simulated.pool.journal.entries == []


async def test_who_tries_is_kept_too() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        for method, *params in (
            ["VM.start", "OpaqueRef:x", "yes", False],
            ["VM.destroy", 5],
            ["host.reboot", simulated.master],
            ["Async.VM.set_name_label", "OpaqueRef:x", "name"],
        ):
            with pytest.raises(ApiError):
                await client.call(str(method), *params)
        assert [(entry.method, entry.outcome) for entry in simulated.pool.journal.writes()] == [
            ("VM.start", "INTERNAL_ERROR"),
            ("VM.destroy", "INTERNAL_ERROR"),
            ("host.reboot", "NOT_IMPLEMENTED"),
            ("Async.VM.set_name_label", "Fault"),
        ]
