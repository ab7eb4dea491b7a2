"""Domain XML into VMs, on XML recorded from a real libvirt and on variants of it.

Effects: none
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xenios.drivers.kvm.domain import (
    QEMU_OVERHEAD_BYTES,
    DomainExtras,
    ImageFigures,
    Surroundings,
    UnreadableDefinition,
    parse,
    power_state_of,
    reason_of,
    vm_from_xml,
    vm_without_definition,
    with_figures,
)
from xenios.model.inventory import (
    Answer,
    DiskKind,
    PowerState,
    Presence,
    Sharing,
    Snapshot,
    Storage,
    ToolsState,
    Vm,
    VmKind,
)

RECORDED = Path(__file__).parent.parent / "fixtures" / "libvirt"
RUNNING = {"state.state": 1, "state.reason": 1}
SHUT_OFF = {"state.state": 5, "state.reason": 1}
POOL = Storage(
    uuid="pool-uuid",
    name="vms",
    type="dir",
    sharing=Sharing.UNKNOWN,
    where="/var/lib/private/images",
    size_bytes=1,
    used_bytes=1,
)
AROUND = Surroundings(
    host_uuid="host-uuid",
    storages=(POOL,),
    pool_paths={"vms": "/var/lib/private/images"},
    network_uuids={"inner": "inner-uuid", "lan": "lan-uuid"},
    network_bridges={"inner": "virbr-inner", "lan": "br0"},
    network_vlans={"lan": 7},
    addresses={"52:54:00:00:00:02": ("192.0.2.7",)},
)


def recorded(name: str, stats: dict[str, Any] = RUNNING, extras: DomainExtras | None = None) -> Vm:
    """The VM that a recorded definition becomes."""
    return vm_from_xml((RECORDED / f"{name}.xml").read_text(), stats, extras or DomainExtras(), AROUND)


def made(devices: str = "", rest: str = "", kind: str = "kvm") -> Vm:
    """The VM of a small definition."""
    xml = f"<domain type='{kind}'><name>made</name><uuid>u</uuid>{rest}<devices>{devices}</devices></domain>"
    return vm_from_xml(xml, RUNNING, DomainExtras(), AROUND)


def test_a_running_guest_on_an_overlay() -> None:
    vm = recorded("chain")
    assert (vm.name, vm.power_state, vm.host_uuid, vm.virtualisation) == (
        "web-1",
        PowerState.RUNNING,
        "host-uuid",
        "qemu",
    )
    assert (vm.vcpus, vm.vcpus_max, vm.memory.bytes_max) == (1, 1, 16 * 2**20)
    (disk,) = vm.disks
    assert (disk.device, disk.kind, disk.format) == ("vda", DiskKind.DISK, "qcow2")
    assert disk.where == "/var/lib/private/images/web.qcow2"
    assert disk.identity == "path:/var/lib/private/images/web.qcow2"
    assert disk.backing == ("/var/lib/private/images/base.qcow2",)
    assert (disk.storage_uuid, disk.sharing) == ("pool-uuid", Sharing.UNKNOWN)


def test_figures_are_added_and_take_nothing_away() -> None:
    vm = recorded("chain")
    stats = {
        "balloon.current": 16_384,
        "balloon.rss": 90_000,
        "block.count": 1,
        "block.0.name": "vda",
        "block.0.allocation": 0,
        "block.0.capacity": 8_388_608,
        "block.0.physical": 200_704,
    }
    image = ImageFigures(presence=Presence.THERE, backing=("/other",), backing_presence=Presence.THERE)
    taken = (Snapshot(uuid="s", name="before"),)
    seen = with_figures(vm, stats, {vm.disks[0].identity: image}, taken)
    assert seen.memory.bytes_actual == 16 * 2**20
    assert seen.memory.bytes_resident == 90_000 * 1024
    assert seen.memory.bytes_overhead == 90_000 * 1024 - 16 * 2**20
    assert seen.memory.overhead_source.startswith("measured")
    (disk,) = seen.disks
    assert (disk.size_bytes, disk.used_bytes) == (8_388_608, 200_704)
    assert (disk.presence, disk.backing_presence) == (Presence.THERE, Presence.THERE)
    assert disk.backing == vm.disks[0].backing, "what the running guest says of its chain goes first"
    assert seen.snapshots == taken
    assert with_figures(vm, {}, {}, ()) == vm


def test_a_lost_backing_image_is_named() -> None:
    vm = recorded("chain")
    image = ImageFigures(backing=("/lost",), backing_presence=Presence.MISSING)
    (disk,) = with_figures(vm, {}, {vm.disks[0].identity: image}, ()).disks
    assert (disk.backing, disk.backing_presence) == (("/lost",), Presence.MISSING)


def test_overhead_is_estimated_for_qemu_and_unknown_elsewhere() -> None:
    video = "<video><model type='vga' vram='16384'/></video>"
    assert made(video).memory.bytes_overhead == QEMU_OVERHEAD_BYTES + 16 * 2**20
    assert made(video, kind="test").memory.bytes_overhead is None


def test_networks_bridges_vlans_and_addresses() -> None:
    inner, lan = recorded("network-nic").nics
    assert (inner.device, inner.mac, inner.network_uuid, inner.network_name, inner.bridge) == (
        "vnet1",
        "52:54:00:00:00:02",
        "inner-uuid",
        "inner",
        "virbr-inner",
    )
    assert inner.addresses == ("192.0.2.7",)
    assert (lan.network_uuid, lan.bridge, lan.vlan) == ("lan-uuid", "br0", 7)
    assert recorded("vlan-nic", SHUT_OFF).nics[0].vlan == 42


@pytest.mark.parametrize(
    ("interface", "network_name", "bridge", "vlan"),
    [
        ("<interface type='bridge'><source bridge='br7'/></interface>", "bridge br7", "br7", None),
        ("<interface type='direct'><source dev='eth1' mode='bridge'/></interface>", "direct eth1", "", None),
        ("<interface type='user'/>", "user", "", None),
        (
            "<interface type='bridge'><source bridge='b'/>"
            "<vlan trunk='yes'><tag id='1'/><tag id='2'/></vlan></interface>",
            "bridge b",
            "b",
            None,
        ),
    ],
)
def test_other_kinds_of_nic(interface: str, network_name: str, bridge: str, vlan: int | None) -> None:
    (nic,) = made(interface).nics
    assert (nic.network_name, nic.bridge, nic.vlan, nic.mac) == (network_name, bridge, vlan, "")


def test_an_unplugged_cable() -> None:
    (nic,) = made(
        "<interface type='user'><mac address='52:54:00:AA:00:01'/><link state='down'/></interface>"
    ).nics
    assert (nic.connected, nic.mac) == (Answer.NO, "52:54:00:aa:00:01")


@pytest.mark.parametrize(
    ("disk", "identity", "where", "kind"),
    [
        (
            "<disk type='volume' device='disk'><source pool='vms' volume='a.qcow2'/><target dev='vda'/></disk>",
            "path:/var/lib/private/images/a.qcow2",
            "/var/lib/private/images/a.qcow2",
            DiskKind.DISK,
        ),
        (
            "<disk type='volume' device='disk'><source pool='san' volume='unit:0:0:1'/><target dev='vda'/></disk>",
            "volume:san/unit:0:0:1",
            "volume san/unit:0:0:1",
            DiskKind.DISK,
        ),
        (
            "<disk type='network' device='disk'><source protocol='rbd' name='pool/img'><host name='m1' port='6789'/>"
            "<host name='m2'/></source><target dev='vda'/></disk>",
            "rbd://m1:6789,m2/pool/img",
            "rbd://m1:6789,m2/pool/img",
            DiskKind.DISK,
        ),
        (
            "<disk type='block' device='lun'><source dev='/dev//sdb'/><target dev='sda'/></disk>",
            "path:/dev/sdb",
            "/dev/sdb",
            DiskKind.PASSTHROUGH,
        ),
        ("<disk type='file' device='cdrom'><target dev='hdc'/><readonly/></disk>", "", "", DiskKind.CDROM),
        ("<disk type='file' device='floppy'><target dev='fda'/></disk>", "", "", DiskKind.FLOPPY),
    ],
)
def test_where_disks_lie(disk: str, identity: str, where: str, kind: DiskKind) -> None:
    (seen,) = made(disk).disks
    assert (seen.identity, seen.where, seen.kind) == (identity, where, kind)


def test_the_same_bytes_have_the_same_identity_however_they_are_named() -> None:
    by_file = made(
        "<disk type='file'><source file='/var/lib/private//images/x/../a.qcow2'/><target dev='vda'/></disk>"
    )
    by_volume = made("<disk type='volume'><source pool='vms' volume='a.qcow2'/><target dev='vdb'/></disk>")
    assert by_file.disks[0].identity == by_volume.disks[0].identity


def test_a_network_disk_is_shared_and_a_file_outside_all_pools_unknown() -> None:
    network = "<disk type='network'><source protocol='nbd' name='x'/><target dev='vda'/></disk>"
    outside = "<disk type='file'><source file='/elsewhere/a'/><target dev='vdb'/></disk>"
    first, second = made(network + outside).disks
    assert (first.sharing, second.sharing, second.storage_uuid) == (Sharing.SHARED, Sharing.UNKNOWN, None)


def test_shareable_and_read_only_disks() -> None:
    (disk,) = made(
        "<disk type='file'><source file='/a'/><target dev='vda'/><shareable/><readonly/></disk>"
    ).disks
    assert disk.shareable
    assert disk.read_only


def test_devices_of_the_host() -> None:
    assert recorded("passthrough", SHUT_OFF).passthrough == ("PCI 0000:65:00.0",)
    usb = "<hostdev mode='subsystem' type='usb'><source><vendor id='0x0951'/><product id='0x1666'/></source></hostdev>"
    card = "<interface type='hostdev'><mac address='52:54:00:00:00:09'/></interface>"
    mediated = "<hostdev mode='subsystem' type='mdev'><source><address uuid='c2177883'/></source></hostdev>"
    assert made(usb + card + mediated).passthrough == (
        "USB 0951:1666",
        "mdev c2177883",
        "network card 52:54:00:00:00:09",
    )


def test_what_other_programs_wrote_on_it() -> None:
    nova = recorded("nova").annotations
    assert "shop-frontend" in nova["http://openstack.org/xmlns/libvirt/nova/1.1"]
    assert nova["smbios:manufacturer"] == "OpenStack Foundation"
    assert recorded("libosinfo", SHUT_OFF).guest.os == "debian 12"


@pytest.mark.parametrize(
    ("device", "dangling"),
    [
        ("<interface type='network'><source network='gone'/></interface>", ("network gone of a NIC",)),
        (
            "<disk type='volume'><source pool='lost' volume='a'/><target dev='vda'/></disk>",
            ("storage pool lost of a disk",),
        ),
        ("<interface type='network'><source network='inner'/></interface>", ()),
        ("<disk type='volume'><source pool='vms' volume='a'/><target dev='vda'/></disk>", ()),
        ("<interface type='user'/><disk type='file'><target dev='vda'/></disk>", ()),
    ],
)
def test_references_that_lead_nowhere_are_told_only_when_all_was_read(
    device: str, dangling: tuple[str, ...]
) -> None:
    xml = f"<domain><devices>{device}</devices></domain>"
    assert vm_from_xml(xml, RUNNING, DomainExtras(), replace(AROUND, complete=True)).dangling == dangling
    assert vm_from_xml(xml, RUNNING, DomainExtras(), AROUND).dangling == ()


def test_the_guest_agent_is_told_only_of_guests_that_are_on() -> None:
    agent = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='{}'/></channel>"
    assert made(agent.format("connected")).guest.tools is ToolsState.WORKING
    assert made(agent.format("disconnected")).guest.tools is ToolsState.ABSENT
    assert recorded("agent").guest.tools is ToolsState.ABSENT
    assert recorded("cdrom-empty", SHUT_OFF).guest.tools is ToolsState.UNKNOWN


def test_paused_on_an_io_error() -> None:
    vm = recorded("io-error", {"state.state": 3, "state.reason": 5})
    assert (vm.power_state, vm.power_reason, vm.paused_on_io_error) == (PowerState.PAUSED, "I/O error", True)
    assert not recorded("io-error", {"state.state": 3, "state.reason": 1}).paused_on_io_error


@pytest.mark.parametrize(
    ("state", "saved", "expected"),
    [
        (0, False, PowerState.UNKNOWN),
        (1, False, PowerState.RUNNING),
        (2, False, PowerState.RUNNING),
        (3, False, PowerState.PAUSED),
        (4, False, PowerState.SHUTTING_DOWN),
        (5, False, PowerState.HALTED),
        (5, True, PowerState.SUSPENDED),
        (1, True, PowerState.RUNNING),
        (6, False, PowerState.CRASHED),
        (7, False, PowerState.ASLEEP),
        (8, False, PowerState.UNKNOWN),
        (99, True, PowerState.UNKNOWN),
        (-1, False, PowerState.UNKNOWN),
    ],
)
def test_power_states(state: int, saved: bool, expected: PowerState) -> None:
    assert power_state_of(state, Answer.YES if saved else Answer.NO) is expected


def test_off_and_perhaps_saved_is_unknown_and_not_halted() -> None:
    assert power_state_of(5, Answer.UNKNOWN) is PowerState.UNKNOWN
    assert power_state_of(1, Answer.UNKNOWN) is PowerState.RUNNING


@pytest.mark.parametrize(("reason", "busy"), [(1, ()), (2, ("migration",)), (3, ("being saved",)), (5, ())])
def test_a_pause_for_libvirts_own_work_is_work(reason: int, busy: tuple[str, ...]) -> None:
    assert recorded("io-error", {"state.state": 3, "state.reason": reason}).busy == busy


def test_a_disk_that_is_being_copied_is_work() -> None:
    assert made("<disk type='file'><target dev='vda'/><mirror job='copy'/></disk>").busy == ("block copy",)


def test_domain_0_of_a_xen_host_is_no_machine() -> None:
    xml = "<domain type='xen'><uuid>00000000-0000-0000-0000-000000000000</uuid></domain>"
    assert vm_from_xml(xml, RUNNING, DomainExtras(), AROUND).kind is VmKind.CONTROL_DOMAIN


def test_reasons_of_newer_releases_are_left_out() -> None:
    assert reason_of(3, 14) == "API error"
    assert reason_of(3, 99) == ""
    assert reason_of(1, 1) == ""


def test_a_state_that_was_not_told_is_unknown() -> None:
    assert recorded("chain", {}).power_state is PowerState.UNKNOWN


def test_a_guest_without_definition_is_there_all_the_same() -> None:
    vm = vm_without_definition("u", "lost", RUNNING, DomainExtras(autostart=Answer.YES), "host-uuid")
    assert (vm.uuid, vm.power_state, vm.definition_read, vm.autostart) == (
        "u",
        PowerState.RUNNING,
        False,
        Answer.YES,
    )
    assert vm.memory.bytes_max is None


@pytest.mark.parametrize(
    ("xml", "complaint"),
    [
        ("<domain><name>", "not well-formed"),
        ("", "not well-formed"),
        ("<!DOCTYPE d [<!ENTITY a 'b'>]><domain>&a;</domain>", "DOCTYPE"),
        ("<network/>", "instead of <domain>"),
        ("<domain>" + " " * (8 * 2**20) + "</domain>", "longer than"),
    ],
    ids=["cut off", "empty", "doctype", "something else", "endless"],
)
def test_what_is_no_definition_is_refused(xml: str, complaint: str) -> None:
    with pytest.raises(UnreadableDefinition, match=complaint):
        vm_from_xml(xml, RUNNING, DomainExtras(), AROUND)


@pytest.mark.parametrize(
    "odd",
    [
        "<memory unit='PiB'>1</memory><vcpu>two</vcpu>",
        "<memory>lots</memory><currentMemory/><vcpu/>",
    ],
)
def test_figures_that_make_no_sense_are_not_told(odd: str) -> None:
    vm = made(rest=odd)
    assert vm.memory.bytes_max is None
    assert vm.vcpus is None


def test_units() -> None:
    assert made(rest="<memory unit='GiB'>2</memory>").memory.bytes_max == 2 * 2**30
    assert made(rest="<memory unit='MB'>3</memory>").memory.bytes_max == 3_000_000
    assert made(rest="<memory>1024</memory>").memory.bytes_max == 2**20


def test_current_and_greatest_number_of_processors() -> None:
    vm = made(rest="<vcpu current='2'>8</vcpu>")
    assert (vm.vcpus, vm.vcpus_max) == (2, 8)


def test_parse_leaves_foreign_markup_as_text() -> None:
    name = parse("<domain><name>&lt;script&gt;&#x1b;</name></domain>".replace("&#x1b;", "")).findtext("name")
    assert name == "<script>"
