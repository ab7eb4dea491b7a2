"""A VM's devices: VBD and VIF calls.

Source of the checks: xapi's xapi_vbd_helpers.ml and xapi_vif_helpers.ml; of the MAC addresses, gen_mac there: the
same seed and device number always give the same address.

Effects: none
"""

import re
from hashlib import md5

from xenios.simulator.api_error import ApiError
from xenios.simulator.dispatch import Call, implements
from xenios.simulator.facts.datamodel import NULL, Record
from xenios.simulator.tables import Tables
from xenios.simulator.verbs.current_operations import operation, refresh, refresh_with_devices
from xenios.simulator.verbs.device_lifecycle import refusal_of_vbd
from xenios.simulator.verbs.domains import device_name
from xenios.simulator.verbs.lifecycle import RUNNING
from xenios.simulator.verbs.placement import domain_type_of, network_is_seen

PLUG_SECONDS = 0.1
VBD_DEVICES_MAX = 16
VIF_DEVICES_MAX = 7
_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")
_DISK_NAME = re.compile(r"(xvd|sd|hd)[a-p][0-9]*|fd[ab]|[0-9]{1,2}")

_VBD_SET = (
    "VM",
    "VDI",
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
_VIF_SET = (
    "device",
    "network",
    "VM",
    "MTU",
    "other_config",
    "qos_algorithm_type",
    "qos_algorithm_params",
    "locking_mode",
    "ipv4_allowed",
    "ipv6_allowed",
)


# ---- VBD ----


@implements("VBD.create")
def vbd_create(call: Call, args: Record) -> str:
    """Connect a disk, or an empty drive, to a VM; a running VM sees it once it is plugged."""
    tables = call.pool.tables
    vm = tables.get("VM", args["VM"])
    values = {name: args[name] for name in _VBD_SET if name in args}
    if values["empty"]:
        values["VDI"] = NULL
        if values["type"] != "CD":
            raise ApiError("VBD_NOT_REMOVABLE_MEDIA", "in constructor")
    else:
        disk = tables.get("VDI", values["VDI"])
        if values["mode"] == "RW" and values["type"] == "Disk" and disk["read_only"]:
            raise ApiError("VDI_READONLY", values["VDI"])
    if values["type"] == "CD" and values["mode"] != "RO":
        raise ApiError("VBD_CDS_MUST_BE_READONLY")
    values["userdevice"] = _free_device(tables, vm, values["userdevice"])
    if values["type"] == "Disk" and values["mode"] == "RO" and domain_type_of(vm) == "hvm":
        raise ApiError("DISK_VBD_MUST_BE_READWRITE_FOR_HVM", values["userdevice"])
    vbd = tables.create("VBD", values)
    refresh(tables, "VBD", vbd)
    return vbd


@implements("VBD.destroy")
def vbd_destroy(call: Call, vbd: str) -> None:
    """Disconnect a disk from a VM for good; the disk stays. Refused while it is attached."""
    tables = call.pool.tables
    record = tables.get("VBD", vbd)
    if record["currently_attached"]:
        vm = tables.find("VM", record["VM"])
        owner = "" if vm is None else vm["uuid"]
        raise ApiError("OPERATION_NOT_ALLOWED", f"VBD '{record['uuid']}' still attached to '{owner}'")
    tables.delete("VBD", vbd)
    if tables.find("VDI", record["VDI"]) is not None:
        refresh(tables, "VDI", record["VDI"])


@implements("VBD.plug")
async def vbd_plug(call: Call, vbd: str) -> None:
    """Attach the disk to the running VM."""
    async with operation(call, "VBD", vbd, "plug"):
        await call.sleep(PLUG_SECONDS)
        _set_attached(call, "VBD", vbd, attached=True)
    _refresh_vbd(call, vbd)


@implements("VBD.unplug")
async def vbd_unplug(call: Call, vbd: str) -> None:
    """Detach the disk from the running VM."""
    async with operation(call, "VBD", vbd, "unplug"):
        await call.sleep(PLUG_SECONDS)
        _set_attached(call, "VBD", vbd, attached=False)
    _refresh_vbd(call, vbd)


@implements("VBD.unplug_force")
async def vbd_unplug_force(call: Call, vbd: str) -> None:
    """Detach the disk from the running VM, whether or not the guest lets go of it."""
    async with operation(call, "VBD", vbd, "unplug_force"):
        await call.sleep(PLUG_SECONDS)
        _set_attached(call, "VBD", vbd, attached=False)
    _refresh_vbd(call, vbd)


@implements("VBD.insert")
async def vbd_insert(call: Call, vbd: str, vdi: str) -> None:
    """Put a disc into an empty drive."""
    call.pool.tables.get("VDI", vdi)
    async with operation(call, "VBD", vbd, "insert"):
        call.pool.tables.change("VBD", vbd, VDI=vdi, empty=False)
    _refresh_vbd(call, vbd)


@implements("VBD.eject")
async def vbd_eject(call: Call, vbd: str) -> None:
    """Take the disc out of a drive."""
    async with operation(call, "VBD", vbd, "eject"):
        call.pool.tables.change("VBD", vbd, VDI=NULL, empty=True)
    _refresh_vbd(call, vbd)


@implements("VBD.assert_attachable")
def vbd_assert_attachable(call: Call, vbd: str) -> None:
    """Raise what keeps the disk from being attached."""
    refusal = refusal_of_vbd(call.pool.tables, vbd, "attach")
    if refusal is not None:
        raise refusal


@implements("VBD.set_mode")
def vbd_set_mode(call: Call, vbd: str, value: str) -> None:
    """Say whether the VM may write to the disk; only while its VM is off."""
    tables = call.pool.tables
    record = tables.get("VBD", vbd)
    if record["currently_attached"]:
        raise ApiError("OPERATION_NOT_ALLOWED", f"VBD '{record['uuid']}' is attached")
    tables.change("VBD", vbd, mode=value)
    refresh(tables, "VBD", vbd)


@implements("VM.get_allowed_VBD_devices")
def vm_get_allowed_vbd_devices(call: Call, vm: str) -> list[str]:
    """The device numbers that a new VBD of the VM may take."""
    tables = call.pool.tables
    return _free_numbers(_used(tables, tables.get("VM", vm), "VBD"), VBD_DEVICES_MAX)


# ---- VIF ----


@implements("VIF.create")
def vif_create(call: Call, args: Record) -> str:
    """Give a VM a network interface; a running VM sees it once it is plugged."""
    return make_vif(call, args, mac=args["MAC"])


@implements("VIF.destroy")
def vif_destroy(call: Call, vif: str) -> None:
    """Remove a network interface. Refused while it is attached to a running VM."""
    tables = call.pool.tables
    record = tables.get("VIF", vif)
    vm = tables.find("VM", record["VM"])
    if vm is not None and vm["power_state"] == RUNNING and record["currently_attached"]:
        raise ApiError("OPERATION_NOT_ALLOWED", "VIF currently attached to a running VM")
    tables.delete("VIF", vif)


@implements("VIF.plug")
async def vif_plug(call: Call, vif: str) -> None:
    """Attach the interface to the running VM. Raises VM_REQUIRES_NETWORK [vm, network]."""
    async with operation(call, "VIF", vif, "plug"):
        _require_network(call, vif, call.pool.tables.get("VIF", vif)["network"])
        await call.sleep(PLUG_SECONDS)
        _set_attached(call, "VIF", vif, attached=True)
    refresh(call.pool.tables, "VIF", vif)


@implements("VIF.unplug")
async def vif_unplug(call: Call, vif: str) -> None:
    """Detach the interface from the running VM."""
    async with operation(call, "VIF", vif, "unplug"):
        await call.sleep(PLUG_SECONDS)
        _set_attached(call, "VIF", vif, attached=False)
    refresh(call.pool.tables, "VIF", vif)


@implements("VIF.unplug_force")
async def vif_unplug_force(call: Call, vif: str) -> None:
    """Detach the interface from the running VM, whether or not the guest lets go of it."""
    async with operation(call, "VIF", vif, "unplug"):
        await call.sleep(PLUG_SECONDS)
        _set_attached(call, "VIF", vif, attached=False)
    refresh(call.pool.tables, "VIF", vif)


@implements("VIF.move")
async def vif_move(call: Call, vif: str, network: str) -> None:
    """Connect the interface to another network, also while its VM runs."""
    tables = call.pool.tables
    record = tables.get("VIF", vif)
    tables.get("network", network)
    if record["currently_attached"]:
        _require_network(call, vif, network)
    await call.sleep(PLUG_SECONDS)
    tables.change("VIF", vif, network=network)
    refresh(tables, "VIF", vif)


@implements("VM.get_allowed_VIF_devices")
def vm_get_allowed_vif_devices(call: Call, vm: str) -> list[str]:
    """The device numbers that a new VIF of the VM may take."""
    tables = call.pool.tables
    return _free_numbers(_used(tables, tables.get("VM", vm), "VIF"), VIF_DEVICES_MAX)


# ---- steps that other operations share ----


def make_vif(call: Call, values: Record, *, mac: str) -> str:
    """A new interface; an empty `mac` is worked out from the VM's seed.

    Raises INVALID_DEVICE, MAC_INVALID, DEVICE_ALREADY_EXISTS and HANDLE_INVALID.
    """
    tables = call.pool.tables
    vm = tables.get("VM", values["VM"])
    network = tables.get("network", values["network"])
    chosen = {name: values[name] for name in _VIF_SET if name in values}
    device = chosen["device"]
    if not device.isdigit():
        raise ApiError("INVALID_DEVICE", device)
    seed = vm["other_config"].get("mac_seed")
    made_up = mac == "" and seed is not None
    address = mac_from_seed(seed, int(device)) if made_up else mac
    if not _MAC.fullmatch(address):
        raise ApiError("MAC_INVALID", address)
    if device in _used(tables, vm, "VIF"):
        raise ApiError("DEVICE_ALREADY_EXISTS", device)
    if chosen.get("MTU", 0) <= 0:
        chosen["MTU"] = network["MTU"]
    vif = tables.create("VIF", {**chosen, "MAC": address, "MAC_autogenerated": made_up})
    refresh(tables, "VIF", vif)
    return vif


def mac_from_seed(seed: str, device: int) -> str:
    """The MAC address of a VM's n-th interface: digests of the seed, marked as locally administered."""
    digest = seed.encode()
    for _ in range(2 * device + 1):
        digest = md5(digest, usedforsecurity=False).digest()
    second = md5(digest, usedforsecurity=False).digest()
    octets = [(digest[0] & 0xFE) | 0x02, digest[1], digest[2], digest[3], second[1], second[2]]
    return ":".join(f"{octet:02x}" for octet in octets)


def _used(tables: Tables, vm: Record, class_name: str) -> set[str]:
    field = "userdevice" if class_name == "VBD" else "device"
    devices = (tables.find(class_name, ref) for ref in vm[f"{class_name}s"])
    return {device[field] for device in devices if device is not None}


def _free_numbers(used: set[str], most: int) -> list[str]:
    return [str(number) for number in range(most) if str(number) not in used]


def _free_device(tables: Tables, vm: Record, wanted: str) -> str:
    used = _used(tables, vm, "VBD")
    if wanted == "autodetect":
        free = _free_numbers(used, VBD_DEVICES_MAX)
        if not free:
            raise ApiError("INVALID_DEVICE", wanted)
        return free[0]
    if not _DISK_NAME.fullmatch(wanted):
        raise ApiError("INVALID_DEVICE", wanted)
    if wanted in used:
        raise ApiError("DEVICE_ALREADY_EXISTS", wanted)
    return wanted


def _set_attached(call: Call, class_name: str, ref: str, *, attached: bool) -> None:
    tables = call.pool.tables
    tables.change(class_name, ref, currently_attached=attached)
    if class_name == "VBD":
        named = device_name(tables.get("VBD", ref)["userdevice"]) if attached else ""
        tables.change("VBD", ref, device=named)


def _refresh_vbd(call: Call, vbd: str) -> None:
    refresh_with_devices(call.pool.tables, call.pool.tables.get("VBD", vbd)["VM"])


def _require_network(call: Call, vif: str, network: str) -> None:
    tables = call.pool.tables
    vm = tables.get("VIF", vif)["VM"]
    if not network_is_seen(tables, network, tables.get("VM", vm)["resident_on"]):
        raise ApiError("VM_REQUIRES_NETWORK", vm, network)
