"""Fills a private host with every kind of resident that a takeover may meet, as their owners left them.

One guest per kind, so that a test can say `residents["io-error"]` and mean it. Everything is made through
virsh and qemu-img, the way somebody else would have made it: Xenios had no part in any of it, and no test
may change any of it.

Effects: writes hypervisors (the private one that is passed in), files in its folder
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.support import guest_image
from tests.support import resident_xml as xml
from tests.support.guest_image import Command
from tests.support.kvm_host import PrivateHost, wait_until
from tests.support.resident_guests import (
    BRIDGE,
    NETWORK_BRIDGED,
    NETWORK_INACTIVE,
    NETWORK_ISOLATED,
    POOL,
    POOL_INACTIVE,
    VLAN,
    Resident,
    all_guests,
)

STARTS_AT_ONCE = 3
OVERLAY_SIZE = "8M"
COMES_BY_ITSELF = frozenset({"io-error", "crashed"})


@dataclass(frozen=True, slots=True)
class Residents:
    """Who lives on the host: guests by kind; pools and networks by name, with whether they are active."""

    guests: dict[str, Resident]
    pools: dict[str, bool]
    networks: dict[str, bool]
    images: Path
    bridge: str = BRIDGE

    def __getitem__(self, kind: str) -> Resident:
        return self.guests[kind]

    def __iter__(self) -> Iterator[Resident]:
        return iter(self.guests.values())

    def __len__(self) -> int:
        return len(self.guests)

    @property
    def names(self) -> frozenset[str]:
        """The names of all guests."""
        return frozenset(guest.name for guest in self)

    @property
    def uuids(self) -> frozenset[str]:
        """The uuids of all guests."""
        return frozenset(guest.uuid for guest in self)

    def in_state(self, state: str) -> tuple[Resident, ...]:
        """The guests in one of virsh's states: running, shut off, paused, crashed."""
        return tuple(guest for guest in self if guest.state == state)


def populate(host: PrivateHost) -> Residents:
    """Fill the host and wait until every guest is in the state that its kind promises."""
    definitions, full = host.folder / "definitions", host.folder / "full"
    for folder in (definitions, full, host.serials, host.folder / POOL_INACTIVE):
        folder.mkdir(exist_ok=True)
    guests = {guest.kind: guest for guest in all_guests(host.images, full, host.serials)}
    _write_images(host, guests.values(), full)
    _make_pools(host)
    _make_networks(host)
    for guest in guests.values():
        (definitions / f"{guest.uuid}.xml").write_text(guest.definition, encoding="utf-8")
    host.virsh_all([("define", str(definitions / f"{g.uuid}.xml")) for g in guests.values() if g.persistent])
    ways = [way for guest in guests.values() if (way := _way_to_state(guest, definitions))]
    with ThreadPoolExecutor(STARTS_AT_ONCE) as threads:  # a start is mostly waiting for one QEMU
        list(threads.map(host.virsh_all, ways))
    _lose_files(host)
    for kind in COMES_BY_ITSELF:
        _wait_for_state(host, guests[kind])
    return Residents(
        guests,
        {POOL: True, POOL_INACTIVE: False},
        {NETWORK_ISOLATED: True, NETWORK_BRIDGED: True, NETWORK_INACTIVE: False},
        host.images,
    )


def state_of(host: PrivateHost, guest: str) -> str:
    """The state and reason of a guest in virsh's words: `running (booted)`."""
    return host.virsh("domstate", guest, "--reason").strip()


def _wait_for_state(host: PrivateHost, guest: Resident) -> None:
    wanted = f"{guest.state} ({guest.reason})"
    wait_until(lambda: state_of(host, guest.uuid) == wanted, f"guest {guest.name} to be {wanted}")


def _way_to_state(guest: Resident, definitions: Path) -> list[tuple[str, ...]]:
    """The virsh commands that bring a guest from its definition to the state it is to be found in."""
    commands: list[tuple[str, ...]] = []
    if not guest.persistent:
        commands.append(("create", str(definitions / f"{guest.uuid}.xml")))
    elif guest.state != "shut off" or guest.managed_save:
        commands.append(("start", guest.uuid))
    if guest.reason == "user":
        commands.append(("suspend", guest.uuid))
    if guest.managed_save:
        commands.append(("managedsave", guest.uuid))
    if guest.autostart:
        commands.append(("autostart", guest.uuid))
    return commands + [("snapshot-create-as", guest.uuid, name, f"taken {name}") for name in guest.snapshots]


