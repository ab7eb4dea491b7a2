"""The report on a host full of real QEMU guests, held against what virsh, qemu-img and the file system say of them.

The residents' own table (tests/support/resident_guests.py) says what each was meant to be; virsh says what it is. The
report is made by the command, as JSON, so nothing between libvirt and the reader is left out.

Effects: reads hypervisors (private ones); writes to one of its own for the tests of leases and chains
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid5

import pytest

from tests.support import dhcp_client, guest_image
from tests.support.command import xenios
from tests.support.fixtures import KvmHost, require_private_hosts
from tests.support.kvm_host import PrivateHost
from tests.support.resident_guests import (
    BRIDGE,
    MAC_TWICE,
    NETWORK_BRIDGED,
    NETWORK_INACTIVE,
    NETWORK_ISOLATED,
    POOL,
    POOL_INACTIVE,
    UUIDS,
    VLAN,
    Resident,
    all_guests,
)
from tests.support.resident_xml import render_domain, render_file_disk, render_nic, render_pool

pytestmark = pytest.mark.live

KIB, MIB = 1024, 1024 * 1024
NOWHERE = Path("/nowhere")
KINDS = [guest.kind for guest in all_guests(NOWHERE, NOWHERE, NOWHERE)]
POWER = {"running": "running", "paused": "paused", "crashed": "crashed", "shut off": "halted"}
REASONS = {"user": "by a person", "I/O error": "I/O error", "panicked": "guest panicked", "saved": "saved"}


@dataclass(frozen=True, slots=True)
class Inspected:
    """The report on the populated host, and virsh's answers of the same minute."""

    kvm: KvmHost
    target: dict[str, Any]
    before: dict[str, int]
    after: dict[str, int]
    answers: dict[tuple[str, ...], str]

    def vm(self, kind: str) -> dict[str, Any]:
        """What the report says of the resident of this kind."""
        uuid = self.kvm.residents[kind].uuid
        (found,) = [vm for vm in self.target["vms"] if vm["uuid"] == uuid]
        return dict(found)

    def virsh(self, command: str, *words: str) -> str:
        """virsh's answer about the populated host; most are asked beforehand, over one connection."""
        question = (command, *words)
        return self.answers[question] if question in self.answers else self.kvm.host.virsh(*question)


@pytest.fixture(scope="module")
def inspected(kvm_host: KvmHost) -> Inspected:
    before = memory_of(kvm_host.host)
    done = xenios("inspect", "--json", "--compare", "cloudstack-4.0.2", kvm_host.uri)
    after = memory_of(kvm_host.host)
    assert done.code == 0, done.said
    assert done.err == ""
    (target,) = done.report()["targets"]
    uuids = sorted(kvm_host.residents.uuids)
    questions = [
        *((command, uuid) for uuid in uuids for command in ("dominfo", "domiflist")),
        *(("domstate", uuid, "--reason") for uuid in uuids),
        *(("snapshot-list", uuid, "--name") for uuid in uuids),
        *(("domblklist", uuid, "--details") for uuid in uuids),
        *(("domstats", "--block", uuid) for uuid in uuids),
        *((command, name) for name in kvm_host.residents.networks for command in ("net-uuid", "net-info")),
        *(("pool-uuid", name) for name in kvm_host.residents.pools),
        ("net-list", "--all"),
        ("nodeinfo",),
    ]
    parting = "=== answers ==="
    asked = [command for question in questions for command in (("echo", parting), question)]
    answers = [text.strip("\n") + "\n" for text in kvm_host.host.virsh_all(asked).split(parting)[1:]]
    return Inspected(kvm_host, target, before, after, dict(zip(questions, answers, strict=True)))


def fields_of(text: str) -> dict[str, str]:
    """virsh's `Key:   value` lines."""
    return {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.split("\n"))
    }


def rows_of(text: str) -> list[list[str]]:
    """virsh's tables, whose columns two or more spaces part."""
    return [re.split(r"\s{2,}", line.strip()) for line in text.split("\n") if line.strip()]


def memory_of(host: PrivateHost) -> dict[str, int]:
    """virsh nodememstats, in bytes."""
    return {
        key: int(value.split()[0]) * KIB
        for key, value in fields_of(host.virsh("nodememstats")).items()
        if value
    }


