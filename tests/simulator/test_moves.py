"""Do VMs move between hosts as on a real pool, and what does a watcher see meanwhile?

Effects: none
"""

from __future__ import annotations

import asyncio

import pytest

from tests.support.administrator import Administrator, administered
from xenios.simulator.facts.datamodel import NULL
from xenios.simulator.population.units import GIB, TIB


async def running_here(admin: Administrator, **values: object) -> str:
    vm = await admin.make(**values)
    await admin.call("VM.start_on", vm, admin.master, False, False)
    return vm


async def test_a_vm_moves_and_keeps_everything_but_its_place() -> None:
    async with administered() as admin:
        vm = await running_here(admin, tags=["ours"])
        before = admin.vm(vm)
        await admin.call("VM.pool_migrate", vm, admin.other_host, {"live": "true"})
        after = admin.vm(vm)
        differing = {name for name in before if before[name] != after[name]}
        assert differing <= {"resident_on", "domid", "consoles"}
        assert after["resident_on"] == admin.other_host
        assert vm in admin.get("host", admin.other_host)["resident_VMs"]
        assert vm not in admin.get("host", admin.master)["resident_VMs"]
        console = admin.get("console", after["consoles"][0])
        assert admin.get("host", admin.other_host)["address"] in console["location"]
        message = list(admin.simulated.pool.messages.rows.values())[-1]
        assert message["name"] == "VM_MIGRATED"


async def test_until_it_has_moved_a_vm_is_where_it_was_and_holds_room_on_both() -> None:
    async with administered(speed=1.0) as admin:
        vm = await admin.simulated.after(10, running_here(admin))
        held = GIB + admin.vm(vm)["memory_overhead"]
        room = {host: await admin.call("host.compute_free_memory", host) for host in admin.rows("host")}
        task = await admin.call("Async.VM.pool_migrate", vm, admin.other_host, {})
        await admin.simulated.clock.advance(0.5)
        assert admin.vm(vm)["resident_on"] == admin.master
        assert admin.vm(vm)["scheduled_to_be_resident_on"] == admin.other_host
        assert admin.vm(vm)["current_operations"] == {task: "pool_migrate"}
        assert 0 < admin.get("task", task)["progress"] < 1
        assert await admin.call("host.compute_free_memory", admin.master) == room[admin.master]
        assert await admin.call("host.compute_free_memory", admin.other_host) == room[admin.other_host] - held
        await admin.simulated.clock.advance(10)
        assert admin.get("task", task)["status"] == "success"
        assert admin.vm(vm)["resident_on"] == admin.other_host
        assert await admin.call("host.compute_free_memory", admin.master) == room[admin.master] + held


async def test_a_cancelled_move_leaves_the_vm_where_it_was() -> None:
    async with administered(speed=1.0) as admin:
        vm = await admin.simulated.after(10, running_here(admin))
        task = await admin.call("Async.VM.pool_migrate", vm, admin.other_host, {})
        await admin.simulated.clock.advance(0.5)
        await admin.call("task.cancel", task)
        await admin.simulated.clock.advance(1)
        record = admin.vm(vm)
        assert admin.get("task", task)["status"] == "cancelled"
        assert (record["resident_on"], record["scheduled_to_be_resident_on"]) == (admin.master, NULL)
        assert (record["power_state"], record["current_operations"]) == ("Running", {})


async def test_taking_the_power_away_ends_a_move() -> None:
    async with administered(speed=1.0) as admin:
        vm = await admin.simulated.after(10, running_here(admin))
        moving = asyncio.ensure_future(admin.refused("VM.pool_migrate", vm, admin.other_host, {}))
        await admin.simulated.clock.advance(0.5)
        await admin.simulated.after(1, admin.call("VM.hard_shutdown", vm))
        assert (await moving)[0] == "TASK_CANCELLED"
        assert admin.vm(vm)["resident_on"] == NULL
        assert admin.vm(vm)["scheduled_to_be_resident_on"] == NULL


async def test_what_speaks_against_the_target_is_told() -> None:
    async with administered() as admin:
        vm, there = await running_here(admin), admin.other_host
        big = await running_here(admin, memory_static_max=TIB)
        metrics = admin.get("host", there)["metrics"]
        refused = await admin.refused("VM.pool_migrate", vm, "OpaqueRef:none", {})
        assert refused == ["HANDLE_INVALID", "host", "OpaqueRef:none"]
        admin.set("VM", big, memory_dynamic_min=TIB, memory_dynamic_max=TIB)
        refused = await admin.refused("VM.pool_migrate", big, there, {})
        assert refused[0] == "HOST_NOT_ENOUGH_FREE_MEMORY"
        await admin.call("host.disable", there)
        assert await admin.refused("VM.pool_migrate", vm, there, {}) == ["HOST_DISABLED", there]
        admin.set("host_metrics", metrics, live=False)
        assert await admin.refused("VM.pool_migrate", vm, there, {}) == ["HOST_NOT_LIVE"]
        for ref in (vm, big):
            assert admin.vm(ref)["resident_on"] == admin.master
            assert admin.vm(ref)["current_operations"] == {}


async def test_a_vm_with_local_storage_is_not_moved() -> None:
    async with administered() as admin:
        vm = await admin.make()
        local = next(
            ref
            for ref, sr in admin.rows("SR").items()
            if sr["type"] in ("ext", "lvm") and admin.get("PBD", sr["PBDs"][0])["host"] == admin.master
        )
        await admin.attach(vm, await admin.make_disk(SR=local), "1")
        await admin.call("VM.start", vm, False, False)
        assert admin.vm(vm)["resident_on"] == admin.master
        refused = await admin.refused("VM.pool_migrate", vm, admin.other_host, {})
        assert refused == ["VM_REQUIRES_SR", vm, local]
        assert await admin.refused("VM.assert_agile", vm) == ["HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", local]


async def test_a_guest_without_tools_moves_only_when_forced() -> None:
    async with administered() as admin:
        vm = await admin.make(tools=False)
        await admin.call("VM.start_on", vm, admin.master, False, False)
        assert await admin.refused("VM.pool_migrate", vm, admin.other_host, {}) == ["VM_LACKS_FEATURE", vm]
        await admin.call("VM.pool_migrate", vm, admin.other_host, {"force": "true"})
        assert admin.vm(vm)["resident_on"] == admin.other_host


async def test_a_move_to_where_it_is_asks_for_no_room() -> None:
    async with administered() as admin:
        vm = await running_here(admin)
        metrics = admin.get("host", admin.master)["metrics"]
        admin.set("host_metrics", metrics, memory_total=0)
        await admin.call("VM.pool_migrate", vm, admin.master, {})
        assert admin.vm(vm)["resident_on"] == admin.master


@pytest.mark.parametrize("state", ["Halted", "Running", "Suspended"])
async def test_whether_a_vm_could_leave_the_pool_can_be_asked(state: str) -> None:
    async with administered() as admin:
        vm = await admin.make(state)
        assert await admin.call("VM.assert_can_migrate", vm, {}, True, {}, {}, {}) is None
        admin.set("VM", vm, power_state="Paused")
        refused = await admin.refused("VM.assert_can_migrate", vm, {}, True, {}, {}, {})
        assert refused[0] == "VM_BAD_POWER_STATE"
