"""Which storage the simulated pool has, and the disks on it.

Three ways to hold a disk, as in most pools: thin on NFS, thick on iSCSI (LVM), and local to one host; besides
an ISO library, the tools image and the drives of the hosts. The iSCSI connection of the second host is
unplugged. Sizes of repositories are not invented: `settle_sizes` sums what lies on them.

Effects: none
"""

from dataclasses import dataclass, field
from typing import Any

from xenios.simulator.facts.datamodel import NULL
from xenios.simulator.population.book import Book
from xenios.simulator.population.hosts import HostPlace, Site
from xenios.simulator.population.units import GIB, MIB, TIB

_SR_OPERATIONS = (
    "unplug",
    "plug",
    "pbd_create",
    "update",
    "pbd_destroy",
    "vdi_resize",
    "vdi_clone",
    "scan",
    "vdi_snapshot",
    "vdi_create",
    "vdi_destroy",
)
_CAPABILITIES = (
    "SR_PROBE",
    "SR_UPDATE",
    "VDI_ACTIVATE",
    "VDI_ATTACH",
    "VDI_CLONE",
    "VDI_CREATE",
    "VDI_DEACTIVATE",
    "VDI_DELETE",
    "VDI_DETACH",
    "VDI_GENERATE_CONFIG",
    "VDI_RESIZE",
    "VDI_SNAPSHOT",
    "VDI_UPDATE",
)
THICK = frozenset({"lvmoiscsi", "lvm"})
"""Kinds of repository that set a disk's whole size aside."""

_DRIVERS = {
    "nfs": "NFS VHD",
    "lvmoiscsi": "LVHD over iSCSI",
    "lvm": "Local LVM",
    "ext": "Local EXT3 VHD",
    "iso": "ISO",
    "udev": "udev",
}
_ISOS = (
    ("debian-12.11.0-amd64-netinst.iso", 702),
    ("rocky-9.6-x86_64-minimal.iso", 2210),
    ("windows-server-2022-eval.iso", 4813),
    ("virtio-and-rescue-tools.iso", 377),
)


@dataclass(slots=True)
class Storage:
    """The repositories by use; `local` by host ref; `unplugged` is the host that cannot reach iSCSI."""

    nfs: str = NULL
    iscsi: str = NULL
    isos: list[str] = field(default_factory=list)
    local: dict[str, str] = field(default_factory=dict)
    unplugged: str = NULL

    def repository(self, kind: str, host: str) -> str:
        """The repository for a disk of this kind whose VM is at home on that host."""
        match kind:
            case "local":
                return self.local[host]
            case "iscsi" if host != self.unplugged:
                return self.iscsi
            case _:
                return self.nfs


def add_storage(book: Book, site: Site) -> Storage:
    """All repositories with their connections, and the images on the ISO ones."""
    for kind, label in _DRIVERS.items():
        book.add(
            "SM",
            name_label=label,
            name_description=f"SR plugin for {label}",
            type=kind,
            vendor="Citrix Systems Inc",
            copyright="(C) Citrix Systems Inc",
            version="1.0",
            required_api_version="1.0",
            capabilities=list(_CAPABILITIES),
            features=dict.fromkeys(_CAPABILITIES, 1),
            driver_filename=f"/opt/xensource/sm/{kind.upper()}SR",
        )
    storage = Storage()
    if len(site.hosts) > 1:
        storage.unplugged = site.hosts[1].ref
    storage.nfs = _shared(
        book,
        site,
        "nfs",
        "NFS VM storage",
        {"server": "10.21.0.250", "serverpath": "/export/vms", "nfsversion": "4.1"},
    )
    storage.iscsi = _shared(
        book,
        site,
        "lvmoiscsi",
        "iSCSI databases",
        {
            "target": "10.21.0.240",
            "targetIQN": "iqn.2024-03.net.example:array1.lun7",
            "SCSIid": "36001405f0a1b2c3d4e5f60718293a4b5",
            "port": "3260",
        },
        unplugged=storage.unplugged,
    )
    for index, place in enumerate(site.hosts):
        storage.local[place.ref] = _local(book, place, "ext" if index % 2 == 0 else "lvm")
        _drive(book, place, attached=len(site.hosts) > 1 or index > 0)
    _iso_library(book, site, storage)
    return storage


def _repository(book: Book, kind: str, label: str, **values: Any) -> str:
    settings: dict[str, Any] = {"content_type": "user", "allowed_operations": list(_SR_OPERATIONS), **values}
    return book.add("SR", name_label=label, type=kind, **settings)


def _shared(
    book: Book,
    site: Site,
    kind: str,
    label: str,
    device_config: dict[str, str],
    *,
    unplugged: str = NULL,
    **values: Any,
) -> str:
    sr = _repository(book, kind, label, shared=True, **values)
    for place in site.hosts:
        book.add(
            "PBD",
            host=place.ref,
            SR=sr,
            device_config=dict(device_config),
            currently_attached=place.ref != unplugged,
        )
    return sr