def occupied_bytes(host: PrivateHost, path: str) -> int:
    """What the file system says a file occupies; of files that are seen inside the host only, asked there."""
    if Path(path).exists():
        return Path(path).stat().st_blocks * 512
    blocks, size = host.run("stat", "-c", "%b %B", path).stdout.split()
    return int(blocks) * int(size)


# --- every resident ---


def test_every_resident_is_reported_and_nobody_else(inspected: Inspected) -> None:
    listed = inspected.virsh("list", "--all", "--uuid").split()
    assert sorted(vm["uuid"] for vm in inspected.target["vms"]) == sorted(listed)
    assert {vm["uuid"] for vm in inspected.target["vms"]} == inspected.kvm.residents.uuids
    assert inspected.target["status"] == "complete"
    for apart in ("templates", "snapshots", "control_domains"):
        assert inspected.target[apart] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_resident_is_what_virsh_says(inspected: Inspected, kind: str) -> None:
    """Name, state and its reason, processors, memory, autostart, permanence, snapshots, managed save."""
    guest, vm = inspected.kvm.residents[kind], inspected.vm(kind)
    info = fields_of(inspected.virsh("dominfo", guest.uuid))
    assert (vm["name"], vm["uuid"], vm["kind"]) == (guest.name, info["UUID"], "machine")
    assert vm["name"].strip() == info["Name"]
    saved = info["Managed save"] == "yes"
    assert vm["power_state"] == ("suspended" if saved else POWER[info["State"]])
    assert vm["power_reason"] == REASONS.get(reason_of(inspected, guest), "")
    assert vm["vcpus"] == vm["vcpus_max"] == int(info["CPU(s)"])
    assert vm["memory"]["bytes_max"] == int(info["Max memory"].split()[0]) * KIB
    assert vm["memory"]["bytes_actual"] == int(info["Used memory"].split()[0]) * KIB
    assert vm["autostart"] == ("yes" if info["Autostart"] == "enable" else "no")
    assert vm["persistent"] == info["Persistent"]
    snapshots = inspected.virsh("snapshot-list", guest.uuid, "--name").split()
    assert sorted(snapshot["name"] for snapshot in vm["snapshots"]) == sorted(snapshots)
    assert vm["virtualisation"] == "qemu"
    assert vm["definition_read"] is True


def reason_of(inspected: Inspected, guest: Resident) -> str:
    said = inspected.virsh("domstate", guest.uuid, "--reason").strip()
    return said.partition("(")[2].rstrip(")")


@pytest.mark.parametrize("kind", KINDS)
def test_the_disks_of_a_resident_are_what_virsh_says(inspected: Inspected, kind: str) -> None:
    """Where, of what format, how large, how much of it is really used: by virsh, and by the file system."""
    guest, vm = inspected.kvm.residents[kind], inspected.vm(kind)
    host = inspected.kvm.host
    listed = rows_of(inspected.virsh("domblklist", guest.uuid, "--details"))
    assert [disk["device"] for disk in vm["disks"]] == [row[2] for row in listed]
    stats = inspected.virsh("domstats", "--block", guest.uuid)
    for disk, (_, kind_of_disk, device, source) in zip(vm["disks"], listed, strict=True):
        assert disk["kind"] == kind_of_disk
        where = "" if source == "-" else source if source.startswith("/") else str(host.images / source)
        assert disk["where"] == where
        number = re.search(rf"block\.(\d+)\.name={device}\n", stats)
        assert number is not None
        capacity = re.search(rf"block\.{number.group(1)}\.capacity=(\d+)", stats)
        assert disk["size_bytes"] == (int(capacity.group(1)) if capacity else None)
        if not where:
            assert (disk["size_bytes"], disk["presence"]) == (None, "unknown")
        elif disk["presence"] == "missing":
            assert not Path(where).exists()
            assert disk["used_bytes"] is None
        else:
            assert disk["presence"] == "there"
            assert disk["used_bytes"] == occupied_bytes(host, where)
            assert disk["format"] == ("qcow2" if where.endswith(".qcow2") else "raw")
        in_pool = where.startswith(f"{host.images}/")
        assert disk["storage_uuid"] == (pool_uuid(inspected, POOL) if in_pool else None)
        assert disk["sharing"] == "unknown"  # a folder may be a mount; libvirt does not tell


