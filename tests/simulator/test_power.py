"""Do VMs start, stop and wait as on a real pool, and does every record say so afterwards?

Effects: reads files
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.administrator import STATES, Administrator, administered
from tests.support.simulated import NOW, simulated_pool
from xenios.simulator.api_error import ConnectionCut
from xenios.simulator.facts.datamodel import NULL, Record, Records, load_datamodel
from xenios.simulator.population.book import stamp
from xenios.simulator.population.units import GIB

# For every verb the state that it leads to, from each state in which it may begin.
VERBS = {
    "start": {"Halted": "Running"},
    "start_on": {"Halted": "Running"},
    "pause": {"Running": "Paused"},
    "unpause": {"Paused": "Running"},
    "suspend": {"Running": "Suspended"},
    "resume": {"Suspended": "Running"},
    "resume_on": {"Suspended": "Running"},
    "clean_shutdown": {"Running": "Halted"},
    "hard_shutdown": {"Running": "Halted", "Paused": "Halted", "Suspended": "Halted"},
    "shutdown": {"Running": "Halted", "Paused": "Halted", "Suspended": "Halted"},
    "clean_reboot": {"Running": "Running"},
    "hard_reboot": {"Running": "Running", "Paused": "Running"},
    "pool_migrate": {"Running": "Running"},
    "snapshot": dict(zip(STATES, STATES, strict=True)),
    "checkpoint": {"Running": "Running", "Paused": "Paused", "Suspended": "Suspended"},
    "clone": {"Halted": "Halted"},
    "copy": {"Halted": "Halted"},
    "destroy": {"Halted": "gone", "Suspended": "gone"},
    "set_memory_limits": {"Halted": "Halted"},
    "set_memory": {"Halted": "Halted"},
    "set_memory_static_range": {"Halted": "Halted"},
    "set_memory_dynamic_range": {"Halted": "Halted", "Running": "Running"},
    "set_VCPUs_max": {"Halted": "Halted"},
    "set_HVM_shadow_multiplier": {"Halted": "Halted"},
    "set_NVRAM": {"Halted": "Halted"},
}
MATRIX = [(verb, state) for verb in VERBS for state in STATES]


def arguments(admin: Administrator, verb: str) -> tuple[object, ...]:
    match verb:
        case "start" | "resume":
            return (False, False)
        case "start_on" | "resume_on":
            return (admin.other_host, False, False)
        case "pool_migrate":
            return (admin.other_host, {})
        case "snapshot" | "checkpoint" | "clone":
            return ("a name",)
        case "copy":
            return ("a name", NULL)
        case "set_memory_limits":
            return (GIB, GIB, GIB, GIB)
        case "set_memory":
            return (GIB,)
        case "set_memory_static_range" | "set_memory_dynamic_range":
            return (GIB, GIB)
        case "set_VCPUs_max":
            return (4,)
        case "set_HVM_shadow_multiplier":
            return (2.0,)
        case "set_NVRAM":
            return ({},)
        case _:
            return ()


@pytest.mark.parametrize(("verb", "state"), MATRIX)
async def test_each_verb_in_each_state(verb: str, state: str) -> None:
    async with administered() as admin:
        vm = await admin.make(state)
        expected = VERBS[verb].get(state)
        if expected is None:
            code, ref, _, actual = await admin.refused(f"VM.{verb}", vm, *arguments(admin, verb))
            assert (code, ref, actual) == ("VM_BAD_POWER_STATE", vm, state.lower())
            assert admin.vm(vm)["power_state"] == state
            return
        await admin.call(f"VM.{verb}", vm, *arguments(admin, verb))
        if expected == "gone":
            assert vm not in admin.rows("VM")
            return
        record = admin.vm(vm)
        assert record["power_state"] == expected
        assert record["current_operations"] == {}
        assert record["scheduled_to_be_resident_on"] == NULL
        up = expected in ("Running", "Paused")
        assert (record["resident_on"] != NULL) is up
        assert (record["domid"] > 0) is up
        assert len(record["consoles"]) == (1 if up else 0)
        devices = [admin.get("VBD", ref) for ref in record["VBDs"]]
        devices += [admin.get("VIF", ref) for ref in record["VIFs"]]
        assert {device["currently_attached"] for device in devices} == {up}
        assert all(device["current_operations"] == {} for device in devices)
        before = dict(record)
        await admin.call("VM.update_allowed_operations", vm)
        assert admin.vm(vm)["allowed_operations"] == before["allowed_operations"]
        for vbd in record["VBDs"]:
            vdi = admin.get("VBD", vbd)["VDI"]
            assert ("destroy" in admin.get("VDI", vdi)["allowed_operations"]) is not up


# ---- starting ----


async def test_a_started_vm_is_measured_and_reported_and_told_of() -> None:
    async with administered() as admin:
        vm = await admin.make()
        assert admin.vm(vm)["guest_metrics"] == NULL
        await admin.call("VM.start", vm, False, False)
        record = admin.vm(vm)
        metrics = admin.get("VM_metrics", record["metrics"])
        assert metrics["start_time"] == stamp(NOW)
        assert (metrics["VCPUs_number"], metrics["memory_actual"]) == (2, GIB)
        assert metrics["current_domain_type"] == "hvm"
        guest = admin.get("VM_guest_metrics", record["guest_metrics"])
        assert guest["PV_drivers_detected"]
        assert guest["live"]
        assert record["platform"] == {"device-model": "qemu-upstream-compat"}
        vbd = admin.get("VBD", record["VBDs"][0])
        assert vbd["device"] == "xvda"
        host = admin.get("host", record["resident_on"])
        assert vm in host["resident_VMs"]
        console = admin.get("console", record["consoles"][0])
        assert console["location"] == f"https://{host['address']}/console?uuid={console['uuid']}"
        message = list(admin.simulated.pool.messages.rows.values())[-1]
        assert (message["name"], message["priority"], message["obj_uuid"]) == (
            "VM_STARTED",
            5,
            record["uuid"],
        )
        assert message["body"] == (
            f"VM 'made for a test' (uuid: {record['uuid']}) started on host:"
            f" {host['name_label']} (uuid: {host['uuid']})"
        )


async def test_a_vm_without_tools_reports_nothing_and_cannot_shut_itself_down() -> None:
    async with administered() as admin:
        vm = await admin.make("Running", tools=False)
        assert admin.vm(vm)["guest_metrics"] == NULL
        for verb in ("clean_shutdown", "clean_reboot", "suspend"):
            assert await admin.refused(f"VM.{verb}", vm) == ["VM_LACKS_FEATURE", vm]
            assert verb not in admin.vm(vm)["allowed_operations"]
        assert (await admin.refused("VM.pool_migrate", vm, admin.other_host, {}))[0] == "VM_LACKS_FEATURE"
        # `shutdown` takes the power away when the guest cannot help.
        await admin.call("VM.shutdown", vm)
        assert admin.vm(vm)["power_state"] == "Halted"
        assert list(admin.simulated.pool.messages.rows.values())[-1]["body"].endswith("shutdown forcibly")


async def test_tools_come_back_with_the_next_start() -> None:
    async with administered() as admin:
        vm = await admin.make("Running")
        before = admin.get("VM_guest_metrics", admin.vm(vm)["guest_metrics"])
        await admin.call("VM.clean_shutdown", vm)
        assert admin.vm(vm)["guest_metrics"] == NULL
        await admin.call("VM.start", vm, False, False)
        after = admin.get("VM_guest_metrics", admin.vm(vm)["guest_metrics"])
        assert after["os_version"] == before["os_version"]
        assert after["uuid"] != before["uuid"]


async def test_a_vm_started_paused_waits() -> None:
    async with administered() as admin:
        vm = await admin.make()
        await admin.call("VM.start", vm, True, False)
        assert admin.vm(vm)["power_state"] == "Paused"


async def test_what_others_put_into_xenstore_data_is_gone_after_a_start() -> None:
    async with administered() as admin:
        vm = await admin.make(xenstore_data={"vm-data/a": "1", "ours.owner": "us"})
        await admin.call("VM.start", vm, False, False)
        assert admin.vm(vm)["xenstore_data"] == {"vm-data/a": "1"}


async def test_ha_keeps_a_protected_vm_running_until_it_is_stopped() -> None:
    async with administered() as admin:
        vm = await admin.make(ha_restart_priority="restart")
        await admin.call("VM.start", vm, False, False)
        assert admin.vm(vm)["ha_always_run"]
        await admin.call("VM.clean_shutdown", vm)
        assert not admin.vm(vm)["ha_always_run"]


async def test_a_vm_that_was_a_template_starts_and_the_call_fails_all_the_same() -> None:
    async with administered() as admin:
        vm = await admin.make()
        await admin.call("VM.set_is_a_template", vm, True)
        assert admin.vm(vm)["metrics"] == NULL
        await admin.call("VM.set_is_a_template", vm, False)
        refused = await admin.refused("VM.start", vm, False, False)
        assert refused == ["HANDLE_INVALID", "VM_metrics", NULL]
        record = admin.vm(vm)
        assert record["power_state"] == "Running"
        assert record["current_operations"] == {}
        assert record["scheduled_to_be_resident_on"] == NULL
        assert "VM_STARTED" not in [row["name"] for row in admin.simulated.pool.messages.rows.values()]


async def test_a_disk_that_another_vm_writes_to_keeps_a_vm_from_starting() -> None:
    async with administered() as admin:
        first, second = await admin.make("Running"), await admin.make()
        shared = admin.get("VBD", admin.vm(first)["VBDs"][0])["VDI"]
        await admin.attach(second, shared, "1")
        assert await admin.refused("VM.start", second, False, False) == ["VDI_IN_USE", shared, "attach"]
        assert admin.vm(second)["power_state"] == "Halted"
        await admin.call("VDI.set_sharable", shared, True)
        await admin.call("VM.start", second, False, False)


# ---- suspending ----


async def test_a_suspended_vm_has_its_memory_on_a_disk_and_gets_it_back() -> None:
    async with administered() as admin:
        vm = await admin.make("Running")
        guest, started = admin.vm(vm)["guest_metrics"], admin.get("VM_metrics", admin.vm(vm)["metrics"])
        await admin.call("VM.suspend", vm)
        saved = admin.vm(vm)
        image = admin.get("VDI", saved["suspend_VDI"])
        assert (image["type"], image["name_label"]) == ("suspend", "Suspend image")
        assert image["virtual_size"] > GIB
        assert saved["guest_metrics"] == guest
        assert admin.get("VM_metrics", saved["metrics"])["start_time"] == started["start_time"]
        await admin.call("VM.resume", vm, False, False)
        assert admin.vm(vm)["suspend_VDI"] == NULL
        assert saved["suspend_VDI"] not in admin.rows("VDI")
        assert admin.vm(vm)["guest_metrics"] == guest


async def test_without_a_place_for_memory_a_vm_cannot_be_suspended() -> None:
    async with administered() as admin:
        vm = await admin.make("Running")
        for ref in admin.rows("host"):
            admin.set("host", ref, suspend_image_sr=NULL)
        admin.set("pool", admin.simulated.pool.pool_ref(), suspend_image_SR=NULL)
        assert await admin.refused("VM.suspend", vm) == ["VM_NO_SUSPEND_SR", vm]
        assert admin.vm(vm)["power_state"] == "Running"


async def test_a_vm_whose_saved_memory_is_gone_cannot_go_on() -> None:
    async with administered() as admin:
        vm = await admin.make("Suspended")
        await admin.call("VDI.destroy", admin.vm(vm)["suspend_VDI"])
        assert await admin.refused("VM.resume", vm, False, False) == ["VM_HAS_NO_SUSPEND_VDI", vm]
        await admin.call("VM.hard_shutdown", vm)
        assert admin.vm(vm)["power_state"] == "Halted"


async def test_shutting_a_suspended_vm_down_throws_its_memory_away() -> None:
    async with administered() as admin:
        vm = await admin.make("Suspended")
        image = admin.vm(vm)["suspend_VDI"]
        await admin.call("VM.hard_shutdown", vm)
        assert image not in admin.rows("VDI")
        assert admin.vm(vm)["suspend_VDI"] == NULL


# ---- rebooting, resetting ----


@pytest.mark.parametrize("verb", ["clean_reboot", "hard_reboot"])
async def test_a_reboot_makes_another_domain_where_the_vm_was(verb: str) -> None:
    async with administered() as admin:
        vm = await admin.make("Running")
        before = admin.vm(vm)
        await admin.simulated.clock.advance(60)
        await admin.call(f"VM.{verb}", vm)
        after = admin.vm(vm)
        assert after["domid"] > before["domid"]
        assert after["resident_on"] == before["resident_on"]
        start_time = admin.get("VM_metrics", after["metrics"])["start_time"]
        assert start_time > stamp(NOW)


async def test_a_power_state_is_reset_only_when_the_host_is_lost() -> None:
    async with administered(hosts=2) as admin:
        here = await admin.make()
        await admin.call("VM.start_on", here, admin.master, False, False)
        there = await admin.make()
        await admin.call("VM.start_on", there, admin.other_host, False, False)
        domid = str(admin.vm(here)["domid"])
        assert await admin.refused("VM.power_state_reset", here) == ["DOMAIN_EXISTS", here, domid]
        assert await admin.refused("VM.power_state_reset", there) == ["HOST_IS_LIVE", admin.other_host]
        admin.set("host_metrics", admin.get("host", admin.other_host)["metrics"], live=False)
        await admin.call("VM.power_state_reset", there)
        record = admin.vm(there)
        assert (record["power_state"], record["resident_on"], record["domid"]) == ("Halted", NULL, -1)
        dom0 = admin.get("host", admin.master)["control_domain"]
        assert await admin.refused("VM.power_state_reset", dom0) == ["CANNOT_RESET_CONTROL_DOMAIN", dom0]


async def test_a_vm_on_a_lost_host_stays_running_and_cannot_be_stopped() -> None:
    async with administered(hosts=2) as admin:
        vm = await admin.make()
        await admin.call("VM.start_on", vm, admin.other_host, False, False)
        admin.set("host_metrics", admin.get("host", admin.other_host)["metrics"], live=False)
        assert await admin.refused("VM.hard_shutdown", vm) == ["HOST_OFFLINE", admin.other_host]
        assert admin.vm(vm)["power_state"] == "Running"
        assert admin.vm(vm)["resident_on"] == admin.other_host


# ---- one after the other ----


async def test_while_a_vm_starts_its_records_say_so() -> None:
    async with administered(speed=1.0) as admin:
        vm = await admin.simulated.after(5, admin.make())
        task = admin.client.start("VM.start", vm, False, False)
        await admin.simulated.clock.settle()
        record = admin.vm(vm)
        assert list(record["current_operations"].values()) == ["start"]
        assert record["power_state"] == "Halted"
        assert record["scheduled_to_be_resident_on"] in admin.rows("host")
        assert record["resident_on"] == NULL
        assert "start" not in record["allowed_operations"]
        assert set(admin.get("VBD", record["VBDs"][0])["current_operations"].values()) == {"attach"}
        await admin.simulated.clock.advance(1)
        await task
        assert admin.vm(vm)["current_operations"] == {}


async def test_of_two_starts_the_second_waits_and_finds_the_vm_running() -> None:
    async with administered(speed=1.0) as admin:
        vm = await admin.simulated.after(5, admin.make())
        first = admin.client.start("VM.start", vm, False, False)
        await admin.simulated.clock.settle()
        second = asyncio.ensure_future(admin.refused("VM.start", vm, False, False))
        await admin.simulated.clock.advance(0.1)
        assert not first.done()
        assert not second.done()
        await admin.simulated.clock.advance(1)
        await first
        assert await second == ["VM_BAD_POWER_STATE", vm, "halted", "running"]


async def test_taking_the_power_away_ends_a_clean_shutdown() -> None:
    async with administered(speed=1.0) as admin:
        vm = await admin.simulated.after(5, admin.make("Running"))
        clean = asyncio.ensure_future(admin.refused("VM.clean_shutdown", vm))
        await admin.simulated.clock.advance(0.5)
        hard = admin.client.start("VM.hard_shutdown", vm)
        await admin.simulated.clock.advance(0.5)
        await hard
        assert (await clean)[0] == "TASK_CANCELLED"
        assert admin.vm(vm)["power_state"] == "Halted"
        assert admin.vm(vm)["current_operations"] == {}


async def test_a_cancelled_start_leaves_nothing_behind() -> None:
    async with administered(speed=1.0) as admin:
        vm = await admin.simulated.after(5, admin.make())
        task = await admin.call("Async.VM.start", vm, False, False)
        await admin.simulated.clock.settle()
        assert admin.vm(vm)["current_operations"] == {task: "start"}
        await admin.call("task.cancel", task)
        await admin.simulated.clock.settle()
        record = admin.vm(vm)
        assert admin.get("task", task)["status"] == "cancelled"
        assert record["current_operations"] == {}
        assert record["scheduled_to_be_resident_on"] == NULL
        assert record["power_state"] == "Halted"
        assert "start" in record["allowed_operations"]


async def test_a_long_operation_tells_how_far_it_is() -> None:
    async with administered(speed=1.0) as admin:
        vm = await admin.simulated.after(5, admin.make("Running"))
        task = await admin.call("Async.VM.clean_shutdown", vm)
        seen = []
        for _ in range(8):
            await admin.simulated.clock.advance(0.3)
            seen.append(admin.get("task", task)["progress"])
        assert seen == sorted(seen)
        assert len({value for value in seen if 0 < value < 1}) >= 2
        assert admin.get("task", task)["status"] == "success"


async def test_who_waits_two_hours_is_told_what_was_in_the_way() -> None:
    async with administered(speed=1.0) as admin:
        vm = await admin.simulated.after(5, admin.make())
        admin.set("VM", vm, current_operations={"OpaqueRef:stuck": "export"})
        waiting = asyncio.ensure_future(admin.refused("VM.start", vm, False, False))
        await admin.simulated.clock.advance(7100)
        assert not waiting.done()
        await admin.simulated.clock.advance(200)
        expected = ["OTHER_OPERATION_IN_PROGRESS", "VM", vm, "export", "OpaqueRef:stuck"]
        assert await waiting == expected


async def test_a_busy_pool_does_not_shorten_the_wait() -> None:
    async with administered(speed=1.0) as admin:
        vm = await admin.simulated.after(5, admin.make())
        admin.set("VM", vm, current_operations={"OpaqueRef:stuck": "export"})
        waiting = admin.client.start("VM.start", vm, False, False)
        for number in range(500):
            admin.set("VM", vm, name_description=str(number))
            await asyncio.sleep(0)
        await admin.simulated.clock.settle()
        assert not waiting.done()
        admin.set("VM", vm, current_operations={})
        await admin.simulated.after(1, waiting)
        assert admin.vm(vm)["power_state"] == "Running"


async def test_what_is_allowed_can_be_asked_for() -> None:
    async with administered() as admin:
        vm = await admin.make()
        await admin.call("VM.assert_operation_valid", vm, "start")
        refused = await admin.refused("VM.assert_operation_valid", vm, "pause")
        assert refused == ["VM_BAD_POWER_STATE", vm, "running", "halted"]


# ---- a whole populated pool ----


async def test_a_pool_in_use_can_be_switched_off_and_on_again() -> None:
    """Every VM of a populated pool goes through it, with all that VMs in use have."""
    async with simulated_pool(2, 40, speed=0.0) as simulated:
        client = await simulated.log_in()
        tables = simulated.pool.tables

        def proper() -> dict[str, Record]:
            rows = tables.rows("VM").items()
            return {ref: vm for ref, vm in rows if not vm["is_a_template"] and not vm["is_control_domain"]}

        running = [ref for ref, vm in proper().items() if vm["power_state"] == "Running"]
        assert len(running) > 10
        for vm in running:
            if "hard_shutdown" in tables.get("VM", vm)["allowed_operations"]:
                await client.call("VM.hard_shutdown", vm)
                assert tables.get("VM", vm)["power_state"] == "Halted"
        started = 0
        for vm in running:
            if await client.call("VM.get_possible_hosts", vm):
                await client.call("VM.start", vm, False, False)
                started += 1
        assert started > 10


# ---- a server that restarts in the middle ----


async def test_a_restart_in_the_middle_of_a_start_leaves_nothing_in_progress() -> None:
    async with administered(speed=1.0) as admin:
        vm = await admin.simulated.after(5, admin.make())
        allowed = admin.vm(vm)["allowed_operations"]
        task = admin.client.start("VM.start", vm, False, False)
        await admin.simulated.clock.settle()
        admin.simulated.pool.save_database()
        admin.simulated.pool.restart_toolstack(0.0)
        with pytest.raises(ConnectionCut):
            await task
        for _ in range(2):
            record = admin.vm(vm)
            assert record["current_operations"] == {}
            assert record["scheduled_to_be_resident_on"] == NULL
            assert record["power_state"] == "Halted"
            assert record["allowed_operations"] == allowed
            assert admin.get("VBD", record["VBDs"][0])["current_operations"] == {}
            # The copy was made while the start was in progress; once more with that.
            admin.simulated.pool.roll_back_database()


# ---- a pool that is a real one's copy ----


async def test_vms_of_a_real_pool_go_through_all_of_it() -> None:
    text = (Path(__file__).parents[1] / "fixtures/xapi/records.json").read_text(encoding="utf-8")
    records: Records = json.loads(text)
    kept = load_datamodel().classes
    records = {
        name: rows for name, rows in records.items() if name in kept and name not in ("session", "task")
    }
    async with simulated_pool(records=records, speed=0.0) as simulated:
        client = await simulated.log_in()
        admin = Administrator(client, simulated)
        vms = {
            ref
            for ref, vm in admin.rows("VM").items()
            if not vm["is_a_template"] and not vm["is_control_domain"] and not vm["blocked_operations"]
        }
        assert len(vms) > 15
        for vm in sorted(vms):
            if admin.vm(vm)["power_state"] != "Halted":
                await admin.call("VM.hard_shutdown", vm)
            simulated.pool.guests.set_tools(vm, present=True)
            await admin.call("VM.start", vm, False, False)
            snapshot = await admin.call("VM.checkpoint", vm, "kept")
            await admin.call("VM.clean_shutdown", vm)
            await admin.call("VM.revert", snapshot)
            assert admin.vm(vm)["power_state"] == "Suspended"
            await admin.call("VM.resume", vm, False, False)
            assert admin.vm(vm)["power_state"] == "Running"
