"""Is the room that is taken really summed from what is there, and unknown where something is not told?

Effects: reads files
"""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.database_files import EXAMPLE, REAL, observed
from tests.support.inventory import GIB, MIB, a_collection, a_host, a_vm
from xenios.decide.room import may_start_by_itself, room_of, wanted_bytes
from xenios.drivers.xenserver.database import read_database
from xenios.model.collection import Collection
from xenios.model.inventory import (
    POWER_STATES_THAT_HOLD_MEMORY,
    Answer,
    Host,
    Memory,
    PowerState,
    Vm,
    VmKind,
)
from xenios.model.room import HostRoom, sum_if_known
from xenios.report.build import report_on

ONE = 4 * GIB + 40 * MIB
"""What an ordinary VM of these tests wants."""
HALTED, UNKNOWN, SUSPENDED = PowerState.HALTED, PowerState.UNKNOWN, PowerState.SUSPENDED


def only_room(collection: Collection) -> HostRoom:
    [room] = room_of(collection).hosts
    return room


# --- real pools, by hand from their records --------------------------------------------------------------------------


@pytest.mark.parametrize("path", [EXAMPLE, REAL], ids=["example", "real"])
def test_the_sums_are_those_of_the_records(path: object) -> None:
    database = EXAMPLE if path is EXAMPLE else REAL
    records = asyncio.run(read_database(database)).records
    rooms = {room.host_uuid: room for room in room_of(observed(database)).hosts}
    assert len(rooms) == len(records.host)
    for ref, host in records.host.items():
        room = rooms[host.uuid]
        total = records.host_metrics[host.metrics].memory_total
        here = [vm for vm in records.VM.values() if vm.resident_on == ref]
        guests = [vm for vm in here if not vm.is_control_domain]
        control = sum(vm.memory_dynamic_max + vm.memory_overhead for vm in here if vm.is_control_domain)
        declared = sum(vm.memory_dynamic_max + vm.memory_overhead for vm in guests)
        measured = (
            total - host.memory_overhead - sum(vm.memory_dynamic_min + vm.memory_overhead for vm in here)
        )
        assert guests
        assert all(vm.power_state in ("Running", "Paused") for vm in guests)
        assert room.bytes_total == total
        assert room.bytes_overhead == host.memory_overhead + control
        assert (room.bytes_declared, room.vms_declared) == (declared, len(guests))
        assert room.vms_not_told == 0
        assert room.bytes_free_declared == total - host.memory_overhead - control - declared
        assert room.bytes_free_measured == max(0, measured)
        assert room.bytes_free == min(total - host.memory_overhead - control - declared, max(0, measured))
        assert room.bytes_free_database_only == total - host.memory_overhead - control
        assert room.bytes_drift == room.bytes_free_database_only - room.bytes_free
        assert room.bytes_promised == 0
        assert room.cpus == records.host[ref].cpu_info.get("cpu_count", room.cpus) or room.cpus


def test_what_may_start_in_the_example_is_every_vm_that_may() -> None:
    collection = observed(EXAMPLE)
    records = asyncio.run(read_database(EXAMPLE)).records
    may = [
        vm
        for vm in records.VM.values()
        if not (vm.is_a_template or vm.is_a_snapshot or vm.is_control_domain)
        and (
            vm.power_state == "Suspended"
            or (
                vm.power_state == "Halted"
                and (vm.ha_restart_priority or vm.other_config.get("auto_poweron") == "true")
            )
        )
    ]
    room = room_of(collection)
    assert room.vms_may_start_anywhere + sum(host.vms_may_start for host in room.hosts) == len(may) > 0
    wanted = sum(vm.memory_dynamic_max + vm.memory_overhead for vm in may)
    told = (room.bytes_may_start_anywhere, *(host.bytes_may_start for host in room.hosts))
    assert sum_if_known(told) == wanted


# --- one host --------------------------------------------------------------------------------------------------------


def test_an_empty_host() -> None:
    room = only_room(a_collection())
    assert (room.bytes_declared, room.vms_declared, room.vms_not_told) == (0, 0, 0)
    assert room.bytes_free_declared == 63 * GIB
    assert room.bytes_free_measured == 50 * GIB
    assert room.bytes_free == 50 * GIB
    assert room.bytes_free_database_only == 63 * GIB
    assert room.bytes_drift == 13 * GIB


