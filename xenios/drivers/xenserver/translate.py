"""Turns a pool's XAPI records into a Collection. Pure, and the same for a database file and a live pool.

References become uuids here; a reference that leads nowhere becomes a word in `Vm.dangling` and never a guess.

Effects: none
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from xenios.drivers.xenserver.memory import overhead_bytes
from xenios.drivers.xenserver.records import (
    NULL_REF,
    HostRecord,
    Record,
    Records,
    Ref,
    VbdRecord,
    VdiRecord,
    VifRecord,
    VmRecord,
)
from xenios.model.collection import Collection, ReadFailure
from xenios.model.inventory import (
    Answer,
    Capability,
    CapabilityAnswer,
    Cpu,
    Disk,
    DiskKind,
    Guest,
    Host,
    HypervisorKind,
    Memory,
    Network,
    Nic,
    Pool,
    PowerState,
    Presence,
    Sharing,
    Snapshot,
    Storage,
    ToolsState,
    Vm,
    VmKind,
)
from xenios.model.mark import CHARACTERS_MAX, KEY_ON_XENSERVER

RecordT = TypeVar("RecordT", bound=Record)
DeviceT = TypeVar("DeviceT", VbdRecord, VifRecord)

_ANNOTATION_CHARACTERS_MAX = 200
_NEVER = "19700101T00:00:00Z"

_POWER_STATES = {
    "running": PowerState.RUNNING,
    "halted": PowerState.HALTED,
    "suspended": PowerState.SUSPENDED,
    "paused": PowerState.PAUSED,
}
_SHARING = {True: Sharing.SHARED, False: Sharing.LOCAL, None: Sharing.UNKNOWN}
_DEFINING = ("VM", "VBD", "VDI", "SR", "VIF", "network")
"""Classes without which nobody knows what a VM consists of."""
_DISK_KINDS = {"disk": DiskKind.DISK, "cd": DiskKind.CDROM, "floppy": DiskKind.FLOPPY}
_SECRETLESS_DEVICE_KEYS = ("server", "serverpath", "location", "target", "targetIQN", "device", "path")


def collection_from(
    records: Records,
    *,
    seen_at: int,
    source: str,
    native_version: str,
    failures: Iterable[ReadFailure] = (),
    damaged: Container[Ref] = frozenset(),
    unread: Container[str] = frozenset(),
) -> Collection:
    """Everything that the records tell. What they should tell and do not is added to `failures`.

    Of a VM among the `damaged` some value could not be read: a default stands in its place, and nobody may take it for
    the truth. So the VM counts as one whose definition was not read. Of the classes that are `unread` some or all rows
    are lacking: what is not found there may be there all the same.
    """
    translation = _Translation(records, list(failures), damaged, unread)
    return Collection(
        seen_at=seen_at,
        source=source,
        pool=translation.pool(native_version),
        hosts=tuple(translation.hosts()),
        storages=tuple(translation.storages_by_ref.values()),
        networks=tuple(translation.networks()),
        vms=tuple(translation.vms()),
        failures=tuple(translation.failures),
        all_hosts_seen="host" not in unread,
        all_vms_seen="VM" not in unread,
    )


def micros_of(text: str) -> int | None:
    """A XAPI time such as 20260821T02:00:23Z in microseconds since 1970; None for none."""
    if not text or text == _NEVER:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000


class _Translation:
    """One pass over one pool's records, with the joins that it needs made once."""

    def __init__(
        self,
        records: Records,
        failures: list[ReadFailure],
        damaged: Container[Ref],
        unread: Container[str],
    ) -> None:
        self.records = records
        self.failures = failures
        self.damaged = damaged
        self.unread = unread
        self._vbds = _grouped(records.VBD, lambda vbd: vbd.VM)
        self._vifs = _grouped(records.VIF, lambda vif: vif.VM)
        self._definitions_unread = (
            any(name in unread for name in _DEFINING) or "" in self._vbds or "" in self._vifs
        )
        self._damaged_parts = {
            vbd.VM for ref, vbd in records.VBD.items() if ref in damaged or vbd.VDI in damaged
        }
        self._damaged_parts |= {vif.VM for ref, vif in records.VIF.items() if ref in damaged}
        self._vlans = {
            pif.network: pif.VLAN for pif in records.PIF.values() if pif.VLAN is not None and pif.VLAN >= 0
        }
        self._snapshots: dict[Ref, list[Snapshot]] = defaultdict(list)
        # A VM that is scheduled to come to a host counts there too, as it does for XAPI.
        self._residents: dict[Ref, list[VmRecord]] = defaultdict(list)
        for vm in records.VM.values():
            self._residents[vm.resident_on].append(vm)
            self._residents[vm.scheduled_to_be_resident_on].append(vm)
            if vm.is_a_snapshot and vm.snapshot_of in records.VM:
                snapshot = Snapshot(uuid=vm.uuid, name=vm.name_label, taken_at=micros_of(vm.snapshot_time))
                self._snapshots[vm.snapshot_of].append(snapshot)
        self.storages_by_ref = dict(zip(records.SR, self._storages(), strict=True))

    # --- pool and hosts ------------------------------------------------------------------------------------------

    def pool(self, native_version: str) -> Pool:
        """The pool; a database without one is read, and says so."""
        ref_and_pool = next(iter(self.records.pool.items()), None)
        if ref_and_pool is None:
            if "pool" not in self.unread:  # otherwise whoever read it has told why it is lacking
                because = "there is no pool record among what could be read"
                remedy = "check that this is the database of a pool's master"
                self.failures.append(ReadFailure(what="the pool", because=because, remedy=remedy))
            return Pool(uuid="", name="", kind=HypervisorKind.XENSERVER, native_version=native_version)
        pool = ref_and_pool[1]
        master = self.records.host.get(pool.master)
        version = master.software_version if master is not None else {}
        return Pool(
            uuid=pool.uuid,
            name=pool.name_label or (master.name_label if master is not None else ""),
            kind=HypervisorKind.XENSERVER,
            product=_product(version),
            version=version.get("product_version", ""),
            master_uuid=master.uuid if master is not None else None,
            ha_enabled=_answer(pool.ha_enabled),
            native_version=native_version,
        )

    def hosts(self) -> Iterable[Host]:
        """The pool's hosts."""
        for ref, host in self.records.host.items():
            metrics = self.records.host_metrics.get(host.metrics)
            total = metrics.memory_total if metrics is not None and metrics.memory_total > 0 else None
            free, source = self._free_memory(ref, host, total)
            yield Host(
                uuid=host.uuid,
                name=host.name_label or host.hostname,
                address=host.address,
                product=_product(host.software_version),
                version=host.software_version.get("product_version", ""),
                cpu=self._cpu(ref, host),
                memory_bytes_total=total,
                memory_bytes_free=free,
                memory_free_source=source,
                memory_bytes_overhead=_told(host.memory_overhead),
                live=_answer(metrics.live if metrics is not None else None),
                enabled=_answer(host.enabled),
                capabilities=tuple(self._capabilities(host)),
            )

    def _free_memory(self, ref: Ref, host: HostRecord, total: int | None) -> tuple[int | None, str]:
        """Free memory as XAPI's host.compute_free_memory defines it (ocaml/xapi/memory_check.ml)."""
        metrics = self.records.host_metrics.get(host.metrics)
        if metrics is not None and (recorded := _told(metrics.memory_free)) is not None:
            # Releases of today keep it at zero.
            return recorded, "host_metrics.memory_free, as recorded"
        used = _told(host.memory_overhead)
        if total is None or used is None or "VM" in self.unread:
            return None, ""
        for vm in self._residents[ref]:
            least, overhead = _told(vm.memory_dynamic_min), _overhead_bytes(vm)
            if least is None or overhead is None:
                return None, ""
            used += least + overhead
        return max(0, total - used), "XAPI's compute_free_memory, from the recorded values"

    def _cpu(self, ref: Ref, host: HostRecord) -> Cpu:
        info = host.cpu_info
        if info:
            count, sockets, threads = (
                _int(info.get(key)) for key in ("cpu_count", "socket_count", "threads_per_core")
            )
            cores = count // (sockets * (threads or 1)) if count and sockets else None
            return Cpu(
                count=count,
                sockets=sockets,
                cores_per_socket=cores,
                threads_per_core=threads,
                model=info.get("modelname", ""),
                vendor=info.get("vendor", ""),
                mhz=_int(info.get("speed", "").split(".")[0]),
            )
        processors = [cpu for cpu in self.records.host_cpu.values() if cpu.host == ref]
        if not processors or "host_cpu" in self.unread:
            return Cpu(count=None)
        first = processors[0]
        return Cpu(count=len(processors), model=first.modelname, vendor=first.vendor, mhz=first.speed or None)

    def _capabilities(self, host: HostRecord) -> Iterable[CapabilityAnswer]:
        hvm = any(capability.startswith("hvm") for capability in host.capabilities)
        yield CapabilityAnswer(
            capability=Capability.HARDWARE_VIRTUALISATION,
            answer=_answer(hvm) if host.capabilities else Answer.UNKNOWN,
            how="hvm among the host's capabilities",
        )
        yield self._unless_restricted(host, Capability.LIVE_MIGRATION, "restrict_xen_motion", refused="true")
        yield self._unless_restricted(host, Capability.HIGH_AVAILABILITY, "enable_xha", refused="false")

    def _unless_restricted(
        self, host: HostRecord, capability: Capability, key: str, *, refused: str
    ) -> CapabilityAnswer:
        value = host.license_params.get(key)
        answer = Answer.UNKNOWN if value is None else _answer(value != refused)
        return CapabilityAnswer(
            capability=capability, answer=answer, how=f"{key} in the host's licence parameters"
        )

    # --- storage and networks ------------------------------------------------------------------------------------

    def _storages(self) -> Iterable[Storage]:
        """The pool's storage repositories."""
        pbds = _grouped(self.records.PBD, lambda pbd: pbd.SR)
        for ref, sr in self.records.SR.items():
            attached: list[str] = []
            detached: list[str] = []
            untold = "PBD" in self.unread
            where = ""
            for _, pbd in pbds.get(ref, ()):
                host = self.records.host.get(pbd.host)
                if pbd.currently_attached is None:
                    untold = True
                else:
                    (attached if pbd.currently_attached else detached).append(
                        host.uuid if host is not None else pbd.host
                    )
                where = where or _device_words(pbd.device_config)
            yield Storage(
                uuid=sr.uuid,
                name=sr.name_label,
                type=sr.type,
                content="images" if sr.content_type == "iso" else "disks",
                sharing=_SHARING[sr.shared],
                where=where,
                size_bytes=_size(sr.physical_size),
                used_bytes=_size(sr.physical_utilisation),
                allocated_bytes=_size(sr.virtual_allocation),
                active=_answer(True if attached else (None if untold else False)),
                host_uuids=tuple(attached),
                detached_host_uuids=tuple(detached),
            )

    def networks(self) -> Iterable[Network]:
        """The pool's networks; the VLAN comes from the interfaces that carry them."""
        vlan_by_network: dict[Ref, list[int | None]] = defaultdict(list)
        for pif in self.records.PIF.values():
            vlan_by_network[pif.network].append(pif.VLAN)
        for ref, network in self.records.network.items():
            vlan = self._vlans.get(ref)
            yield Network(
                uuid=network.uuid,
                name=network.name_label,
                bridge=network.bridge,
                vlan=vlan,
                type=self._network_type(vlan_by_network.get(ref, [])),
                mtu=network.MTU or None,
                active=Answer.UNKNOWN,
            )

    def _network_type(self, vlans: list[int | None]) -> str:
        if any(vlan is not None and vlan >= 0 for vlan in vlans):
            return "vlan"
        if None in vlans or "PIF" in self.unread:
            return ""
        return "bridge" if vlans else "internal"

    # --- VMs -----------------------------------------------------------------------------------------------------

    def vms(self) -> Iterable[Vm]:
        """Machines, templates, snapshots and control domains."""
        for ref, vm in self.records.VM.items():
            yield self._vm(ref, vm)

    def _vm(self, ref: Ref, vm: VmRecord) -> Vm:
        records = self.records
        metrics = records.VM_metrics.get(vm.metrics)
        power_state = _POWER_STATES.get(vm.power_state.lower(), PowerState.UNKNOWN)
        recognised = power_state is not PowerState.UNKNOWN
        on = power_state in (PowerState.RUNNING, PowerState.PAUSED)
        dangling: list[str] = []
        host = self._followed(vm.resident_on, "host", records.host, "host it runs on", dangling)
        affinity = self._followed(vm.affinity, "host", records.host, "preferred host", dangling)
        original = self._followed(vm.snapshot_of, "VM", records.VM, "VM it is a snapshot of", dangling)
        if power_state is PowerState.SUSPENDED:
            self._followed(vm.suspend_VDI, "VDI", records.VDI, "disk with its suspended memory", dangling)
        addresses = self._addresses(vm) if on else {}
        return Vm(
            uuid=vm.uuid,
            name=vm.name_label,
            kind=_kind(vm),
            power_state=power_state,
            power_reason="" if recognised else f"XAPI says {vm.power_state[:40]!r}",
            power_recognised=recognised,
            host_uuid=host.uuid if host is not None else None,
            preferred_host_uuid=affinity.uuid if affinity is not None else None,
            vcpus=self._vcpus(vm, on),
            vcpus_max=vm.VCPUs_max or None,
            memory=self._memory(vm, metrics.memory_actual if on and metrics is not None else 0),
            virtualisation=_virtualisation(vm),
            disks=tuple(self._disk(vbd, dangling) for vbd in _by_device(self._vbds.get(ref, ()))),
            nics=tuple(self._nic(vif, addresses, dangling) for vif in _by_device(self._vifs.get(ref, ()))),
            snapshots=tuple(sorted(self._snapshots.get(ref, ()), key=lambda it: (it.taken_at or 0, it.uuid))),
            passthrough=tuple(_passthrough(vm)),
            autostart=self._autostart(vm),
            high_availability=vm.ha_restart_priority,
            persistent=Answer.YES,
            guest=self._guest(vm, on),
            started_at=micros_of(metrics.start_time) if on and metrics is not None else None,
            snapshot_of_uuid=original.uuid if original is not None else None,
            busy=tuple(sorted(set(vm.current_operations.values()))) if vm.current_operations else (),
            blocked_operations=tuple(sorted(vm.blocked_operations)),
            annotations=_annotations(vm),
            mark=vm.other_config.get(KEY_ON_XENSERVER, "")[: CHARACTERS_MAX + 1],
            tags=tuple(vm.tags),
            definition_read=not (
                self._definitions_unread or ref in self.damaged or ref in self._damaged_parts
            ),
            dangling=tuple(dangling),
        )

    def _vcpus(self, vm: VmRecord, on: bool) -> int | None:
        """What it has now; of a VM that is off, what it would start with."""
        metrics = self.records.VM_metrics.get(vm.metrics) if on else None
        if metrics is not None and metrics.VCPUs_number > 0:
            return metrics.VCPUs_number
        if on and (vm.metrics in self.damaged or (metrics is None and "VM_metrics" in self.unread)):
            return None
        return vm.VCPUs_at_startup or None

    def _autostart(self, vm: VmRecord) -> Answer:
        """XAPI starts a VM with its host only where the pool allows that at all (auto_poweron of both)."""
        if vm.other_config.get("auto_poweron") != "true":
            return Answer.NO
        ref_and_pool = next(iter(self.records.pool.items()), None)
        config = ref_and_pool[1].other_config if ref_and_pool is not None else None
        return _answer(config.get("auto_poweron") == "true" if config is not None else None)

    def _memory(self, vm: VmRecord, actual: int) -> Memory:
        recorded = vm.memory_overhead > 0
        return Memory(
            bytes_max=_told(vm.memory_static_max),
            bytes_dynamic_max=_told(vm.memory_dynamic_max),
            bytes_dynamic_min=_told(vm.memory_dynamic_min),
            bytes_static_min=_told(vm.memory_static_min),
            bytes_actual=_told(actual),
            bytes_overhead=_overhead_bytes(vm),
            overhead_source="recorded by XAPI" if recorded else "computed by XAPI's formula",
        )

    def _disk(self, vbd: VbdRecord, dangling: list[str]) -> Disk:
        kind = _DISK_KINDS.get(vbd.type.lower(), DiskKind.DISK)
        device = vbd.device or vbd.userdevice
        vdi = (
            None
            if vbd.empty
            else self._followed(vbd.VDI, "VDI", self.records.VDI, f"image of disk {device}", dangling)
        )
        if vdi is None:
            lost = not vbd.empty and vbd.VDI not in (NULL_REF, "") and "VDI" not in self.unread
            return Disk(
                device=device,
                kind=kind,
                where="",
                read_only=vbd.mode == "RO",
                presence=Presence.MISSING if lost else Presence.UNKNOWN,
            )
        return self._disk_with_image(vbd, vdi, kind, device, dangling)

    def _disk_with_image(
        self, vbd: VbdRecord, vdi: VdiRecord, kind: DiskKind, device: str, dangling: list[str]
    ) -> Disk:
        self._followed(vdi.SR, "SR", self.records.SR, f"storage of disk {device}", dangling)
        storage = self.storages_by_ref.get(vdi.SR)
        if storage is not None and storage.type == "udev" and kind is DiskKind.DISK:
            kind = DiskKind.PASSTHROUGH  # an SR of the host's own removable devices
        return Disk(
            device=device,
            kind=kind,
            where=vdi.uuid,
            identity=f"vdi:{vdi.uuid}",
            name=vdi.name_label,
            size_bytes=_size(vdi.virtual_size),
            used_bytes=_size(vdi.physical_utilisation),
            format=_format(vdi, storage),
            storage_uuid=storage.uuid if storage is not None else None,
            sharing=storage.sharing if storage is not None else Sharing.UNKNOWN,
            shareable=vdi.sharable,
            read_only=vbd.mode == "RO" or vdi.read_only,
            presence=Presence.MISSING if vdi.missing else Presence.UNKNOWN,
        )

    def _nic(self, vif: VifRecord, addresses: Mapping[str, tuple[str, ...]], dangling: list[str]) -> Nic:
        network = self._followed(
            vif.network, "network", self.records.network, f"network of NIC {vif.device}", dangling
        )
        return Nic(
            device=vif.device,
            mac=vif.MAC.lower(),
            network_uuid=network.uuid if network is not None else None,
            network_name=network.name_label if network is not None else "",
            bridge=network.bridge if network is not None else "",
            vlan=self._vlans.get(vif.network),
            addresses=addresses.get(vif.device, ()),
            connected=_answer(vif.currently_attached),
        )

    def _guest(self, vm: VmRecord, on: bool) -> Guest:
        metrics = self.records.VM_guest_metrics.get(vm.guest_metrics)
        if metrics is None:
            unknown = not on or "VM_guest_metrics" in self.unread
            return Guest(tools=ToolsState.UNKNOWN if unknown else ToolsState.ABSENT)
        version = metrics.PV_drivers_version
        working = bool(version) or metrics.PV_drivers_detected
        absent = ToolsState.UNKNOWN if vm.guest_metrics in self.damaged else ToolsState.ABSENT
        return Guest(
            os=metrics.os_version.get("name", "").split("|")[0],
            tools=(ToolsState.WORKING if working else absent) if on else ToolsState.UNKNOWN,
            tools_version=".".join(
                [version[part] for part in ("major", "minor", "micro") if part in version]
            ),
        )

    def _addresses(self, vm: VmRecord) -> dict[str, tuple[str, ...]]:
        """Guest addresses by NIC: keys are "0/ip" (old), "0/ipv4/0" and "0/ipv6/0" (new) after the NIC's number."""
        metrics = self.records.VM_guest_metrics.get(vm.guest_metrics)
        found: dict[str, dict[str, None]] = {}  # dicts for their order, and for each address once
        for key, address in metrics.networks.items() if metrics is not None else ():
            device, _, family = key.partition("/")
            if family == "ip" or family.startswith(("ipv4", "ipv6")):
                found.setdefault(device, {})[address] = None
        return {device: tuple(addresses) for device, addresses in found.items()}

    def _followed(
        self, ref: Ref, name: str, table: Mapping[Ref, RecordT], what: str, dangling: list[str]
    ) -> RecordT | None:
        """The record behind a reference; None for the null reference, and noted in `dangling` when there is none.

        Into a table that was not read to its end nothing dangles: what is not found may be there.
        """
        if ref == NULL_REF:
            return None
        record = table.get(ref)
        if record is None and ref and name not in self.unread:
            dangling.append(what)
        return record


