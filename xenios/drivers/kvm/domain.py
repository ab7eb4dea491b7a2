"""Turns a domain's XML and its statistics into a Vm. Pure: it is tested on recorded XML, and asks nobody.

The format is libvirt's domain XML (https://libvirt.org/formatdomain.html) and the typed parameters of
virConnectGetAllDomainStats. What is absent there stays None here.

Effects: none
"""

import posixpath
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from xenios.model.inventory import (
    Answer,
    Disk,
    DiskKind,
    Guest,
    Memory,
    Nic,
    PowerState,
    Presence,
    Sharing,
    Snapshot,
    Storage,
    ToolsState,
    Vm,
    VmKind,
)
from xenios.model.mark import CHARACTERS_MAX, ELEMENT_ON_LIBVIRT, NAMESPACE_ON_LIBVIRT

Devices = defaultdict[str, list[ET.Element]]

KIB = 1024
MIB = 1024 * 1024
_XENS_DOMAIN_0 = "00000000-0000-0000-0000-000000000000"

QEMU_OVERHEAD_BYTES = 48 * MIB
"""What a QEMU process needs beside its guest's memory: 42–47 MiB resident measured for a small guest with VNC."""

_UNITS = {
    "": KIB, "k": KIB, "KiB": KIB, "M": MIB, "MiB": MIB, "G": 1024 * MIB, "GiB": 1024 * MIB,
    "T": 1024 * 1024 * MIB, "TiB": 1024 * 1024 * MIB, "b": 1, "bytes": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3,
    "TB": 1000**4,
}  # fmt: skip

_POWER_STATES = {
    1: PowerState.RUNNING,
    2: PowerState.RUNNING,  # "blocked": waiting for something, but it runs
    3: PowerState.PAUSED,
    4: PowerState.SHUTTING_DOWN,
    5: PowerState.HALTED,
    6: PowerState.CRASHED,
    7: PowerState.ASLEEP,
}
_NO_STATE, _PAUSED, _SHUT_OFF, _IO_ERROR = 0, 3, 5, 5
_PAUSED_FOR_WORK = frozenset({2, 3, 4, 8, 9, 11, 12})
"""Pauses that libvirt itself ends when its work is done: migration, save, dump, shutdown, snapshot, start."""
_REASONS = {
    3: ("", "by a person", "migration", "being saved", "being dumped", "I/O error", "watchdog", "from a snapshot",
        "shutting down", "taking a snapshot", "crashed", "starting up", "post-copy", "post-copy failed", "API error"),
    5: ("", "shut down", "destroyed", "crashed", "migrated away", "saved", "failed to start", "from a snapshot",
        "daemon lost it"),
    6: ("", "guest panicked"),
}  # fmt: skip
"""virDomainPausedReason, virDomainShutoffReason and virDomainCrashedReason, in their order."""

_HARMLESS_XML_LIMIT_CHARACTERS = 8 * MIB
_ANNOTATION_CHARACTERS_MAX = 200


class UnreadableDefinition(Exception):
    """The XML of a domain, pool or network is not what libvirt writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFigures:
    """What is known of the bytes behind one disk. None: not told."""

    size_bytes: int | None = None
    used_bytes: int | None = None
    format: str = ""
    presence: Presence = Presence.UNKNOWN
    backing: tuple[str, ...] = ()
    backing_presence: Presence = Presence.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainExtras:
    """What libvirt keeps outside the XML, and what one must ask for separately."""

    autostart: Answer = Answer.UNKNOWN
    persistent: Answer = Answer.UNKNOWN
    managed_save: Answer = Answer.NO


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a domain's XML refers to."""

    host_uuid: str
    storages: tuple[Storage, ...] = ()
    pool_paths: Mapping[str, str]
    """Target path of each storage pool, by its name."""
    network_uuids: Mapping[str, str]
    """By name."""
    network_bridges: Mapping[str, str]
    network_vlans: Mapping[str, int | None]
    portgroup_vlans: Mapping[tuple[str, str], int | None] = field(default_factory=dict)
    """By network and portgroup; a NIC that names no portgroup is in the one named ""."""
    addresses: Mapping[str, tuple[str, ...]]
    """By MAC address in lower case."""
    complete: bool = False
    """Whether every network and storage pool was read, so that a reference to another one leads nowhere."""