def _write_images(host: PrivateHost, guests: Iterable[Resident], full: Path) -> None:
    """Write the disks that are no volumes of a pool, one of them on a file system without a free block."""
    images = host.images
    for guest in guests:
        if guest.own_disk is not None:
            guest_image.write_disk(guest.own_disk, guest.first_command)
    for name in ("base.raw", "ordinary-ide.raw", "same.raw", "cluster.raw"):
        guest_image.write_disk(images / name)
    guest_image.write_iso(images / "install.iso")
    script = [f"cd {images}", "qemu-img convert -O qcow2 base.raw base.qcow2"]
    for name in ("gone", "gone-unseen"):
        script += [
            f"cp base.qcow2 {name}.qcow2",
            f"qemu-img create -q -f qcow2 -b $PWD/{name}.qcow2 -F qcow2 {name}-top.qcow2 {OVERLAY_SIZE}",
        ]
    script.append(f"mount -t tmpfs -o size=64k tmpfs {full}")  # seen inside only
    host.run("sh", "-ec", "\n".join(script))
    writes = host.folder / "writes.raw"
    guest_image.write_disk(writes, Command.WRITE)
    fill = f"dd if=/dev/zero of={full}/filler bs=4k 2>/dev/null || true"  # until no block is free
    host.run("sh", "-ec", f"cp --sparse=always {writes} {full}/writes.raw\n{fill}")


def _make_pools(host: PrivateHost) -> None:
    """Put the images into a pool, with overlays made as volumes; a second pool is defined and not started."""
    commands: list[tuple[str, ...]] = []
    for name, folder in ((POOL_INACTIVE, host.folder / POOL_INACTIVE), (POOL, host.images)):
        definition = host.folder / f"pool-{name}.xml"
        definition.write_text(xml.render_pool(name, folder))
        commands.append(("pool-define", str(definition)))
    commands += [("pool-start", POOL), ("pool-autostart", POOL), ("pool-refresh", POOL)]
    backed = ("--format", "qcow2", "--backing-vol", "base.qcow2", "--backing-vol-format", "qcow2")
    for name in ("web", "volume", "snapshots"):
        commands.append(("vol-create-as", POOL, f"{name}.qcow2", OVERLAY_SIZE, *backed))
    host.virsh_all(commands)


def _make_networks(host: PrivateHost) -> None:
    """A plain bridge, an isolated network, one that hands out the bridge, a VLAN trunk not started."""
    host.run("sh", "-ec", f"ip link add {BRIDGE} type bridge; ip link set {BRIDGE} up")
    bodies = {
        NETWORK_ISOLATED: "<bridge name='virbr-inner'/><ip address='192.168.133.1' netmask='255.255.255.0'/>",
        NETWORK_BRIDGED: f"<forward mode='bridge'/><bridge name='{BRIDGE}'/>",
        NETWORK_INACTIVE: (
            "<forward mode='bridge'/><bridge name='ovsbr0'/><virtualport type='openvswitch'/>"
            f"<portgroup name='vlan-{VLAN}'><vlan><tag id='{VLAN}'/></vlan></portgroup>"
            "<portgroup name='trunk' default='yes'>"
            f"<vlan trunk='yes'><tag id='7'/><tag id='{VLAN}'/></vlan></portgroup>"
        ),
    }
    commands: list[tuple[str, ...]] = []
    for name, body in bodies.items():
        definition = host.folder / f"network-{name}.xml"
        definition.write_text(xml.render_network(name, body))
        commands.append(("net-define", str(definition)))
        if name != NETWORK_INACTIVE:
            commands.append(("net-start", name))
    host.virsh_all([*commands, ("net-autostart", NETWORK_BRIDGED)])


def _lose_files(host: PrivateHost) -> None:
    """Take files away behind libvirt's back: one before the pool looks again, one after."""
    (host.images / "gone.qcow2").unlink()
    host.virsh("pool-refresh", POOL)
    (host.images / "gone-unseen.qcow2").unlink()
