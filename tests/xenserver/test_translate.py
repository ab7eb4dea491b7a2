"""Do XAPI's records become the right nouns, and what is not known remain unknown?

Effects: reads files
"""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.database_files import (
    EXAMPLE,
    HOST,
    HOST_METRICS,
    POOL,
    REAL,
    REAL_RECORDS,
    VM,
    Row,
    database_bytes,
    observed,
    pool_rows,
)
from xenios.drivers.xenserver.memory import MIB, overhead_bytes
from xenios.drivers.xenserver.records import (
    HostMetricsRecord,
    HostRecord,
    PoolRecord,
    Records,
    VbdRecord,
    VdiRecord,
    VmRecord,
)
from xenios.drivers.xenserver.translate import collection_from, micros_of
from xenios.model.collection import Collection, Quality
from xenios.model.inventory import (
    Answer,
    DiskKind,
    Host,
    PowerState,
    Presence,
    Sharing,
    ToolsState,
    Vm,
    VmKind,
)
from xenios.report.build import report_on

GIB = 1024**3
NULL = "OpaqueRef:NULL"


def seen(tmp_path: Path, *vms: Row, **tables: Any) -> Collection:
    path = tmp_path / "pool.db"
    path.write_bytes(database_bytes(pool_rows(*vms, **tables)))
    return observed(path)


def only_vm(collection: Collection) -> Vm:
    [vm] = collection.vms
    return vm


def only_host(collection: Collection) -> Host:
    [host] = collection.hosts
    return host


# --- the real database, by its records -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> Collection:
    return observed(REAL)


@pytest.fixture(scope="module")
def real_records() -> dict[str, dict[str, dict[str, Any]]]:
    loaded: dict[str, dict[str, dict[str, Any]]] = json.loads(REAL_RECORDS.read_text(encoding="utf-8"))
    return loaded


def test_every_real_vm_is_what_xapi_said(real: Collection, real_records: dict[str, Any]) -> None:
    records = real_records
    assert len(real.vms) == len(records["VM"])
    by_uuid = {vm.uuid: vm for vm in real.vms}
    uuid_of = {ref: record["uuid"] for table in records.values() for ref, record in table.items()}
    for record in records["VM"].values():
        vm = by_uuid[record["uuid"]]
        assert vm.name == record["name_label"]
        assert vm.power_state.value == record["power_state"].lower()
        assert vm.host_uuid == uuid_of.get(record["resident_on"])
        assert vm.preferred_host_uuid == uuid_of.get(record["affinity"])
        assert vm.vcpus_max == record["VCPUs_max"]
        assert vm.memory.bytes_max == record["memory_static_max"]
        assert vm.memory.bytes_dynamic_max == record["memory_dynamic_max"]
        assert vm.memory.bytes_dynamic_min == record["memory_dynamic_min"]
        assert vm.memory.bytes_overhead == record["memory_overhead"]
        assert vm.memory.overhead_source == "recorded by XAPI"
        assert set(vm.annotations) == set(record["other_config"])
        assert list(vm.tags) == record["tags"]
        assert set(vm.blocked_operations) == set(record["blocked_operations"])
        assert vm.snapshot_of_uuid == uuid_of.get(record["snapshot_of"])
        assert {snapshot.uuid for snapshot in vm.snapshots} == {uuid_of[s] for s in record["snapshots"]}
        assert {disk.where for disk in vm.disks} == {
            uuid_of.get(records["VBD"][vbd]["VDI"], "") for vbd in record["VBDs"]
        }
        assert {nic.mac for nic in vm.nics} == {records["VIF"][vif]["MAC"].lower() for vif in record["VIFs"]}
        assert vm.definition_read