def parse(xml: str) -> ET.Element:
    """Parses XML from libvirt. Raises UnreadableDefinition; a DOCTYPE, which libvirt never writes, is refused."""
    if len(xml) > _HARMLESS_XML_LIMIT_CHARACTERS:
        raise UnreadableDefinition(
            f"the definition is longer than {_HARMLESS_XML_LIMIT_CHARACTERS} characters"
        )
    if "<!DOCTYPE" in xml:
        raise UnreadableDefinition("the definition has a DOCTYPE, which may hide an entity bomb")
    try:
        return ET.fromstring(xml)  # noqa: S314 - a DOCTYPE, the door of every such attack, is refused above
    except ET.ParseError as error:
        raise UnreadableDefinition(f"the definition is not well-formed XML: {error}") from error


def power_state_of(state: int, managed_save: Answer) -> PowerState:
    """Our word for a virDomainState; a state that this version does not know is UNKNOWN."""
    if state == _SHUT_OFF and managed_save is not Answer.NO:
        # Off with saved memory is suspended; off, and nobody knows whether memory is saved, is not halted.
        return PowerState.SUSPENDED if managed_save is Answer.YES else PowerState.UNKNOWN
    return _POWER_STATES.get(state, PowerState.UNKNOWN)


def reason_of(state: int, reason: int) -> str:
    """libvirt's reason for a state in words, empty where it says nothing of use."""
    words = _REASONS.get(state, ())
    return words[reason] if 0 <= reason < len(words) else ""


def vm_without_definition(
    uuid: str, name: str, stats: Mapping[str, Any], extras: DomainExtras, host_uuid: str
) -> Vm:
    """A domain that is there, but whose definition could not be read."""
    state, reason = _state_of(stats)
    return Vm(
        uuid=uuid,
        name=name,
        power_state=power_state_of(state, extras.managed_save),
        power_reason=reason_of(state, reason),
        power_recognised=state in _POWER_STATES or state <= _NO_STATE,
        host_uuid=host_uuid,
        memory=Memory(bytes_max=None),
        autostart=extras.autostart,
        persistent=extras.persistent,
        definition_read=False,
    )


def vm_from_xml(xml: str, stats: Mapping[str, Any], extras: DomainExtras, around: Surroundings) -> Vm:
    """The VM that a domain's XML and its state (`state.*` of its statistics) describe, without costly figures.

    Raises UnreadableDefinition when the XML is not a domain's.
    """
    root = parse(xml)
    if root.tag != "domain":
        raise UnreadableDefinition(f"the definition begins with <{root.tag[:40]}> instead of <domain>")
    devices = _devices(root)
    state, reason = _state_of(stats)
    vcpu = root.find("vcpu")
    vcpus_max = _int(vcpu.text) if vcpu is not None else None
    metadata = root.find("metadata")
    uuid = root.findtext("uuid", "")
    return Vm(
        uuid=uuid,
        name=root.findtext("name", ""),
        kind=VmKind.CONTROL_DOMAIN if uuid == _XENS_DOMAIN_0 else VmKind.MACHINE,
        power_state=power_state_of(state, extras.managed_save),
        power_reason=reason_of(state, reason),
        power_recognised=state in _POWER_STATES or state <= _NO_STATE,
        paused_on_io_error=state == _PAUSED and reason == _IO_ERROR,
        host_uuid=around.host_uuid,
        vcpus=_int(vcpu.get("current")) or vcpus_max if vcpu is not None else None,
        vcpus_max=vcpus_max,
        memory=_memory(root, devices),
        virtualisation=root.get("type", ""),
        disks=tuple(_disks(devices, around)),
        nics=tuple(_nics(devices, around)),
        passthrough=tuple(_passthrough(devices)),
        autostart=extras.autostart,
        persistent=extras.persistent,
        guest=_guest(devices, metadata, state),
        annotations=_annotations(root, metadata),
        mark=_mark(metadata),
        dangling=tuple(_dangling(devices, around)) if around.complete else (),
        busy=tuple(_work_on(devices, state, reason)),
    )


def with_figures(
    vm: Vm,
    stats: Mapping[str, Any],
    images: Mapping[str, ImageFigures],
    snapshots: tuple[Snapshot, ...],
    busy: tuple[str, ...] = (),
) -> Vm:
    """The VM with what had to be asked for separately: `balloon.*` and `block.*` statistics, and its images.

    `images` is keyed by `Disk.identity`. A figure that nobody told stays as it is.
    """
    live = _block_figures(stats)
    disks = tuple(_with_image(disk, live.get(disk.device), images.get(disk.identity)) for disk in vm.disks)
    return replace(
        vm,
        memory=_with_balloon(vm.memory, stats),
        disks=disks,
        snapshots=snapshots,
        busy=tuple(dict.fromkeys((*vm.busy, *busy))),
    )


