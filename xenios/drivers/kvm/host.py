"""Turns libvirt's host, storage pool and network answers into Host, Storage and Network. Pure.

Formats: https://libvirt.org/formatcaps.html, formatstorage.html and formatnetwork.html.

Effects: none
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from xenios.drivers.kvm.domain import KIB, MIB, ImageFigures, parse, vlan_of
from xenios.model.inventory import (
    Answer,
    Capability,
    CapabilityAnswer,
    Cpu,
    Host,
    HypervisorKind,
    Network,
    Presence,
    Sharing,
    Storage,
    Vm,
)

_KINDS = {"qemu": HypervisorKind.KVM, "test": HypervisorKind.TEST}

_PRODUCTS = {HypervisorKind.KVM: "QEMU/KVM", HypervisorKind.TEST: "libvirt test driver"}

_SHARING = {
    "netfs": Sharing.SHARED, "iscsi": Sharing.SHARED, "iscsi-direct": Sharing.SHARED, "rbd": Sharing.SHARED,
    "gluster": Sharing.SHARED, "sheepdog": Sharing.SHARED, "mpath": Sharing.UNKNOWN, "scsi": Sharing.UNKNOWN,
    "dir": Sharing.UNKNOWN, "fs": Sharing.LOCAL, "logical": Sharing.LOCAL, "disk": Sharing.LOCAL, "zfs": Sharing.LOCAL,
}  # fmt: skip
"""A directory may be a mounted network file system and a SCSI disk may come from a SAN; libvirt does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeHost:
    """libvirt's answers about the host; None or empty: it did not give one."""

    hostname: str = ""
    driver: str = ""
    hypervisor_version: int | None = None
    library_version: int | None = None
    node_info: tuple[Any, ...] | None = None
    memory_stats_kib: Mapping[str, int] = field(default_factory=dict)
    free_memory_bytes: int | None = None
    capabilities_xml: str = ""


def kind_of(driver: str) -> HypervisorKind:
    """The family behind libvirt's driver name (`virConnectGetType`)."""
    return _KINDS.get(driver.lower(), HypervisorKind.OTHER)


def version_text(version: int | None) -> str:
    """libvirt's packed version (1,000,000 × major + 1,000 × minor + release) as text."""
    if not version:
        return ""
    return f"{version // 1_000_000}.{version // 1_000 % 1_000}.{version % 1_000}"


def host_uuid_of(native: NativeHost) -> str:
    """The host's uuid. A host without one (the test driver, or no DMI and no setting) goes by its name."""
    uuid = parse(native.capabilities_xml).findtext("host/uuid", "") if native.capabilities_xml else ""
    return uuid or f"host:{native.hostname}"


def host_from(native: NativeHost, residents: Iterable[Vm]) -> Host:
    """The host. Memory total comes from the kernel's own count where libvirt passes it on (`memory_stats_kib`)."""
    total_kib = native.memory_stats_kib.get("total")
    node_memory_mib = native.node_info[1] if native.node_info else None
    total = total_kib * KIB if total_kib else (node_memory_mib * MIB if node_memory_mib else None)
    free, source = _free_memory(native)
    return Host(
        uuid=host_uuid_of(native),
        name=native.hostname,
        product=_PRODUCTS.get(kind_of(native.driver), native.driver),
        version=version_text(native.hypervisor_version),
        cpu=_cpu(native),
        memory_bytes_total=total,
        memory_bytes_free=free,
        memory_free_source=source,
        memory_bytes_overhead=_overhead(total, free, residents),
        live=Answer.YES,
        enabled=Answer.YES,
        capabilities=tuple(_host_capabilities(native)),
    )


def storage_from(xml: str, active: bool, host_uuid: str) -> Storage:
    """A storage pool. Raises UnreadableDefinition."""
    root = parse(xml)
    kind = root.get("type", "")
    return Storage(
        uuid=root.findtext("uuid", ""),
        name=root.findtext("name", ""),
        type=kind,
        sharing=_SHARING.get(kind, Sharing.UNKNOWN),
        where=root.findtext("target/path", "") or _storage_source(root),
        size_bytes=_number(root.findtext("capacity")) if active else None,
        used_bytes=_number(root.findtext("allocation")) if active else None,
        active=Answer.YES if active else Answer.NO,
        host_uuids=(host_uuid,) if active else (),
        detached_host_uuids=() if active else (host_uuid,),
    )


def network_from(xml: str, active: bool) -> Network:
    """A libvirt network. Raises UnreadableDefinition."""
    root = parse(xml)
    bridge, forward, mtu = root.find("bridge"), root.find("forward"), root.find("mtu")
    return Network(
        uuid=root.findtext("uuid", ""),
        name=root.findtext("name", ""),
        bridge=bridge.get("name", "") if bridge is not None else "",
        vlan=vlan_of(root),
        type=forward.get("mode", "nat") if forward is not None else "isolated",
        mtu=_number(mtu.get("size")) if mtu is not None else None,
        active=Answer.YES if active else Answer.NO,
    )