def test_the_real_kinds(real: Collection, real_records: dict[str, Any]) -> None:
    kinds = {vm.uuid: vm.kind for vm in real.vms}
    for record in real_records["VM"].values():
        if record["is_control_domain"]:
            expected = VmKind.CONTROL_DOMAIN
        elif record["is_a_snapshot"]:
            expected = VmKind.SNAPSHOT
        elif record["is_a_template"]:
            expected = VmKind.TEMPLATE
        else:
            expected = VmKind.MACHINE
        assert kinds[record["uuid"]] is expected


def test_the_real_host_by_hand(real: Collection, real_records: dict[str, Any]) -> None:
    [record] = real_records["host"].values()
    [metrics] = real_records["host_metrics"].values()
    host = only_host(real)
    assert (host.uuid, host.name, host.address) == (record["uuid"], record["name_label"], record["address"])
    assert host.memory_bytes_total == metrics["memory_total"]
    assert host.memory_bytes_overhead == record["memory_overhead"]
    assert host.live is Answer.YES
    assert host.enabled is Answer.YES
    residents = [vm for vm in real_records["VM"].values() if vm["resident_on"] in real_records["host"]]
    assert len(residents) > 3
    assert host.memory_bytes_free == metrics["memory_total"] - record["memory_overhead"] - sum(
        vm["memory_dynamic_min"] + vm["memory_overhead"] for vm in residents
    )
    [storage] = real.storages
    assert storage.name == next(iter(real_records["SR"].values()))["name_label"]
    assert storage.host_uuids == (host.uuid,)
    assert real.quality is Quality.COMPLETE


# --- the example -----------------------------------------------------------------------------------------------------


def test_the_example_pool_has_every_oddity() -> None:
    collection = observed(EXAMPLE)
    assert collection.quality is Quality.COMPLETE
    machines = [vm for vm in collection.vms if vm.kind is VmKind.MACHINE]
    assert len(machines) == 40
    assert {vm.kind for vm in collection.vms} == set(VmKind)
    assert {host.live for host in collection.hosts} == {Answer.YES, Answer.NO}
    states = {vm.power_state for vm in machines}
    assert states == {PowerState.RUNNING, PowerState.HALTED, PowerState.SUSPENDED, PowerState.PAUSED}
    disks = [disk for vm in machines for disk in vm.disks]
    assert {disk.sharing for disk in disks if disk.identity} == {Sharing.SHARED, Sharing.LOCAL}
    assert any(disk.presence is Presence.MISSING for disk in disks)
    assert any(disk.shareable for disk in disks)
    assert any(nic.vlan for vm in machines for nic in vm.nics)
    assert any(nic.addresses for vm in machines for nic in vm.nics)
    assert any(vm.dangling for vm in machines)
    assert any(vm.passthrough for vm in machines)


# --- what is not known remains unknown -------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["Rebooting", "", "Unknown", "unrecognized", "HALTED?", "halted "])
def test_an_unknown_power_state_is_never_halted(tmp_path: Path, word: str) -> None:
    vm = only_vm(seen(tmp_path, {**VM, "power_state": word.replace(" ", "%.")}))
    assert vm.power_state is PowerState.UNKNOWN
    assert repr(word) in vm.power_reason
    assert not vm.holds_memory


def test_a_vm_without_a_power_state_column_is_in_an_unknown_one(tmp_path: Path) -> None:
    row = {key: value for key, value in VM.items() if key != "power_state"}
    assert only_vm(seen(tmp_path, row)).power_state is PowerState.UNKNOWN


@pytest.mark.parametrize("word", ["Running", "running", "RUNNING"])
def test_power_states_in_any_case(tmp_path: Path, word: str) -> None:
    assert only_vm(seen(tmp_path, {**VM, "power_state": word})).power_state is PowerState.RUNNING


