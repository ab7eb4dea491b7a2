"""Made-up hosts, VMs and collections for tests of pure code: ordinary unless a test says otherwise.

Effects: none
"""

from __future__ import annotations

from typing import Any

from xenios.model.collection import Collection
from xenios.model.inventory import (
    Answer,
    Cpu,
    Disk,
    DiskKind,
    Guest,
    Host,
    HypervisorKind,
    Memory,
    Nic,
    Pool,
    PowerState,
    Presence,
    Sharing,
    Storage,
    ToolsState,
    Vm,
)

GIB = 1024**3
MIB = 1024**2


def a_host(uuid: str = "host-1", **changes: Any) -> Host:
    """A live host with 64 GiB, of which it keeps one."""
    facts: dict[str, Any] = {
        "name": uuid,
        "cpu": Cpu(count=16),
        "memory_bytes_total": 64 * GIB,
        "memory_bytes_free": 50 * GIB,
        "memory_free_source": "measured",
        "memory_bytes_overhead": GIB,
        "live": Answer.YES,
        "enabled": Answer.YES,
    }
    return Host(uuid=uuid, **(facts | changes))


def a_disk(identity: str = "", **changes: Any) -> Disk:
    """A disk on shared storage."""
    facts: dict[str, Any] = {
        "device": "xvda",
        "kind": DiskKind.DISK,
        "where": identity,
        "identity": identity,
        "size_bytes": 10 * GIB,
        "sharing": Sharing.SHARED,
        "presence": Presence.THERE,
    }
    return Disk(**(facts | changes))


def a_vm(uuid: str = "vm-1", **changes: Any) -> Vm:
    """A running VM of 4 GiB, as ordinary as can be: its own name, disk and MAC address, and guest tools."""
    running = changes.get("power_state", PowerState.RUNNING) is not PowerState.HALTED
    number = sum(map(ord, uuid)) % 256
    facts: dict[str, Any] = {
        "name": f"name of {uuid}",
        "power_state": PowerState.RUNNING,
        "host_uuid": "host-1" if running else None,
        "vcpus": 2,
        "memory": Memory(bytes_max=4 * GIB, bytes_dynamic_max=4 * GIB, bytes_overhead=40 * MIB),
        "disks": (a_disk(f"disk of {uuid}"),),
        "nics": (Nic(device="0", mac=f"52:54:00:00:00:{number:02x}", network_uuid="network-1"),),
        "persistent": Answer.YES,
        "autostart": Answer.NO,
        "guest": Guest(tools=ToolsState.WORKING),
    }
    return Vm(uuid=uuid, **(facts | changes))


def a_storage(**changes: Any) -> Storage:
    """A shared storage with much room."""
    facts: dict[str, Any] = {
        "uuid": "storage-1",
        "name": "storage",
        "type": "nfs",
        "sharing": Sharing.SHARED,
        "size_bytes": 1000 * GIB,
        "used_bytes": 100 * GIB,
        "active": Answer.YES,
        "host_uuids": ("host-1",),
    }
    return Storage(**(facts | changes))


def a_pool(**changes: Any) -> Pool:
    """A live XenServer pool."""
    facts: dict[str, Any] = {
        "uuid": "pool-1",
        "name": "pool",
        "kind": HypervisorKind.XENSERVER,
        "master_uuid": "host-1",
    }
    return Pool(**(facts | changes))


def a_collection(*vms: Vm, **changes: Any) -> Collection:
    """A complete view of a pool of one host with these VMs."""
    facts: dict[str, Any] = {
        "seen_at": 1_790_000_000_000_000,
        "source": "a test",
        "pool": a_pool(),
        "hosts": (a_host(),),
        "storages": (a_storage(),),
        "networks": (),
        "vms": vms,
    }
    return Collection(**(facts | changes))
