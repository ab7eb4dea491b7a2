"""libvirt's host, pool, network and volume answers into the model, on recorded and made-up answers.

Effects: none
"""

from pathlib import Path

import pytest

from xenios.drivers.kvm.domain import UnreadableDefinition
from xenios.drivers.kvm.host import (
    NativeHost,
    host_from,
    host_uuid_of,
    image_from_volume,
    kind_of,
    network_from,
    storage_from,
    version_text,
)
from xenios.model.inventory import (
    Answer,
    Capability,
    HypervisorKind,
    Memory,
    PowerState,
    Presence,
    Sharing,
    Vm,
)

RECORDED = Path(__file__).parent.parent / "fixtures" / "libvirt"
KIB = 1024


def recorded(name: str) -> str:
    """A recorded answer."""
    return (RECORDED / f"{name}.xml").read_text()


def native(**changes: object) -> NativeHost:
    """A host with plausible answers."""
    answers: dict[str, object] = {
        "hostname": "kvm-1",
        "driver": "QEMU",
        "hypervisor_version": 7_002_022,
        "library_version": 9_000_000,
        "node_info": ("x86_64", 8_282, 2, 2_445, 1, 1, 2, 1),
        "memory_stats_kib": {"total": 1_000_000, "free": 300_000, "buffers": 20_000, "cached": 80_000},
        "capabilities_xml": recorded("capabilities"),
    }
    return NativeHost(**{**answers, **changes})  # type: ignore[arg-type]


def resident(resident_kib: int | None, state: PowerState = PowerState.RUNNING) -> Vm:
    """A VM whose process occupies so much."""
    bytes_resident = resident_kib * KIB if resident_kib is not None else None
    return Vm(
        uuid="u", name="vm", power_state=state, memory=Memory(bytes_max=2**30, bytes_resident=bytes_resident)
    )


def test_total_memory_is_the_kernels_own_count_where_it_is_told() -> None:
    assert host_from(native(), ()).memory_bytes_total == 1_000_000 * KIB
    assert host_from(native(memory_stats_kib={}), ()).memory_bytes_total == 8_282 * 2**20
    assert host_from(native(memory_stats_kib={}, node_info=None), ()).memory_bytes_total is None


def test_free_memory_and_where_it_comes_from() -> None:
    told = host_from(native(), ())
    assert told.memory_bytes_free == 400_000 * KIB
    assert "kernel" in told.memory_free_source
    other = host_from(native(memory_stats_kib={}, free_memory_bytes=5), ())
    assert other.memory_bytes_free == 5
    assert "libvirt" in other.memory_free_source
    assert host_from(native(memory_stats_kib={}), ()).memory_bytes_free is None


def test_overhead_is_what_no_guest_occupies() -> None:
    assert host_from(native(), (resident(100_000), resident(50_000))).memory_bytes_overhead == 450_000 * KIB
    assert host_from(native(), (resident(None, PowerState.HALTED),)).memory_bytes_overhead == 600_000 * KIB
    assert host_from(native(), (resident(900_000),)).memory_bytes_overhead == 0
    assert host_from(native(), (resident(None),)).memory_bytes_overhead is None


def test_host_facts() -> None:
    host = host_from(native(), ())
    assert (host.name, host.product, host.version, host.live) == ("kvm-1", "QEMU/KVM", "7.2.22", Answer.YES)
    assert (host.cpu.count, host.cpu.sockets, host.cpu.cores_per_socket, host.cpu.mhz) == (2, 1, 2, 2_445)
    answers = {answer.capability: answer.answer for answer in host.capabilities}
    assert answers[Capability.HARDWARE_VIRTUALISATION] is Answer.NO
    assert answers[Capability.LIVE_MIGRATION] is Answer.YES


def test_hardware_virtualisation_is_seen_when_it_is_offered() -> None:
    offering = recorded("capabilities").replace(
        "<domain type='qemu'/>", "<domain type='qemu'/><domain type='kvm'/>", 1
    )
    answers = {
        answer.capability: answer.answer
        for answer in host_from(native(capabilities_xml=offering), ()).capabilities
    }
    assert answers[Capability.HARDWARE_VIRTUALISATION] is Answer.YES