@pytest.mark.parametrize("value", ["0", "-1", "a lot", None])
def test_memory_that_is_not_told_is_none_and_not_zero(tmp_path: Path, value: str | None) -> None:
    row = {key: text for key, text in VM.items() if not key.startswith("memory")}
    if value is not None:
        row |= dict.fromkeys(("memory__static_max", "memory__dynamic_max", "memory__dynamic_min"), value)
    collection = seen(tmp_path, row)
    memory = only_vm(collection).memory
    assert (memory.bytes_max, memory.bytes_dynamic_max, memory.bytes_dynamic_min) == (None, None, None)
    assert memory.bytes_overhead is None
    assert only_host(collection).memory_bytes_free is None


def test_a_host_whose_overhead_is_not_told_has_no_computed_free_memory(tmp_path: Path) -> None:
    old = {key: value for key, value in HOST.items() if key != "memory__overhead"}
    host = only_host(seen(tmp_path, VM, host=(old,)))
    assert host.memory_bytes_overhead is None
    assert host.memory_bytes_free is None
    assert host.memory_bytes_total == 64 * GIB


def test_free_memory_that_an_old_release_recorded_is_used(tmp_path: Path) -> None:
    old = {key: value for key, value in HOST.items() if key != "memory__overhead"}
    metrics = {**HOST_METRICS, "memory__free": str(5 * GIB)}
    host = only_host(seen(tmp_path, VM, host=(old,), host_metrics=(metrics,)))
    assert host.memory_bytes_free == 5 * GIB
    assert "recorded" in host.memory_free_source


def test_a_host_without_metrics(tmp_path: Path) -> None:
    host = only_host(seen(tmp_path, VM, host_metrics=()))
    assert host.memory_bytes_total is None
    assert host.memory_bytes_free is None
    assert host.live is Answer.UNKNOWN


@pytest.mark.parametrize(
    "damage", [{"other_config": "(('a'"}, {"is_a_template": "?"}, {"tags": "x"}, {"memory__overhead": "x"}]
)
def test_a_vm_of_which_a_value_was_lost_is_not_taken_for_read(tmp_path: Path, damage: dict[str, str]) -> None:
    collection = seen(tmp_path, {**VM, **damage}, {**VM, "_ref": "OpaqueRef:2", "uuid": "sound"})
    assert {vm.uuid: vm.definition_read for vm in collection.vms} == {"vm-uuid": False, "sound": True}
    assert collection.quality is Quality.PARTIAL


def test_a_pool_without_a_record_says_so(tmp_path: Path) -> None:
    collection = seen(tmp_path, pool=())
    assert collection.pool.uuid == ""
    assert [failure.what for failure in collection.failures] == ["the pool"]
    assert "database" in collection.failures[0].remedy


def test_a_pool_record_that_was_told_to_be_unread_is_not_told_again() -> None:
    seen = collection_from(Records(), seen_at=0, source="", native_version="", unread={"pool"})
    assert seen.failures == ()


def test_figures_that_no_machine_can_have_do_no_harm(tmp_path: Path) -> None:
    host = {**HOST, "cpu_info": f"(('cpu_count' '{'9' * 5000}') ('socket_count' '0') ('speed' 'fast'))"}
    disk: Row = {"_ref": "OpaqueRef:vbd", "VM": "OpaqueRef:vm", "userdevice": "9" * 5000, "type": "Weird"}
    card: Row = {"_ref": "OpaqueRef:vif", "VM": "OpaqueRef:vm", "device": "³", "MAC": "AA:BB"}
    vm: Row = {**VM, "VCPUs__max": str(2**63 - 1), "memory__static_max": str(2**63 - 1)}
    collection = seen(tmp_path, vm, host=(host,), VBD=(disk,), VIF=(card,))
    assert only_host(collection).cpu.count is None
    assert only_vm(collection).disks[0].kind is DiskKind.DISK
    assert only_vm(collection).nics[0].mac == "aa:bb"


# --- references that lead nowhere ------------------------------------------------------------------------------------


