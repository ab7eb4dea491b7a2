"""What a copy of a VM takes along: snapshots and clones, with the forks of their disks.

A snapshot keeps MACs and marks and hangs in its VM's tree; a clone keeps marks and gets new MACs. Both carry
the other managers' keys of their source, which is why a key alone proves no ownership.

Effects: none
"""

from typing import Any

from xenios.simulator.facts.datamodel import NULL
from xenios.simulator.population.book import Book
from xenios.simulator.population.guests import OPERATIONS, Maker
from xenios.simulator.population.storage import THICK, add_disk

_SNAPSHOT_OPERATIONS = ("destroy", "metadata_export", "export", "revert", "copy", "clone")


def add_snapshot(maker: Maker, vm: str, label: str, days: float) -> str:
    """A snapshot of a VM: same MACs, own disks, child of the one taken before it."""
    book = maker.book
    source = book.get("VM", vm)
    taken = book.ago(days=days)
    copied = {key: _copied(value) for key, value in source.items() if key != "uuid"}
    snapshot = book.add("VM", **copied)
    book.get("VM", snapshot).update(
        name_label=label,
        allowed_operations=list(_SNAPSHOT_OPERATIONS),
        power_state="Halted",
        is_a_template=True,
        is_a_snapshot=True,
        snapshot_of=vm,
        snapshot_time=taken,
        resident_on=NULL,
        domid=-1,
        domarch="",
        guest_metrics=NULL,
        last_boot_CPU_flags={},
        blocked_operations={},
        suspend_VDI=NULL,
        memory_target=0,
        ha_always_run=False,
        bios_strings={},
        attached_PCIs=[],
        snapshot_info={
            "power-state-at-snapshot": source["power_state"],
            "disk-snapshot-type": "crash_consistent",
        },
        metrics=book.add("VM_metrics", install_time=taken),
    )
    source["parent"] = snapshot
    _copy_devices(maker, vm, snapshot, taken, as_snapshot=True)
    return snapshot


def add_clone(maker: Maker, vm: str, label: str) -> str:
    """A fast clone, halted: other_config and tags come along, the MACs are new."""
    book = maker.book
    source = book.get("VM", vm)
    made = book.ago(days=40)
    copied = {key: _copied(value) for key, value in source.items() if key != "uuid"}
    clone = book.add("VM", **copied)
    book.get("VM", clone).update(
        name_label=label,
        allowed_operations=list(OPERATIONS["Halted"]),
        power_state="Halted",
        resident_on=NULL,
        domid=-1,
        domarch="",
        guest_metrics=NULL,
        last_boot_CPU_flags={},
        blocked_operations={},
        memory_target=0,
        ha_always_run=False,
        parent=NULL,
        is_a_template=False,
        is_default_template=False,
        other_config={**source["other_config"], "mac_seed": book.uuid()},
        metrics=book.add("VM_metrics", install_time=made),
    )
    _copy_devices(maker, vm, clone, made, as_snapshot=False)
    return clone


def _copied(value: Any) -> Any:
    match value:
        case list():
            return list(value)
        case dict():
            return dict(value)
        case _:
            return value


def _copy_devices(maker: Maker, source: str, target: str, moment: str, *, as_snapshot: bool) -> None:
    book = maker.book
    for vbd in [book.get("VBD", ref) for ref in book.devices("VBD", source)]:
        vdi = vbd["VDI"]
        if vbd["type"] == "Disk" and vdi in book.records["VDI"]:
            vdi = _copy_disk(book, vdi, moment, as_snapshot=as_snapshot)
        copied = {key: _copied(value) for key, value in vbd.items() if key != "uuid"}
        copied.update(VM=target, VDI=vdi, currently_attached=False, device="", allowed_operations=["attach"])
        book.add("VBD", **copied)
    for vif in [book.get("VIF", ref) for ref in book.devices("VIF", source)]:
        copied = {key: _copied(value) for key, value in vif.items() if key != "uuid"}
        copied.update(VM=target, currently_attached=False, allowed_operations=["attach"])
        if not as_snapshot:
            copied["MAC"] = book.mac()
        book.add("VIF", **copied)


def _copy_disk(book: Book, vdi: str, moment: str, *, as_snapshot: bool) -> str:
    """Fork a disk as the storage does: what both share moves to an unmanaged base, the parent of the two."""
    source = book.get("VDI", vdi)
    base = add_disk(
        book,
        source["SR"],
        "base copy",
        source["virtual_size"],
        managed=False,
        read_only=True,
        physical_utilisation=source["physical_utilisation"],
        allowed_operations=[],
    )
    own = {"vdi_type": "vhd", "vhd-parent": book.get("VDI", base)["uuid"]}
    source["sm_config"] = dict(own)
    if book.get("SR", source["SR"])["type"] not in THICK:
        source["physical_utilisation"] = max(source["physical_utilisation"] // 8 // 4096 * 4096, 4096)
    values: dict[str, Any] = {
        "sm_config": dict(own),
        "type": source["type"],
        "physical_utilisation": 8 * 1024 * 1024,
    }
    if as_snapshot:
        values.update(is_a_snapshot=True, snapshot_of=vdi, snapshot_time=moment)
    return add_disk(book, source["SR"], source["name_label"], source["virtual_size"], **values)