def pool_uuid(inspected: Inspected, name: str) -> str:
    return inspected.virsh("pool-uuid", name).strip()


@pytest.mark.parametrize("kind", KINDS)
def test_the_network_cards_of_a_resident_are_what_virsh_says(inspected: Inspected, kind: str) -> None:
    guest, vm = inspected.kvm.residents[kind], inspected.vm(kind)
    listed = rows_of(inspected.virsh("domiflist", guest.uuid))
    assert [nic["mac"] for nic in vm["nics"]] == [row[4] for row in listed]
    networks = {row[0]: row[3] for row in networks_of(inspected)}
    for nic, (device, _, source, _, _) in zip(vm["nics"], listed, strict=True):
        assert device in (nic["device"], "-")
        if source in networks:
            assert (nic["network_name"], nic["network_uuid"]) == (source, networks[source])
        else:
            assert (nic["network_name"], nic["bridge"]) == (f"bridge {source}", source)
        assert nic["connected"] == "yes"


def networks_of(inspected: Inspected) -> list[list[str]]:
    """(name, active, autostart, uuid) of every network."""
    rows = rows_of(inspected.virsh("net-list", "--all"))
    return [[row[0], row[1], row[2], inspected.virsh("net-uuid", row[0]).strip()] for row in rows]


# --- what makes some of them special ---


def test_vlans_of_cards_come_from_the_card_or_its_portgroup(inspected: Inspected) -> None:
    own, by_group = inspected.vm("vlan-nic")["nics"]
    assert (own["bridge"], own["vlan"]) == ("ovsbr0", VLAN)
    assert (by_group["network_name"], by_group["bridge"], by_group["vlan"]) == (
        NETWORK_INACTIVE,
        "ovsbr0",
        VLAN,
    )
    bridged = inspected.vm("network-nic")["nics"][1]
    assert (bridged["network_name"], bridged["bridge"], bridged["vlan"]) == (NETWORK_BRIDGED, BRIDGE, None)


@pytest.mark.parametrize(
    "kind", ["chain", "volume", "snapshots", "backing-missing", "backing-missing-unseen"]
)
def test_chains_are_those_of_qemu_img(inspected: Inspected, kind: str) -> None:
    host, (disk, *_) = inspected.kvm.host, inspected.vm(kind)["disks"]
    told = json.loads(host.run("qemu-img", "info", "-U", "--output=json", disk["where"]).stdout)
    assert disk["backing"] == [told["full-backing-filename"]]
    there = host.run("sh", "-c", f"test -e {disk['backing'][0]} && echo there || echo missing").stdout.strip()
    assert disk["backing_presence"] == there
    assert (there == "missing") == kind.startswith("backing-missing")


def test_shared_disks_are_told_from_shareable_ones(inspected: Inspected) -> None:
    careless = [inspected.vm(kind)["disks"][1] for kind in ("shared-a", "shared-b")]
    meant = [inspected.vm(kind)["disks"][1] for kind in ("shareable-a", "shareable-b")]
    for first, second in (careless, meant):
        assert first["identity"] == second["identity"] != ""
    assert [disk["shareable"] for disk in (*careless, *meant)] == [False, False, True, True]


def test_compact_discs(inspected: Inspected) -> None:
    _, full = inspected.vm("cdrom-full")["disks"]
    _, empty = inspected.vm("cdrom-empty")["disks"]
    assert (full["kind"], full["read_only"], full["size_bytes"]) == ("cdrom", True, 64 * KIB)
    assert (empty["kind"], empty["where"], empty["identity"], empty["format"]) == ("cdrom", "", "", "")


def test_passthrough(inspected: Inspected) -> None:
    assert inspected.vm("passthrough")["passthrough"] == ["PCI 0000:65:00.0"]
    assert sum(bool(vm["passthrough"]) for vm in inspected.target["vms"]) == 1