def test_references_that_lead_nowhere_become_words(tmp_path: Path) -> None:
    vm: Row = {
        **VM,
        "resident_on": "OpaqueRef:gone",
        "affinity": "OpaqueRef:gone",
        "snapshot_of": "OpaqueRef:gone",
    }
    disk: Row = {"_ref": "OpaqueRef:vbd", "VM": "OpaqueRef:vm", "VDI": "OpaqueRef:gone", "userdevice": "0"}
    card: Row = {"_ref": "OpaqueRef:vif", "VM": "OpaqueRef:vm", "network": "OpaqueRef:gone", "device": "0"}
    found = only_vm(seen(tmp_path, vm, VBD=(disk,), VIF=(card,)))
    assert found.host_uuid is None
    assert found.preferred_host_uuid is None
    assert found.snapshot_of_uuid is None
    assert set(found.dangling) == {
        "host it runs on",
        "preferred host",
        "VM it is a snapshot of",
        "image of disk 0",
        "network of NIC 0",
    }
    assert found.disks[0].presence is Presence.MISSING
    assert found.nics[0].network_uuid is None


@pytest.mark.parametrize("null", [NULL, ""])
def test_null_references_are_no_loss(tmp_path: Path, null: str) -> None:
    vm: Row = {**VM, "power_state": "Halted", "resident_on": null, "affinity": null, "snapshot_of": null}
    found = only_vm(seen(tmp_path, vm))
    assert found.dangling == ()
    assert found.host_uuid is None


def test_suspended_memory_that_is_lost(tmp_path: Path) -> None:
    vm: Row = {**VM, "power_state": "Suspended", "resident_on": NULL, "suspend_VDI": "OpaqueRef:gone"}
    assert only_vm(seen(tmp_path, vm)).dangling == ("disk with its suspended memory",)


def test_devices_of_no_vm_belong_to_none(tmp_path: Path) -> None:
    stray: Row = {"_ref": "OpaqueRef:vbd", "VM": "OpaqueRef:gone", "VDI": NULL}
    assert only_vm(seen(tmp_path, VM, VBD=(stray,))).disks == ()


# --- single translations ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("", None),
        ("19700101T00:00:00Z", None),
        ("20260821T02:00:23Z", 1_787_277_623_000_000),
        ("2026-08-21T02:00:23Z", 1_787_277_623_000_000),
        ("yesterday", None),
        ("20261341T02:00:23Z", None),
        ("99991231T23:59:59Z", 253_402_300_799_000_000),
    ],
)
def test_times(text: str, micros: int | None) -> None:
    assert micros_of(text) == micros


@pytest.mark.parametrize(
    ("domain_type", "gib", "vcpus", "mib"),
    [("hvm", 4, 2, 37), ("pv", 4, 2, 36), ("pv_in_pvh", 4, 2, 37 + 23 + 45), ("hvm", 1, 1, 12)],
)
def test_overhead_by_xapis_formula(domain_type: str, gib: int, vcpus: int, mib: int) -> None:
    assert overhead_bytes(domain_type, gib * GIB, vcpus) == mib * MIB


