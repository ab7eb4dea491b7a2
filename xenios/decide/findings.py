"""What a careful operator would want to know before a takeover: a table of kinds, and what finds each.

A finding's code is stable and documented in docs/findings.md, which is generated from KINDS. A finding never decides
anything; it tells a person. What is not known gives no finding of its own: it is among the collection's failures.

Effects: none
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from xenios.decide.custody import looks_like_cloudstack
from xenios.model.collection import Collection
from xenios.model.decision import Finding, Severity
from xenios.model.inventory import (
    Answer,
    Disk,
    DiskKind,
    Host,
    HypervisorKind,
    PowerState,
    Presence,
    Sharing,
    Storage,
    ToolsState,
    Vm,
    VmKind,
)
from xenios.model.room import PoolRoom

STORAGE_NEARLY_FULL_PER_CENT = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingKind:
    """What every finding of one code has in common."""

    code: str
    severity: Severity
    meaning: str
    remedy: str


KINDS: tuple[FindingKind, ...] = (
    FindingKind(
        code="vm-paused-on-io-error",
        severity=Severity.CRITICAL,
        meaning="The hypervisor paused the VM because its disk failed or its storage is full.",
        remedy="look at the storage under its disks; resume the VM once that is well",
    ),
    FindingKind(
        code="vm-crashed",
        severity=Severity.CRITICAL,
        meaning="The guest has crashed and is kept as it is.",
        remedy="save what its owner wants from its memory, then restart it with the hypervisor's own tools",
    ),
    FindingKind(
        code="disk-missing",
        severity=Severity.CRITICAL,
        meaning="The image behind a disk is not there.",
        remedy="restore the image or detach the disk; the VM cannot start, or cannot start again, as it is",
    ),
    FindingKind(
        code="backing-image-missing",
        severity=Severity.CRITICAL,
        meaning="The image that a disk's image builds on is not there.",
        remedy="restore the image below (on libvirt, virsh pool-refresh if it is there): the VM's own layer needs it",
    ),
    FindingKind(
        code="disk-shared-by-two",
        severity=Severity.CRITICAL,
        meaning="Two VMs may write the same disk, and it is not marked as meant for that.",
        remedy="make sure that never both run, or detach it from one: two writers destroy an ordinary file system",
    ),
    FindingKind(
        code="uuid-not-unique",
        severity=Severity.CRITICAL,
        meaning="Two VMs have the same uuid, or one has none.",
        remedy="find out how this came to be; no tool that knows VMs by uuid can tell them apart",
    ),
    FindingKind(
        code="host-not-live",
        severity=Severity.CRITICAL,
        meaning="The host does not answer its pool; what is shown of its VMs is the last that was known.",
        remedy="look at the host itself; do not start its VMs elsewhere before it is certain that it is off",
    ),
    FindingKind(
        code="mac-duplicate-running",
        severity=Severity.CRITICAL,
        meaning="Two running VMs have the same MAC address on one network.",
        remedy="give one of them a new MAC address; until then their traffic is mixed up",
    ),
    FindingKind(
        code="host-over-promised",
        severity=Severity.WARNING,
        meaning="The VMs of the host may come to want more memory than it has.",
        remedy="move or shrink VMs before starting anything more there",
    ),
    FindingKind(
        code="host-disabled",
        severity=Severity.WARNING,
        meaning="The host takes no VMs: it is in maintenance.",
        remedy="enable it when the work on it is done",
    ),
    FindingKind(
        code="storage-detached",
        severity=Severity.WARNING,
        meaning="A storage is not attached on a host that should have it.",
        remedy="look why; VMs with disks on it can neither start on nor move to that host",
    ),
    FindingKind(
        code="storage-nearly-full",
        severity=Severity.WARNING,
        meaning=f"A storage is more than {STORAGE_NEARLY_FULL_PER_CENT} % full.",
        remedy="make room before anything grows: a full storage pauses or corrupts the VMs on it",
    ),
    FindingKind(
        code="vm-host-not-live",
        severity=Severity.WARNING,
        meaning="The VM is recorded as running on a host that does not answer.",
        remedy="treat it as possibly running until the host is back or known to be off",
    ),
    FindingKind(
        code="mac-duplicate",
        severity=Severity.WARNING,
        meaning="Two VMs have the same MAC address; not both run on one network now.",
        remedy="give one of them a new MAC address before both run",
    ),
    FindingKind(
        code="name-duplicate",
        severity=Severity.WARNING,
        meaning="Several VMs have the same name.",
        remedy="tell them apart by uuid; tools that know VMs by name (CloudStack among them) act on the wrong one",
    ),
    FindingKind(
        code="name-like-cloudstack",
        severity=Severity.WARNING,
        meaning="The name looks like one that CloudStack gives, and CloudStack knows its VMs by nothing else.",
        remedy="keep CloudStack away from this pool, or rename the VM if CloudStack does not manage it",
    ),
    FindingKind(
        code="name-hard-to-show",
        severity=Severity.WARNING,
        meaning="The name is empty or has characters that cannot be seen or that steer a terminal.",
        remedy="rename it; until then look at its uuid",
    ),
    FindingKind(
        code="device-passthrough",
        severity=Severity.WARNING,
        meaning="A device of the host is handed to the VM: it cannot move, and needs that very host.",
        remedy="leave the VM where it is; plan its downtime with that host's",
    ),
    FindingKind(
        code="vm-transient",
        severity=Severity.WARNING,
        meaning="The VM has no permanent definition: when it stops, it is gone.",
        remedy="find out who creates it; make it permanent if nobody does any more",
    ),
    FindingKind(
        code="reference-dangling",
        severity=Severity.WARNING,
        meaning="The hypervisor's record of the VM refers to something that is not there.",
        remedy="look at the VM with the hypervisor's own tools; parts of it may not work",
    ),
    FindingKind(
        code="disk-local-only",
        severity=Severity.INFO,
        meaning="A disk lies on storage of one host only: the VM cannot move without copying it.",
        remedy="nothing; or move the disk to shared storage if the VM is to survive that host",
    ),
    FindingKind(
        code="disk-place-unknown",
        severity=Severity.INFO,
        meaning="The hypervisor does not tell whether other hosts reach a disk's storage.",
        remedy="look whether the path is a mounted network file system before counting on moving the VM",
    ),
    FindingKind(
        code="guest-tools-absent",
        severity=Severity.INFO,
        meaning="No agent of the guest talks to the hypervisor: it tells no addresses and may not shut down cleanly.",
        remedy="install the guest tools (XenServer tools, qemu-guest-agent) when its owner agrees",
    ),
    FindingKind(
        code="operations-blocked",
        severity=Severity.INFO,
        meaning="Somebody has forbidden operations on the VM at the hypervisor.",
        remedy="ask who did before lifting it; Xenios keeps to it",
    ),
    FindingKind(
        code="pool-has-no-live-view",
        severity=Severity.INFO,
        meaning="The report shows a database file: what was true when it was written, not what is.",
        remedy="inspect the live pool before deciding anything",
    ),
)

_KIND_BY_CODE = {kind.code: kind for kind in KINDS}


def findings_in(collection: Collection, room: PoolRoom) -> tuple[Finding, ...]:
    """Everything found in a collection, the gravest first and otherwise in the order of the collection."""
    order = list(Severity)
    found = [finding for find in _FINDERS for finding in find(collection)]
    found += _over_promised(collection, room)
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def _finding(code: str, subject: str, subject_uuid: str, detail: str) -> Finding:
    kind = _KIND_BY_CODE[code]
    return Finding(
        code=code,
        severity=kind.severity,
        subject=subject,
        subject_uuid=subject_uuid,
        detail=detail,
        remedy=kind.remedy,
    )


def _of_vm(code: str, vm: Vm, detail: str) -> Finding:
    return _finding(code, f"VM {vm.name if vm.name.strip() else vm.uuid}", vm.uuid, detail)


def _machines(collection: Collection) -> list[Vm]:
    return [vm for vm in collection.vms if vm.kind is VmKind.MACHINE]


# --- one VM by itself ------------------------------------------------------------------------------------------------


def _find_in_each_vm(collection: Collection) -> Iterator[Finding]:
    hosts = {host.uuid: host for host in collection.hosts}
    for vm in _machines(collection):
        yield from _power_findings(vm, hosts.get(vm.host_uuid) if vm.host_uuid else None)
        yield from _name_findings(vm)
        yield from _disk_findings(vm)
        yield from _other_findings(vm)


def _power_findings(vm: Vm, host: Host | None) -> Iterator[Finding]:
    if vm.paused_on_io_error:
        yield _of_vm("vm-paused-on-io-error", vm, "paused on an I/O error")
    if vm.power_state is PowerState.CRASHED:
        yield _of_vm("vm-crashed", vm, vm.power_reason or "crashed")
    if host is not None and host.live is Answer.NO and vm.holds_memory:
        yield _of_vm(
            "vm-host-not-live", vm, f"recorded as {vm.power_state} on {host.name}, which does not answer"
        )


def _name_findings(vm: Vm) -> Iterator[Finding]:
    if looks_like_cloudstack(vm.name):
        yield _of_vm("name-like-cloudstack", vm, f"the name {vm.name!r}")
    if not vm.name.strip():
        yield _of_vm("name-hard-to-show", vm, "the name is empty")
    elif not vm.name.isprintable():
        yield _of_vm("name-hard-to-show", vm, f"the name is {vm.name!a}")


def _disk_findings(vm: Vm) -> Iterator[Finding]:
    for disk in vm.disks:
        where = disk.name or disk.where
        if disk.presence is Presence.MISSING:
            yield _of_vm("disk-missing", vm, f"{disk.device}: {where or 'its image'} is not there")
        if disk.backing_presence is Presence.MISSING:
            yield _of_vm(
                "backing-image-missing", vm, f"{disk.device}: {disk.backing[-1]}, below {where}, is not there"
            )
        if disk.kind is DiskKind.PASSTHROUGH:
            yield _of_vm("device-passthrough", vm, f"{disk.device} is a device of the host: {where}")
        elif disk.identity and disk.kind is DiskKind.DISK:
            if disk.sharing is Sharing.LOCAL:
                yield _of_vm("disk-local-only", vm, f"{disk.device} ({where}) is on storage of one host")
            elif disk.sharing is Sharing.UNKNOWN:
                yield _of_vm("disk-place-unknown", vm, f"{disk.device} is {where}")


def _other_findings(vm: Vm) -> Iterator[Finding]:
    for device in vm.passthrough:
        yield _of_vm("device-passthrough", vm, device)
    if vm.persistent is Answer.NO:
        yield _of_vm("vm-transient", vm, "it exists only as long as it runs")
    if vm.dangling:
        yield _of_vm("reference-dangling", vm, "nothing is behind: " + ", ".join(vm.dangling))
    if vm.guest.tools is ToolsState.ABSENT and vm.power_state is PowerState.RUNNING:
        yield _of_vm("guest-tools-absent", vm, "no agent of the guest answers")
    if vm.blocked_operations:
        yield _of_vm("operations-blocked", vm, ", ".join(vm.blocked_operations))


# --- VMs compared with each other ------------------------------------------------------------------------------------


def _find_duplicate_uuids(collection: Collection) -> Iterator[Finding]:
    times = Counter(vm.uuid for vm in collection.vms)
    for vm in collection.vms:
        if not vm.uuid:
            yield _of_vm("uuid-not-unique", vm, "it has no uuid")
        elif times[vm.uuid] > 1:
            yield _of_vm("uuid-not-unique", vm, f"{times[vm.uuid]} VMs have the uuid {vm.uuid}")


def _find_duplicate_names(collection: Collection) -> Iterator[Finding]:
    for name, vms in _groups(_machines(collection), lambda vm: (vm.name,) if vm.name else ()).items():
        for vm in vms:
            others = ", ".join(other.uuid for other in vms if other is not vm)
            yield _of_vm("name-duplicate", vm, f"{len(vms)} VMs are called {name!r}; also {others}")


def _find_duplicate_macs(collection: Collection) -> Iterator[Finding]:
    by_mac = _groups(_machines(collection), lambda vm: tuple(nic.mac for nic in vm.nics if nic.mac))
    for mac, vms in by_mac.items():
        for vm in vms:
            mine = _segments(vm, mac)
            clash = vm.holds_memory and any(
                other.holds_memory and mine & _segments(other, mac) for other in vms if other is not vm
            )
            others = ", ".join(f"{other.name} ({other.uuid})" for other in vms if other is not vm)
            yield _of_vm(
                "mac-duplicate-running" if clash else "mac-duplicate", vm, f"{mac}, also on {others}"
            )


def _segments(vm: Vm, mac: str) -> set[tuple[str, int | None]]:
    """The networks, with their VLANs, on which a VM shows itself under a MAC address; unknown ones left out."""
    places = [(nic.network_uuid or nic.network_name, nic.vlan) for nic in vm.nics if nic.mac == mac]
    return {place for place in places if place[0]}


def _find_shared_disks(collection: Collection) -> Iterator[Finding]:
    """Writable disks that two VMs have. Bases of overlays do not count: each VM writes its own layer."""

    def written(vm: Vm) -> tuple[str, ...]:
        return tuple(disk.identity for disk in vm.disks if _is_written(disk))

    by_disk = _groups(_machines(collection), written)
    for identity, vms in by_disk.items():
        if all(disk.shareable for vm in vms for disk in vm.disks if disk.identity == identity):
            continue
        for vm in vms:
            disk = next(disk for disk in vm.disks if disk.identity == identity)
            others = ", ".join(f"{other.name} ({other.uuid})" for other in vms if other is not vm)
            yield _of_vm(
                "disk-shared-by-two", vm, f"{disk.device} ({disk.name or disk.where}), also of {others}"
            )


def _is_written(disk: Disk) -> bool:
    return bool(disk.identity) and not disk.read_only and disk.kind is not DiskKind.CDROM


def _groups(vms: Sequence[Vm], keys: Callable[[Vm], tuple[str, ...]]) -> dict[str, list[Vm]]:
    """VMs by key, where two or more have the same."""
    groups: dict[str, list[Vm]] = defaultdict(list)
    for vm in vms:
        for key in dict.fromkeys(keys(vm)):
            groups[key].append(vm)
    return {key: members for key, members in groups.items() if len(members) > 1}


# --- hosts, storages, the pool ---------------------------------------------------------------------------------------


def _find_in_hosts(collection: Collection) -> Iterator[Finding]:
    for host in collection.hosts:
        if host.live is Answer.NO:
            yield _finding(
                "host-not-live", f"host {host.name}", host.uuid, "its pool has no heartbeat from it"
            )
        if host.enabled is Answer.NO:
            yield _finding("host-disabled", f"host {host.name}", host.uuid, "disabled")


def _find_in_storages(collection: Collection) -> Iterator[Finding]:
    names = {host.uuid: host.name for host in collection.hosts}
    for storage in collection.storages:
        subject = f"storage {storage.name}"
        if storage.detached_host_uuids:
            hosts = ", ".join(names.get(uuid, uuid) for uuid in storage.detached_host_uuids)
            yield _finding("storage-detached", subject, storage.uuid, f"not attached on {hosts}")
        if (share := _used_per_cent(storage)) is not None and share > STORAGE_NEARLY_FULL_PER_CENT:
            yield _finding("storage-nearly-full", subject, storage.uuid, f"{share:.0f} % used")


def _used_per_cent(storage: Storage) -> float | None:
    if storage.content != "disks" or not storage.size_bytes or storage.used_bytes is None:
        return None
    return 100 * storage.used_bytes / storage.size_bytes


def _find_in_pool(collection: Collection) -> Iterator[Finding]:
    pool = collection.pool
    if pool.kind is HypervisorKind.XENSERVER and pool.native_version.startswith("database"):
        yield _finding("pool-has-no-live-view", f"pool {pool.name}", pool.uuid, collection.source)


def _over_promised(collection: Collection, room: PoolRoom) -> Iterator[Finding]:
    names = {host.uuid: host.name for host in collection.hosts}
    for host in room.hosts:
        if host.bytes_free_declared is not None and host.bytes_free_declared < 0:
            short = -host.bytes_free_declared / 2**30
            name = names[host.host_uuid]
            yield _finding(
                "host-over-promised",
                f"host {name}",
                host.host_uuid,
                f"its VMs may come to lack {short:.1f} GiB",
            )


_FINDERS: tuple[Callable[[Collection], Iterator[Finding]], ...] = (
    _find_in_each_vm,
    _find_duplicate_uuids,
    _find_duplicate_names,
    _find_duplicate_macs,
    _find_shared_disks,
    _find_in_hosts,
    _find_in_storages,
    _find_in_pool,
)
