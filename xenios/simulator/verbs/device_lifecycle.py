"""Which operations a VM's devices and disks admit, with the reasons in XAPI's order.

A device's answer depends on its VM's power state and tools, on the disk behind it, and on who else uses that disk:
the same disk may be written to by one VM at a time. Sources: valid_operations in xapi's xapi_vbd_helpers.ml and
xapi_vif_helpers.ml, check_operation_error in xapi_vdi.ml.

Effects: none
"""

from collections.abc import Iterator

from xenios.simulator.api_error import ApiError
from xenios.simulator.facts.datamodel import Record
from xenios.simulator.tables import Tables
from xenios.simulator.verbs.lifecycle import PAUSED, RUNNING, SUSPENDED, in_progress

# The order in which a real pool lists what is allowed.
_VBD_OPERATIONS = ("attach", "unpause", "plug", "unplug", "unplug_force", "insert", "eject", "pause")
_VIF_OPERATIONS = ("attach", "plug", "unplug")
_VDI_OPERATIONS = ("copy", "generate_config", "clone", "forget", "update", "resize", "snapshot", "destroy")
_PLUGGING = frozenset({"plug", "unplug", "unplug_force"})
_ENDING = frozenset({"clean_shutdown", "hard_shutdown", "suspend", "pause"})
_WHILE_ATTACHED = frozenset({"snapshot", "resize_online", "clone", "mirror", "set_on_boot"})


def refusal_of_vbd(tables: Tables, ref: str, operation: str) -> ApiError | None:
    """Why the VBD does not admit the operation; None if it does. Raises ApiError HANDLE_INVALID."""
    vbd = tables.get("VBD", ref)
    return next(_vbd_refusals(tables, ref, vbd, operation, sharing=True), None)


def vbd_operations_allowed(tables: Tables, ref: str) -> list[str]:
    """What `allowed_operations` of a VBD should say. Whether the disk may be shared is not looked at here."""
    vbd = tables.get("VBD", ref)
    return [
        name
        for name in _VBD_OPERATIONS
        if next(_vbd_refusals(tables, ref, vbd, name, sharing=False), None) is None
    ]


def refusal_of_vif(tables: Tables, ref: str, operation: str) -> ApiError | None:
    """Why the VIF does not admit the operation; None if it does. Raises ApiError HANDLE_INVALID."""
    return next(_vif_refusals(tables, ref, tables.get("VIF", ref), operation), None)


def vif_operations_allowed(tables: Tables, ref: str) -> list[str]:
    """What `allowed_operations` of a VIF should say."""
    vif = tables.get("VIF", ref)
    return [name for name in _VIF_OPERATIONS if next(_vif_refusals(tables, ref, vif, name), None) is None]


def refusal_of_vdi(tables: Tables, ref: str, operation: str) -> ApiError | None:
    """Why the VDI does not admit the operation; None if it does. Raises ApiError HANDLE_INVALID."""
    return next(_vdi_refusals(tables, ref, tables.get("VDI", ref), operation), None)


def vdi_operations_allowed(tables: Tables, ref: str) -> list[str]:
    """What `allowed_operations` of a VDI should say; nothing for one that XAPI does not manage."""
    vdi = tables.get("VDI", ref)
    if not vdi["managed"]:
        return []
    return [name for name in _VDI_OPERATIONS if next(_vdi_refusals(tables, ref, vdi, name), None) is None]


def _vbd_refusals(
    tables: Tables, ref: str, vbd: Record, operation: str, *, sharing: bool
) -> Iterator[ApiError]:
    vm = tables.get("VM", vbd["VM"])
    current = vbd["current_operations"]
    if current and not (
        operation in ("pause", "unpause") and set(current.values()) <= {"pause", "unpause", "attach"}
    ):
        yield in_progress("VBD", ref, current)
    if not vbd["unpluggable"] and operation in ("unplug", "unplug_force"):
        yield ApiError("VBD_NOT_UNPLUGGABLE", ref)
    if operation in ("insert", "eject"):
        if vbd["type"] != "CD":
            yield ApiError("VBD_NOT_REMOVABLE_MEDIA", ref)
        if operation == "eject" and vbd["empty"]:
            yield ApiError("VBD_IS_EMPTY", ref)
        if operation == "insert" and not vbd["empty"]:
            yield ApiError("VBD_NOT_EMPTY", ref)
        if vm["power_state"] == SUSPENDED:
            yield ApiError("VM_BAD_POWER_STATE", vbd["VM"], "Halted, Running", SUSPENDED)
    yield from _refusals_by_power_state(ref, vbd, vm, operation)
    if operation in _PLUGGING and vm["power_state"] == RUNNING and vm["domain_type"] == "hvm":
        yield from _hotplug_refusals(tables, vbd["VM"], vm, "can_use_hotplug_vbd", "VBD")
        if vbd["type"] == "CD":
            yield ApiError(
                "OPERATION_NOT_ALLOWED",
                "HVM CDROMs cannot be hotplugged/unplugged, only inserted or ejected",
            )
    if not vbd["empty"]:
        yield from _refusals_by_disk(tables, ref, vbd, operation, sharing=sharing)