def test_a_vm_that_is_starting_is_counted_where_it_is_expected() -> None:
    def free(vm: VmRecord) -> int | None:
        records = Records(
            pool={"p": PoolRecord(uuid="p", master="h")},
            host={"h": HostRecord(uuid="h", metrics="m", memory_overhead=GIB)},
            host_metrics={"m": HostMetricsRecord(memory_total=10 * GIB, live=True)},
            VM={"v": vm},
        )
        return collection_from(records, seen_at=0, source="", native_version="").hosts[0].memory_bytes_free

    settings = {"memory_static_max": 2 * GIB, "memory_dynamic_min": 2 * GIB, "memory_overhead": MIB}
    assert free(VmRecord(**settings)) == 9 * GIB  # type: ignore[arg-type]
    assert free(VmRecord(resident_on="h", **settings)) == 7 * GIB - MIB  # type: ignore[arg-type]
    assert free(VmRecord(scheduled_to_be_resident_on="h", **settings)) == 7 * GIB - MIB  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("record", "kind", "where", "presence"),
    [
        (VbdRecord(VM="v", VDI="d", userdevice="0", type="Disk"), DiskKind.DISK, "vdi", Presence.UNKNOWN),
        (
            VbdRecord(VM="v", VDI=NULL, userdevice="3", type="CD", empty=True),
            DiskKind.CDROM,
            "",
            Presence.UNKNOWN,
        ),
        (
            VbdRecord(VM="v", VDI="gone", userdevice="3", type="CD", empty=True),
            DiskKind.CDROM,
            "",
            Presence.UNKNOWN,
        ),
        (VbdRecord(VM="v", VDI="gone", userdevice="1", type="Disk"), DiskKind.DISK, "", Presence.MISSING),
        (VbdRecord(VM="v", VDI="lost", userdevice="1", type="Disk"), DiskKind.DISK, "lost", Presence.MISSING),
        (VbdRecord(VM="v", VDI="d", userdevice="4", type="Floppy"), DiskKind.FLOPPY, "vdi", Presence.UNKNOWN),
    ],
)
def test_disks(record: VbdRecord, kind: DiskKind, where: str, presence: Presence) -> None:
    records = Records(
        VM={"v": VmRecord(uuid="v", power_state="Running")},
        VBD={"b": record},
        VDI={"d": VdiRecord(uuid="vdi"), "lost": VdiRecord(uuid="lost", missing=True)},
    )
    [vm] = collection_from(records, seen_at=0, source="", native_version="").vms
    [disk] = vm.disks
    assert (disk.kind, disk.where, disk.presence) == (kind, where, presence)


def test_devices_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    disks = [
        {"_ref": f"OpaqueRef:b{number}", "VM": "OpaqueRef:vm", "VDI": NULL, "userdevice": number}
        for number in ("10", "autodetect", "2", "0")
    ]
    found = only_vm(seen(tmp_path, VM, VBD=disks)).disks
    assert [disk.device for disk in found] == ["0", "2", "10", "autodetect"]


@pytest.mark.parametrize(
    ("state", "metrics", "tools"),
    [
        ("Running", None, ToolsState.ABSENT),
        ("Running", {"PV_drivers_version": "(('major' '7') ('minor' '20'))"}, ToolsState.WORKING),
        ("Running", {"PV_drivers_version": "()"}, ToolsState.ABSENT),
        ("Running", {"PV_drivers_detected": "true"}, ToolsState.WORKING),
        ("Halted", None, ToolsState.UNKNOWN),
        ("Halted", {"PV_drivers_detected": "true"}, ToolsState.UNKNOWN),
    ],
)
def test_guest_tools(tmp_path: Path, state: str, metrics: dict[str, str] | None, tools: ToolsState) -> None:
    rows = ({"_ref": "OpaqueRef:g", **metrics},) if metrics is not None else ()
    vm: Row = {**VM, "power_state": state, "guest_metrics": "OpaqueRef:g" if metrics is not None else NULL}
    assert only_vm(seen(tmp_path, vm, VM_guest_metrics=rows)).guest.tools is tools


def test_addresses_old_and_new(tmp_path: Path) -> None:
    networks = (
        "(('0/ip' '10.0.0.5') ('0/ipv4/0' '10.0.0.5') ('0/ipv6/0' 'fe80::1') ('1/ip' '10.1.0.5') ('x' 'y'))"
    )
    card = {"_ref": "OpaqueRef:vif", "VM": "OpaqueRef:vm", "device": "0", "MAC": "aa:bb"}
    guest = {"_ref": "OpaqueRef:g", "networks": networks}
    vm: Row = {**VM, "guest_metrics": "OpaqueRef:g"}
    [nic] = only_vm(seen(tmp_path, vm, VIF=(card,), VM_guest_metrics=(guest,))).nics
    assert nic.addresses == ("10.0.0.5", "fe80::1")
    [nic] = only_vm(
        seen(tmp_path, {**vm, "power_state": "Halted"}, VIF=(card,), VM_guest_metrics=(guest,))
    ).nics
    assert nic.addresses == ()


