"""Making, turning and deleting VM records: create, provision, set_is_a_template, destroy.

Much that a client would expect to be refused here is not: memory and VCPUs are looked at when the VM starts, and
destroying a VM leaves its disks and its snapshots behind. Sources: xapi's xapi_vm.ml, xapi_vm_helpers.ml,
xapi_templates.ml.

Effects: none
"""

from lxml import etree

from xenios.simulator.api_error import ApiError
from xenios.simulator.coerce import SET_BY_THE_CREATOR
from xenios.simulator.dispatch import Call, implements
from xenios.simulator.facts.datamodel import EPOCH, NULL, FieldType, Kind, Parameter, Record, load_datamodel
from xenios.simulator.verbs.current_operations import operation, refresh
from xenios.simulator.verbs.disks import make_disk
from xenios.simulator.verbs.domains import now_of
from xenios.simulator.verbs.lifecycle import is_default_template
from xenios.simulator.verbs.placement import memory_overhead_bytes

DISKS_KEY = "disks"
POSTINSTALL_KEY = "postinstall"
PROVISION_SECONDS = 0.2
DESTROY_SECONDS = 0.02

_SET_IS_A_TEMPLATE = (
    Parameter("self", FieldType(Kind.REF, "VM"), has_default=False),
    Parameter("value", FieldType(Kind.BOOL), has_default=False),
)
# What a creator may say and the server does not listen to.
_NOT_TAKEN = frozenset(
    {
        "blocked_operations",
        "protection_policy",
        "snapshot_schedule",
        "is_snapshot_from_vmpp",
        "is_vmss_snapshot",
        "ha_always_run",
        "memory_target",
    }
)


@implements("VM.create")
def vm_create(call: Call, args: Record) -> str:
    """Make a VM record. Nothing about memory or VCPUs is refused before the VM starts."""
    tables = call.pool.tables
    fields = load_datamodel().classes["VM"].fields
    taken = {name for name, field in fields.items() if field.qualifier in SET_BY_THE_CREATOR} - _NOT_TAKEN
    values = {name: value for name, value in args.items() if name in taken}
    if values["power_state"] != "Suspended":
        values.update(power_state="Halted", suspend_VDI=NULL, last_boot_CPU_flags={}, last_booted_record="")
    other_config = dict(values["other_config"])
    other_config.setdefault("mac_seed", call.pool.new_uuid())
    values["other_config"] = other_config
    values["domid"] = -1
    values["generation_id"] = values["generation_id"] or new_generation(call)
    values["metrics"] = tables.create("VM_metrics", {"start_time": EPOCH, "install_time": EPOCH})
    if values["domain_type"] == "unspecified":
        values["domain_type"] = "hvm" if values["HVM_boot_policy"] else "pv"
    vm = tables.create("VM", values)
    tables.change("VM", vm, memory_overhead=memory_overhead_bytes(tables.get("VM", vm)))
    refresh(tables, "VM", vm)
    return vm


@implements("VM.destroy")
async def vm_destroy(call: Call, vm: str) -> None:
    """Delete the VM's record with its devices. Its disks stay, and so do its snapshots.

    Raises VM_CANNOT_DELETE_DEFAULT_TEMPLATE for the templates that come with the product.
    """
    tables = call.pool.tables
    record = tables.get("VM", vm)
    if record["is_a_template"] and is_default_template(record):
        raise ApiError("VM_CANNOT_DELETE_DEFAULT_TEMPLATE")
    async with operation(call, "VM", vm, "destroy"):
        _require_unprotected(call, vm)
        await call.sleep(DESTROY_SECONDS)
        delete_vm(call, vm)


def _require_unprotected(call: Call, vm: str) -> None:
    """HA would start the VM again: raises VM_IS_PROTECTED [vm]."""
    record = call.pool.tables.get("VM", vm)
    guarded = record["ha_always_run"] and record["ha_restart_priority"] == "restart"
    if guarded and call.pool.tables.get("pool", call.pool.pool_ref())["ha_enabled"]:
        raise ApiError("VM_IS_PROTECTED", vm)