def test_snapshots_have_their_time(inspected: Inspected) -> None:
    vm = inspected.vm("snapshots")
    for snapshot in vm["snapshots"]:
        xml = inspected.virsh("snapshot-dumpxml", vm["uuid"], snapshot["name"])
        taken = re.search(r"<creationTime>(\d+)<", xml)
        assert taken is not None
        assert snapshot["taken_at"] == int(taken.group(1)) * 1_000_000


def test_guests_tell_what_they_can(inspected: Inspected) -> None:
    assert inspected.vm("libosinfo")["guest"]["os"] == "debian 12"
    assert inspected.vm("agent")["guest"]["tools"] == "absent"  # the channel is there, and nobody at its end
    assert "state='disconnected'" in inspected.virsh("dumpxml", inspected.vm("agent")["uuid"])
    assert inspected.vm("shut-off")["guest"]["tools"] == "unknown"
    assert all(vm["started_at"] is None and vm["uptime_seconds"] is None for vm in inspected.target["vms"])


def test_real_memory_is_that_of_the_process(inspected: Inspected) -> None:
    stats = inspected.virsh("domstats", "--balloon")
    said = {
        domain.split("'")[1]: {key: int(value) for key, value in re.findall(r"balloon\.(\w+)=(\d+)", domain)}
        for domain in stats.split("Domain: ")[1:]
        if domain.count("'") >= 2 and not domain.startswith("'<")
    }
    for vm in inspected.target["vms"]:
        resident = vm["memory"]["bytes_resident"]
        told = said.get(vm["name"], {})
        if vm["power_state"] in ("halted", "suspended"):
            assert resident is None
        elif "rss" in told:
            assert abs(resident - told["rss"] * KIB) < 8 * MIB
            assert resident <= vm["memory"]["bytes_actual"] + vm["memory"]["bytes_overhead"]


# --- what is thought of them ---

MANAGERS = {
    "nova": ["OpenStack Nova"],
    "ovirt": ["oVirt"],
    "libosinfo": ["virt-manager"],
    "cloudstack": ["CloudStack"],
    "cloudstack-name-only": ["CloudStack"],
}
ADOPTION = {
    "nova": ("ask the operator", ["adopt.managed-by-another"]),
    "ovirt": ("ask the operator", ["adopt.managed-by-another"]),
    "cloudstack": ("ask the operator", ["adopt.managed-by-another"]),
    "cloudstack-name-only": ("ask the operator", ["adopt.managed-by-another"]),
    "transient": ("no", ["adopt.transient"]),
}
FINDINGS = {
    "io-error": ["vm-paused-on-io-error"],
    "crashed": ["vm-crashed"],
    "disk-missing": ["disk-missing"],
    "backing-missing": ["backing-image-missing"],
    "backing-missing-unseen": ["backing-image-missing"],
    "shared-a": ["disk-shared-by-two"],
    "shared-b": ["disk-shared-by-two"],
    "same-mac-a": ["mac-duplicate"],
    "same-mac-b": ["mac-duplicate"],
    "cloudstack": ["name-like-cloudstack"],
    "cloudstack-name-only": ["name-like-cloudstack"],
    "passthrough": ["device-passthrough"],
    "transient": ["vm-transient"],
}
"""Besides those that every guest of its sort has: see `ordinary_findings`."""


def ordinary_findings(vm: dict[str, Any]) -> list[str]:
    disks = sum(disk["kind"] == "disk" and bool(disk["where"]) for disk in vm["disks"])
    silent = vm["power_state"] == "running"
    return ["disk-place-unknown"] * disks + ["guest-tools-absent"] * silent


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_thought_of_a_resident(inspected: Inspected, kind: str) -> None:
    vm = inspected.vm(kind)
    assert [seen["manager"] for seen in vm["managers"]] == MANAGERS.get(kind, [])
    assert all(seen["evidence"] for seen in vm["managers"])
    verdict, rules = ADOPTION.get(kind, ("yes", []))
    assert (vm["may_be_adopted"], [refusal["rule"] for refusal in vm["refusals"]]) == (verdict, rules)
    assert all(refusal["because"] and refusal["remedy"] for refusal in vm["refusals"])
    expected = Counter(FINDINGS.get(kind, [])) + Counter(ordinary_findings(vm))
    assert Counter(finding["code"] for finding in vm["findings"]) == expected
    harm = "record destroyed" if kind == "cloudstack" else "none"
    assert vm["precedent"]["harm"] == harm