def test_the_worst_truth_decides() -> None:
    vms = [a_vm(f"v{number}") for number in range(15)]
    room = only_room(a_collection(*vms))
    assert room.bytes_free == room.bytes_free_declared == 63 * GIB - 15 * ONE
    assert room.bytes_drift == 15 * ONE


def test_a_host_may_be_over_promised() -> None:
    room = only_room(a_collection(*(a_vm(f"v{number}") for number in range(20))))
    assert room.bytes_free == 63 * GIB - 20 * ONE < 0


@pytest.mark.parametrize("state", sorted(POWER_STATES_THAT_HOLD_MEMORY))
def test_states_that_hold_memory_are_declared(state: PowerState) -> None:
    room = only_room(a_collection(a_vm(power_state=state)))
    assert (room.bytes_declared, room.vms_declared, room.vms_may_start) == (ONE, 1, 0)


def test_control_domains_are_overhead() -> None:
    room = only_room(a_collection(a_vm(kind=VmKind.CONTROL_DOMAIN)))
    assert (room.bytes_declared, room.vms_declared) == (0, 0)
    assert room.bytes_overhead == GIB + ONE


@pytest.mark.parametrize("kind", [VmKind.TEMPLATE, VmKind.SNAPSHOT])
def test_templates_and_snapshots_take_nothing(kind: VmKind) -> None:
    busy = a_vm(kind=kind, autostart=Answer.YES)
    assert room_of(a_collection(busy)) == room_of(a_collection())


@pytest.mark.parametrize(
    ("vm", "counted"),
    [
        (a_vm(power_state=HALTED), False),
        (a_vm(power_state=HALTED, autostart=Answer.UNKNOWN), False),
        (a_vm(power_state=HALTED, autostart=Answer.YES), True),
        (a_vm(power_state=HALTED, high_availability="restart"), True),
        (a_vm(power_state=SUSPENDED, host_uuid=None), True),
        (a_vm(power_state=PowerState.RUNNING, autostart=Answer.YES, high_availability="restart"), False),
        (a_vm(power_state=UNKNOWN, autostart=Answer.YES), False),
    ],
)
def test_who_may_start_is_counted_apart(vm: Vm, counted: bool) -> None:
    assert may_start_by_itself(vm) is counted
    room = only_room(a_collection(vm))
    assert (room.bytes_may_start, room.vms_may_start) == ((ONE, 1) if counted else (0, 0))
    if vm.power_state in (HALTED, SUSPENDED):
        assert room.bytes_declared == 0


def test_who_may_start_anywhere_is_counted_for_the_pool() -> None:
    hosts = (a_host(), a_host("host-2"))
    roaming = a_vm("a", power_state=SUSPENDED, host_uuid=None)
    settled = a_vm("b", power_state=HALTED, autostart=Answer.YES, preferred_host_uuid="host-2")
    lost = a_vm("c", power_state=HALTED, autostart=Answer.YES, host_uuid="gone")
    room = room_of(a_collection(roaming, settled, lost, hosts=hosts))
    assert [host.vms_may_start for host in room.hosts] == [0, 1]
    assert (room.bytes_may_start_anywhere, room.vms_may_start_anywhere) == (2 * ONE, 2)


@pytest.mark.parametrize(
    ("memory", "wanted"),
    [
        (Memory(bytes_max=8 * GIB), 8 * GIB),
        (Memory(bytes_max=8 * GIB, bytes_dynamic_max=4 * GIB, bytes_overhead=MIB), 4 * GIB + MIB),
        (Memory(bytes_max=None, bytes_dynamic_max=4 * GIB), 4 * GIB),
        (Memory(bytes_max=None, bytes_actual=GIB), None),
    ],
)
def test_what_a_vm_wants(memory: Memory, wanted: int | None) -> None:
    assert wanted_bytes(a_vm(memory=memory)) == wanted


# --- unknown stays unknown -------------------------------------------------------------------------------------------

NOT_TOLD = Memory(bytes_max=None)


def test_a_vm_whose_memory_is_not_told_is_named_and_not_taken_for_nothing() -> None:
    room = only_room(a_collection(a_vm("a"), a_vm("b", memory=NOT_TOLD)))
    assert (room.vms_declared, room.vms_not_told, room.bytes_declared) == (2, 1, ONE)


