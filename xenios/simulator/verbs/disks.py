"""Disks and where they lie: VDI and SR calls, and the room that disks take on storage.

A snapshot or clone is quick and small, a copy takes as long as its data, and a thick repository sets the whole size
aside. A disk is not deleted with its VM: that is the caller's business, and forgetting it leaves disks behind here as
on a real pool. Sources: xapi's xapi_vdi.ml, xapi_sr.ml.

Effects: none
"""

from typing import Any

from xenios.simulator.api_error import ApiError
from xenios.simulator.dispatch import Call, implements
from xenios.simulator.facts.datamodel import NULL, Record
from xenios.simulator.population.storage import THICK
from xenios.simulator.population.units import MIB
from xenios.simulator.verbs.current_operations import operation, refresh
from xenios.simulator.verbs.domains import now_of
from xenios.simulator.verbs.telling import in_steps

COPY_BYTES_PER_SECOND = 500 * MIB
DISK_SECONDS = 0.05
_NEW_THIN_BYTES = 8 * MIB

VDI_COPIED = (
    "name_label",
    "name_description",
    "SR",
    "virtual_size",
    "type",
    "sharable",
    "read_only",
    "other_config",
    "xenstore_data",
    "sm_config",
    "tags",
    "managed",
)
"""What a clone, copy or snapshot of a disk takes over."""
_SETTABLE = (
    "name_label",
    "name_description",
    "SR",
    "virtual_size",
    "type",
    "sharable",
    "read_only",
    "other_config",
    "xenstore_data",
    "sm_config",
    "tags",
)


# ---- VDI ----


@implements("VDI.create")
async def vdi_create(call: Call, args: Record) -> str:
    """Make an empty disk. Raises SR_HAS_NO_PBDS [sr], SR_FULL [requested, maximum]."""
    call.pool.tables.get("SR", args["SR"])
    _require_plugged(call, args["SR"])
    await call.sleep(DISK_SECONDS)
    return make_disk(call, {name: args[name] for name in _SETTABLE if name in args})


@implements("VDI.destroy")
async def vdi_destroy(call: Call, vdi: str) -> None:
    """Delete a disk with its data; VBDs that pointed to it are deleted too, as on a real pool."""
    async with operation(call, "VDI", vdi, "destroy"):
        await call.sleep(DISK_SECONDS)
        delete_disk(call, vdi)


@implements("VDI.forget")
def vdi_forget(call: Call, vdi: str) -> None:
    """Delete the record of a disk and leave its data."""
    call.pool.tables.get("VDI", vdi)
    delete_disk(call, vdi)


@implements("VDI.clone")
async def vdi_clone(call: Call, vdi: str, driver_params: dict[str, str] | None = None) -> str:
    """A second disk that shares what both have in common."""
    async with operation(call, "VDI", vdi, "clone"):
        await call.sleep(DISK_SECONDS)
        return fork_disk(call, vdi)


@implements("VDI.snapshot")
async def vdi_snapshot(call: Call, vdi: str, driver_params: dict[str, str] | None = None) -> str:
    """A disk that keeps what this one holds now."""
    async with operation(call, "VDI", vdi, "snapshot"):
        await call.sleep(DISK_SECONDS)
        return fork_disk(call, vdi, snapshot=True)


@implements("VDI.copy")
async def vdi_copy(call: Call, vdi: str, sr: str = NULL, base_vdi: str = NULL, into_vdi: str = NULL) -> str:
    """Copy a disk's data to a new disk on a storage repository, or into another disk.

    Raises VDI_READONLY [vdi] and VDI_TOO_SMALL [vdi, minimum size] for a disk that cannot take it.
    """
    tables = call.pool.tables
    async with operation(call, "VDI", vdi, "copy"):
        if into_vdi == NULL:
            tables.get("SR", sr)
            return await copy_disk(call, vdi, sr)
        source, target = tables.get("VDI", vdi), tables.get("VDI", into_vdi)
        if target["read_only"]:
            raise ApiError("VDI_READONLY", into_vdi)
        if target["virtual_size"] < source["virtual_size"]:
            raise ApiError("VDI_TOO_SMALL", into_vdi, str(source["virtual_size"]))
        await in_steps(call, source["physical_utilisation"] / COPY_BYTES_PER_SECOND)
        return into_vdi


