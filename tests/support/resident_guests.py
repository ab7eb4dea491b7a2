"""The guests that live on a populated host, one of every kind that a takeover may meet.

A list to read from top to bottom: what each guest is called, what makes it special, and the state its owner
left it in. `residents.py` makes it true on a host.

Effects: none
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import resident_xml as xml
from tests.support.guest_image import Command

UUIDS = uuid.UUID("2b0c5a54-0a8e-4c5b-9a5e-0b7a3b1d9f11")
BRIDGE = "br0"
POOL = "vms"
POOL_INACTIVE = "attic"
NETWORK_ISOLATED = "inner"
NETWORK_BRIDGED = "lan"
NETWORK_INACTIVE = "ovs-trunk"
MAC_TWICE = "52:54:00:aa:aa:aa"
VLAN = 42
SNAPSHOTS = ("before-upgrade", "after-upgrade")

REASONS = {"running": "booted", "shut off": "unknown", "paused": "user", "crashed": "panicked"}


@dataclass(frozen=True, slots=True)
class Resident:
    """One guest, as its owner left it. `state` and `reason` are virsh's words (`domstate --reason`)."""

    kind: str
    name: str
    uuid: str
    state: str
    reason: str
    persistent: bool
    autostart: bool
    managed_save: bool
    snapshots: tuple[str, ...]
    definition: str = field(repr=False)
    own_disk: Path | None = field(repr=False)
    first_command: Command = field(repr=False)


def java_name_uuid(name: str) -> str:
    """Java's `UUID.nameUUIDFromBytes(name)`, CloudStack's uuid for a guest: MD5, marked version 3."""
    return str(uuid.UUID(bytes=hashlib.md5(name.encode(), usedforsecurity=False).digest(), version=3))


def all_guests(images: Path, full: Path, serials: Path) -> list[Resident]:
    """Every guest: disks in `images`, or in `full`, which has no free block; their words in `serials`."""
    return [
        *_everyday(images, serials),
        *_storage(images, serials),
        *_troubled(images, full),
        *_managed(images),
        *_names(images),
    ]


def _guest(
    images: Path,
    kind: str,
    name: str,
    *,
    disk: str | None = None,
    devices: str = "",
    state: str = "shut off",
    reason: str = "",
    uuid_text: str = "",
    memory_mib: int = 16,
    metadata: str = "",
    before_devices: str = "",
    smbios: bool = False,
    persistent: bool = True,
    autostart: bool = False,
    managed_save: bool = False,
    snapshots: tuple[str, ...] = (),
    first_command: Command = Command.NONE,
) -> Resident:
    """A guest with a raw disk of its own named after its kind, unless `disk` says otherwise ("": none)."""
    identity = uuid_text or str(uuid.uuid5(UUIDS, kind))
    own_disk = images / f"{kind}.raw" if disk is None else None
    return Resident(
        kind=kind,
        name=name,
        uuid=identity,
        state=state,
        reason=reason or REASONS[state],
        persistent=persistent,
        autostart=autostart,
        managed_save=managed_save,
        snapshots=snapshots,
        definition=xml.render_domain(
            name,
            identity,
            (xml.render_file_disk(own_disk) if own_disk else disk or "") + devices,
            memory_mib=memory_mib,
            metadata=metadata,
            before_devices=before_devices,
            smbios=smbios,
        ),
        own_disk=own_disk,
        first_command=first_command,
    )


def _everyday(images: Path, serials: Path) -> list[Resident]:
    """Every power state, and every kind of NIC."""
    lan = xml.render_nic("bridge", BRIDGE, "52:54:00:00:00:01")
    inner = xml.render_nic("network", NETWORK_ISOLATED, "52:54:00:00:00:02")
    shared_lan = xml.render_nic("network", NETWORK_BRIDGED, "52:54:00:00:00:03")
    tag = f"<virtualport type='openvswitch'/><vlan><tag id='{VLAN}'/></vlan>"
    tagged = xml.render_nic("bridge", "ovsbr0", "52:54:00:00:00:04", extra=tag)
    group = xml.render_nic("network", NETWORK_INACTIVE, "52:54:00:00:00:05").replace(
        f'network="{NETWORK_INACTIVE}"', f'network="{NETWORK_INACTIVE}" portgroup="vlan-{VLAN}"'
    )
    old_nic = xml.render_nic("bridge", BRIDGE, "52:54:00:00:00:06", model="e1000")
    twin = xml.render_nic("bridge", BRIDGE, MAC_TWICE)
    return [
        _guest(images, "raw", "db-1", state="running", memory_mib=32),
        _guest(images, "shut-off", "archive"),
        _guest(images, "paused", "on-hold", state="paused"),
        _guest(images, "managed-saved", "napping", reason="saved", managed_save=True),
        _guest(images, "autostart", "dns", autostart=True),
        _guest(images, "transient", "passing-by", state="running", persistent=False),
        _guest(images, "bridge-nic", "on-bridge", state="running", devices=lan),
        _guest(images, "network-nic", "on-network", state="running", devices=inner + shared_lan),
        _guest(images, "vlan-nic", "on-vlan", devices=tagged + group),
        _guest(images, "same-mac-a", "twin-a", devices=twin),
        _guest(images, "same-mac-b", "twin-b", devices=twin),
        _guest(images, "agent", "with-agent", state="running", devices=xml.AGENT),
        _guest(
            images,
            "ordinary",
            "office-pc",
            state="running",
            disk=xml.render_file_disk(images / "ordinary-ide.raw", "hda"),
            devices=old_nic + xml.render_serial(serials / "ordinary.log") + xml.SCREEN,
        ),
    ]


