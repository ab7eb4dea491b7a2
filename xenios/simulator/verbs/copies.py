"""Copies of VMs: clone, copy, snapshot, checkpoint, and going back to a snapshot.

What comes along decides what a mark on a VM proves. Tags and other_config are copied whole, so a copy carries the
marks of its source; blocked_operations are not. Going back overwrites nearly everything, the VM's name and its
other_config included, and keeps its uuid and tags. Sources: xapi's xapi_vm_clone.ml, xapi_vm_snapshot.ml.

Effects: none
"""

from collections.abc import Iterable
from enum import Enum
from typing import Any, assert_never

from xenios.simulator.api_error import ApiError
from xenios.simulator.dispatch import Call, implements
from xenios.simulator.facts.datamodel import EPOCH, NULL, Record
from xenios.simulator.verbs.current_operations import marked, operation, refresh, refresh_with_devices
from xenios.simulator.verbs.devices import make_vif
from xenios.simulator.verbs.disks import DISK_SECONDS, copy_disk, delete_disk, fork_disk
from xenios.simulator.verbs.domains import domain_gone, now_of
from xenios.simulator.verbs.lifecycle import HALTED, PAUSED, RUNNING, SUSPENDED
from xenios.simulator.verbs.power import restore_memory, save_memory
from xenios.simulator.verbs.snapshot_metadata import fields_from, metadata_of
from xenios.simulator.verbs.telling import tell_of_vm
from xenios.simulator.verbs.vm_records import new_generation

COPY_SECONDS = 0.05


class Manner(Enum):
    """How a copy is made."""

    CLONE = "clone"
    COPY = "copy"
    SNAPSHOT = "snapshot"
    CHECKPOINT = "checkpoint"

    @property
    def snapshots(self) -> bool:
        """Whether the result is a snapshot and no VM of its own."""
        return self in (Manner.SNAPSHOT, Manner.CHECKPOINT)


_TAKEN = (
    "name_description",
    "user_version",
    "affinity",
    "memory_overhead",
    "memory_target",
    "memory_static_max",
    "memory_dynamic_max",
    "memory_dynamic_min",
    "memory_static_min",
    "VCPUs_max",
    "VCPUs_at_startup",
    "VCPUs_params",
    "actions_after_softreboot",
    "actions_after_shutdown",
    "actions_after_reboot",
    "actions_after_crash",
    "HVM_boot_policy",
    "HVM_boot_params",
    "HVM_shadow_multiplier",
    "platform",
    "PV_kernel",
    "PV_ramdisk",
    "PV_args",
    "PV_bootloader",
    "PV_bootloader_args",
    "PV_legacy_args",
    "PCI_bus",
    "last_boot_CPU_flags",
    "last_booted_record",
    "is_control_domain",
    "recommendations",
    "xenstore_data",
    "ha_restart_priority",
    "tags",
    "bios_strings",
    "hardware_platform_version",
    "has_vendor_device",
    "reference_label",
    "domain_type",
    "NVRAM",
    "secureboot_certificates_state",
)
_VBD_TAKEN = (
    "userdevice",
    "bootable",
    "mode",
    "type",
    "unpluggable",
    "empty",
    "other_config",
    "qos_algorithm_type",
    "qos_algorithm_params",
)
_KEPT_ON_REVERT = frozenset(
    {
        "uuid",
        "tags",
        "affinity",
        "groups",
        "snapshots",
        "children",
        "parent",
        "power_state",
        "current_operations",
        "allowed_operations",
        "resident_on",
        "scheduled_to_be_resident_on",
        "domid",
        "domarch",
        "metrics",
        "guest_metrics",
        "consoles",
        "VBDs",
        "VIFs",
        "VGPUs",
        "VUSBs",
        "VTPMs",
        "attached_PCIs",
        "crash_dumps",
        "blobs",
        "suspend_VDI",
        "protection_policy",
        "snapshot_schedule",
        "appliance",
        "ha_always_run",
    }
)
_AFTER_REVERT: dict[str, Any] = {
    "is_a_snapshot": False,
    "is_vmss_snapshot": False,
    "is_snapshot_from_vmpp": False,
    "snapshot_of": NULL,
    "snapshot_time": EPOCH,
    "snapshot_info": {},
    "snapshot_metadata": "",
    "transportable_snapshot_id": "",
}