def test_a_host_without_uuid_goes_by_its_name() -> None:
    assert host_uuid_of(native()) == "72969b96-a4bc-5d77-8873-eba190fd4184"
    assert host_uuid_of(native(capabilities_xml="")) == "host:kvm-1"


@pytest.mark.parametrize(
    ("driver", "kind"),
    [
        ("QEMU", HypervisorKind.KVM),
        ("Test", HypervisorKind.TEST),
        ("TEST", HypervisorKind.TEST),
        ("LXC", HypervisorKind.OTHER),
    ],
)
def test_kinds(driver: str, kind: HypervisorKind) -> None:
    assert kind_of(driver) is kind


def test_versions() -> None:
    assert version_text(9_000_012) == "9.0.12"
    assert version_text(None) == ""


def test_a_directory_pool_may_be_anything() -> None:
    pool = storage_from(recorded("pool-dir"), True, "host-uuid")
    assert (pool.name, pool.type, pool.sharing, pool.where) == (
        "vms",
        "dir",
        Sharing.UNKNOWN,
        "/var/lib/private/images",
    )
    assert pool.size_bytes is not None
    assert pool.used_bytes is not None
    assert (pool.active, pool.host_uuids, pool.detached_host_uuids) == (Answer.YES, ("host-uuid",), ())


def test_an_inactive_pool_tells_no_sizes() -> None:
    pool = storage_from(recorded("pool-dir"), False, "host-uuid")
    assert (pool.size_bytes, pool.used_bytes, pool.active) == (None, None, Answer.NO)
    assert pool.detached_host_uuids == ("host-uuid",)


@pytest.mark.parametrize(
    ("xml", "sharing", "where"),
    [
        (
            "<pool type='netfs'><source><host name='nas'/><dir path='/vms'/></source>"
            "<target><path>/mnt/v</path></target></pool>",
            Sharing.SHARED,
            "/mnt/v",
        ),
        (
            "<pool type='rbd'><source><host name='mon'/><name>rbd-vms</name></source></pool>",
            Sharing.SHARED,
            "mon:rbd-vms",
        ),
        ("<pool type='logical'><target><path>/dev/vg0</path></target></pool>", Sharing.LOCAL, "/dev/vg0"),
        ("<pool type='newer-than-this'/>", Sharing.UNKNOWN, ""),
    ],
)
def test_reach_of_pools(xml: str, sharing: Sharing, where: str) -> None:
    pool = storage_from(xml, True, "h")
    assert (pool.sharing, pool.where) == (sharing, where)


def test_networks() -> None:
    inner = network_from(recorded("network-isolated"), True)
    assert (inner.name, inner.type, inner.bridge, inner.vlan) == ("inner", "isolated", "virbr-inner", None)
    tagged = network_from(
        "<network><name>n</name><forward mode='bridge'/><bridge name='ovs'/><mtu size='9000'/>"
        "<vlan><tag id='42'/></vlan></network>",
        False,
    )
    assert (tagged.type, tagged.bridge, tagged.vlan, tagged.mtu, tagged.active) == (
        "bridge",
        "ovs",
        42,
        9000,
        Answer.NO,
    )
    assert network_from("<network><name>n</name><forward/></network>", True).type == "nat"


def test_volumes_tell_whether_the_image_below_was_there() -> None:
    healthy = image_from_volume(recorded("volume-overlay"))
    assert (healthy.presence, healthy.backing_presence, healthy.format) == (
        Presence.THERE,
        Presence.THERE,
        "qcow2",
    )
    assert healthy.backing == ("/var/lib/private/images/base.qcow2",)
    assert healthy.size_bytes == 8 * 2**20
    lost = image_from_volume(recorded("volume-lost-base"))
    assert lost.backing_presence is Presence.MISSING
    remote = image_from_volume("<volume><backingStore><path>nbd://host/base</path></backingStore></volume>")
    assert remote.backing_presence is Presence.UNKNOWN


@pytest.mark.parametrize("xml", ["", "<pool", "<!DOCTYPE x><pool/>"])
def test_rubbish_is_refused(xml: str) -> None:
    with pytest.raises(UnreadableDefinition):
        storage_from(xml, True, "h")