def _grouped(
    table: Mapping[Ref, RecordT], key: Callable[[RecordT], Ref]
) -> dict[Ref, list[tuple[Ref, RecordT]]]:
    groups: dict[Ref, list[tuple[Ref, RecordT]]] = defaultdict(list)
    for ref, record in table.items():
        groups[key(record)].append((ref, record))
    return groups


def _by_device(devices: Iterable[tuple[Ref, DeviceT]]) -> list[DeviceT]:
    """VBDs or VIFs in the order of their device numbers."""
    found = [device for _, device in devices]
    return sorted(found, key=_device_number) if len(found) > 1 else found


def _device_number(device: VbdRecord | VifRecord) -> tuple[int, str]:
    name = device.userdevice if isinstance(device, VbdRecord) else device.device
    place = _int(name)
    return (1_000 if place is None else place, name)


def _kind(vm: VmRecord) -> VmKind:
    """Snapshots are templates too for XAPI, so the order matters."""
    if vm.is_control_domain:
        return VmKind.CONTROL_DOMAIN
    if vm.is_a_snapshot:
        return VmKind.SNAPSHOT
    return VmKind.TEMPLATE if vm.is_a_template else VmKind.MACHINE


def _virtualisation(vm: VmRecord) -> str:
    """domain_type where there is one; before XenServer 7.5 an HVM guest was one with a boot policy."""
    if vm.domain_type and vm.domain_type != "unspecified":
        return vm.domain_type
    return "hvm" if vm.HVM_boot_policy else "pv"