def test_details_of_findings_name_what_they_mean(inspected: Inspected) -> None:
    def detail(kind: str, code: str) -> str:
        (found,) = [one for one in inspected.vm(kind)["findings"] if one["code"] == code]
        return str(found["detail"])

    images = inspected.kvm.host.images
    assert str(images / "lost.raw") in detail("disk-missing", "disk-missing")
    assert str(images / "gone.qcow2") in detail("backing-missing", "backing-image-missing")
    assert "careless-b" in detail("shared-a", "disk-shared-by-two")
    assert MAC_TWICE in detail("same-mac-a", "mac-duplicate")
    assert "twin-b" in detail("same-mac-a", "mac-duplicate")
    assert "0000:65:00.0" in detail("passthrough", "device-passthrough")


def test_findings_about_things_that_are_no_guests(inspected: Inspected) -> None:
    guests = inspected.kvm.residents.uuids
    others = [
        (one["code"], one["subject"])
        for one in inspected.target["findings"]
        if one["subject_uuid"] not in guests
    ]
    assert others == [("storage-detached", f"storage {POOL_INACTIVE}")]


def test_the_comparison_tells_a_domain_of_cloudstacks_from_one_of_its_name(inspected: Inspected) -> None:
    its, like = inspected.vm("cloudstack")["precedent"], inspected.vm("cloudstack-name-only")["precedent"]
    assert (its["harm"], like["harm"]) == ("record destroyed", "none")
    assert "definition is removed" in its["at_connect"]
    assert "uuid" in like["at_connect"]


# --- host, storage, networks, room ---


def test_the_host_is_what_virsh_says(inspected: Inspected) -> None:
    (host,) = inspected.target["hosts"]
    node = fields_of(inspected.virsh("nodeinfo"))
    assert host["name"] == inspected.virsh("hostname").strip()
    assert host["uuid"] == inspected.kvm.host.host_uuid
    assert host["cpu"]["count"] == int(node["CPU(s)"])
    assert host["cpu"]["sockets"] == int(node["CPU socket(s)"])
    assert host["cpu"]["cores_per_socket"] == int(node["Core(s) per socket"])
    assert host["cpu"]["threads_per_core"] == int(node["Thread(s) per core"])
    version = inspected.virsh("version")
    assert f"Running hypervisor: QEMU {host['version']}\n" in version
    assert f"libvirt {inspected.target['pool']['native_version'].split()[1]}\n" in version
    answers = {one["capability"]: one["answer"] for one in host["capabilities"]}
    assert answers["hardware virtualisation"] == "no"  # /dev/kvm is hidden from a private host


def test_storage_is_what_virsh_says(inspected: Inspected) -> None:
    seen = {storage["name"]: storage for storage in inspected.target["storages"]}
    assert set(seen) == {POOL, POOL_INACTIVE}
    info = fields_of(inspected.virsh("pool-info", POOL, "--bytes"))
    assert seen[POOL]["size_bytes"] == int(info["Capacity"])
    assert seen[POOL]["used_bytes"] == int(info["Allocation"])
    assert (seen[POOL]["uuid"], seen[POOL]["type"], seen[POOL]["active"]) == (info["UUID"], "dir", "yes")
    assert seen[POOL]["where"] == str(inspected.kvm.host.images)
    assert (seen[POOL_INACTIVE]["active"], seen[POOL_INACTIVE]["size_bytes"]) == ("no", None)


def test_networks_are_what_virsh_says(inspected: Inspected) -> None:
    seen = {network["name"]: network for network in inspected.target["networks"]}
    for name, active, _, uuid in networks_of(inspected):
        assert seen[name]["uuid"] == uuid
        assert seen[name]["active"] == ("yes" if active == "active" else "no")
        assert seen[name]["bridge"] == fields_of(inspected.virsh("net-info", name)).get(
            "Bridge", seen[name]["bridge"]
        )
    assert {name: seen[name]["type"] for name in (NETWORK_ISOLATED, NETWORK_BRIDGED, BRIDGE)} == {
        NETWORK_ISOLATED: "isolated",
        NETWORK_BRIDGED: "bridge",
        BRIDGE: "host bridge",
    }


