"""What the records of a VM say once its domain is made, stopped, saved, or has moved to another host.

Operations differ in what they check and how long they take; what the database says afterwards is here, in one place
for all of them. Source: update_vm in xapi's xapi_xenops.ml, force_state_reset in xapi_vm_lifecycle.ml.

Effects: none
"""

from typing import Any

from xenios.simulator.api_error import ApiError
from xenios.simulator.dispatch import Call
from xenios.simulator.facts.datamodel import EPOCH, NULL, Record
from xenios.simulator.population.book import stamp
from xenios.simulator.verbs.current_operations import refresh, refresh_with_devices
from xenios.simulator.verbs.lifecycle import HALTED, PAUSED, RUNNING
from xenios.simulator.verbs.placement import domain_type_of

_DISK_LETTERS = "abcdefghijklmnop"


def now_of(call: Call) -> str:
    """The pool's time as XAPI writes it."""
    return stamp(call.pool.now())


def domain_made(call: Call, vm: str, host: str, *, paused: bool, booted: bool) -> None:
    """The VM is up on this host. `booted` is false when its memory was restored or moved there.

    Raises ApiError HANDLE_INVALID [VM_metrics, ref] when the VM has no metrics: it is up all the same.
    """
    tables = call.pool.tables
    record = tables.get("VM", vm)
    domid = call.pool.guests.next_domid(tables, host)
    changed: dict[str, Any] = {
        "resident_on": host,
        "scheduled_to_be_resident_on": NULL,
        "domid": domid,
        "domarch": "x64" if domain_type_of(record) == "pv" else "",
        "power_state": PAUSED if paused else RUNNING,
        "memory_target": record["memory_dynamic_min"],
    }
    if booted:
        vendor = tables.get("host", host)["cpu_info"].get("vendor", "")
        changed["last_boot_CPU_flags"] = {"vendor": vendor, "features": ""}
        # What others put into xenstore_data does not survive the start: the guest's own store is what is kept.
        kept = {key: value for key, value in record["xenstore_data"].items() if _from_guest(key)}
        changed["xenstore_data"] = kept
    tables.change("VM", vm, **changed)
    _attach_devices(call, record)
    _make_console(call, vm, record, host)
    _report_guest(call, vm)
    refresh_with_devices(tables, vm)
    _measure(call, record, booted=booted)


def domain_gone(call: Call, vm: str, state: str = HALTED) -> None:
    """The VM is off (or saved to disk, when `state` is Suspended): it is on no host and holds nothing there."""
    tables = call.pool.tables
    call.pool.guests.remember(tables, vm)
    record = tables.get("VM", vm)
    for vbd in record["VBDs"]:
        values = {"currently_attached": False, "current_operations": {}}
        tables.change("VBD", vbd, **values, **({"device": ""} if state == HALTED else {}))
    for vif in record["VIFs"]:
        tables.change("VIF", vif, currently_attached=False, current_operations={})
    _remove_consoles(call, record)
    changed: dict[str, Any] = {
        "power_state": state,
        "resident_on": NULL,
        "scheduled_to_be_resident_on": NULL,
        "domid": -1,
        "domarch": "",
    }
    if state == HALTED:
        changed["requires_reboot"] = False
        changed["memory_target"] = 0
        changed["guest_metrics"] = NULL
        if tables.find("VM_guest_metrics", record["guest_metrics"]) is not None:
            tables.delete("VM_guest_metrics", record["guest_metrics"])
        _measure_nothing(call, record)
    tables.change("VM", vm, **changed)
    refresh_with_devices(tables, vm)


def domain_moved(call: Call, vm: str, host: str) -> None:
    """The running VM is on this host now, under another number; nothing else about it changed."""
    tables = call.pool.tables
    record = tables.get("VM", vm)
    domid = call.pool.guests.next_domid(tables, host)
    _remove_consoles(call, record)
    tables.change("VM", vm, resident_on=host, scheduled_to_be_resident_on=NULL, domid=domid)
    _make_console(call, vm, record, host)
    refresh(tables, "VM", vm)


def domain_rebooted(call: Call, vm: str) -> None:
    """The VM has been started afresh where it was, as another domain."""
    tables = call.pool.tables
    record = tables.get("VM", vm)
    host = record["resident_on"]
    call.pool.guests.remember(tables, vm)
    _remove_consoles(call, record)
    domain_made(call, vm, host, paused=False, booted=True)


def _from_guest(key: str) -> bool:
    return key == "vm-data" or key.startswith(("vm-data/", "FIST/"))


def device_name(userdevice: str) -> str:
    """What the guest calls a disk: `xvda` for `0`; a name that is no number stays as it is."""
    if userdevice.isdigit() and int(userdevice) < len(_DISK_LETTERS):
        return f"xvd{_DISK_LETTERS[int(userdevice)]}"
    return userdevice


def _attach_devices(call: Call, record: Record) -> None:
    tables = call.pool.tables
    for ref in record["VBDs"]:
        vbd = tables.get("VBD", ref)
        tables.change("VBD", ref, currently_attached=True, device=device_name(vbd["userdevice"]))
    for ref in record["VIFs"]:
        tables.change("VIF", ref, currently_attached=True)


def _make_console(call: Call, vm: str, record: Record, host: str) -> None:
    tables = call.pool.tables
    protocol = "vt100" if domain_type_of(record) == "pv" else "rfb"
    uuid = call.pool.new_uuid()
    address = tables.get("host", host)["address"]
    shown = f"[{address}]" if ":" in address else address
    location = f"https://{shown}/console?uuid={uuid}"
    tables.create("console", {"uuid": uuid, "protocol": protocol, "location": location, "VM": vm})


def _remove_consoles(call: Call, record: Record) -> None:
    for console in record["consoles"]:
        if call.pool.tables.find("console", console) is not None:
            call.pool.tables.delete("console", console)


def _report_guest(call: Call, vm: str) -> None:
    """The guest's tools report in. A VM that was only saved or moved has kept its report."""
    tables = call.pool.tables
    reported = call.pool.guests.reported(tables, vm)
    known = tables.find("VM_guest_metrics", tables.get("VM", vm)["guest_metrics"])
    if reported is None or known is not None:
        return
    values = {**reported, "live": True, "last_updated": now_of(call)}
    tables.change("VM", vm, guest_metrics=tables.create("VM_guest_metrics", values))


def _measure(call: Call, record: Record, *, booted: bool) -> None:
    tables = call.pool.tables
    if tables.find("VM_metrics", record["metrics"]) is None:
        raise ApiError("HANDLE_INVALID", "VM_metrics", record["metrics"])
    kind = domain_type_of(record)
    changed: dict[str, Any] = {
        "VCPUs_number": record["VCPUs_at_startup"],
        "memory_actual": record["memory_dynamic_min"],
        "current_domain_type": kind,
        "hvm": kind == "hvm",
        "last_updated": now_of(call),
    }
    if booted:
        changed["start_time"] = now_of(call)
    tables.change("VM_metrics", record["metrics"], **changed)


def _measure_nothing(call: Call, record: Record) -> None:
    if call.pool.tables.find("VM_metrics", record["metrics"]) is not None:
        call.pool.tables.change(
            "VM_metrics",
            record["metrics"],
            VCPUs_number=0,
            memory_actual=0,
            current_domain_type="unspecified",
            hvm=False,
            start_time=EPOCH,
            last_updated=now_of(call),
        )
