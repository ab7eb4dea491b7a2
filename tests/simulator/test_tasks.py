"""Do tasks live, end and vanish as on a real pool?

Effects: none
"""

from typing import Any

import pytest

from tests.support.simulated import NOW, Client, Simulated, simulated_pool
from xenios.simulator.api_error import ApiError, ConnectionCut
from xenios.simulator.population.book import stamp
from xenios.simulator.tasks import TASKS_MAX

EPOCH = "19700101T00:00:00Z"


def vm_that(simulated: Simulated, power_state: str) -> str:
    """A VM proper in this state."""
    for ref, vm in simulated.pool.tables.rows("VM").items():
        if vm["power_state"] == power_state and not (vm["is_a_template"] or vm["is_control_domain"]):
            return ref
    raise AssertionError(f"no {power_state} VM")


async def refusal(client: Client, method: str, *params: Any) -> list[str]:
    with pytest.raises(ApiError) as error:
        await client.call(method, *params)
    return error.value.description


async def test_a_task_shows_how_far_its_call_is() -> None:
    async with simulated_pool(vms=20) as simulated:
        client, vm = await simulated.log_in(), vm_that(simulated, "Halted")
        task = await client.call("Async.VM.start", vm, False, False)
        begun = dict(await client.call("task.get_record", task))
        assert (begun["name_label"], begun["status"], begun["finished"]) == (
            "Async.VM.start",
            "pending",
            EPOCH,
        )
        assert (begun["result"], begun["type"], begun["created"]) == ("", "<none/>", stamp(NOW))
        assert begun["resident_on"] == simulated.master
        assert (begun["error_info"], begun["subtask_of"]) == ([], "OpaqueRef:NULL")
        await simulated.clock.advance(30.0)
        done = await client.call("task.get_record", task)
        assert (done["status"], done["progress"], done["error_info"]) == ("success", 1.0, [])
        assert done["result"] == "<value></value>"
        assert done["finished"] >= begun["created"]
        assert await client.call("VM.get_power_state", vm) == "Running"


async def test_the_result_is_xml_text() -> None:
    async with simulated_pool(vms=20) as simulated:
        client, vm = await simulated.log_in(), vm_that(simulated, "Halted")
        task = await client.call("Async.VM.clone", vm, "a clone")
        await simulated.clock.advance(60.0)
        [clone] = await client.call("VM.get_by_name_label", "a clone")
        assert await client.call("task.get_result", task) == f"<value>{clone}</value>"


async def test_the_status_changes_last_and_all_of_it_is_one_batch() -> None:
    async with simulated_pool(vms=20) as simulated:
        client, vm = await simulated.log_in(), vm_that(simulated, "Halted")
        task = await client.call("Async.VM.start", vm, False, False)
        token = (await client.events("", "task"))["token"]
        blocked = client.start("event.from", [f"task/{task}"], token, 60.0)
        while True:
            await simulated.clock.advance(1.0)
            if not blocked.done():
                continue
            reply = await blocked
            [event] = reply["events"]
            snapshot = event["snapshot"]
            if snapshot["status"] == "success":
                assert snapshot["result"]
                assert snapshot["finished"] != EPOCH
                return
            blocked = client.start("event.from", [f"task/{task}"], reply["token"], 60.0)


async def test_an_error_found_by_the_operation_is_in_the_task() -> None:
    async with simulated_pool(vms=20) as simulated:
        client, vm = await simulated.log_in(), vm_that(simulated, "Running")
        task = await client.call("Async.VM.start", vm, False, False)
        await simulated.clock.advance(30.0)
        record = await client.call("task.get_record", task)
        assert (record["status"], record["result"]) == ("failure", "")
        assert record["error_info"] == ["VM_BAD_POWER_STATE", vm, "halted", "running"]
        bad = await client.call("Async.VM.start", "OpaqueRef:nope", False, False)
        await simulated.clock.advance(1.0)
        assert await client.call("task.get_error_info", bad) == ["HANDLE_INVALID", "VM", "OpaqueRef:nope"]


async def test_parameters_and_session_are_checked_before_there_is_a_task() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        before = simulated.pool.tables.counts()["task"]
        assert (await refusal(client, "Async.VM.start", "OpaqueRef:x"))[
            0
        ] == "MESSAGE_PARAMETER_COUNT_MISMATCH"
        assert (await refusal(client, "Async.VM.start", "OpaqueRef:x", "yes", False))[0] == "INTERNAL_ERROR"
        assert simulated.pool.tables.counts()["task"] == before


@pytest.mark.parametrize(
    ("method", "params"), [("VM.get_uuid", 1), ("task.cancel", 1), ("session.logout", 0), ("VM.get_all", 0)]
)
async def test_what_has_no_async_mode_says_so(method: str, params: int) -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        error = await refusal(client, f"Async.{method}", *["OpaqueRef:x"] * params)
        assert error == ["Fault", f"No async mode for this operation (rpc: {method})"]