def _state_of(stats: Mapping[str, Any]) -> tuple[int, int]:
    return int(stats.get("state.state", -1)), int(stats.get("state.reason", 0))


def _devices(root: ET.Element) -> Devices:
    """The domain's devices by tag: one pass over them instead of a search for each kind."""
    devices: Devices = defaultdict(list)
    listed = root.find("devices")
    for element in listed if listed is not None else ():
        devices[element.tag].append(element)
    return devices


def _memory(root: ET.Element, devices: Devices) -> Memory:
    bytes_max = _bytes(root.find("memory"))
    current = _bytes(root.find("currentMemory"))
    overhead: int | None = None
    if root.get("type") in ("kvm", "qemu"):
        videos = [model for video in devices["video"] for model in video.iter("model")]
        overhead = QEMU_OVERHEAD_BYTES + sum((_int(model.get("vram")) or 0) * KIB for model in videos)
    return Memory(
        bytes_max=bytes_max,
        bytes_actual=current if current is not None else bytes_max,
        bytes_overhead=overhead,
        overhead_source="" if overhead is None else "estimated for a QEMU process",
    )


def _with_balloon(memory: Memory, stats: Mapping[str, Any]) -> Memory:
    resident = _kib(stats.get("balloon.rss"))
    balloon = _kib(stats.get("balloon.current"))
    actual = balloon if balloon is not None else memory.bytes_actual
    overhead, source = memory.bytes_overhead, memory.overhead_source
    if resident is not None and actual is not None and overhead is not None and resident - actual > overhead:
        overhead, source = resident - actual, "measured: resident memory of its process less the guest's"
    return replace(
        memory, bytes_actual=actual, bytes_resident=resident, bytes_overhead=overhead, overhead_source=source
    )


def _disks(devices: Devices, around: Surroundings) -> Iterator[Disk]:
    for element in devices["disk"]:
        target, driver, source = element.find("target"), element.find("driver"), element.find("source")
        identity, where = (
            ("", "") if source is None else _location(element.get("type", ""), source, around.pool_paths)
        )
        storage = _storage_of(source, where, around.storages) if identity else None
        yield Disk(
            device=target.get("dev", "") if target is not None else "",
            kind=_DISK_KINDS.get(element.get("device", "disk"), DiskKind.DISK),
            where=where,
            identity=identity,
            format=driver.get("type", "") if driver is not None and identity else "",
            storage_uuid=storage.uuid if storage is not None else None,
            sharing=_disk_sharing(element, storage),
            shareable=element.find("shareable") is not None,
            read_only=element.find("readonly") is not None,
            backing=tuple(_backing_chain(element)),
        )


def _with_image(disk: Disk, live: ImageFigures | None, image: ImageFigures | None) -> Disk:
    """What a running QEMU says of its disk goes before what the file looks like from outside."""
    if live is None and image is None:
        return disk
    image = image or ImageFigures()
    live = live or ImageFigures()
    ends_in_a_gap = image.backing_presence is Presence.MISSING
    return replace(
        disk,
        size_bytes=live.size_bytes if live.size_bytes is not None else image.size_bytes,
        used_bytes=live.used_bytes if live.used_bytes is not None else image.used_bytes,
        format=disk.format or image.format,
        presence=image.presence,
        backing=image.backing if ends_in_a_gap else disk.backing or image.backing,
        backing_presence=image.backing_presence,
    )


def _block_figures(stats: Mapping[str, Any]) -> dict[str, ImageFigures]:
    """What libvirt tells of disks in bulk, by device.

    The bytes that an image occupies are told by a running QEMU as "physical" ("allocation" is how far it ever wrote);
    of a guest that is off libvirt looks at the file, and tells them as "allocation" (seen with libvirt 9.0).
    """
    occupied = "allocation" if _state_of(stats)[0] == _SHUT_OFF else "physical"
    figures = {}
    for number in range(int(stats.get("block.count", 0))):
        name = stats.get(f"block.{number}.name")
        if name is not None and f"block.{number}.capacity" in stats:
            used = stats.get(f"block.{number}.{occupied}")
            figures[str(name)] = ImageFigures(
                size_bytes=int(stats[f"block.{number}.capacity"]),
                used_bytes=int(used) if used is not None else None,
            )
    return figures


