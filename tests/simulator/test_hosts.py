"""Are hosts taken out of use, emptied and put in charge as on a real pool?

Effects: none
"""

from __future__ import annotations

import pytest

from tests.support.administrator import Administrator, administered
from tests.support.simulated import NOW
from xenios.simulator.api_error import ApiError
from xenios.simulator.population.book import stamp


async def running_here(admin: Administrator, **values: object) -> str:
    vm = await admin.make(**values)
    await admin.call("VM.start_on", vm, admin.master, False, False)
    return vm


async def test_a_disabled_host_keeps_its_vms_and_takes_none() -> None:
    async with administered() as admin:
        vm = await running_here(admin)
        await admin.call("host.disable", admin.master)
        host = admin.get("host", admin.master)
        assert host["enabled"] is False
        assert {"enable", "shutdown", "reboot"} <= set(host["allowed_operations"])
        assert admin.vm(vm)["power_state"] == "Running"
        await admin.call("host.enable", admin.master)
        assert admin.get("host", admin.master)["enabled"] is True
        assert "reboot" not in admin.get("host", admin.master)["allowed_operations"]


async def test_a_lost_host_is_neither_enabled_nor_disabled() -> None:
    async with administered() as admin:
        there = admin.other_host
        admin.simulated.pool.kill_host(there)
        assert await admin.refused("host.disable", there) == ["CANNOT_CONTACT_HOST", there]
        await admin.simulated.clock.advance(700)
        assert await admin.refused("host.disable", there) == ["HOST_OFFLINE", there]
        assert "power_on" not in admin.get("host", there)["allowed_operations"]


async def test_evacuating_moves_every_vm_and_leaves_the_host_disabled() -> None:
    async with administered() as admin:
        vms = [await running_here(admin) for _ in range(3)]
        halted = await admin.make(affinity=admin.master)
        assert await admin.call("host.get_vms_which_prevent_evacuation", admin.master) == {}
        assert await admin.call("host.assert_can_evacuate", admin.master) is None
        await admin.call("host.evacuate", admin.master)
        for vm in vms:
            assert admin.vm(vm)["resident_on"] == admin.other_host
        assert admin.vm(halted)["power_state"] == "Halted"
        host = admin.get("host", admin.master)
        assert host["enabled"] is False
        assert host["resident_VMs"] == [host["control_domain"]]
        assert host["current_operations"] == {}


async def test_while_a_host_is_evacuated_it_says_so_and_takes_nothing() -> None:
    async with administered(speed=1.0) as admin:
        await admin.simulated.after(10, running_here(admin))
        vm = await admin.simulated.after(5, admin.make())
        task = await admin.call("Async.host.evacuate", admin.master)
        await admin.simulated.clock.advance(0.5)
        assert admin.get("host", admin.master)["current_operations"] == {task: "evacuate"}
        refused = await admin.refused("VM.start_on", vm, admin.master, False, False)
        assert refused == ["HOST_EVACUATE_IN_PROGRESS", admin.master]
        await admin.simulated.clock.advance(30)
        assert admin.get("task", task)["status"] == "success"


async def test_vms_that_cannot_move_keep_a_host_from_being_evacuated() -> None:
    async with administered() as admin:
        stuck = await running_here(admin, tools=False)
        paused = await running_here(admin)
        await admin.call("VM.pause", paused)
        free = await running_here(admin)
        expected = {
            stuck: ["VM_LACKS_FEATURE", stuck],
            paused: ["VM_BAD_POWER_STATE", paused, "running", "paused"],
        }
        assert await admin.call("host.get_vms_which_prevent_evacuation", admin.master) == expected
        code, text = await admin.refused("host.assert_can_evacuate", admin.master)
        assert code == "CANNOT_EVACUATE_HOST"
        assert sorted(text.split("|")) == sorted(",".join(reason) for reason in expected.values())
        assert (await admin.refused("host.evacuate", admin.master))[0] in (
            "VM_LACKS_FEATURE",
            "VM_BAD_POWER_STATE",
        )
        assert admin.vm(free)["resident_on"] == admin.master