def test_room_is_counted_from_what_is_there(inspected: Inspected) -> None:
    """Total and free by the kernel's count, which virsh nodememstats shows; declared by the guests that hold memory."""
    (room,) = inspected.target["rooms"]
    assert room["bytes_total"] == inspected.before["total"]
    measured = [
        moment["free"] + moment["buffers"] + moment["cached"]
        for moment in (inspected.before, inspected.after)
    ]
    slack = 512 * MIB  # other tests of the same machine
    assert min(measured) - slack <= room["bytes_free_measured"] <= max(measured) + slack
    active = inspected.virsh("list", "--uuid").split()
    assert room["vms_declared"] == len(active)
    holding = [vm for vm in inspected.target["vms"] if vm["uuid"] in active]
    declared = sum(vm["memory"]["bytes_max"] + vm["memory"]["bytes_overhead"] for vm in holding)
    assert room["bytes_declared"] == declared
    by_virsh = sum(
        int(fields_of(inspected.virsh("dominfo", uuid))["Max memory"].split()[0]) * KIB for uuid in active
    )
    assert by_virsh < declared < by_virsh + len(active) * 128 * MIB
    assert room["bytes_free"] == min(room["bytes_free_declared"], room["bytes_free_measured"])
    assert room["bytes_free_declared"] == room["bytes_total"] - room["bytes_overhead"] - declared
    assert room["vms_may_start"] == 2  # the one that starts with the host, and the one whose memory is saved
    assert room["vms_not_told"] == 0
    assert room["bytes_promised"] == 0
    assert room["bytes_drift"] == room["bytes_free_database_only"] - room["bytes_free"] >= declared
    assert room["cpus"] == int(fields_of(inspected.virsh("nodeinfo"))["CPU(s)"])


def test_the_summary_counts_what_is_listed(inspected: Inspected) -> None:
    summary, vms = inspected.target["summary"], inspected.target["vms"]
    assert summary["vms"] == len(KINDS) == len(vms)
    states = Counter(POWER[guest.state] for guest in inspected.kvm.residents if not guest.managed_save)
    assert summary["by_power_state"] == states | {"suspended": 1}
    assert summary["by_adoption"] == {"yes": len(KINDS) - 5, "ask the operator": 4, "no": 1}
    assert summary["by_harm"] == {"none": len(KINDS) - 1, "record destroyed": 1}


def test_text_and_details_say_the_same(inspected: Inspected) -> None:
    done = xenios("inspect", "--details", "--compare", "cloudstack-4.0.2", inspected.kvm.uri_read_only)
    assert done.code == 0, done.said
    for guest in inspected.kvm.residents:
        assert guest.uuid in done.out
        assert guest.name in done.out
    assert "39 VMs: " in done.out
    assert "PCI 0000:65:00.0" in done.out
    assert "before-upgrade" in done.out
    assert "(MISSING)" in done.out
    assert "\x1b" not in done.out


# --- what needs a host of its own ---


@pytest.fixture(scope="module")
def own_host() -> Iterator[PrivateHost]:
    require_private_hosts()
    with PrivateHost("kvm-inspect") as host:
        yield host
        host.close()
        assert host.leftovers() == []


def report_on(host: PrivateHost, *words: str) -> dict[str, Any]:
    done = xenios("inspect", "--json", *words, host.uri_read_only)
    assert done.code == 0, done.said
    (target,) = done.report()["targets"]
    return dict(target)