def _local(book: Book, place: HostPlace, kind: str) -> str:
    sr = _repository(
        book,
        kind,
        "Local storage",
        name_description=f"Local storage of {place.name}",
        other_config={"i18n-key": "local-storage", "i18n-original-value-name_label": "Local storage"},
        sm_config={"allocation": "thick", "use_vhd": "true", "devserial": ""}
        if kind == "lvm"
        else {"devserial": ""},
    )
    device = f"/dev/disk/by-id/nvme-eui.{book.random.getrandbits(64):016x}-part3"
    book.add("PBD", host=place.ref, SR=sr, device_config={"device": device}, currently_attached=True)
    record = book.get("host", place.ref)
    record["suspend_image_sr"] = sr
    return sr


def _drive(book: Book, place: HostPlace, *, attached: bool) -> None:
    sr = _repository(
        book,
        "udev",
        "DVD drives",
        name_description="Physical DVD drives",
        content_type="iso",
        sm_config={"type": "cd"},
        other_config={"i18n-key": "local-hotplug-cd"},
    )
    book.add(
        "PBD", host=place.ref, SR=sr, device_config={"location": "/dev/xapi/cd"}, currently_attached=attached
    )


def _iso_library(book: Book, site: Site, storage: Storage) -> None:
    location = {"location": "10.21.0.250:/export/iso", "type": "nfs_iso"}
    library = _shared(book, site, "iso", "ISO library", location, content_type="iso")
    tools = _shared(
        book,
        site,
        "iso",
        "XCP-ng Tools",
        {"location": "/opt/xensource/packages/iso", "legacy_mode": "true"},
        content_type="iso",
        is_tools_sr=True,
        other_config={"xenserver_tools_sr": "true", "xensource_internal": "true"},
    )
    for name, size_mib in _ISOS:
        storage.isos.append(add_iso(book, library, name, size_mib * MIB))
    add_iso(book, tools, "guest-tools.iso", 58 * MIB, is_tools_iso=True)


def add_iso(book: Book, sr: str, name: str, size_bytes: int, **values: Any) -> str:
    """An image that guests may have in their drive."""
    return book.add(
        "VDI",
        name_label=name,
        SR=sr,
        virtual_size=size_bytes,
        physical_utilisation=size_bytes,
        type="user",
        read_only=True,
        managed=True,
        location=name,
        **values,
    )


def add_disk(book: Book, sr: str, label: str, size_bytes: int, **values: Any) -> str:
    """A disk: thick repositories hold all of it, thin ones what the guest has written."""
    settings: dict[str, Any] = {
        "type": "user",
        "managed": True,
        "sm_config": {"vdi_type": "vhd"},
        "allowed_operations": ["snapshot", "clone", "copy", "resize", "destroy", "update", "generate_config"],
        "physical_utilisation": used_bytes(book, sr, size_bytes),
        **values,
    }
    ref = book.add("VDI", name_label=label, SR=sr, virtual_size=size_bytes, **settings)
    record = book.get("VDI", ref)
    record["location"] = record["uuid"]
    return ref


def used_bytes(book: Book, sr: str, size_bytes: int) -> int:
    """What a disk of this size takes on this repository."""
    share = book.random.uniform(0.18, 0.85)
    if book.get("SR", sr)["type"] in THICK:
        extents = size_bytes // (4 * MIB) + size_bytes // (2 * GIB) + 1
        return extents * 4 * MIB
    return int(size_bytes * share) // 4096 * 4096 + 2 * MIB


def settle_sizes(book: Book) -> None:
    """Sum what lies on each repository, and give each the size one would have bought for it."""
    allocation = dict.fromkeys(book.records["SR"], 0)
    used = dict.fromkeys(book.records["SR"], 0)
    for vdi in book.records["VDI"].values():
        used[vdi["SR"]] += vdi["physical_utilisation"]
        if vdi["managed"]:
            allocation[vdi["SR"]] += vdi["virtual_size"]
    for ref, sr in book.records["SR"].items():
        sr["virtual_allocation"] = allocation[ref]
        sr["physical_utilisation"] = used[ref]
        match sr["type"], sr["content_type"]:
            case "udev", _:
                sr["physical_size"] = 0
            case _, "iso":
                sr["physical_size"] = used[ref] if sr["is_tools_sr"] else -1
            case _:
                sr["physical_size"] = _bought_bytes(used[ref], shared=sr["shared"])


def _bought_bytes(needed: int, *, shared: bool) -> int:
    size = 2 * TIB if shared else 480 * GIB
    while size * 0.8 < needed:
        size *= 2
    return size