def test_a_vm_in_an_unknown_state_counts_as_if_it_ran() -> None:
    room = only_room(a_collection(a_vm(power_state=UNKNOWN)))
    assert (room.bytes_declared, room.vms_declared, room.vms_not_told) == (ONE, 1, 1)


def test_a_control_domain_whose_memory_is_not_told_makes_the_overhead_unknown() -> None:
    room = only_room(a_collection(a_vm(kind=VmKind.CONTROL_DOMAIN, memory=NOT_TOLD)))
    assert room.bytes_overhead is None
    assert room.bytes_free_declared is None


def test_what_may_start_and_is_not_told_is_not_zero() -> None:
    suspended = a_vm(power_state=SUSPENDED, memory=NOT_TOLD)
    collection = a_collection(a_vm("a", power_state=SUSPENDED), suspended)
    assert (only_room(collection).bytes_may_start, only_room(collection).vms_may_start) == (None, 2)
    hosts = (a_host(), a_host("host-2"))
    roaming = a_collection(replace(suspended, host_uuid=None), hosts=hosts)
    room = room_of(roaming)
    assert (room.bytes_may_start_anywhere, room.vms_may_start_anywhere) == (None, 1)
    assert [host.bytes_may_start for host in room.hosts] == [0, 0]
    for seen in (collection, roaming):
        summary = report_on("test", seen, (), None).summary
        assert summary is not None
        assert summary.memory_bytes_may_start is None


def test_vcpus_that_are_not_told_are_not_zero() -> None:
    assert only_room(a_collection(a_vm("a", vcpus=2), a_vm("b", vcpus=3))).vcpus_declared == 5
    assert only_room(a_collection(a_vm("a", vcpus=2), a_vm("b", vcpus=None))).vcpus_declared is None


@pytest.mark.parametrize("hosts", [(), (a_host(),)])
def test_hosts_that_were_not_all_seen_have_no_sum(hosts: tuple[Host, ...]) -> None:
    roaming = a_vm(power_state=SUSPENDED, host_uuid=None)
    collection = replace(a_collection(roaming, hosts=hosts), all_hosts_seen=False)
    assert room_of(collection).vms_may_start_anywhere == 1
    for seen in (collection, a_collection(hosts=())):
        summary = report_on("test", seen, (), None).summary
        assert summary is not None
        assert summary.memory_bytes_total is summary.memory_bytes_free is summary.memory_bytes_drift is None


def test_vms_that_were_not_all_seen_leave_nothing_known_to_be_free() -> None:
    room = only_room(replace(a_collection(a_vm()), all_vms_seen=False))
    assert (room.bytes_declared, room.all_vms_seen) == (ONE, False)
    assert (
        room.bytes_free_declared is room.bytes_overhead is room.bytes_may_start is room.vcpus_declared is None
    )
    assert room.bytes_free == room.bytes_free_measured


def test_without_a_total() -> None:
    room = only_room(a_collection(a_vm(), hosts=(a_host(memory_bytes_total=None, memory_bytes_free=None),)))
    assert room.bytes_declared == ONE
    for figure in ("total", "free_declared", "free_measured", "free", "free_database_only", "drift"):
        assert getattr(room, f"bytes_{figure}") is None


def test_without_an_overhead() -> None:
    room = only_room(a_collection(a_vm(), hosts=(a_host(memory_bytes_overhead=None),)))
    assert room.bytes_overhead is None
    assert room.bytes_free_declared is None
    assert room.bytes_free == room.bytes_free_measured == 50 * GIB
    assert room.bytes_free_database_only == 64 * GIB
    assert room.bytes_drift == 14 * GIB


def test_without_a_measure() -> None:
    room = only_room(a_collection(a_vm(), hosts=(a_host(memory_bytes_free=None),)))
    assert room.bytes_free == room.bytes_free_declared == 63 * GIB - ONE
    assert room.bytes_drift == ONE


def test_a_pool_with_a_dead_host_counts_its_total_and_not_its_room() -> None:
    hosts = (a_host(), a_host("dead", live=Answer.NO), a_host("resting", enabled=Answer.NO))
    report = report_on("test", a_collection(a_vm(), a_vm("b", host_uuid="dead"), hosts=hosts), (), None)
    summary = report.summary
    assert summary is not None
    assert summary.memory_bytes_total == 3 * 64 * GIB
    assert summary.memory_bytes_free == 50 * GIB
    assert [room.vms_declared for room in report.rooms] == [1, 1, 0]


