"""Is a populated pool one that XAPI could have, and does it hold every story a takeover must survive?

Effects: none
"""

import importlib.util
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from xenios.drivers.xenserver.memory import overhead_bytes
from xenios.simulator.facts.datamodel import NULL, FieldType, Kind, Record, Records, load_datamodel
from xenios.simulator.population.populate import populate
from xenios.simulator.population.units import GIB, MIB

ROOT = Path(__file__).parent.parent.parent
NOW = datetime(2026, 8, 21, 6, 0, 0, tzinfo=UTC)
SIZES = [(1, 0), (1, 1), (2, 5), (2, 12), (3, 40), (4, 150)]


@pytest.fixture(scope="module")
def pool() -> Records:
    return populate(1, 3, 40, NOW)


@pytest.fixture(scope="module", params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def any_pool(request: pytest.FixtureRequest) -> Records:
    hosts, vms = request.param
    return populate(11, hosts, vms, NOW)


def proper(records: Records) -> dict[str, Record]:
    """The VMs that are no templates, snapshots or control domains."""
    vms = records["VM"].items()
    return {ref: vm for ref, vm in vms if not vm["is_a_template"] and not vm["is_control_domain"]}


def named(records: Records, name: str) -> Record:
    return next(vm for vm in proper(records).values() if vm["name_label"] == name)


def disks(records: Records, vm: Record) -> list[Record]:
    vbds = [records["VBD"][ref] for ref in vm["VBDs"]]
    return [records["VDI"][vbd["VDI"]] for vbd in vbds if vbd["type"] == "Disk"]


# ---- records as XAPI gives them ----


def fits(value: Any, kind_of: FieldType) -> bool:
    match kind_of.kind:
        case Kind.INT:
            return type(value) is int
        case Kind.FLOAT:
            return type(value) is float
        case Kind.BOOL:
            return type(value) is bool
        case Kind.ENUM:
            return value in load_datamodel().enums[kind_of.name]
        case Kind.REF:
            return isinstance(value, str) and value.startswith("OpaqueRef:")
        case Kind.STRING:
            return isinstance(value, str)
        case Kind.DATETIME:
            return isinstance(value, str) and datetime.strptime(value, "%Y%m%dT%H:%M:%SZ") is not None  # noqa: DTZ007
        case Kind.SET:
            assert kind_of.value is not None
            return isinstance(value, list) and all(fits(item, kind_of.value) for item in value)
        case Kind.MAP:
            assert kind_of.value is not None
            return isinstance(value, dict) and all(
                isinstance(key, str) and fits(item, kind_of.value) for key, item in value.items()
            )


def test_every_record_is_complete_and_every_value_of_its_type(any_pool: Records) -> None:
    facts = load_datamodel()
    uuids: Counter[str] = Counter()
    for class_name, rows in any_pool.items():
        fields = facts.classes[class_name].fields
        for record in rows.values():
            assert list(record) == list(fields)
            uuids[record["uuid"]] += 1
            for name, value in record.items():
                assert fits(value, fields[name].type), f"{class_name}.{name} = {value!r}"
    assert max(uuids.values()) == 1


def test_no_two_records_share_a_container(pool: Records) -> None:
    seen: set[int] = set()
    for rows in pool.values():
        for record in rows.values():
            for value in record.values():
                if isinstance(value, list | dict):
                    assert id(value) not in seen
                    seen.add(id(value))


def test_the_records_of_the_real_pool_have_the_same_fields_in_the_same_order() -> None:
    real: Records = json.loads((ROOT / "tests/fixtures/xapi/records.json").read_text(encoding="utf-8"))
    facts = load_datamodel()
    for class_name, rows in real.items():
        for record in rows.values():
            assert list(record) == list(facts.default_record(class_name))
            for name, value in record.items():
                assert fits(value, facts.classes[class_name].fields[name].type), f"{class_name}.{name}"


def test_the_overhead_formula_gives_what_a_real_pool_computed() -> None:
    real: Records = json.loads((ROOT / "tests/fixtures/xapi/records.json").read_text(encoding="utf-8"))
    for vm in real["VM"].values():
        computed = overhead_bytes(
            vm["domain_type"], vm["memory_static_max"], vm["VCPUs_max"], vm["HVM_shadow_multiplier"]
        )
        assert computed == vm["memory_overhead"]
    assert overhead_bytes("hvm", 4096 * MIB, 2) == 37 * MIB


# ---- relations ----


def test_relations_say_the_same_on_both_sides(any_pool: Records) -> None:
    for relation in load_datamodel().relations:
        ones, manies = any_pool[relation.one_class], any_pool[relation.many_class]
        for ref, one in ones.items():
            target = manies.get(one[relation.one_field])
            if target is not None:
                assert target[relation.many_field].count(ref) == 1, relation
        for ref, many in manies.items():
            for one_ref in many[relation.many_field]:
                assert ones[one_ref][relation.one_field] == ref, relation


def dangling(records: Records) -> Iterator[str]:
    facts = load_datamodel()
    for class_name, rows in records.items():
        for record in rows.values():
            for name, field in facts.classes[class_name].fields.items():
                inner = field.type.value if field.type.kind is Kind.SET else field.type
                if inner is None or inner.kind is not Kind.REF:
                    continue
                for ref in record[name] if field.type.kind is Kind.SET else [record[name]]:
                    if ref != NULL and ref not in records.get(inner.name, {}):
                        yield f"{class_name}.{name}"


def test_only_the_intended_refs_lead_nowhere(pool: Records) -> None:
    assert sorted(dangling(pool)) == ["VM.affinity", "VM.snapshot_of", "host.crash_dump_sr"]


def test_resident_vms_fit_on_their_hosts(any_pool: Records) -> None:
    for host in any_pool["host"].values():
        residents = [any_pool["VM"][ref] for ref in host["resident_VMs"]]
        held = sum(vm["memory_dynamic_min"] + vm["memory_overhead"] for vm in residents)
        total = any_pool["host_metrics"][host["metrics"]]["memory_total"]
        assert held + host["memory_overhead"] <= total
        assert len({vm["domid"] for vm in residents}) == len(residents)
        assert all(vm["power_state"] in ("Running", "Paused") for vm in residents)
        assert any_pool["VM"][host["control_domain"]]["resident_on"] in any_pool["host"]


def test_repositories_hold_the_sum_of_their_disks(any_pool: Records) -> None:
    for sr in any_pool["SR"].values():
        vdis = [any_pool["VDI"][ref] for ref in sr["VDIs"]]
        assert sr["physical_utilisation"] == sum(vdi["physical_utilisation"] for vdi in vdis)
        assert sr["virtual_allocation"] == sum(vdi["virtual_size"] for vdi in vdis if vdi["managed"])
        assert sr["physical_size"] in (-1, 0) or sr["physical_size"] >= sr["physical_utilisation"]
        assert sr["shared"] or len(sr["PBDs"]) == 1


def test_running_vms_reach_their_disks(any_pool: Records) -> None:
    for ref, vm in proper(any_pool).items():
        if vm["resident_on"] == NULL:
            continue
        for vdi in disks(any_pool, vm):
            pbds = [any_pool["PBD"][pbd] for pbd in any_pool["SR"][vdi["SR"]]["PBDs"]]
            assert [pbd["currently_attached"] for pbd in pbds if pbd["host"] == vm["resident_on"]] == [
                True
            ], ref


@pytest.mark.parametrize(("hosts", "vms"), SIZES)
def test_there_are_as_many_hosts_and_vms_as_asked_for(hosts: int, vms: int) -> None:
    records = populate(3, hosts, vms, NOW)
    assert len(records["host"]) == hosts
    assert len(proper(records)) == vms
    assert len(records["pool"]) == 1


def test_the_same_arguments_give_the_same_pool_and_another_seed_another() -> None:
    assert populate(5, 3, 40, NOW) == populate(5, 3, 40, NOW)
    first, second = populate(5, 3, 40, NOW), populate(6, 3, 40, NOW)
    assert first["VM"].keys().isdisjoint(second["VM"])
    assert Counter(vm["name_label"] for vm in proper(first).values()) != Counter()


@pytest.mark.parametrize(("hosts", "vms"), [(0, 1), (-1, 1), (257, 1), (1, -1), (1, 100_001)])
def test_impossible_sizes_are_refused(hosts: int, vms: int) -> None:
    with pytest.raises(ValueError, match="a simulated pool has"):
        populate(1, hosts, vms, NOW)


# ---- the stories ----


def test_vms_are_in_every_state(pool: Records) -> None:
    vms = proper(pool).values()
    assert {vm["power_state"] for vm in vms} == {"Running", "Halted", "Suspended", "Paused"}
    assert {vm["domain_type"] for vm in vms} >= {"hvm", "pv"}
    for vm in vms:
        up = vm["power_state"] in ("Running", "Paused")
        assert (vm["resident_on"] != NULL) == up
        assert (vm["domid"] > 0) == up
        assert (vm["suspend_VDI"] in pool["VDI"]) == (vm["power_state"] == "Suspended")
        assert bool(vm["consoles"]) == up
        assert all(pool["VBD"][ref]["currently_attached"] == up for ref in vm["VBDs"])


def test_guests_with_and_without_tools(pool: Records) -> None:
    running = [vm for vm in proper(pool).values() if vm["power_state"] == "Running"]
    with_tools = [vm for vm in running if vm["guest_metrics"] != NULL]
    assert 0 < len(with_tools) < len(running)
    for vm in with_tools:
        metrics = pool["VM_guest_metrics"][vm["guest_metrics"]]
        assert metrics["networks"]["0/ip"] == metrics["networks"]["0/ipv4/0"]
        assert metrics["os_version"]["name"]
        assert "clean_shutdown" in vm["allowed_operations"]
    assert all("clean_shutdown" not in vm["allowed_operations"] for vm in running if vm not in with_tools)


def test_hosts_of_every_health(pool: Records) -> None:
    live = [pool["host_metrics"][host["metrics"]]["live"] for host in pool["host"].values()]
    assert live == [True, True, False]
    assert [host["enabled"] for host in pool["host"].values()] == [True, False, True]
    for host in pool["host"].values():
        assert len(host["resident_VMs"]) > 1
    (record,) = pool["pool"].values()
    assert record["master"] == next(iter(pool["host"]))


def test_names_that_lie_or_bite(pool: Records) -> None:
    names = Counter(vm["name_label"] for vm in proper(pool).values())
    assert names["fileserver"] == 2
    assert {"i-2-3-VM", "r-4-VM", "s-1-VM", "v-2-VM", "i-2-5-OTHER", ""} <= names.keys()
    for bite in ("\t", "\n", "\\", "%", '"', "'", "<script>", "\u009b", "\u202e", "\U0001f680", "ü", "日"):
        assert any(bite in name for name in names), f"no name with {bite!r}"


def test_duplicate_mac_addresses_run(pool: Records) -> None:
    attached = [vif for vif in pool["VIF"].values() if vif["currently_attached"]]
    macs = Counter(vif["MAC"] for vif in attached)
    assert [mac for mac, count in macs.items() if count > 1] == [
        pool["VIF"][named(pool, "dns-01")["VIFs"][0]]["MAC"]
    ]


def test_other_managers_have_left_their_keys(pool: Records) -> None:
    keys = {key for vm in proper(pool).values() for key in vm["other_config"]}
    assert {"xo:resource_set", "xo:backup:job", "XenCenter.CustomFields.Cost centre", "folder"} <= keys
    assert {"CitrixProvisioningSchemeId", "auto_poweron"} <= keys
    assert {vm["ha_restart_priority"] for vm in proper(pool).values()} == {"", "restart", "best-effort"}


def test_devices_that_tie_a_vm_to_its_host(pool: Records) -> None:
    gateway = named(pool, "san-gateway")
    assert gateway["power_state"] == "Running"
    assert "pci" in gateway["other_config"]
    assert pool["PCI"][gateway["attached_PCIs"][0]]["host"] == gateway["resident_on"]
    workstation = named(pool, "cad-01")
    vgpu = pool["VGPU"][workstation["VGPUs"][0]]
    assert pool["PGPU"][vgpu["resident_on"]]["host"] == workstation["resident_on"]
    cache = named(pool, "cache-01")
    assert any(not pool["SR"][vdi["SR"]]["shared"] for vdi in disks(pool, cache))
    assert any(pool["VBD"][ref]["type"] == "CD" and not pool["VBD"][ref]["empty"] for ref in cache["VBDs"])


def test_disks_that_two_vms_hold(pool: Records) -> None:
    held = [vdi for vdi in pool["VDI"].values() if len(vdi["VBDs"]) > 1 and not vdi["read_only"]]
    assert sorted(vdi["sharable"] for vdi in held) == [False, True]
    for vdi in held:
        assert {pool["VBD"][ref]["mode"] for ref in vdi["VBDs"]} == {"RW"}
    (missing,) = [vdi for vdi in pool["VDI"].values() if vdi["missing"]]
    assert pool["VM"][pool["VBD"][missing["VBDs"][0]]["VM"]]["power_state"] == "Halted"


def test_snapshots_templates_and_clones(pool: Records) -> None:
    snapshots = [vm for vm in pool["VM"].values() if vm["is_a_snapshot"]]
    assert all(vm["is_a_template"] and vm["power_state"] == "Halted" for vm in snapshots)
    database = named(pool, "pg-prod-01")
    assert len(database["snapshots"]) == 2
    newest = pool["VM"][database["parent"]]
    assert newest["snapshot_of"] in pool["VM"]
    assert pool["VM"][newest["parent"]]["name_label"] == "before upgrade 15"
    macs = {pool["VIF"][ref]["MAC"] for ref in database["VIFs"]}
    assert {pool["VIF"][ref]["MAC"] for ref in newest["VIFs"]} == macs
    assert {pool["VDI"][vdi["snapshot_of"]]["uuid"] for vdi in disks(pool, newest)} == {
        vdi["uuid"] for vdi in disks(pool, database)
    }
    templates = [vm for vm in pool["VM"].values() if vm["is_a_template"] and not vm["is_a_snapshot"]]
    assert Counter(vm["is_default_template"] for vm in templates) == {True: len(templates) - 1, False: 1}
    clone, source = named(pool, "web-prod-01 (test copy)"), named(pool, "web-prod-01")
    assert clone["other_config"]["auto_poweron"] == source["other_config"]["auto_poweron"]
    assert clone["other_config"]["mac_seed"] != source["other_config"]["mac_seed"]


def test_ballooned_blocked_and_unplugged(pool: Records) -> None:
    assert named(pool, "pg-prod-01")["memory_dynamic_min"] == 8 * GIB
    assert named(pool, "pg-prod-01")["memory_dynamic_max"] == 16 * GIB
    blocked = [vm for vm in proper(pool).values() if vm["blocked_operations"]]
    assert blocked
    assert all(not set(vm["blocked_operations"]) & set(vm["allowed_operations"]) for vm in blocked)
    unplugged = [pbd for pbd in pool["PBD"].values() if not pbd["currently_attached"]]
    assert [pool["SR"][pbd["SR"]]["type"] for pbd in unplugged] == ["lvmoiscsi"]


def test_networks_plain_vlan_and_internal(pool: Records) -> None:
    assert len(pool["VLAN"]) == 3 * len(pool["host"])
    for vlan in pool["VLAN"].values():
        above, below = pool["PIF"][vlan["untagged_PIF"]], pool["PIF"][vlan["tagged_PIF"]]
        assert above["VLAN"] == vlan["tag"]
        assert (above["host"], above["device"]) == (below["host"], below["device"])
    internal = [network for network in pool["network"].values() if not network["PIFs"] and network["VIFs"]]
    assert [network["bridge"] for network in internal] == ["xapi0"]


def test_a_single_vm_runs() -> None:
    (vm,) = proper(populate(1, 1, 1, NOW)).values()
    assert vm["power_state"] == "Running"


def test_a_large_pool_keeps_the_stories_and_is_mostly_ordinary() -> None:
    records = populate(1, 6, 1000, NOW)
    states = Counter(vm["power_state"] for vm in proper(records).values())
    assert states["Running"] > 650
    assert named(records, "i-2-5-OTHER")


# ---- the shipped example ----


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_example_pool", ROOT / "scripts/make_example_pool.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_shipped_example_is_what_its_script_makes() -> None:
    module = script()
    shipped = (ROOT / "xenios/simulator/examples/pool-in-use.db").read_bytes()
    assert shipped == module.example(), "run scripts/make_example_pool.py"