def test_secrets_of_a_storage_are_not_where_it_is(tmp_path: Path) -> None:
    config = (
        "(('server' 'filer') ('serverpath' '/vms') ('cifspassword' 'hunter2') ('chappassword' 'hunter2'))"
    )
    pbd = {"_ref": "OpaqueRef:pbd", "SR": "OpaqueRef:sr", "host": "OpaqueRef:host", "device_config": config}
    pbd["currently_attached"] = "false"
    sr = {"_ref": "OpaqueRef:sr", "uuid": "sr", "shared": "true", "physical_size": "-1"}
    [storage] = seen(tmp_path, VM, SR=(sr,), PBD=(pbd,)).storages
    assert storage.where == "filer /vms"
    assert storage.size_bytes is None
    assert storage.detached_host_uuids == ("host-uuid",)
    assert "hunter2" not in repr(storage)


# --- what was not read -----------------------------------------------------------------------------------------------

VBD: Row = {"_ref": "OpaqueRef:vbd", "VM": "OpaqueRef:vm", "VDI": "OpaqueRef:vdi", "userdevice": "0"}
VDI: Row = {"_ref": "OpaqueRef:vdi", "uuid": "vdi", "SR": "OpaqueRef:sr", "virtual_size": "5"}
SR: Row = {"_ref": "OpaqueRef:sr", "uuid": "sr", "shared": "true", "physical_size": "9"}
VIF: Row = {"_ref": "OpaqueRef:vif", "VM": "OpaqueRef:vm", "device": "0", "network": "OpaqueRef:net"}
NETWORK: Row = {"_ref": "OpaqueRef:net", "uuid": "net"}
WHOLE = {"VBD": (VBD,), "VDI": (VDI,), "SR": (SR,), "VIF": (VIF,), "network": (NETWORK,)}


def seen_without(tmp_path: Path, table: str, *vms: Row, **tables: Any) -> Collection:
    rows = pool_rows(*vms, **{**WHOLE, **tables})
    path = tmp_path / "pool.db"
    path.write_bytes(database_bytes({name: kept for name, kept in rows.items() if name != table}))
    return observed(path)


def test_a_whole_vm_is_read(tmp_path: Path) -> None:
    vm = only_vm(seen(tmp_path, VM, **WHOLE))
    assert vm.definition_read
    assert (len(vm.disks), len(vm.nics), vm.dangling) == (1, 1, ())


@pytest.mark.parametrize("table", ["VBD", "VDI", "SR", "VIF", "network"])
def test_without_a_table_of_its_parts_no_vm_is_read_and_nothing_is_missing(
    tmp_path: Path, table: str
) -> None:
    collection = seen_without(tmp_path, table, VM)
    vm = only_vm(collection)
    assert not vm.definition_read
    assert vm.dangling == ()
    assert all(disk.presence is Presence.UNKNOWN for disk in vm.disks)
    report = report_on("t", collection, (), None)
    assert report.vms[0].may_be_adopted == "not now"
    assert not {"disk-missing", "reference-dangling"} & {finding.code for finding in report.findings}


def test_without_hosts_no_vm_is_on_one_that_is_gone(tmp_path: Path) -> None:
    collection = seen_without(tmp_path, "host", {**VM, "affinity": "OpaqueRef:host"})
    assert only_vm(collection).dangling == ()
    summary = report_on("t", collection, (), None).summary
    assert summary is not None
    assert summary.memory_bytes_total is summary.memory_bytes_free is summary.memory_bytes_drift is None