def _storage(images: Path, serials: Path) -> list[Resident]:
    """Every way to have a disk."""
    sharing = xml.render_file_disk(images / "cluster.raw", "vdb", extra="<shareable/>")
    careless = xml.render_file_disk(images / "same.raw", "vdb")
    return [
        _guest(
            images,
            "chain",
            "web-1",
            state="running",
            disk=xml.render_file_disk(images / "web.qcow2", kind="qcow2"),
            devices=xml.render_serial(serials / "web.log"),
        ),
        _guest(
            images, "volume", "by-volume", state="running", disk=xml.render_volume_disk(POOL, "volume.qcow2")
        ),
        _guest(
            images,
            "snapshots",
            "build-box",
            disk=xml.render_file_disk(images / "snapshots.qcow2", kind="qcow2"),
            snapshots=SNAPSHOTS,
        ),
        _guest(
            images,
            "cdrom-full",
            "installing",
            state="running",
            devices=xml.render_cdrom(images / "install.iso"),
        ),
        _guest(images, "cdrom-empty", "installed", devices=xml.render_cdrom(None)),
        _guest(images, "no-disk", "diskless", disk=""),
        _guest(images, "shared-a", "careless-a", devices=careless),
        _guest(images, "shared-b", "careless-b", devices=careless),
        _guest(images, "shareable-a", "cluster-a", devices=sharing),
        _guest(images, "shareable-b", "cluster-b", devices=sharing),
    ]


def _troubled(images: Path, full: Path) -> list[Resident]:
    """Guests that something is wrong with, or that cannot leave their host."""
    return [
        _guest(images, "disk-missing", "lost-disk", disk=xml.render_file_disk(images / "lost.raw")),
        _guest(
            images,
            "backing-missing",
            "lost-base",
            disk=xml.render_file_disk(images / "gone-top.qcow2", kind="qcow2"),
        ),
        _guest(  # the pool has not looked since the base went away
            images,
            "backing-missing-unseen",
            "lost-base-unseen",
            disk=xml.render_file_disk(images / "gone-unseen-top.qcow2", kind="qcow2"),
        ),
        _guest(
            images,
            "io-error",
            "disk-full",
            state="paused",
            reason="I/O error",
            disk=xml.render_file_disk(full / "writes.raw", driver="error_policy='enospace'"),
        ),
        _guest(images, "crashed", "fell-over", state="crashed", first_command=Command.CRASH),
        _guest(images, "passthrough", "with-gpu", devices=xml.PASSTHROUGH),
    ]


def _managed(images: Path) -> list[Resident]:
    """Guests that carry the signs of another manager, or of what only looks like one."""
    nova_uuid = str(uuid.uuid5(UUIDS, "nova"))
    return [
        _guest(
            images,
            "nova",
            "instance-0000002a",
            state="running",
            metadata=xml.NOVA,
            before_devices=xml.NOVA_SYSINFO.format(uuid=nova_uuid),
            smbios=True,
        ),
        _guest(images, "ovirt", "ovirt-guest", state="running", metadata=xml.OVIRT),
        _guest(images, "libosinfo", "debian-desktop", metadata=xml.LIBOSINFO),
        _guest(images, "cloudstack", "i-2-3-VM", uuid_text=java_name_uuid("i-2-3-VM")),
        _guest(images, "cloudstack-name-only", "i-2-4-VM"),
    ]


def _names(images: Path) -> list[Resident]:
    """Names that break careless code. libvirt refuses equal names, slashes and line ends only."""
    title = "<title>&lt;script&gt;alert(1)&lt;/script&gt; \u202egnp.exe</title>"
    return [
        _guest(images, "case-upper", "Mail"),
        _guest(images, "case-lower", "mail"),
        _guest(images, "unicode", "café-服务器-Ω-🏠", state="running"),
        _guest(images, "markup", "<b>&\"'", before_devices=title),
        _guest(images, "spaces", "Windows 2019 (old)  copy"),
    ]