@implements("VM.clone")
async def vm_clone(call: Call, vm: str, new_name: str) -> str:
    """A new VM with disks that share what is common; of a template a template."""
    async with operation(call, "VM", vm, "clone"):
        return await _copy(call, vm, new_name, Manner.CLONE)


@implements("VM.copy")
async def vm_copy(call: Call, vm: str, new_name: str, sr: str) -> str:
    """A new VM with full copies of the disks, on this repository or, for the null ref, where each of them is."""
    if sr != NULL:
        call.pool.tables.get("SR", sr)
    async with operation(call, "VM", vm, "copy"):
        return await _copy(call, vm, new_name, Manner.COPY, sr=sr)


@implements("VM.snapshot")
async def vm_snapshot(call: Call, vm: str, new_name: str, ignore_vdis: Iterable[str] = ()) -> str:
    """Keep the VM's settings and disks as they are now; disks named in `ignore_vdis` are left out."""
    async with operation(call, "VM", vm, "snapshot"):
        snapshot = await _copy(call, vm, new_name, Manner.SNAPSHOT, ignored=frozenset(ignore_vdis))
    tell_of_vm(call, vm, "VM_SNAPSHOTTED", f"snapshotted, snapshot name: {new_name}")
    return snapshot


@implements("VM.checkpoint")
async def vm_checkpoint(call: Call, vm: str, new_name: str) -> str:
    """Keep the VM's memory as well. A running VM is saved and restored for it; of a paused one no memory is kept."""
    tables = call.pool.tables
    async with operation(call, "VM", vm, "checkpoint"):
        record = tables.get("VM", vm)
        state, host = record["power_state"], record["resident_on"]
        if state == RUNNING:
            await save_memory(call, vm)
        try:
            snapshot = await _copy(call, vm, new_name, Manner.CHECKPOINT, state=state)
        finally:
            if state == RUNNING:
                await restore_memory(call, vm, host, paused=False)
    tell_of_vm(call, vm, "VM_CHECKPOINTED", f"checkpointed, snapshot name: {new_name}")
    return snapshot


@implements("VM.revert")
async def vm_revert(call: Call, snapshot: str) -> None:
    """Make the VM what it was at the snapshot. A VM that is up is stopped for it.

    Raises VM_REVERT_FAILED [vm, snapshot] when the VM is gone.
    """
    tables = call.pool.tables
    async with operation(call, "VM", snapshot, "revert"):
        vm = tables.get("VM", snapshot)["snapshot_of"]
        if tables.find("VM", vm) is None:
            raise ApiError("VM_REVERT_FAILED", vm, snapshot)
        async with operation(call, "VM", vm, "reverting"):
            if tables.get("VM", vm)["power_state"] in (RUNNING, PAUSED):
                domain_gone(call, vm)
            await call.sleep(COPY_SECONDS)
            _go_back(call, vm, snapshot)
    refresh_with_devices(tables, vm)
    kept = tables.get("VM", snapshot)
    how = f"reverted to snapshot: {kept['name_label']} (uuid {kept['uuid']})"
    tell_of_vm(call, vm, "VM_SNAPSHOT_REVERTED", how)


# ---- copying ----


