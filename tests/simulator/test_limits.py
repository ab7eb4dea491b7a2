"""Are memory, VCPUs and prohibitions set under the conditions of a real pool?

Effects: none
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.administrator import administered
from xenios.drivers.xenserver.memory import overhead_bytes
from xenios.simulator.population.units import GIB, MIB, TIB
from xenios.simulator.verbs.placement import largest_static_max_bytes

ORDER = ["MEMORY_CONSTRAINT_VIOLATION_ORDER"]


def memory(record: dict[str, int]) -> tuple[int, ...]:
    names = ("static_min", "static_max", "dynamic_min", "dynamic_max")
    return tuple(record[f"memory_{name}"] for name in names)


async def test_four_limits_at_once_must_be_in_order() -> None:
    async with administered() as admin:
        vm = await admin.make()
        await admin.call("VM.set_memory_limits", vm, GIB, 8 * GIB, 2 * GIB, 4 * GIB)
        record = admin.vm(vm)
        assert memory(record) == (GIB, 8 * GIB, 2 * GIB, 4 * GIB)
        assert record["memory_overhead"] == overhead_bytes("hvm", 8 * GIB, 2)
        for wrong in (
            (3 * GIB, 8 * GIB, 2 * GIB, 4 * GIB),
            (GIB, 8 * GIB, 5 * GIB, 4 * GIB),
            (GIB, 3 * GIB, 2 * GIB, 4 * GIB),
            (-1, 8 * GIB, 2 * GIB, 4 * GIB),
        ):
            assert await admin.refused("VM.set_memory_limits", vm, *wrong) == ORDER
        assert memory(admin.vm(vm)) == (GIB, 8 * GIB, 2 * GIB, 4 * GIB)


async def test_one_limit_at_a_time() -> None:
    async with administered() as admin:
        vm = await admin.make()
        await admin.call("VM.set_memory", vm, 4 * GIB)
        assert memory(admin.vm(vm)) == (GIB // 2, 4 * GIB, 4 * GIB, 4 * GIB)
        await admin.call("VM.set_memory_dynamic_min", vm, GIB)
        await admin.call("VM.set_memory_dynamic_max", vm, 2 * GIB)
        await admin.call("VM.set_memory_static_max", vm, 3 * GIB)
        await admin.call("VM.set_memory_static_min", vm, GIB)
        assert memory(admin.vm(vm)) == (GIB, 3 * GIB, GIB, 2 * GIB)
        await admin.call("VM.set_memory_static_range", vm, GIB // 2, 8 * GIB)
        await admin.call("VM.set_memory_dynamic_range", vm, GIB, 8 * GIB)
        assert memory(admin.vm(vm)) == (GIB // 2, 8 * GIB, GIB, 8 * GIB)
        assert await admin.refused("VM.set_memory_static_max", vm, GIB) == ORDER
        assert await admin.refused("VM.set_memory_dynamic_min", vm, 9 * GIB) == ORDER


async def test_a_running_vm_grows_only_into_room_that_its_host_has() -> None:
    async with administered(hosts=1) as admin:
        vm = await admin.make("Running", memory_static_max=TIB, memory_dynamic_max=GIB)
        free = await admin.call("host.compute_free_memory", admin.master)
        record = admin.vm(vm)
        low = record["memory_dynamic_min"] + free
        # These two numbers alone are KiB.
        expected = ["HOST_NOT_ENOUGH_FREE_MEMORY", str((free + 1024) // 1024), str(free // 1024)]
        assert await admin.refused("VM.set_memory_dynamic_range", vm, low + 1024, TIB) == expected
        await admin.call("VM.set_memory_dynamic_range", vm, low, TIB)
        assert await admin.call("host.compute_free_memory", admin.master) == 0
        record = admin.vm(vm)
        assert record["memory_target"] == low
        assert admin.get("VM_metrics", record["metrics"])["memory_actual"] == low
        await admin.call("VM.set_memory_target_live", vm, GIB)
        assert memory(admin.vm(vm))[2:] == (GIB, GIB)
        assert await admin.call("VM.wait_memory_target_live", vm) is None
        assert await admin.call("VM.get_cooperative", vm) is True


async def test_vcpus_keep_to_their_rule() -> None:
    async with administered() as admin:
        vm = await admin.make()
        await admin.call("VM.set_VCPUs_max", vm, 8)
        await admin.call("VM.set_VCPUs_at_startup", vm, 6)
        assert admin.vm(vm)["memory_overhead"] == overhead_bytes("hvm", GIB, 8)
        for verb, value in (
            ("VCPUs_max", 5),
            ("VCPUs_max", 0),
            ("VCPUs_at_startup", 9),
            ("VCPUs_at_startup", 0),
        ):
            refused = await admin.refused(f"VM.set_{verb}", vm, value)
            assert refused[0] == "INVALID_VALUE"
            assert refused[2] == str(value)
        await admin.call("VM.start", vm, False, False)
        await admin.call("VM.set_VCPUs_number_live", vm, 8)
        assert admin.get("VM_metrics", admin.vm(vm)["metrics"])["VCPUs_number"] == 8
        assert (await admin.refused("VM.set_VCPUs_number_live", vm, 9))[0] == "INVALID_VALUE"


async def test_shadow_memory_is_a_factor_of_at_least_one() -> None:
    async with administered() as admin:
        vm = await admin.make()
        await admin.call("VM.set_HVM_shadow_multiplier", vm, 4.0)
        assert admin.vm(vm)["memory_overhead"] == overhead_bytes("hvm", GIB, 2, 4.0)
        for value in (0.5, float("nan")):
            assert (await admin.refused("VM.set_HVM_shadow_multiplier", vm, value))[0] == "INVALID_VALUE"
        refused = await admin.refused("VM.set_shadow_multiplier_live", vm, 2.0)
        assert refused == ["VM_BAD_POWER_STATE", vm, "running", "halted"]


async def test_kind_of_domain_and_boot_policy_say_the_same() -> None:
    async with administered() as admin:
        vm = await admin.make()
        await admin.call("VM.set_domain_type", vm, "pv")
        assert (admin.vm(vm)["domain_type"], admin.vm(vm)["HVM_boot_policy"]) == ("pv", "")
        await admin.call("VM.set_HVM_boot_policy", vm, "BIOS order")
        assert admin.vm(vm)["domain_type"] == "hvm"
        await admin.call("VM.start", vm, False, False)
        refused = await admin.refused("VM.set_domain_type", vm, "pv")
        assert refused == ["VM_BAD_POWER_STATE", vm, "halted", "running"]


async def test_what_is_blocked_is_not_allowed_any_more() -> None:
    async with administered() as admin:
        vm = await admin.make()
        await admin.call("VM.add_to_blocked_operations", vm, "start", "ask the owner")
        assert "start" not in admin.vm(vm)["allowed_operations"]
        assert await admin.refused("VM.start", vm, False, False) == ["OPERATION_BLOCKED", vm, "ask the owner"]
        duplicate = await admin.refused("VM.add_to_blocked_operations", vm, "start", "ask the owner")
        assert duplicate == ["MAP_DUPLICATE_KEY", "VM", "blocked_operations", vm, "start"]
        await admin.call("VM.remove_from_blocked_operations", vm, "start")
        await admin.call("VM.remove_from_blocked_operations", vm, "start")
        assert "start" in admin.vm(vm)["allowed_operations"]
        await admin.call("VM.set_blocked_operations", vm, {"destroy": "no"})
        assert "destroy" not in admin.vm(vm)["allowed_operations"]


async def test_a_restart_priority_is_one_of_three() -> None:
    async with administered() as admin:
        vm = await admin.make("Running")
        refused = await admin.refused("VM.set_ha_restart_priority", vm, "1")
        assert refused == ["INVALID_VALUE", "ha_restart_priority", "1"]
        await admin.call("VM.set_ha_restart_priority", vm, "restart")
        assert admin.vm(vm)["ha_always_run"]
        await admin.call("VM.set_ha_restart_priority", vm, "best-effort")
        assert not admin.vm(vm)["ha_always_run"]


async def test_the_overhead_is_computed_for_the_settings_as_they_are() -> None:
    async with administered() as admin:
        vm = await admin.make()
        admin.set("VM", vm, memory_static_max=4 * GIB, memory_overhead=0)
        assert await admin.call("VM.compute_memory_overhead", vm) == 37 * MIB
        assert admin.vm(vm)["memory_overhead"] == 0


@pytest.mark.parametrize("approximate", [False, True])
async def test_the_largest_memory_fits_and_a_mib_more_does_not(approximate: bool) -> None:
    async with administered() as admin:
        vm = await admin.make()
        vcpus = 64 if approximate else 2
        for total in (0, 5 * MIB, GIB, 10 * GIB + 12345):
            most = await admin.call("VM.maximise_memory", vm, total, approximate)
            assert most % MIB == 0
            assert most == 0 or most + overhead_bytes("hvm", most, vcpus) <= total
            more = most + MIB
            assert more + overhead_bytes("hvm", more, vcpus) > total


@given(total=st.integers(0, 64 * TIB), vcpus=st.integers(1, 64), kind=st.sampled_from(["hvm", "pv", "pvh"]))
def test_the_largest_memory_is_the_largest(total: int, vcpus: int, kind: str) -> None:
    vm = {"domain_type": kind, "HVM_boot_policy": "", "HVM_shadow_multiplier": 1.0}
    most = largest_static_max_bytes(vm, total, vcpus)
    assert most == 0 or most + overhead_bytes(kind, most, vcpus) <= total
    assert most + MIB + overhead_bytes(kind, most + MIB, vcpus) > total