def delete_vm(call: Call, vm: str) -> None:
    """Delete a VM's record, its devices and metrics; its children hang from its parent then."""
    tables = call.pool.tables
    record = tables.get("VM", vm)
    for child in list(record["children"]):
        if tables.find("VM", child) is not None:
            tables.change("VM", child, parent=record["parent"])
    owned = [
        *(("VBD", ref) for ref in record["VBDs"]),
        *(("VIF", ref) for ref in record["VIFs"]),
        *(("VGPU", ref) for ref in record["VGPUs"]),
        *(("console", ref) for ref in record["consoles"]),
        ("VM_metrics", record["metrics"]),
        ("VM_guest_metrics", record["guest_metrics"]),
    ]
    disks = {vbd["VDI"] for ref in record["VBDs"] if (vbd := tables.find("VBD", ref)) is not None}
    for class_name, ref in owned:
        if tables.find(class_name, ref) is not None:
            tables.delete(class_name, ref)
    tables.delete("VM", vm)
    for vdi in sorted(disks):
        refresh(tables, "VDI", vdi)


# The data model has it as the setter of a field, and not as the operation that it is.
@implements("VM.set_is_a_template", params=_SET_IS_A_TEMPLATE)
async def vm_set_is_a_template(call: Call, vm: str, value: bool) -> None:
    """Turn a VM into a template, or back.

    Into one, it loses its metrics for good, so that its next start is reported as failed although it runs. Back, no
    check is made and `allowed_operations` stays as it was.
    """
    tables = call.pool.tables
    if not value:
        set_no_template(call, vm)
        return
    async with operation(call, "VM", vm, "make_into_template"):
        _require_unprotected(call, vm)
        metrics = tables.get("VM", vm)["metrics"]
        if tables.find("VM_metrics", metrics) is not None:
            tables.delete("VM_metrics", metrics)
        tables.change("VM", vm, is_a_template=True, metrics=NULL)


def set_no_template(call: Call, vm: str) -> None:
    """Make a VM of a template. This counts as its installation."""
    tables = call.pool.tables
    metrics = tables.get("VM", vm)["metrics"]
    if tables.find("VM_metrics", metrics) is not None:
        tables.change("VM_metrics", metrics, install_time=now_of(call))
    tables.change("VM", vm, is_a_template=False)


@implements("VM.provision")
async def vm_provision(call: Call, vm: str) -> None:
    """Make a VM of a template, with the disks that its other_config describes.

    The template is none any more before its disks are looked at: when one of them cannot be made, what is left is a
    VM without disks. `allowed_operations` says afterwards what it said before, as was seen on a real pool.

    Raises UUID_INVALID [sr, uuid] for a repository that is not there.
    """
    tables = call.pool.tables
    before = list(tables.get("VM", vm)["allowed_operations"])
    try:
        async with operation(call, "VM", vm, "provision"):
            set_no_template(call, vm)
            await call.sleep(PROVISION_SECONDS)
            _make_disks(call, vm)
    finally:
        if tables.find("VM", vm) is not None:
            tables.change("VM", vm, allowed_operations=before)


def _make_disks(call: Call, vm: str) -> None:
    tables = call.pool.tables
    other_config = dict(tables.get("VM", vm)["other_config"])
    wanted = _disks_of(other_config.get(DISKS_KEY, ""))
    places = {disk["sr"]: _sr_by_uuid(call, disk["sr"]) for disk in wanted}
    for disk in wanted:
        vdi = make_disk(
            call,
            {
                "name_label": disk["device"],
                "name_description": "Created by template provisioner",
                "SR": places[disk["sr"]],
                "virtual_size": int(disk["size"]),
                "type": disk["type"],
            },
        )
        vbd = tables.create(
            "VBD",
            {
                "VM": vm,
                "VDI": vdi,
                "userdevice": disk["device"],
                "bootable": disk["bootable"] == "true",
                "mode": "RW",
                "type": "Disk",
                "other_config": {"owner": ""},
            },
        )
        refresh(tables, "VBD", vbd)
    other_config.pop(DISKS_KEY, None)
    other_config.pop(POSTINSTALL_KEY, None)
    tables.change("VM", vm, other_config=other_config)


def _disks_of(text: str) -> list[dict[str, str]]:
    if not text:
        return []
    try:
        root = etree.fromstring(text.encode(), etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        raise ApiError("INTERNAL_ERROR", f"Xapi_templates.Parse_failure({error})") from None
    defaults = {"device": "0", "size": "0", "sr": "", "bootable": "false", "type": "system"}
    return [defaults | {str(key): str(value) for key, value in disk.items()} for disk in root.iter("disk")]


def _sr_by_uuid(call: Call, uuid: str) -> str:
    for ref, record in call.pool.tables.rows("SR").items():
        if record["uuid"] == uuid:
            return ref
    raise ApiError("UUID_INVALID", "sr", uuid)


def new_generation(call: Call) -> str:
    """A fresh generation id: a copy must not look like the machine it was copied from."""
    return f"{call.pool.random.getrandbits(63)}:{call.pool.random.getrandbits(63)}"