def _size(size: int | None) -> int | None:
    """A size on a storage; below zero XAPI does not know it."""
    return size if size is not None and size >= 0 else None


def _told(size: int) -> int | None:
    """A size of memory; XAPI has none that is zero, so zero is what stands where nothing was told."""
    return size if size > 0 else None


def _overhead_bytes(vm: VmRecord) -> int | None:
    """Recorded by XAPI since XenServer 6; computed by its formula for older records."""
    if vm.memory_overhead > 0:
        return vm.memory_overhead
    if _told(vm.memory_static_max) is None:
        return None
    return overhead_bytes(_virtualisation(vm), vm.memory_static_max, vm.VCPUs_max, vm.HVM_shadow_multiplier)


def _passthrough(vm: VmRecord) -> Iterable[str]:
    # other_config:pci is "0/0000:04:01.0,0/0000:04:01.1": an order number, then the device.
    for device in filter(None, vm.other_config.get("pci", "").split(",")):
        yield f"PCI {device.partition('/')[2] or device}"
    if vm.attached_PCIs and not vm.other_config.get("pci"):
        yield f"{len(vm.attached_PCIs)} PCI devices"
    if vm.VGPUs:
        yield f"{len(vm.VGPUs)} virtual GPU"
    if vm.VUSBs:
        yield f"{len(vm.VUSBs)} USB"


def _annotations(vm: VmRecord) -> dict[str, str]:
    return {key: value[:_ANNOTATION_CHARACTERS_MAX] for key, value in vm.other_config.items()}


def _product(software_version: Mapping[str, str]) -> str:
    return software_version.get("product_brand") or software_version.get("platform_name") or "XenServer"


def _format(vdi: VdiRecord, storage: Storage | None) -> str:
    """The image format where a key or the kind of storage says it; None of XAPI's own fields does."""
    if (
        declared := vdi.sm_config.get("image-format")
        or vdi.sm_config.get("vdi_type")
        or vdi.sm_config.get("type")
    ):
        return {"aio": "raw"}.get(declared, declared)
    if storage is not None and storage.type == "iso":
        return "iso"
    return ""


def _device_words(device_config: Mapping[str, str]) -> str:
    """Where an SR lies, from the keys of a PBD that hold no secret (others hold passwords)."""
    return " ".join(device_config[key] for key in _SECRETLESS_DEVICE_KEYS if device_config.get(key))


def _answer(value: bool | None) -> Answer:
    if value is None:
        return Answer.UNKNOWN
    return Answer.YES if value else Answer.NO


def _int(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 19 else None