async def test_a_call_that_is_waited_for_has_a_task_while_it_runs() -> None:
    async with simulated_pool(vms=20) as simulated:
        client, vm = await simulated.log_in(), vm_that(simulated, "Halted")
        token = (await client.events("", "task"))["token"]
        running = client.start("VM.start", vm, False, False)
        await simulated.clock.advance(0.001)
        [task] = await client.call("task.get_all")
        assert await client.call("task.get_name_label", task) == "VM.start"
        assert await client.call("VM.get_current_operations", vm) == {task: "start"}
        await simulated.after(60.0, running)
        assert await client.call("task.get_all") == []
        assert (await client.events(token, "task"))["events"] == []


# ---- cancelling and deleting ----


async def test_a_cancelled_task_stops() -> None:
    async with simulated_pool(vms=20) as simulated:
        client, vm = await simulated.log_in(), vm_that(simulated, "Halted")
        task = await client.call("Async.VM.start", vm, False, False)
        await simulated.clock.advance(0.001)
        assert "cancel" in await client.call("task.get_allowed_operations", task)
        await client.call("task.cancel", task)
        await simulated.clock.settle()
        record = await client.call("task.get_record", task)
        assert (record["status"], record["error_info"]) == ("cancelled", ["TASK_CANCELLED", task])
        assert await client.call("VM.get_power_state", vm) == "Halted"
        assert await client.call("VM.get_current_operations", vm) == {}
        assert (await refusal(client, "task.cancel", task))[0] == "OPERATION_NOT_ALLOWED"


async def test_destroying_a_pending_task_only_marks_it() -> None:
    async with simulated_pool(vms=20) as simulated:
        client, vm = await simulated.log_in(), vm_that(simulated, "Halted")
        task = await client.call("Async.VM.start", vm, False, False)
        await client.call("task.destroy", task)
        assert await client.call("task.get_status", task) == "pending"
        await simulated.clock.advance(29.0)
        assert await client.call("VM.get_power_state", vm) == "Running"
        await simulated.clock.advance(31.0)
        assert await refusal(client, "task.get_status", task) == ["HANDLE_INVALID", "task", task]


async def test_destroying_a_finished_task_deletes_it() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        task = await client.call("task.create", "mine", "for a test")
        await client.call("task.set_progress", task, 0.5)
        await client.call("task.set_status", task, "success")
        assert await client.call("task.get_status", task) == "success"
        await client.call("task.destroy", task)
        assert await refusal(client, "task.destroy", task) == ["HANDLE_INVALID", "task", task]


async def test_finished_tasks_are_deleted_after_65_minutes() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        pending = await client.call("task.create", "pending", "")
        task = await client.call("task.create", "mine", "")
        await client.call("task.set_status", task, "failure")
        await simulated.clock.advance(65 * 60 - 31)
        assert await client.call("task.get_status", task) == "failure"
        await simulated.clock.advance(62)
        assert await client.call("task.get_all") == [pending]


async def test_of_too_many_tasks_the_oldest_finished_go() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        tasks = [await client.call("task.create", str(number), "") for number in range(TASKS_MAX + 20)]
        for task in tasks[10:40]:
            await client.call("task.set_status", task, "success")
        await simulated.clock.advance(31)
        assert await client.call("task.get_all") == tasks[:10] + tasks[30:]


async def test_a_restart_loses_tasks_and_cuts_calls() -> None:
    async with simulated_pool(vms=20) as simulated:
        client, vm = await simulated.log_in(), vm_that(simulated, "Halted")
        other = vm_that(simulated, "Running")
        task = await client.call("Async.VM.start", vm, False, False)
        waited_for = client.start("VM.hard_reboot", other)
        blocked = client.start("event.from", ["vm"], "0" * 20 + "," + "0" * 20, 60.0)
        await simulated.clock.advance(0.01)
        simulated.pool.restart_toolstack(3.0)
        await simulated.clock.settle()
        for call in (waited_for, blocked):
            assert isinstance(call.exception(), ConnectionCut)
        with pytest.raises(ConnectionCut):
            await client.call("pool.get_all")
        await simulated.clock.advance(3.0)
        assert await refusal(client, "pool.get_all") == ["SESSION_INVALID", client.session]
        again = await simulated.log_in()
        assert await refusal(again, "task.get_status", task) == ["HANDLE_INVALID", "task", task]
        assert await again.call("VM.get_current_operations", vm) == {}
        outcomes = [entry.outcome for entry in simulated.pool.journal.writes()]
        assert outcomes == ["lost", "lost"]
