"""Room: what is really taken on each host, in three truths, and what a sum over an empty database would claim.

Effects: none
"""

from collections import defaultdict
from collections.abc import Iterable

from xenios.model.collection import Collection
from xenios.model.inventory import Answer, Host, PowerState, Vm, VmKind
from xenios.model.room import HostRoom, PoolRoom, sum_if_known


def room_of(collection: Collection) -> PoolRoom:
    """Memory of every host of a pool that we own nothing of yet, so nothing is promised."""
    known = {host.uuid for host in collection.hosts}
    residents: dict[str | None, list[Vm]] = defaultdict(list)
    for vm in collection.vms:
        if vm.kind in (VmKind.MACHINE, VmKind.CONTROL_DOMAIN):
            home = vm.host_uuid or (vm.preferred_host_uuid if may_start_by_itself(vm) else None)
            alone = len(collection.hosts) == 1 and collection.all_hosts_seen
            if home is None and alone and may_start_by_itself(vm):
                home = collection.hosts[0].uuid
            residents[home if home in known else None].append(vm)
    homeless = [vm for vm in residents.get(None, ()) if may_start_by_itself(vm)]
    return PoolRoom(
        hosts=tuple(
            _host_room(host, residents.get(host.uuid, ()), all_seen=collection.all_vms_seen)
            for host in collection.hosts
        ),
        bytes_may_start_anywhere=sum_if_known(map(wanted_bytes, homeless))
        if collection.all_vms_seen
        else None,
        vms_may_start_anywhere=len(homeless),
        all_hosts_seen=collection.all_hosts_seen,
    )


def wanted_bytes(vm: Vm) -> int | None:
    """The most memory the VM may come to hold without a restart, with the hypervisor's overhead; None: not told.

    On XenServer that is its dynamic maximum, up to which it may balloon at any time; on libvirt its maximum.
    """
    memory = vm.memory
    most = memory.bytes_dynamic_max if memory.bytes_dynamic_max is not None else memory.bytes_max
    return most + (memory.bytes_overhead or 0) if most is not None else None


def may_start_by_itself(vm: Vm) -> bool:
    """Whether a VM that holds no memory now may come to hold it without anybody's request to us."""
    if vm.kind is not VmKind.MACHINE or vm.holds_memory or vm.power_state is PowerState.UNKNOWN:
        return False
    return vm.power_state is PowerState.SUSPENDED or vm.autostart is Answer.YES or bool(vm.high_availability)


def _nobody_tells_whether_it_starts(vm: Vm) -> bool:
    """Off, nothing known that starts it, and whether it starts with its host is not told."""
    off = vm.kind is VmKind.MACHINE and vm.power_state is PowerState.HALTED
    return off and vm.autostart is Answer.UNKNOWN and not may_start_by_itself(vm)


def _may_hold(vm: Vm) -> bool:
    """Whether it must be counted as holding memory: a VM in an unknown state is never taken for a halted one."""
    return vm.holds_memory or vm.power_state is PowerState.UNKNOWN


def _host_room(host: Host, residents: Iterable[Vm], *, all_seen: bool) -> HostRoom:
    machines = [vm for vm in residents if vm.kind is VmKind.MACHINE]
    control = [wanted_bytes(vm) for vm in residents if vm.kind is VmKind.CONTROL_DOMAIN and _may_hold(vm)]
    overhead = sum_if_known((host.memory_bytes_overhead, *control)) if all_seen else None
    holding = [vm for vm in machines if _may_hold(vm)]
    waiting = [vm for vm in machines if may_start_by_itself(vm)]
    start_not_told = not all_seen or any(map(_nobody_tells_whether_it_starts, machines))
    declared = sum(wanted_bytes(vm) or 0 for vm in holding)
    unknown = sum(vm.power_state is PowerState.UNKNOWN or wanted_bytes(vm) is None for vm in holding)

    total = host.memory_bytes_total
    claimed = total - overhead if total is not None and overhead is not None else None
    free_declared = claimed - declared if claimed is not None else None
    free_measured = host.memory_bytes_free
    known = [free for free in (free_declared, free_measured) if free is not None]
    free = min(known) if known else None
    if claimed is None:
        claimed = total
    return HostRoom(
        host_uuid=host.uuid,
        bytes_total=total,
        bytes_overhead=overhead,
        bytes_declared=declared,
        vms_declared=len(holding),
        vms_not_told=unknown,
        all_vms_seen=all_seen,
        bytes_may_start=None if start_not_told else sum_if_known(map(wanted_bytes, waiting)),
        vms_may_start=len(waiting),
        bytes_free_declared=free_declared,
        bytes_free_measured=free_measured,
        measured_source=host.memory_free_source,
        bytes_promised=0,
        bytes_free=free,
        bytes_free_database_only=claimed,
        bytes_drift=claimed - free if claimed is not None and free is not None else None,
        vcpus_declared=sum_if_known(vm.vcpus for vm in holding) if all_seen else None,
        cpus=host.cpu.count,
    )
