"""After a long day of many administrators at once, is everything in the pool's records still true?

Effects: none
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from tests.support.administrator import vm_settings
from tests.support.simulated import Client, Simulated, simulated_pool
from xenios.simulator.api_error import ApiError
from xenios.simulator.facts.datamodel import NULL, load_datamodel
from xenios.simulator.population.storage import THICK
from xenios.simulator.population.units import GIB
from xenios.simulator.verbs.current_operations import refusal_of
from xenios.simulator.verbs.lifecycle import vm_operations_allowed

CALLS = 400
# What a call may fail with in a pool that others work in too.
EXPECTED = {
    *("VM_BAD_POWER_STATE", "VM_IS_TEMPLATE", "VM_IS_SNAPSHOT", "VM_LACKS_FEATURE", "OPERATION_BLOCKED"),
    *("OPERATION_NOT_ALLOWED", "HANDLE_INVALID", "NO_HOSTS_AVAILABLE", "HOST_DISABLED", "HOST_NOT_LIVE"),
    *("HOST_NOT_ENOUGH_FREE_MEMORY", "HOST_NOT_ENOUGH_PCPUS", "VM_REQUIRES_SR", "VM_REQUIRES_NETWORK"),
    *("VM_HAS_VGPU", "VM_HAS_PCI_ATTACHED", "VDI_IN_USE", "VDI_READONLY", "VDI_NOT_MANAGED", "SR_FULL"),
    *("DEVICE_ALREADY_EXISTS", "DEVICE_ALREADY_ATTACHED", "DEVICE_ALREADY_DETACHED", "VM_MISSING_PV_DRIVERS"),
    *(
        "TASK_CANCELLED",
        "HOST_OFFLINE",
        "REVERT_ONLY_ALLOWED_ON_SNAPSHOT",
        "VM_REVERT_FAILED",
        "UUID_INVALID",
    ),
    *("PROVISION_ONLY_ALLOWED_ON_TEMPLATE", "VM_CANNOT_DELETE_DEFAULT_TEMPLATE", "HOST_EVACUATE_IN_PROGRESS"),
    *("VBD_NOT_UNPLUGGABLE", "VM_IS_IMMOBILE", "VM_INCOMPATIBLE_WITH_THIS_HOST", "INVALID_DEVICE"),
    *("CANNOT_EVACUATE_HOST", "VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION", "VM_NO_SUSPEND_SR"),
    *(
        "MEMORY_CONSTRAINT_VIOLATION",
        "MEMORY_CONSTRAINT_VIOLATION_ORDER",
        "VM_IS_PROTECTED",
        "VM_HVM_REQUIRED",
    ),
    *("HOST_IS_LIVE", "DOMAIN_EXISTS", "SR_OPERATION_NOT_SUPPORTED", "OTHER_OPERATION_IN_PROGRESS"),
    *("INVALID_VALUE", "VBD_IS_EMPTY", "VBD_NOT_REMOVABLE_MEDIA", "VDI_IS_A_PHYSICAL_DEVICE"),
    *("VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION", "CANNOT_RESET_CONTROL_DOMAIN", "HOST_NOT_DISABLED"),
}


def something(simulated: Simulated, random: Random) -> tuple[str, list[Any]]:
    """A call that some administrator may think of."""
    tables = simulated.pool.tables

    def one(class_name: str) -> str:
        return random.choice(list(tables.rows(class_name)) or [NULL])

    vm, host = one("VM"), one("host")
    # Who deletes a saved memory loses it; that is not what is looked at here.
    vdi = random.choice([ref for ref, disk in tables.rows("VDI").items() if disk["type"] != "suspend"])
    calls: list[tuple[str, list[Any]]] = [
        ("VM.start", [vm, random.random() < 0.2, False]),
        ("VM.start_on", [vm, host, False, False]),
        ("VM.resume", [vm, False, False]),
        ("VM.pool_migrate", [vm, host, {}]),
        ("VM.snapshot", [vm, "a snapshot"]),
        ("VM.checkpoint", [vm, "a checkpoint"]),
        ("VM.clone", [vm, "a clone"]),
        ("VM.copy", [vm, "a copy", NULL]),
        ("VM.create", [vm_settings()]),
        ("VM.set_memory_limits", [vm, GIB, GIB, GIB, GIB]),
        ("VM.set_is_a_template", [vm, random.random() < 0.3]),
        ("VBD.plug", [one("VBD")]),
        ("VBD.unplug", [one("VBD")]),
        ("VIF.unplug", [one("VIF")]),
        ("VIF.plug", [one("VIF")]),
        ("VDI.snapshot", [vdi]),
        ("VDI.destroy", [vdi]),
        ("host.disable", [host]),
        ("host.enable", [host]),
        ("host.evacuate", [host]),
        ("VM.hard_shutdown", [vm]),
        # A reset of a suspended VM leaves its saved memory behind, on a real pool too.
        ("VM.power_state_reset", [vm if tables.get("VM", vm)["power_state"] != "Suspended" else NULL]),
    ]
    # A pool in use is one in which VMs run.
    calls += [("VM.start", [vm, False, False])] * 8 + [("VM.resume", [vm, False, False])] * 2
    calls += [("host.enable", [host])] * 2
    plain = "pause unpause suspend clean_shutdown shutdown clean_reboot hard_reboot destroy revert provision"
    calls += [(f"VM.{verb}", [vm]) for verb in plain.split()]
    return random.choice(calls)


async def work(simulated: Simulated, client: Client, random: Random, calls: int) -> set[str]:
    """Calls one after the other, each at a time of its own; returns the codes of the refusals."""
    codes = set()
    for _ in range(calls):
        await simulated.clock.sleep(random.random() * 3)
        method, params = something(simulated, random)
        try:
            await client.call(method, *params)
        except ApiError as error:
            codes.add(error.code)
    return codes


def check_relations(simulated: Simulated) -> None:
    tables = simulated.pool.tables
    for relation in load_datamodel().relations:
        for ref, one in tables.rows(relation.one_class).items():
            many = tables.find(relation.many_class, one[relation.one_field])
            if many is not None:
                assert many[relation.many_field].count(ref) == 1, relation
        for ref, many in tables.rows(relation.many_class).items():
            for one_ref in many[relation.many_field]:
                assert tables.get(relation.one_class, one_ref)[relation.one_field] == ref, relation


def check_vms(simulated: Simulated) -> None:
    tables = simulated.pool.tables
    numbers = set()
    for ref, vm in tables.rows("VM").items():
        up = vm["power_state"] in ("Running", "Paused")
        assert (vm["resident_on"] != NULL) is up
        assert (vm["domid"] >= 0) is up
        assert vm["scheduled_to_be_resident_on"] == NULL
        assert vm["current_operations"] == {}
        assert (tables.find("VDI", vm["suspend_VDI"]) is not None) is (vm["power_state"] == "Suspended")
        if up:
            assert (vm["resident_on"], vm["domid"]) not in numbers
            numbers.add((vm["resident_on"], vm["domid"]))
        for operation in vm_operations_allowed(tables, ref):
            assert refusal_of(tables, "VM", ref, operation) is None
        for vbd in (tables.get("VBD", one) for one in vm["VBDs"]):
            assert vbd["current_operations"] == {}
            assert up or not vbd["currently_attached"]


def check_storage(simulated: Simulated) -> None:
    tables = simulated.pool.tables
    for vdi in tables.rows("VDI").values():
        assert vdi["current_operations"] == {}
    for sr in tables.rows("SR").values():
        disks = [tables.get("VDI", ref) for ref in sr["VDIs"]]
        assert sr["physical_utilisation"] >= 0
        if sr["type"] in THICK:
            assert sr["physical_utilisation"] <= max(sr["physical_size"], 0)
            assert sr["virtual_allocation"] >= 0
            assert len(disks) == len(sr["VDIs"])


@pytest.mark.parametrize("seed", range(4))
async def test_many_administrators_at_once_leave_the_pool_in_order(seed: int) -> None:
    print(f"seed {seed}")
    async with simulated_pool(3, 25, seed=seed) as simulated:
        clients = [await simulated.log_in(f"administrator {number}") for number in range(5)]
        tasks = [
            asyncio.ensure_future(work(simulated, client, Random(seed * 100 + number), CALLS // 5))
            for number, client in enumerate(clients)
        ]
        for _ in range(40_000):
            if all(task.done() for task in tasks):
                break
            await simulated.clock.advance(5)
        codes = set().union(*(await asyncio.gather(*tasks)))
        assert codes <= EXPECTED, codes - EXPECTED
        assert len(codes) > 5
        check_relations(simulated)
        check_vms(simulated)
        check_storage(simulated)