def test_without_host_metrics_nothing_is_known_of_memory(tmp_path: Path) -> None:
    summary = report_on("t", seen_without(tmp_path, "host_metrics", VM), (), None).summary
    assert summary is not None
    assert summary.memory_bytes_total is summary.memory_bytes_free is summary.memory_bytes_drift is None


def test_without_vms_no_host_is_free(tmp_path: Path) -> None:
    collection = seen_without(tmp_path, "VM")
    assert only_host(collection).memory_bytes_free is None
    report = report_on("t", collection, (), None)
    assert report.rooms[0].bytes_free is None
    assert report.rooms[0].bytes_may_start is None
    assert report.summary is not None
    assert report.summary.memory_bytes_free is report.summary.memory_bytes_may_start is None


def test_without_guest_metrics_tools_are_not_known(tmp_path: Path) -> None:
    vm = {**VM, "guest_metrics": "OpaqueRef:gm"}
    assert only_vm(seen_without(tmp_path, "VM_guest_metrics", vm)).guest.tools is ToolsState.UNKNOWN
    assert only_vm(seen(tmp_path, vm)).guest.tools is ToolsState.ABSENT
    damaged = {"_ref": "OpaqueRef:gm", "PV_drivers_detected": "?"}
    assert only_vm(seen(tmp_path, vm, VM_guest_metrics=(damaged,))).guest.tools is ToolsState.UNKNOWN


def test_without_vm_metrics_nothing_is_made_up(tmp_path: Path) -> None:
    vm = {**VM, "metrics": "OpaqueRef:m"}
    found = only_vm(seen_without(tmp_path, "VM_metrics", vm))
    assert (found.vcpus, found.vcpus_max, found.started_at, found.memory.bytes_actual) == (
        None,
        1,
        None,
        None,
    )
    assert only_vm(seen_without(tmp_path, "VM_metrics", {**vm, "power_state": "Halted"})).vcpus == 1


def test_without_interfaces_a_network_is_not_internal(tmp_path: Path) -> None:
    assert [network.type for network in seen_without(tmp_path, "PIF", VM).networks] == [""]
    assert [network.type for network in seen(tmp_path, VM, network=(NETWORK,)).networks] == ["internal"]
    pif = {"_ref": "p", "network": "OpaqueRef:net", "VLAN": "x"}
    assert [network.type for network in seen(tmp_path, VM, network=(NETWORK,), PIF=(pif,)).networks] == [""]


@pytest.mark.parametrize("file", [REAL, EXAMPLE])
def test_a_file_cut_off_anywhere_makes_no_vm_adoptable_that_was_not_and_nothing_missing(
    tmp_path: Path, file: Path
) -> None:
    data = file.read_bytes()
    whole = report_on("t", observed(file), (), None)
    adoptable = {vm.uuid for vm in whole.vms if vm.may_be_adopted == "yes"}
    lost = {finding.subject_uuid for finding in whole.findings if finding.code == "disk-missing"}
    path = tmp_path / "cut.db"
    for part in range(4, 40):
        path.write_bytes(data[: len(data) * part // 40])
        cut = report_on("t", observed(path), (), None)
        assert {vm.uuid for vm in cut.vms if vm.may_be_adopted == "yes"} <= adoptable
        found = {finding.subject_uuid for finding in cut.findings if finding.code == "disk-missing"}
        assert found <= lost


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("VBD", {**VBD, "empty": "?"}),
        ("VDI", {**VDI, "virtual_size": "abc"}),
        ("VIF", {**VIF, "currently_attached": "?"}),
        ("VBD", {key: value for key, value in VBD.items() if key != "VM"}),
        ("VIF", {key: value for key, value in VIF.items() if key != "VM"}),
    ],
)
def test_damage_to_a_part_is_damage_to_the_vm(tmp_path: Path, table: str, row: Row) -> None:
    vm = only_vm(seen(tmp_path, VM, **{**WHOLE, table: (row,)}))
    assert not vm.definition_read
    assert [disk.size_bytes for disk in vm.disks] in ([5], [None], [])