@implements("VDI.resize")
async def vdi_resize(call: Call, vdi: str, size: int) -> None:
    """Make a disk larger; smaller is refused with VDI_TOO_SMALL [vdi, minimum size]."""
    async with operation(call, "VDI", vdi, "resize"):
        await call.sleep(DISK_SECONDS)
        record = call.pool.tables.get("VDI", vdi)
        if size < record["virtual_size"]:
            raise ApiError("VDI_TOO_SMALL", vdi, str(record["virtual_size"]))
        grown = size - record["virtual_size"]
        taken = grown if _is_thick(call, record["SR"]) else 0
        _take_room(call, record["SR"], grown, taken)
        used = record["physical_utilisation"] + taken
        call.pool.tables.change("VDI", vdi, virtual_size=size, physical_utilisation=used)


@implements("VDI.resize_online")
def vdi_resize_online(call: Call, vdi: str, size: int) -> None:
    """Make a disk larger while it is used, which no kind of storage here can: SR_OPERATION_NOT_SUPPORTED [sr]."""
    raise ApiError("SR_OPERATION_NOT_SUPPORTED", call.pool.tables.get("VDI", vdi)["SR"])


@implements("VDI.update")
def vdi_update(call: Call, vdi: str) -> None:
    """Look at the disk's size again; nothing changes it behind the back of this pool."""
    call.pool.tables.get("VDI", vdi)


@implements("VDI.set_sharable")
def vdi_set_sharable(call: Call, vdi: str, value: bool) -> None:
    """Say whether several VMs may write to the disk at once."""
    call.pool.tables.change("VDI", vdi, sharable=value)
    refresh(call.pool.tables, "VDI", vdi)


@implements("VDI.set_read_only")
def vdi_set_read_only(call: Call, vdi: str, value: bool) -> None:
    """Say whether the disk may be written to."""
    call.pool.tables.change("VDI", vdi, read_only=value)
    refresh(call.pool.tables, "VDI", vdi)


@implements("VDI.set_name_label")
def vdi_set_name_label(call: Call, vdi: str, value: str) -> None:
    """Name the disk."""
    call.pool.tables.change("VDI", vdi, name_label=value)


@implements("VDI.set_name_description")
def vdi_set_name_description(call: Call, vdi: str, value: str) -> None:
    """Describe the disk."""
    call.pool.tables.change("VDI", vdi, name_description=value)


# ---- SR, PBD ----


@implements("SR.scan")
async def sr_scan(call: Call, sr: str) -> None:
    """Look for disks that came or went by other ways; there are none here. Raises SR_HAS_NO_PBDS [sr]."""
    call.pool.tables.get("SR", sr)
    _require_plugged(call, sr)
    await call.sleep(DISK_SECONDS)


@implements("SR.update")
def sr_update(call: Call, sr: str) -> None:
    """Look at the repository's sizes again; they are always right here."""
    call.pool.tables.get("SR", sr)
    _require_plugged(call, sr)


@implements("SR.set_name_label")
def sr_set_name_label(call: Call, sr: str, value: str) -> None:
    """Name the storage repository."""
    call.pool.tables.change("SR", sr, name_label=value)


@implements("SR.set_name_description")
def sr_set_name_description(call: Call, sr: str, value: str) -> None:
    """Describe the storage repository."""
    call.pool.tables.change("SR", sr, name_description=value)


@implements("PBD.plug")
async def pbd_plug(call: Call, pbd: str) -> None:
    """Connect a host to a storage repository."""
    call.pool.tables.get("PBD", pbd)
    await call.sleep(DISK_SECONDS)
    call.pool.tables.change("PBD", pbd, currently_attached=True)