def test_a_sum_over_hosts_with_an_unknown_one_is_unknown() -> None:
    hosts = (a_host(), a_host("silent", memory_bytes_total=None, memory_bytes_free=None))
    summary = report_on("test", a_collection(hosts=hosts), (), None).summary
    assert summary is not None
    assert summary.memory_bytes_total is None
    assert summary.memory_bytes_free is None
    assert summary.memory_bytes_drift is None


# --- properties ------------------------------------------------------------------------------------------------------

sizes = st.none() | st.integers(1, 64).map(lambda gib: gib * GIB)
vms = st.builds(
    a_vm,
    st.uuids().map(str),
    kind=st.sampled_from([VmKind.MACHINE] * 4 + list(VmKind)),
    power_state=st.sampled_from(PowerState),
    host_uuid=st.sampled_from(["host-1", "host-2", "gone", None]),
    autostart=st.sampled_from(Answer),
    memory=st.builds(Memory, bytes_max=sizes, bytes_dynamic_max=sizes, bytes_overhead=sizes),
)
hosts_ = st.builds(
    a_host,
    st.sampled_from(["host-1", "host-2"]),
    memory_bytes_total=sizes,
    memory_bytes_free=sizes,
    memory_bytes_overhead=sizes,
)
collections = st.builds(
    lambda list_, hosts: a_collection(*list_, hosts=tuple(hosts)),
    st.lists(vms, max_size=5),
    st.lists(hosts_, min_size=1, max_size=2, unique_by=lambda host: host.uuid),
)


def rises(before: int | None, after: int | None) -> bool:
    """Whether what was known to be free became more."""
    return before is not None and after is not None and after > before


@settings(deadline=None)
@given(collections, vms)
def test_one_more_vm_never_makes_more_room(seen: Collection, vm: Vm) -> None:
    fuller = replace(seen, vms=(*seen.vms, vm))
    for before, after in zip(room_of(seen).hosts, room_of(fuller).hosts, strict=True):
        assert not rises(before.bytes_free_declared, after.bytes_free_declared)
        if vm.kind is not VmKind.CONTROL_DOMAIN:
            assert not rises(before.bytes_free, after.bytes_free)
            assert not rises(after.bytes_drift, before.bytes_drift)
        assert after.bytes_declared >= before.bytes_declared
        if after.bytes_may_start is not None:
            assert before.bytes_may_start is not None
            assert after.bytes_may_start >= before.bytes_may_start


@settings(deadline=None)
@given(collections)
def test_to_know_no_power_state_never_makes_more_room(seen: Collection) -> None:
    blind = replace(seen, vms=tuple(replace(vm, power_state=UNKNOWN) for vm in seen.vms))
    for before, after in zip(room_of(seen).hosts, room_of(blind).hosts, strict=True):
        assert not rises(before.bytes_free_declared, after.bytes_free_declared)


@settings(deadline=None)
@given(collections)
def test_the_figures_fit_each_other(seen: Collection) -> None:
    for room in room_of(seen).hosts:
        truths = [free for free in (room.bytes_free_declared, room.bytes_free_measured) if free is not None]
        assert room.bytes_free == (min(truths) if truths else None)
        if room.bytes_free_database_only is not None and room.bytes_free is not None:
            assert room.bytes_drift == room.bytes_free_database_only - room.bytes_free
        else:
            assert room.bytes_drift is None
        if room.bytes_total is None or room.bytes_overhead is None:
            assert room.bytes_free_declared is None
        else:
            assert room.bytes_free_declared == room.bytes_total - room.bytes_overhead - room.bytes_declared
        assert room.vms_not_told <= room.vms_declared


@settings(deadline=None)
@given(collections, st.randoms(use_true_random=False))
def test_the_order_of_vms_does_not_matter(seen: Collection, chance: object) -> None:
    shuffled = list(seen.vms)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert room_of(seen) == room_of(replace(seen, vms=tuple(shuffled)))


def test_off_and_perhaps_started_with_its_host_makes_the_figure_unknown_and_not_zero() -> None:
    untold = a_vm(power_state=HALTED, autostart=Answer.UNKNOWN, host_uuid="host-1")
    assert only_room(a_collection(untold)).bytes_may_start is None
    told = replace(untold, autostart=Answer.NO)
    assert only_room(a_collection(told)).bytes_may_start == 0