def portgroup_vlans_from(xml: str) -> dict[tuple[str, str], int | None]:
    """VLANs that a network gives its NICs, by network and portgroup ("": the default). Raises UnreadableDefinition."""
    root = parse(xml)
    name = root.findtext("name", "")
    vlans: dict[tuple[str, str], int | None] = {}
    for group in root.iterfind("portgroup"):
        vlan = vlan_of(group if group.find("vlan") is not None else root)
        vlans[name, group.get("name", "")] = vlan
        if group.get("default") == "yes":
            vlans[name, ""] = vlan
    return vlans


def bridges_in_use(vms: Iterable[Vm]) -> list[Network]:
    """The host's bridges that NICs are plugged into directly; libvirt has no network object for them."""
    names = {nic.bridge for vm in vms for nic in vm.nics if (nic.network_uuid or "").startswith("bridge:")}
    return [
        Network(uuid=f"bridge:{name}", name=name, bridge=name, type="host bridge", active=Answer.UNKNOWN)
        for name in sorted(names)
    ]


def image_from_volume(xml: str) -> ImageFigures:
    """What a storage volume's XML tells of an image. Raises UnreadableDefinition.

    libvirt looks at the image below an overlay when it refreshes a pool, and gives that image's times only when it was
    there: a base on a local path without them is missing (seen with libvirt 9.0; the format's page does not say so).
    """
    root = parse(xml)
    form, backing = root.find("target/format"), root.find("backingStore")
    base = backing.findtext("path", "") if backing is not None else ""
    base_presence = Presence.UNKNOWN
    if backing is not None and base.startswith("/"):
        base_presence = Presence.MISSING if backing.find("timestamps") is None else Presence.THERE
    return ImageFigures(
        size_bytes=_number(root.findtext("capacity")),
        used_bytes=_number(root.findtext("allocation")),
        format=form.get("type", "") if form is not None else "",
        presence=Presence.THERE,
        backing=(base,) if base else (),
        backing_presence=base_presence,
    )


def _free_memory(native: NativeHost) -> tuple[int | None, str]:
    stats = native.memory_stats_kib
    if "free" in stats:
        free_kib = stats["free"] + stats.get("buffers", 0) + stats.get("cached", 0)
        return free_kib * KIB, "free, buffers and cache as the host's kernel counts them"
    if native.free_memory_bytes is not None:
        return native.free_memory_bytes, "free memory without caches, as libvirt counts it"
    return None, ""


def _overhead(total: int | None, free: int | None, residents: Iterable[Vm]) -> int | None:
    """What the host uses besides its guests: total − free − what each guest's process really occupies."""
    if total is None or free is None:
        return None
    used = total - free
    for vm in residents:
        if vm.holds_memory:
            if vm.memory.bytes_resident is None:
                return None
            used -= vm.memory.bytes_resident
    return max(0, used)


def _cpu(native: NativeHost) -> Cpu:
    model = vendor = ""
    if native.capabilities_xml:
        root = parse(native.capabilities_xml)
        model, vendor = root.findtext("host/cpu/model", ""), root.findtext("host/cpu/vendor", "")
    if not native.node_info:
        return Cpu(count=None, model=model, vendor=vendor)
    _, _, count, mhz, _, sockets, cores, threads = native.node_info
    return Cpu(
        count=count,
        sockets=sockets or None,
        cores_per_socket=cores or None,
        threads_per_core=threads or None,
        model=model,
        vendor=vendor,
        mhz=mhz or None,
    )


def _host_capabilities(native: NativeHost) -> Iterable[CapabilityAnswer]:
    if not native.capabilities_xml:
        return
    root = parse(native.capabilities_xml)
    kinds = sorted({domain.get("type", "") for domain in root.iterfind("guest/arch/domain")})
    yield CapabilityAnswer(
        capability=Capability.HARDWARE_VIRTUALISATION,
        answer=Answer.YES if "kvm" in kinds else Answer.NO,
        how=f"the host offers guests of type {', '.join(kinds) or 'none'}",
    )
    live = root.find("host/migration_features/live") is not None
    yield CapabilityAnswer(
        capability=Capability.LIVE_MIGRATION,
        answer=Answer.YES if live else Answer.NO,
        how="migration_features in its capabilities",
    )


def _storage_source(root: ET.Element) -> str:
    host, device, directory = root.find("source/host"), root.find("source/device"), root.find("source/dir")
    name = root.findtext("source/name", "")
    server = host.get("name", "") if host is not None else ""
    path = (device.get("path", "") if device is not None else "") or (
        directory.get("path", "") if directory is not None else ""
    )
    return ":".join(part for part in (server, path or name) if part)


def _number(text: str | None) -> int | None:
    try:
        return int(text) if text else None
    except ValueError:
        return None