def _refusals_by_power_state(ref: str, device: Record, vm: Record, operation: str) -> Iterator[ApiError]:
    """Plugging needs a VM that runs and is not about to stop; pausing a disk one that is up."""
    state = vm["power_state"]
    if state == RUNNING:
        if operation == "plug" and device["currently_attached"]:
            yield ApiError("DEVICE_ALREADY_ATTACHED", ref)
        if operation in ("unplug", "unplug_force") and not device["currently_attached"]:
            yield ApiError("DEVICE_ALREADY_DETACHED", ref)
    elif operation in _PLUGGING or (operation in ("pause", "unpause") and state != PAUSED):
        yield ApiError("VM_BAD_POWER_STATE", device["VM"], RUNNING, state)
    for going_on in vm["current_operations"].values():
        if going_on in _ENDING and operation in ("plug", "unplug"):
            yield ApiError("OPERATION_NOT_ALLOWED", f"Current operation on VM:{device['VM']} is {going_on}")


def _hotplug_refusals(tables: Tables, ref: str, vm: Record, claim: str, kind: str) -> Iterator[ApiError]:
    guest = tables.find("VM_guest_metrics", vm["guest_metrics"])
    if guest is None:
        yield ApiError("VM_MISSING_PV_DRIVERS", ref)
    elif guest[claim] == "no":
        yield ApiError("OPERATION_NOT_ALLOWED", f"VM states it does not support {kind} hotplug.")
    elif (
        guest[claim] == "unspecified" and not guest["PV_drivers_detected"] and not guest["PV_drivers_version"]
    ):
        yield ApiError("VM_MISSING_PV_DRIVERS", ref)


def _refusals_by_disk(
    tables: Tables, ref: str, vbd: Record, operation: str, *, sharing: bool
) -> Iterator[ApiError]:
    vdi = tables.find("VDI", vbd["VDI"])
    if vdi is None:
        if operation in ("attach", "plug", "insert"):
            yield ApiError("HANDLE_INVALID", "VDI", vbd["VDI"])
        return
    if not vdi["managed"]:
        yield ApiError("VDI_NOT_MANAGED", ref)
    if operation not in ("attach", "plug", "insert"):
        return
    current = vdi["current_operations"]
    if any(name not in ("mirror", "copy") for name in current.values()):
        yield in_progress("VDI", vbd["VDI"], current)
    if vbd["currently_attached"] or not sharing:
        return
    yield from disk_refusals(tables, vdi, vbd["VDI"], ref, writes=vbd["mode"] == "RW", operation=operation)


def disk_refusals(
    tables: Tables, vdi: Record, vdi_ref: str, vbd_ref: str, *, writes: bool, operation: str
) -> Iterator[ApiError]:
    """Why a disk may not be attached through this VBD: others use it, or it is read-only."""
    others = [tables.find("VBD", other) for other in vdi["VBDs"] if other != vbd_ref]
    using = [
        other
        for other in others
        if other is not None
        and (other["currently_attached"] or other["current_operations"])
        and tables.get("VM", other["VM"])["power_state"] != SUSPENDED
    ]
    written = any(other["mode"] == "RW" for other in using)
    if not vdi["sharable"] and (written or (writes and using)):
        yield ApiError("VDI_IN_USE", vdi_ref, operation)
    if writes and vdi["read_only"]:
        yield ApiError("VDI_READONLY", vdi_ref)


def _vif_refusals(tables: Tables, ref: str, vif: Record, operation: str) -> Iterator[ApiError]:
    vm = tables.get("VM", vif["VM"])
    if vif["current_operations"]:
        yield in_progress("VIF", ref, vif["current_operations"])
    yield from _refusals_by_power_state(ref, vif, vm, operation)
    if operation in _PLUGGING and vm["power_state"] == RUNNING and vm["domain_type"] == "hvm":
        yield from _hotplug_refusals(tables, vif["VM"], vm, "can_use_hotplug_vif", "VIF")


def _vdi_refusals(tables: Tables, ref: str, vdi: Record, operation: str) -> Iterator[ApiError]:
    if vdi["current_operations"]:
        yield in_progress("VDI", ref, vdi["current_operations"])
    sr = tables.find("SR", vdi["SR"])
    if sr is None:
        yield ApiError("HANDLE_INVALID", "SR", vdi["SR"])
        return
    if operation == "resize" and not any(
        tables.get("PBD", pbd)["currently_attached"] for pbd in sr["PBDs"] if tables.find("PBD", pbd)
    ):
        yield ApiError("SR_HAS_NO_PBDS", vdi["SR"])
    vbds = [vbd for vbd in (tables.find("VBD", one) for one in vdi["VBDs"]) if vbd is not None]
    if operation not in _WHILE_ATTACHED and any(vbd["currently_attached"] for vbd in vbds):
        yield ApiError("VDI_IN_USE", ref, operation)
    for vbd in vbds:
        if vbd["current_operations"]:
            yield in_progress("VBD", ref, vbd["current_operations"])
    match operation:
        case "destroy" if sr["type"] == "udev":
            yield ApiError("VDI_IS_A_PHYSICAL_DEVICE", ref)
        case "destroy" if sr["is_tools_sr"] or sr["content_type"] == "iso":
            yield ApiError("SR_OPERATION_NOT_SUPPORTED", vdi["SR"])
        case "clone" | "snapshot" | "resize" if sr["type"] in ("udev", "iso"):
            yield ApiError("SR_OPERATION_NOT_SUPPORTED", vdi["SR"])
        case "snapshot" if vdi["on_boot"] == "reset":
            yield ApiError("VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION")
        case _:
            pass