async def _copy(
    call: Call,
    vm: str,
    new_name: str,
    manner: Manner,
    *,
    sr: str = NULL,
    ignored: frozenset[str] = frozenset(),
    state: str = "",
) -> str:
    """The disks first, since they may fail for want of room; then the record and the devices."""
    tables = call.pool.tables
    record = tables.get("VM", vm)
    await call.sleep(COPY_SECONDS)
    vbds = [vbd for ref in record["VBDs"] if (vbd := tables.find("VBD", ref)) is not None]
    vbds = [vbd for vbd in vbds if not (manner.snapshots and vbd["VDI"] in ignored)]
    disks = await _copy_disks(call, vbds, manner, sr)
    try:
        # Read again: disks take time, and the VM's settings may have changed meanwhile.
        record = tables.get("VM", vm)
        made = tables.create(
            "VM", _settings(call, vm, record, new_name, manner, state or record["power_state"])
        )
    except ApiError:
        for vdi in disks.values():
            delete_disk(call, vdi)
        raise
    call.pool.guests.copy(vm, made, tables)
    for vbd in vbds:
        values = {name: vbd[name] for name in _VBD_TAKEN}
        values.update(VM=made, VDI=disks.get(vbd["VDI"], vbd["VDI"]))
        if vbd["type"] == "Disk":
            values["other_config"] = {"owner": "", **vbd["other_config"]}
        tables.create("VBD", values)
    for vif in [one for ref in record["VIFs"] if (one := tables.find("VIF", ref)) is not None]:
        make_vif(call, {**vif, "VM": made}, mac=vif["MAC"] if manner.snapshots else "")
    image = record["suspend_VDI"]
    if tables.find("VDI", image) is not None and manner is not Manner.SNAPSHOT:
        tables.change("VM", made, suspend_VDI=fork_disk(call, image))
    if manner.snapshots:
        tables.change("VM", vm, parent=made)
    refresh_with_devices(tables, made)
    return made


async def _copy_disks(call: Call, vbds: list[Record], manner: Manner, sr: str) -> dict[str, str]:
    """{old: new} for every disk; discs in drives are shared and not copied."""
    tables = call.pool.tables
    made: dict[str, str] = {}
    try:
        for vbd in vbds:
            source = tables.find("VDI", vbd["VDI"])
            if vbd["type"] != "Disk" or vbd["empty"] or source is None:
                continue
            with marked(call, "VDI", [vbd["VDI"]], "snapshot" if manner.snapshots else manner.value):
                await call.sleep(DISK_SECONDS)
                match manner:
                    case Manner.COPY:
                        target = sr if sr != NULL else source["SR"]
                        made[vbd["VDI"]] = await copy_disk(call, vbd["VDI"], target)
                    case Manner.CLONE:
                        made[vbd["VDI"]] = fork_disk(call, vbd["VDI"])
                    case Manner.SNAPSHOT | Manner.CHECKPOINT:
                        made[vbd["VDI"]] = fork_disk(call, vbd["VDI"], snapshot=True)
                    case _:
                        assert_never(manner)
    except ApiError:
        for vdi in made.values():
            delete_disk(call, vdi)
        raise
    return made


def _settings(call: Call, vm: str, record: Record, new_name: str, manner: Manner, state: str) -> Record:
    tables = call.pool.tables
    values: Record = {name: record[name] for name in _TAKEN}
    values.update(
        name_label=new_name,
        power_state=_state_of_copy(manner, state),
        is_a_template=manner.snapshots or record["is_a_template"],
        is_a_snapshot=manner.snapshots,
        other_config=_other_config_of_copy(call, record, manner),
        generation_id=new_generation(call),
        metrics=_copied_metrics(call, record),
        domid=-1,
    )
    if manner.snapshots:
        values.update(
            snapshot_of=vm,
            snapshot_time=now_of(call),
            snapshot_info={
                "disk-snapshot-type": "crash_consistent",
                "power-state-at-snapshot": state,
            },
            snapshot_metadata=metadata_of(vm, record),
            parent=record["parent"],
        )
    guest = tables.find("VM_guest_metrics", record["guest_metrics"])
    if guest is not None and manner is not Manner.SNAPSHOT and values["power_state"] == SUSPENDED:
        copied = {name: value for name, value in guest.items() if name != "uuid"}
        values["guest_metrics"] = tables.create("VM_guest_metrics", copied)
    return values


def _state_of_copy(manner: Manner, state: str) -> str:
    match manner:
        case Manner.CHECKPOINT:
            return SUSPENDED if state in (RUNNING, SUSPENDED) else HALTED
        case Manner.CLONE | Manner.COPY:
            return SUSPENDED if state == SUSPENDED else HALTED
        case Manner.SNAPSHOT:
            return HALTED
        case _:
            assert_never(manner)