def test_damage_to_a_part_is_no_damage_to_another_vm(tmp_path: Path) -> None:
    other = {**VM, "_ref": "OpaqueRef:other", "uuid": "other"}
    damaged = {**VDI, "virtual_size": "abc"}
    vms = seen(tmp_path, VM, other, **{**WHOLE, "VDI": (damaged,)}).vms
    assert {vm.uuid: vm.definition_read for vm in vms} == {"vm-uuid": False, "other": True}


@pytest.mark.parametrize("live", ["yes", None])
def test_a_heartbeat_that_is_not_readable_is_no_death(tmp_path: Path, live: str | None) -> None:
    row = {key: value for key, value in HOST_METRICS.items() if key != "live"}
    collection = seen(tmp_path, VM, host_metrics=(row if live is None else {**row, "live": live},))
    assert only_host(collection).live is Answer.UNKNOWN
    assert "host-not-live" not in {finding.code for finding in report_on("t", collection, (), None).findings}


def test_a_host_that_does_not_say_whether_it_is_enabled_is_not_disabled(tmp_path: Path) -> None:
    host = {key: value for key, value in HOST.items() if key != "enabled"}
    assert only_host(seen(tmp_path, VM, host=(host,))).enabled is Answer.UNKNOWN


def test_what_a_storage_does_not_tell(tmp_path: Path) -> None:
    pbd = {"_ref": "pbd", "SR": "OpaqueRef:sr", "host": "OpaqueRef:host"}
    sr = {"_ref": "OpaqueRef:sr", "uuid": "sr", "physical_size": "zz"}
    [storage] = seen(tmp_path, VM, SR=(sr,), PBD=(pbd,)).storages
    assert storage.size_bytes is storage.used_bytes is storage.allocated_bytes is None
    assert storage.sharing is Sharing.UNKNOWN
    assert (storage.host_uuids, storage.detached_host_uuids) == ((), ())
    assert storage.active is Answer.UNKNOWN
    [alone] = seen(tmp_path, VM, SR=(sr,)).storages
    assert alone.active is Answer.NO
    [unread] = seen_without(tmp_path, "PBD", VM).storages
    assert unread.active is Answer.UNKNOWN


@pytest.mark.parametrize(
    ("of_vm", "of_pool", "answer"),
    [
        ("true", "(('auto_poweron' 'true'))", Answer.YES),
        ("true", "(('auto_poweron' 'false'))", Answer.NO),
        ("true", "()", Answer.NO),
        ("true", "((", Answer.UNKNOWN),
        ("true", None, Answer.UNKNOWN),
        ("false", "(('auto_poweron' 'true'))", Answer.NO),
        (None, "((", Answer.NO),
    ],
)
def test_a_vm_starts_with_its_host_where_the_pool_allows_it(
    tmp_path: Path, of_vm: str | None, of_pool: str | None, answer: Answer
) -> None:
    vm = VM if of_vm is None else {**VM, "other_config": f"(('auto_poweron' '{of_vm}'))"}
    pool = POOL if of_pool is None else {**POOL, "other_config": of_pool}
    assert only_vm(seen(tmp_path, vm, pool=(pool,))).autostart is answer


@settings(deadline=None)
@given(st.permutations(range(6)))
def test_the_order_of_rows_changes_nothing(order: list[int]) -> None:
    vms = {f"r{n}": VmRecord(uuid=f"u{n}", name_label=f"n{n}", power_state="Halted") for n in range(6)}
    shuffled = {f"r{n}": vms[f"r{n}"] for n in order}
    straight = collection_from(Records(VM=vms), seen_at=0, source="", native_version="")
    other = collection_from(Records(VM=shuffled), seen_at=0, source="", native_version="")
    assert {vm.uuid: vm for vm in straight.vms} == {vm.uuid: vm for vm in other.vms}
