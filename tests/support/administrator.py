"""Somebody who works on a simulated pool by calls: makes VMs of every kind, and brings them into every state.

Effects: none
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.simulated import Client, Simulated, simulated_pool
from xenios.simulator.api_error import ApiError
from xenios.simulator.facts.datamodel import NULL, Record
from xenios.simulator.population.units import GIB

STATES = ("Halted", "Paused", "Running", "Suspended")


def vm_settings(**values: Any) -> Record:
    """What a creator must say of a VM, all of it harmless."""
    return {
        "name_label": "made for a test",
        "user_version": 1,
        "is_a_template": False,
        "affinity": NULL,
        "memory_static_max": GIB,
        "memory_dynamic_max": GIB,
        "memory_dynamic_min": GIB,
        "memory_static_min": GIB // 2,
        "VCPUs_params": {},
        "VCPUs_max": 2,
        "VCPUs_at_startup": 2,
        "actions_after_shutdown": "destroy",
        "actions_after_reboot": "restart",
        "actions_after_crash": "restart",
        "PV_bootloader": "",
        "PV_kernel": "",
        "PV_ramdisk": "",
        "PV_args": "",
        "PV_bootloader_args": "",
        "PV_legacy_args": "",
        "HVM_boot_policy": "BIOS order",
        "HVM_boot_params": {"order": "cdn"},
        "platform": {},
        "PCI_bus": "",
        "other_config": {},
        "recommendations": "",
        "hardware_platform_version": 2,
        **values,
    }


@dataclass
class Administrator:
    """Calls, and what is worth knowing of the pool."""

    client: Client
    simulated: Simulated

    async def call(self, method: str, *params: Any) -> Any:
        """The value that a call returns."""
        return await self.client.call(method, *params)

    async def refused(self, method: str, *params: Any) -> list[str]:
        """The code and parameters with which a call is refused; fails if it is not."""
        with pytest.raises(ApiError) as refusal:
            await self.client.call(method, *params)
        return refusal.value.description

    def get(self, class_name: str, ref: str) -> Record:
        """The record behind a ref, as it is now."""
        return dict(self.simulated.pool.tables.get(class_name, ref))

    def vm(self, ref: str) -> Record:
        """The VM's record, as it is now."""
        return self.get("VM", ref)

    def rows(self, class_name: str) -> Mapping[str, Record]:
        """All rows of a class."""
        return self.simulated.pool.tables.rows(class_name)

    def set(self, class_name: str, ref: str, **values: Any) -> None:
        """Put the pool into a state that no call leads to."""
        self.simulated.pool.tables.change(class_name, ref, **values)

    @property
    def master(self) -> str:
        """The ref of the master."""
        return self.simulated.master

    @property
    def other_host(self) -> str:
        """The ref of a host that is not the master."""
        return self.simulated.supporters[0]

    def sr(self, kind: str = "nfs") -> str:
        """The ref of a storage repository of this type."""
        return next(ref for ref, sr in self.rows("SR").items() if sr["type"] == kind)

    def network(self) -> str:
        """The ref of a network that every host is on."""
        hosts = set(self.rows("host"))
        for ref, network in self.rows("network").items():
            pifs = [self.get("PIF", pif) for pif in network["PIFs"]]
            if {pif["host"] for pif in pifs if pif["currently_attached"]} == hosts:
                return ref
        raise AssertionError("the pool has no network that every host is on")

    async def make_disk(self, size: int = 10 * GIB, **values: Any) -> str:
        """A disk on shared storage."""
        record = {"name_label": "disk", "SR": self.sr(), "virtual_size": size, "type": "user"}
        return str(
            await self.call(
                "VDI.create", {**record, "sharable": False, "read_only": False, "other_config": {}, **values}
            )
        )

    async def attach(self, vm: str, vdi: str, device: str = "0", **values: Any) -> str:
        """Connect a disk to a VM."""
        record = {
            "VM": vm,
            "VDI": vdi,
            "userdevice": device,
            "bootable": device == "0",
            "mode": "RW",
            "type": "Disk",
            "unpluggable": True,
            "empty": vdi == NULL,
            "other_config": {},
            "qos_algorithm_type": "",
            "qos_algorithm_params": {},
        }
        return str(await self.call("VBD.create", {**record, **values}))

    async def wire(self, vm: str, device: str = "0", **values: Any) -> str:
        """Give a VM a network interface."""
        record = {
            "device": device,
            "network": self.network(),
            "VM": vm,
            "MAC": "",
            "MTU": 1500,
            "other_config": {},
            "qos_algorithm_type": "",
            "qos_algorithm_params": {},
        }
        return str(await self.call("VIF.create", {**record, **values}))

    async def make(self, state: str = "Halted", *, tools: bool = True, **values: Any) -> str:
        """A VM with a disk and an interface, in this state."""
        vm = str(await self.call("VM.create", vm_settings(**values)))
        await self.attach(vm, await self.make_disk())
        await self.wire(vm)
        self.simulated.pool.guests.set_tools(vm, present=tools)
        if state != "Halted":
            await self.call("VM.start", vm, state == "Paused", False)
        if state == "Suspended":
            await self.call("VM.suspend", vm)
        return vm

    async def make_template(self, **values: Any) -> str:
        """A halted template."""
        return str(await self.call("VM.create", vm_settings(is_a_template=True, **values)))


@asynccontextmanager
async def administered(hosts: int = 2, **options: Any) -> AsyncIterator[Administrator]:
    """A pool without VMs in which work takes no time, and somebody who works there."""
    async with simulated_pool(hosts, 0, **{"speed": 0.0, **options}) as simulated:
        yield Administrator(await simulated.log_in("an administrator"), simulated)
