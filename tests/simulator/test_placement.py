"""Is room reckoned and a host chosen as XAPI does it, and is the first reason against a host the one it gives?

Effects: none
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.administrator import Administrator, administered
from xenios.drivers.xenserver.memory import overhead_bytes
from xenios.simulator.facts.datamodel import NULL
from xenios.simulator.population.units import GIB, MIB, TIB


async def free(admin: Administrator, host: str) -> int:
    return int(await admin.call("host.compute_free_memory", host))


async def test_free_memory_is_what_no_vm_was_promised() -> None:
    async with administered(hosts=1) as admin:
        host = admin.get("host", admin.master)
        dom0 = admin.get("VM", host["control_domain"])
        total = admin.get("host_metrics", host["metrics"])["memory_total"]
        own = dom0["memory_dynamic_min"] + dom0["memory_overhead"]
        assert await free(admin, admin.master) == total - host["memory_overhead"] - own
        vm = await admin.make(memory_dynamic_min=GIB // 2)
        before = await free(admin, admin.master)
        await admin.call("VM.start", vm, False, False)
        cost = GIB // 2 + overhead_bytes("hvm", GIB, 2)
        assert await free(admin, admin.master) == before - cost
        await admin.call("VM.suspend", vm)
        assert await free(admin, admin.master) == before


async def test_a_vm_on_its_way_counts_and_one_in_both_lists_counts_twice() -> None:
    async with administered(hosts=1) as admin:
        vm = await admin.make()
        before = await free(admin, admin.master)
        cost = GIB + admin.vm(vm)["memory_overhead"]
        admin.set("VM", vm, scheduled_to_be_resident_on=admin.master)
        assert await free(admin, admin.master) == before - cost
        admin.set("VM", vm, resident_on=admin.master)
        assert await free(admin, admin.master) == before - 2 * cost


async def test_free_memory_is_never_negative() -> None:
    async with administered(hosts=1) as admin:
        admin.set("host_metrics", admin.get("host", admin.master)["metrics"], memory_total=MIB)
        assert await free(admin, admin.master) == 0


async def test_exactly_enough_memory_is_enough_and_a_byte_less_is_not() -> None:
    async with administered(hosts=1) as admin:
        vm = await admin.make(
            memory_static_max=8 * GIB, memory_dynamic_max=8 * GIB, memory_dynamic_min=8 * GIB
        )
        needed = 8 * GIB + overhead_bytes("hvm", 8 * GIB, 2)
        metrics = admin.get("host", admin.master)["metrics"]
        spare = await free(admin, admin.master) - needed
        total = admin.get("host_metrics", metrics)["memory_total"]
        admin.set("host_metrics", metrics, memory_total=total - spare - 1)
        expected = ["HOST_NOT_ENOUGH_FREE_MEMORY", str(needed), str(needed - 1)]
        assert await admin.refused("VM.assert_can_boot_here", vm, admin.master) == expected
        assert await admin.refused("VM.start_on", vm, admin.master, False, False) == expected
        assert await admin.refused("VM.start", vm, False, False) == ["NO_HOSTS_AVAILABLE"]
        assert await admin.call("VM.get_possible_hosts", vm) == []
        admin.set("host_metrics", metrics, memory_total=total - spare)
        assert await admin.call("VM.get_possible_hosts", vm) == [admin.master]
        await admin.call("VM.start", vm, False, False)
        assert await free(admin, admin.master) == 0


async def test_a_vm_with_a_shim_needs_its_static_maximum() -> None:
    async with administered(hosts=1) as admin:
        vm = await admin.make(
            domain_type="pv_in_pvh", memory_static_max=2 * TIB, memory_dynamic_max=GIB, memory_dynamic_min=GIB
        )
        refused = await admin.refused("VM.assert_can_boot_here", vm, admin.master)
        assert refused[0] == "HOST_NOT_ENOUGH_FREE_MEMORY"
        assert int(refused[1]) > 2 * TIB


# ---- reasons, in their order ----


async def test_a_disabled_host_takes_no_vm_and_says_so_only_when_named() -> None:
    async with administered(hosts=1) as admin:
        vm = await admin.make()
        await admin.call("host.disable", admin.master)
        assert await admin.refused("VM.start", vm, False, False) == ["NO_HOSTS_AVAILABLE"]
        disabled = ["HOST_DISABLED", admin.master]
        assert await admin.refused("VM.start_on", vm, admin.master, False, False) == disabled
        assert await admin.refused("VM.assert_can_boot_here", vm, admin.master) == disabled


async def test_too_many_vcpus_are_told_with_both_numbers() -> None:
    async with administered(hosts=1) as admin:
        count = admin.get("host", admin.master)["cpu_info"]["cpu_count"]
        vm = await admin.make(VCPUs_max=128)
        expected = ["HOST_NOT_ENOUGH_PCPUS", "128", count]
        assert await admin.refused("VM.start_on", vm, admin.master, False, False) == expected
        assert await admin.refused("VM.start", vm, False, False) == ["NO_HOSTS_AVAILABLE"]
        await admin.call("VM.add_to_platform", vm, "vcpu-unrestricted", "true")
        await admin.call("VM.assert_can_boot_here", vm, admin.master)


async def test_the_first_reason_is_the_one_that_is_told() -> None:
    async with administered(hosts=1) as admin:
        host = admin.get("host", admin.master)
        vm = await admin.make()
        network, sr = admin.network(), admin.sr()
        fixed = "Memory limits must satisfy: static_min <= dynamic_min <= dynamic_max <= static_max"
        # Each step adds a reason that is looked at earlier than all before it.
        steps = [
            (
                ("VM", vm, {"VCPUs_max": 1000}),
                ["HOST_NOT_ENOUGH_PCPUS", "1000", host["cpu_info"]["cpu_count"]],
            ),
            (("host_metrics", host["metrics"], {"memory_total": 0}), ["HOST_NOT_ENOUGH_FREE_MEMORY"]),
            (("host", admin.master, {"capabilities": ["xen-3.0-x86_64"]}), ["VM_HVM_REQUIRED", vm]),
            (("network", network, {}), ["VM_REQUIRES_NETWORK", vm, network]),
            (("SR", sr, {}), ["VM_REQUIRES_SR", vm, sr]),
            (
                ("host", admin.master, {"virtual_hardware_platform_versions": [0, 1]}),
                [
                    "VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION",
                    admin.master,
                    "[0; 1]",
                    vm,
                    "2",
                ],
            ),
            (("host", admin.master, {"enabled": False}), ["HOST_DISABLED", admin.master]),
            (("host_metrics", host["metrics"], {"live": False}), ["HOST_NOT_LIVE"]),
            (("VM", vm, {"memory_dynamic_max": 4 * GIB}), ["MEMORY_CONSTRAINT_VIOLATION", fixed]),
            (("VM", vm, {"VCPUs_at_startup": 0}), ["INVALID_VALUE", "VCPUs_at_startup", "0"]),
            (("VM", vm, {"VCPUs_max": 0}), ["INVALID_VALUE", "VCPUs_max", "0"]),
        ]
        for (class_name, ref, values), expected in steps:
            if class_name == "network":
                for pif in admin.get("network", ref)["PIFs"]:
                    admin.set("PIF", pif, currently_attached=False)
            elif class_name == "SR":
                for pbd in admin.get("SR", ref)["PBDs"]:
                    admin.set("PBD", pbd, currently_attached=False)
            else:
                admin.set(class_name, ref, **values)
            refused = await admin.refused("VM.assert_can_boot_here", vm, admin.master)
            assert refused[: len(expected)] == expected


async def test_memory_saved_on_another_makers_processor_stays_where_it_is() -> None:
    async with administered() as admin:
        vm = await admin.make("Suspended")
        for host in admin.rows("host"):
            admin.set(
                "host", host, cpu_info={**admin.get("host", host)["cpu_info"], "vendor": "AuthenticAMD"}
            )
        code, ref, host, _ = await admin.refused("VM.resume_on", vm, admin.master, False, False)
        assert (code, ref, host) == ("VM_INCOMPATIBLE_WITH_THIS_HOST", vm, admin.master)
        assert await admin.refused("VM.resume", vm, False, False) == ["NO_HOSTS_AVAILABLE"]


async def test_a_host_being_emptied_takes_nothing() -> None:
    async with administered() as admin:
        vm = await admin.make()
        admin.set("host", admin.master, current_operations={"OpaqueRef:t": "evacuate"})
        expected = ["HOST_EVACUATE_IN_PROGRESS", admin.master]
        assert await admin.refused("VM.start_on", vm, admin.master, False, False) == expected


# ---- the choice ----


async def test_a_preferred_host_that_will_do_is_taken() -> None:
    async with administered(hosts=2) as admin:
        for host in admin.rows("host"):
            vm = await admin.make(affinity=host)
            await admin.call("VM.start", vm, False, False)
            assert admin.vm(vm)["resident_on"] == host


async def test_a_preferred_host_that_will_not_do_is_passed_over() -> None:
    async with administered(hosts=2) as admin:
        vm = await admin.make(affinity=admin.master)
        await admin.call("host.disable", admin.master)
        await admin.call("VM.start", vm, False, False)
        assert admin.vm(vm)["resident_on"] == admin.other_host


async def test_the_master_is_spared_and_the_emptier_host_is_likelier() -> None:
    async with administered(hosts=4) as admin:
        # The second of several hosts is disabled and the last is not live: all shall be well here.
        for host, record in admin.rows("host").items():
            admin.set("host", host, enabled=True)
            admin.set("host_metrics", record["metrics"], live=True)
            admin.simulated.pool.heal_host(host)
        small, *others = admin.simulated.supporters
        metrics = admin.get("host", small)["metrics"]
        room = await free(admin, small)
        total = admin.get("host_metrics", metrics)["memory_total"]
        admin.set("host_metrics", metrics, memory_total=total - room + 2 * GIB)
        chosen: Counter[str] = Counter()
        vm = await admin.make(memory_dynamic_min=GIB // 2)
        for pbd in admin.rows("PBD"):
            admin.set("PBD", pbd, currently_attached=True)
        for _ in range(60):
            await admin.call("VM.start", vm, False, False)
            chosen[admin.vm(vm)["resident_on"]] += 1
            await admin.call("VM.hard_shutdown", vm)
        assert chosen[admin.master] == 0
        assert chosen[small] < min(chosen[host] for host in others)


@pytest.mark.parametrize("gone", [NULL, "OpaqueRef:gone"])
async def test_an_affinity_to_nothing_is_no_wish(gone: str) -> None:
    async with administered(hosts=2) as admin:
        vm = await admin.make(affinity=gone)
        await admin.call("VM.start", vm, False, False)
        assert admin.vm(vm)["resident_on"] in admin.rows("host")