def vm_named(target: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [vm for vm in target["vms"] if vm["name"] == name]
    return dict(found)


def define(host: PrivateHost, name: str, devices: str, **how: Any) -> None:
    uuid = str(uuid5(UUIDS, name))
    file = host.folder / f"{name}.xml"
    file.write_text(render_domain(name, uuid, devices, **how))
    host.virsh("define", str(file))


def test_addresses_come_from_the_leases_of_libvirts_networks(own_host: PrivateHost) -> None:
    """A real lease of a real dnsmasq, taken by somebody who speaks for the guest (its boot sector cannot)."""
    mac, host = "52:54:00:00:07:01", own_host
    network = host.folder / "leases.xml"
    network.write_text(
        "<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'><name>leases</name>"
        "<bridge name='virbr-l' stp='off'/><ip address='10.77.0.1' netmask='255.255.255.0'>"
        "<dhcp><range start='10.77.0.10' end='10.77.0.20'/></dhcp></ip>"
        "<dnsmasq:options><dnsmasq:option value='no-ping'/></dnsmasq:options></network>"  # saves three seconds
    )
    host.virsh_all([("net-define", str(network)), ("net-start", "leases")])
    define(
        host,
        "leaser",
        render_nic("network", "leases", mac) + render_nic("network", "leases", "52:54:00:00:07:02"),
    )
    plug = (
        f"ip link add guest address {mac} type veth peer name guest-port; ip link set guest-port master virbr-l;"
        "ip link set guest-port up; ip link set guest up"
    )
    host.run("sh", "-ec", plug)
    given = host.run(
        sys.executable, "-I", str(Path(dhcp_client.__file__)), "guest", mac, "leaser"
    ).stdout.strip()
    assert given.startswith("10.77.0.")
    assert given in host.virsh("net-dhcp-leases", "leases")
    with_lease, without = vm_named(report_on(host), "leaser")["nics"]
    assert with_lease["addresses"] == [given]
    assert without["addresses"] == []


def test_a_chain_of_three_is_followed_to_its_end_and_to_its_gap(own_host: PrivateHost) -> None:
    host, images = own_host, own_host.images
    guest_image.write_disk(images / "bottom.raw")
    host.run(
        "sh",
        "-ec",
        f"cd {images}; qemu-img create -q -f qcow2 -b $PWD/bottom.raw -F raw middle.qcow2;"
        "qemu-img create -q -f qcow2 -b $PWD/middle.qcow2 -F qcow2 top.qcow2",
    )
    (host.folder / "pool.xml").write_text(render_pool("chains", images))
    host.virsh_all([("pool-define", str(host.folder / "pool.xml")), ("pool-start", "chains")])
    define(host, "layered", render_file_disk(images / "top.qcow2", kind="qcow2"))
    (disk,) = vm_named(report_on(host), "layered")["disks"]
    assert disk["backing"] == [str(images / "middle.qcow2"), str(images / "bottom.raw")]
    assert disk["backing_presence"] == "there"
    (images / "bottom.raw").unlink()
    target = report_on(host)
    (disk,) = vm_named(target, "layered")["disks"]
    assert disk["backing"][-1] == str(images / "bottom.raw")
    assert disk["backing_presence"] == "missing"
    (found,) = [one for one in target["findings"] if one["code"] == "backing-image-missing"]
    assert f"{images / 'bottom.raw'}, below" in found["detail"]
    host.virsh("pool-destroy", "chains")
    host.virsh("undefine", "layered")


def test_a_disk_that_the_host_may_not_read_is_a_failure_and_not_a_silence(own_host: PrivateHost) -> None:
    """A link that leads back to itself is there and cannot be read, by root neither."""
    host = own_host
    (host.images / "loop.raw").symlink_to(host.images / "loop.raw")
    define(host, "loop", render_file_disk(host.images / "loop.raw"))
    try:
        done = xenios("inspect", "--json", host.uri_read_only)
    finally:
        host.virsh("undefine", "loop")
    assert done.code == 1
    (target,) = done.report()["targets"]
    (failure,) = target["failures"]
    assert "'loop'" in failure["what"]
    assert "symbolic links" in failure["because"]


def test_two_running_guests_with_one_mac_on_one_bridge_are_critical(own_host: PrivateHost) -> None:
    host = own_host
    host.run("sh", "-ec", "ip link add br7 type bridge; ip link set br7 up")
    for name in ("one", "other"):
        define(host, name, render_nic("bridge", "br7", MAC_TWICE))
        host.virsh("start", name)
    try:
        codes = {one["code"] for one in report_on(host)["findings"]}
        assert "mac-duplicate-running" in codes
        assert "mac-duplicate" not in codes
    finally:
        for name in ("one", "other"):
            host.virsh_all([("destroy", name), ("undefine", name)])