_DISK_KINDS = {
    "disk": DiskKind.DISK, "cdrom": DiskKind.CDROM, "floppy": DiskKind.FLOPPY, "lun": DiskKind.PASSTHROUGH,
}  # fmt: skip


def _location(kind: str, source: ET.Element, pool_paths: Mapping[str, str]) -> tuple[str, str]:
    """(identity, words) of what a disk's bytes are kept in; both empty when nothing is inserted."""
    if path := source.get("file") or source.get("dev") or source.get("dir"):
        path = posixpath.normpath(path)
        return f"path:{path}", path
    if kind == "volume" or source.get("volume"):
        pool, volume = source.get("pool", ""), source.get("volume", "")
        base = pool_paths.get(pool, "")
        if base.startswith("/"):
            path = posixpath.normpath(posixpath.join(base, volume))
            return f"path:{path}", path
        return f"volume:{pool}/{volume}", f"volume {pool}/{volume}"
    if protocol := source.get("protocol"):
        hosts = ",".join(
            f"{host.get('name') or host.get('socket') or ''}{':' + host.get('port', '') if host.get('port') else ''}"
            for host in source.iterfind("host")
        )
        where = f"{protocol}://{hosts}/{source.get('name', '').lstrip('/')}"
        return where, where
    return "", ""


def _backing_chain(disk: ET.Element) -> Iterator[str]:
    layer = disk.find("backingStore")
    while layer is not None:
        source = layer.find("source")
        if source is None:
            return
        identity, where = _location(layer.get("type", ""), source, {})
        if identity:
            yield where
        layer = layer.find("backingStore")


def _storage_of(source: ET.Element | None, where: str, storages: tuple[Storage, ...]) -> Storage | None:
    pool_name = source.get("pool") if source is not None else None
    best: Storage | None = None
    for storage in storages:
        if pool_name is not None and storage.name == pool_name:
            return storage
        inside = storage.where.startswith("/") and where.startswith(storage.where.rstrip("/") + "/")
        if inside and (best is None or len(storage.where) > len(best.where)):
            best = storage
    return best


def _disk_sharing(disk: ET.Element, storage: Storage | None) -> Sharing:
    if storage is not None:
        return storage.sharing
    return Sharing.SHARED if disk.get("type") == "network" else Sharing.UNKNOWN


def _nics(devices: Devices, around: Surroundings) -> Iterator[Nic]:
    for number, element in enumerate(devices["interface"]):
        mac_element = element.find("mac")
        mac = mac_element.get("address", "").lower() if mac_element is not None else ""
        source = element.find("source")
        target = element.find("target")
        network = source.get("network", "") if source is not None else ""
        bridge = source.get("bridge", "") if source is not None else ""
        device = source.get("dev", "") if source is not None else ""
        link = element.find("link")
        yield Nic(
            device=(target.get("dev", "") if target is not None else "") or str(number),
            mac=mac,
            network_uuid=around.network_uuids.get(network) if network else (f"bridge:{bridge}" if bridge else None),
            network_name=network or (bridge and f"bridge {bridge}") or (device and f"direct {device}")
            or element.get("type", ""),
            bridge=bridge or around.network_bridges.get(network, ""),
            vlan=_nic_vlan(element, source, around),
            addresses=around.addresses.get(mac, ()),
            connected=Answer.NO if link is not None and link.get("state") == "down" else Answer.YES,
        )  # fmt: skip


def _work_on(devices: Devices, state: int, reason: int) -> Iterator[str]:
    """What libvirt is doing with the guest, as far as its state and definition show."""
    if state == _PAUSED and reason in _PAUSED_FOR_WORK:
        yield reason_of(state, reason)
    for disk in devices["disk"]:
        if (mirror := disk.find("mirror")) is not None:
            yield f"block {mirror.get('job', 'copy')}"


def _dangling(devices: Devices, around: Surroundings) -> Iterator[str]:
    for element in (*devices["interface"], *devices["disk"]):
        source = element.find("source")
        network = source.get("network") if source is not None else None
        pool = source.get("pool") if source is not None else None
        if network is not None and network not in around.network_uuids:
            yield f"network {network} of a NIC"
        if pool is not None and pool not in around.pool_paths:
            yield f"storage pool {pool} of a disk"