async def test_where_there_is_nowhere_to_go_the_reason_is_told() -> None:
    async with administered(hosts=1) as admin:
        vm = await running_here(admin)
        prevented = await admin.call("host.get_vms_which_prevent_evacuation", admin.master)
        assert prevented == {vm: ["NO_HOSTS_AVAILABLE"]}
    async with administered(hosts=2) as admin:
        vm = await running_here(admin)
        await admin.call("host.disable", admin.other_host)
        prevented = await admin.call("host.get_vms_which_prevent_evacuation", admin.master)
        assert prevented == {vm: ["HOST_DISABLED", admin.other_host]}
        await admin.call("host.enable", admin.other_host)
        admin.set("host_metrics", admin.get("host", admin.other_host)["metrics"], memory_total=0)
        prevented = await admin.call("host.get_vms_which_prevent_evacuation", admin.master)
        assert prevented[vm][0] == "HOST_NOT_ENOUGH_FREE_MEMORY"
        assert prevented[vm][2] == "0"


async def test_another_master_ends_every_session() -> None:
    async with administered() as admin:
        old, new = admin.master, admin.other_host
        await admin.call("pool.designate_new_master", new)
        assert admin.master == new
        assert (await admin.refused("pool.get_all"))[0] in ("SESSION_INVALID", "HOST_IS_SLAVE")
        again = await admin.simulated.log_in()
        assert again.host == new != old
        assert await again.call("pool.get_master", admin.simulated.pool.pool_ref()) == new


async def test_a_host_that_is_disabled_is_not_put_in_charge() -> None:
    async with administered() as admin:
        await admin.call("host.disable", admin.other_host)
        refused = await admin.refused("pool.designate_new_master", admin.other_host)
        assert refused == ["HOST_DISABLED", admin.other_host]
        await admin.call("pool.designate_new_master", admin.master)
        assert await admin.call("pool.get_all")


async def test_a_host_tells_the_time_and_what_it_keeps_for_itself() -> None:
    async with administered(clock_offset_seconds=3600.0) as admin:
        assert await admin.call("host.get_servertime", admin.master) > stamp(NOW)
        overhead = admin.get("host", admin.master)["memory_overhead"]
        assert await admin.call("host.compute_memory_overhead", admin.master) == overhead
        assert await admin.call("host.get_uncooperative_resident_VMs", admin.master) == []


async def test_a_supporter_takes_over_when_the_master_is_lost() -> None:
    async with administered() as admin:
        pool, new = admin.simulated.pool, admin.other_host
        pool.kill_host(admin.master)
        pool.enter_emergency(new)
        session = await pool.call(new, "session.slave_local_login_with_password", ["root", "xenios"])
        await pool.call(new, "pool.emergency_transition_to_master", [session])
        assert admin.master == new
        again = await admin.simulated.log_in()
        assert await again.call("pool.get_all") == [pool.pool_ref()]


async def test_a_supporter_is_told_where_its_master_is() -> None:
    async with administered() as admin:
        pool, there = admin.simulated.pool, admin.other_host
        pool.enter_emergency(there)
        session = await pool.call(there, "session.slave_local_login_with_password", ["root", "xenios"])
        with pytest.raises(ApiError) as refused:
            await pool.call(there, "pool.emergency_reset_master", [session, "192.0.2.1"])
        assert refused.value.description == ["CANNOT_CONTACT_HOST", "192.0.2.1"]
        address = admin.get("host", admin.master)["address"]
        await pool.call(there, "pool.emergency_reset_master", [session, address])
        with pytest.raises(ApiError) as refused:
            await pool.call(there, "session.login_with_password", ["root", "xenios"])
        assert refused.value.description == ["HOST_IS_SLAVE", address]
        assert await admin.call("pool.recover_slaves") == [there]