@implements("PBD.unplug")
async def pbd_unplug(call: Call, pbd: str) -> None:
    """Disconnect a host from a storage repository. Raises VDI_IN_USE [vdi, operation] while disks are used there."""
    tables = call.pool.tables
    record = tables.get("PBD", pbd)
    for vdi in tables.get("SR", record["SR"])["VDIs"]:
        for vbd in (tables.find("VBD", ref) for ref in tables.get("VDI", vdi)["VBDs"]):
            used = vbd is not None and vbd["currently_attached"]
            if used and vbd is not None and tables.get("VM", vbd["VM"])["resident_on"] == record["host"]:
                raise ApiError("VDI_IN_USE", vdi, "detach")
    await call.sleep(DISK_SECONDS)
    tables.change("PBD", pbd, currently_attached=False)


# ---- steps that other operations share ----


def make_disk(call: Call, values: dict[str, Any], *, used_bytes: int | None = None) -> str:
    """A new disk with these values; takes its room. Raises SR_FULL [requested, maximum]."""
    tables = call.pool.tables
    sr, size = values["SR"], values["virtual_size"]
    thick = _is_thick(call, sr)
    used = size if thick else min(size, _NEW_THIN_BYTES) if used_bytes is None else used_bytes
    _take_room(call, sr, size, used)
    vdi = tables.create("VDI", {"managed": True, **values, "physical_utilisation": used})
    tables.change("VDI", vdi, location=tables.get("VDI", vdi)["uuid"])
    refresh(tables, "VDI", vdi)
    return vdi


def fork_disk(call: Call, vdi: str, *, snapshot: bool = False) -> str:
    """A clone or a snapshot of a disk, on the same storage repository. Raises SR_FULL."""
    source = call.pool.tables.get("VDI", vdi)
    values = {name: source[name] for name in VDI_COPIED}
    if snapshot:
        values.update(is_a_snapshot=True, snapshot_of=vdi, snapshot_time=now_of(call))
    values["other_config"] = {**source["other_config"]}
    if not snapshot:
        values["other_config"]["content_id"] = call.pool.new_uuid()
    return make_disk(call, values)


async def copy_disk(call: Call, vdi: str, sr: str) -> str:
    """A full copy of a disk on this storage repository, which takes as long as its data are big."""
    source = call.pool.tables.get("VDI", vdi)
    size_bytes = source["physical_utilisation"]
    values = {name: source[name] for name in VDI_COPIED} | {"SR": sr, "sm_config": {}}
    await in_steps(call, size_bytes / COPY_BYTES_PER_SECOND)
    return make_disk(call, values, used_bytes=size_bytes)


def delete_disk(call: Call, vdi: str) -> None:
    """Delete a disk's record, give its room back, and delete the VBDs that pointed to it."""
    tables = call.pool.tables
    record = tables.get("VDI", vdi)
    _take_room(call, record["SR"], -record["virtual_size"], -record["physical_utilisation"])
    vbds = list(record["VBDs"])
    tables.delete("VDI", vdi)
    for vbd in vbds:
        device = tables.find("VBD", vbd)
        if device is not None and device["type"] == "CD":
            tables.change("VBD", vbd, VDI=NULL, empty=True)
            refresh(tables, "VBD", vbd)
        elif device is not None:
            tables.delete("VBD", vbd)


def _is_thick(call: Call, sr: str) -> bool:
    record = call.pool.tables.find("SR", sr)
    return record is not None and record["type"] in THICK


def _take_room(call: Call, sr: str, virtual_bytes: int, physical_bytes: int) -> None:
    """Count what a disk takes on its repository. Raises SR_FULL [requested, maximum] when there is not enough."""
    tables = call.pool.tables
    record = tables.find("SR", sr)
    if record is None:
        return
    free = record["physical_size"] - record["physical_utilisation"]
    if record["physical_size"] > 0 and physical_bytes > max(0, free):
        raise ApiError("SR_FULL", str(physical_bytes), str(max(0, free)))
    tables.change(
        "SR",
        sr,
        virtual_allocation=max(0, record["virtual_allocation"] + virtual_bytes),
        physical_utilisation=max(0, record["physical_utilisation"] + physical_bytes),
    )


def _require_plugged(call: Call, sr: str) -> None:
    tables = call.pool.tables
    pbds = [tables.find("PBD", pbd) for pbd in tables.get("SR", sr)["PBDs"]]
    if not any(pbd is not None and pbd["currently_attached"] for pbd in pbds):
        raise ApiError("SR_HAS_NO_PBDS", sr)