def _nic_vlan(element: ET.Element, source: ET.Element | None, around: Surroundings) -> int | None:
    """The NIC's own VLAN, else that of its portgroup, else that of its network."""
    if element.find("vlan") is not None:
        return vlan_of(element)
    network = source.get("network", "") if source is not None else ""
    portgroup = source.get("portgroup", "") if source is not None else ""
    return around.portgroup_vlans.get((network, portgroup), around.network_vlans.get(network))


def vlan_of(element: ET.Element) -> int | None:
    """The VLAN of an interface or network, None for none or for a trunk of several."""
    tags = element.findall("vlan/tag")
    return _int(tags[0].get("id")) if len(tags) == 1 else None


def _passthrough(devices: Devices) -> Iterator[str]:
    for element in devices["hostdev"]:
        kind = element.get("type", element.get("mode", "device"))
        address = element.find("source/address")
        vendor, product = element.find("source/vendor"), element.find("source/product")
        if address is not None and kind == "pci":
            parts = [
                address.get(part, "0").removeprefix("0x") for part in ("domain", "bus", "slot", "function")
            ]
            yield f"PCI {parts[0].zfill(4)}:{parts[1].zfill(2)}:{parts[2].zfill(2)}.{parts[3]}"
        elif vendor is not None and product is not None:
            yield f"USB {vendor.get('id', '').removeprefix('0x')}:{product.get('id', '').removeprefix('0x')}"
        elif address is not None:
            yield f"{kind} {' '.join(address.attrib.values())}".strip()
        else:
            yield kind
    for element in devices["interface"]:
        if element.get("type") != "hostdev":
            continue
        mac = element.find("mac")
        yield f"network card {mac.get('address', '') if mac is not None else ''}".strip()


def _guest(devices: Devices, metadata: ET.Element | None, state: int) -> Guest:
    tools = ToolsState.UNKNOWN
    if _POWER_STATES.get(state) in (PowerState.RUNNING, PowerState.PAUSED):
        tools = ToolsState.ABSENT
        for channel in devices["channel"]:
            target = channel.find("target")
            if target is not None and target.get("name") == "org.qemu.guest_agent.0":
                tools = ToolsState.WORKING if target.get("state") == "connected" else ToolsState.ABSENT
    return Guest(os=_os_from(metadata), tools=tools)


def _os_from(metadata: ET.Element | None) -> str:
    if metadata is None:
        return ""
    for element in metadata.iter():
        if element.tag == "{http://libosinfo.org/xmlns/libvirt/domain/1.0}os":
            return " ".join(part for part in element.get("id", "").split("/")[3:] if part)
    return ""


def _annotations(root: ET.Element, metadata: ET.Element | None) -> dict[str, str]:
    """What other programs wrote on the domain: metadata by namespace, and the SMBIOS entries that name a product."""
    found: dict[str, str] = {}
    for element in metadata if metadata is not None else ():
        namespace = element.tag[1:].split("}")[0] if element.tag.startswith("{") else element.tag
        words = [element.tag.rpartition("}")[2], *(f"{key}={value}" for key, value in element.attrib.items())]
        words += [text for part in element.iter() if (text := (part.text or "").strip())]
        found[namespace] = " ".join(words)[:_ANNOTATION_CHARACTERS_MAX]
    sysinfo = root.find("sysinfo")
    for entry in sysinfo.iter("entry") if sysinfo is not None else ():
        if entry.get("name") in ("manufacturer", "product"):
            found[f"smbios:{entry.get('name')}"] = (entry.text or "")[:_ANNOTATION_CHARACTERS_MAX]
    for key in ("title", "description"):
        if about := root.findtext(key):
            found[key] = about[:_ANNOTATION_CHARACTERS_MAX]
    return found


def _mark(metadata: ET.Element | None) -> str:
    """The text under our own namespace. Several of them contradict each other, and together they are no mark."""
    name = f"{{{NAMESPACE_ON_LIBVIRT}}}{ELEMENT_ON_LIBVIRT}"
    texts = (
        [element.text or "(empty)" for element in metadata if element.tag == name]
        if metadata is not None
        else []
    )
    return "\n".join(texts)[: CHARACTERS_MAX + 1]


def _bytes(element: ET.Element | None) -> int | None:
    value = _int(element.text) if element is not None else None
    if element is None or value is None:
        return None
    unit = _UNITS.get(element.get("unit", ""))
    return value * unit if unit is not None else None


def _kib(value: Any) -> int | None:
    return int(value) * KIB if value is not None else None


def _int(text: str | None) -> int | None:
    try:
        return int(text) if text else None
    except ValueError:
        return None