def _other_config_of_copy(call: Call, record: Record, manner: Manner) -> dict[str, str]:
    """All keys come along, but for those of the product's own templates; a VM of its own gets a new seed for MACs."""
    other_config = dict(record["other_config"])
    if not manner.snapshots:
        other_config["mac_seed"] = call.pool.new_uuid()
    other_config.pop("default_template", None)
    other_config.pop("xensource_internal", None)
    if record["is_a_template"] and "base_template_name" not in other_config:
        other_config = {"base_template_name": record["name_label"], **other_config}
    return other_config


def _copied_metrics(call: Call, record: Record) -> str:
    tables = call.pool.tables
    source = tables.find("VM_metrics", record["metrics"])
    values: Record = {"start_time": EPOCH, "install_time": EPOCH}
    if source is not None:
        values["install_time"] = source["install_time"]
    return tables.create("VM_metrics", values)


# ---- going back ----


def _go_back(call: Call, vm: str, snapshot: str) -> None:
    tables = call.pool.tables
    kept = tables.get("VM", snapshot)
    # What was written down when the snapshot was taken; of one that has none, what the snapshot itself says.
    fields = fields_from(kept["snapshot_metadata"]) or {**kept, "is_a_template": False}
    _replace_devices(call, vm, kept)
    changed = {name: value for name, value in fields.items() if name not in _KEPT_ON_REVERT}
    state = SUSPENDED if kept["power_state"] == SUSPENDED else HALTED
    tables.change("VM", vm, **{**changed, **_AFTER_REVERT, "power_state": state, "parent": snapshot})
    image = kept["suspend_VDI"]
    if state == SUSPENDED and tables.find("VDI", image) is not None:
        tables.change("VM", vm, suspend_VDI=fork_disk(call, image))


def _replace_devices(call: Call, vm: str, snapshot: Record) -> None:
    """The VM's disks go, as far as the snapshot has their counterpart, and clones of the snapshot's come."""
    tables = call.pool.tables
    record = tables.get("VM", vm)
    snapshot_vbds = [vbd for ref in snapshot["VBDs"] if (vbd := tables.find("VBD", ref)) is not None]
    snapshot_disks = {vbd["VDI"] for vbd in snapshot_vbds if vbd["type"] == "Disk"}
    kept_disks = {disk: tables.find("VDI", disk) for disk in snapshot_disks}
    replaced = {disk["snapshot_of"] for disk in kept_disks.values() if disk is not None}
    for ref in list(record["VBDs"]):
        vbd = tables.find("VBD", ref)
        if vbd is None:
            continue
        tables.delete("VBD", ref)
        if vbd["VDI"] in replaced and tables.find("VDI", vbd["VDI"]) is not None:
            delete_disk(call, vbd["VDI"])
    if tables.find("VDI", record["suspend_VDI"]) is not None:
        delete_disk(call, record["suspend_VDI"])
    tables.change("VM", vm, suspend_VDI=NULL)
    for vbd in snapshot_vbds:
        values = {name: vbd[name] for name in _VBD_TAKEN} | {"VM": vm, "VDI": vbd["VDI"]}
        disk = kept_disks.get(vbd["VDI"])
        if vbd["type"] == "Disk" and disk is not None:
            values["VDI"] = fork_disk(call, vbd["VDI"])
            _follow(call, disk["snapshot_of"], values["VDI"])
        tables.create("VBD", values)
    for ref in list(record["VIFs"]):
        if tables.find("VIF", ref) is not None:
            tables.delete("VIF", ref)
    for vif in [one for ref in snapshot["VIFs"] if (one := tables.find("VIF", ref)) is not None]:
        make_vif(call, {**vif, "VM": vm}, mac=vif["MAC"])


def _follow(call: Call, gone: str, new: str) -> None:
    """Snapshots of a disk that was replaced are snapshots of its successor."""
    tables = call.pool.tables
    if gone == NULL:
        return
    for ref, vdi in list(tables.rows("VDI").items()):
        if vdi["snapshot_of"] == gone:
            tables.change("VDI", ref, snapshot_of=new)
    refresh(tables, "VDI", new)
