"""Does one view of a live pool tell what is there, and of what it could not read, that it could not?

Effects: none
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.support.pool_observers import Watched, observer_of, watched_pool
from tests.support.simulated import NOW
from xenios.drivers.base import Depth
from xenios.drivers.xenserver.records import Records
from xenios.drivers.xenserver.translate import collection_from
from xenios.errors import TargetSilent, TargetUnreadable
from xenios.model.collection import Collection, Quality
from xenios.model.inventory import Answer, Capability, PowerState, VmKind
from xenios.report.build import report_on
from xenios.simulator.api_error import ApiError
from xenios.simulator.faults import CallFault


async def viewed(watched: Watched, depth: Depth = Depth.FULL) -> Collection:
    collection: Collection = await watched.done(watched.observer.observe(depth))
    return collection


def of_tables(watched: Watched) -> Collection:
    """The pool as its own tables have it, by way of no client."""
    tables = {name: dict(watched.pool.tables.rows(name)) for name in Records.__struct_fields__}
    records = msgspec.json.decode(msgspec.json.encode(tables), type=Records)
    return collection_from(records, seen_at=0, source="", native_version="")


def about(collection: Collection, what: str) -> str:
    """Why something could not be read."""
    [failure] = [failure for failure in collection.failures if failure.what == what]
    return failure.because


# --- what is there ---------------------------------------------------------------------------------------------------


async def test_a_view_tells_what_is_in_the_pool() -> None:
    async with watched_pool(hosts=3, vms=40) as watched:
        seen, there = await viewed(watched), of_tables(watched)
    assert seen.vms == there.vms
    assert (seen.hosts, seen.storages, seen.networks) == (there.hosts, there.storages, there.networks)
    assert seen.quality is Quality.COMPLETE
    assert len([vm for vm in seen.vms if vm.kind is VmKind.MACHINE]) == 40
    assert replace(seen.pool, native_version="") == there.pool
    assert seen.source.startswith("XAPI by JSON-RPC")


async def test_a_report_asks_every_host_for_its_free_memory() -> None:
    async with watched_pool() as watched:
        seen = await viewed(watched, Depth.REPORT)
        [told] = {await watched.do("host.compute_free_memory", watched.simulated.master)}
    master = next(host for host in seen.hosts if host.uuid == seen.pool.master_uuid)
    assert master.memory_bytes_free == told
    assert {host.memory_free_source for host in seen.hosts} == {"host.compute_free_memory"}


async def test_a_live_report_has_what_a_database_has_and_more() -> None:
    async with watched_pool() as watched:
        seen = await viewed(watched, Depth.REPORT)
        report = report_on("pool", seen, watched.observer.capabilities, None)
    running = [vm for vm in report.vms if vm.power_state is PowerState.RUNNING]
    assert running
    assert all(vm.uptime_seconds is not None for vm in running)
    assert any(nic.addresses for vm in running for nic in vm.nics)
    answers = {answer.capability: answer.answer for answer in report.capabilities}
    for capability in (
        Capability.EVENTS,
        Capability.FREE_MEMORY,
        Capability.STORAGE,
        Capability.GUEST_UPTIME,
    ):
        assert answers[capability] is Answer.YES
    assert report.seen_at == int(NOW.timestamp()) * 1_000_000


async def test_what_changes_while_the_pool_is_read_is_in_the_view() -> None:
    async with watched_pool(all_at_once=False) as watched:
        vm = watched.machine("Halted", "clone")

        async def meddle(method: str) -> None:
            if method == "VIF.get_all_records":  # the VMs are read by then, or are being read
                watched.meddler.before = None
                watched.pool.tables.change("VM", vm, name_label="renamed meanwhile")
                await watched.admin.call("VM.clone", vm, "made meanwhile")

        watched.meddler.before = meddle
        seen, there = await viewed(watched), of_tables(watched)
    assert {"renamed meanwhile", "made meanwhile"} <= {there_is.name for there_is in seen.vms}
    assert {vm.uuid: vm for vm in seen.vms} == {vm.uuid: vm for vm in there.vms}
    assert seen.quality is Quality.COMPLETE


async def test_a_session_that_ends_in_the_middle_makes_it_begin_anew() -> None:
    async with watched_pool(all_at_once=False) as watched:
        sessions = watched.pool.sessions

        async def meddle(method: str) -> None:
            if method == "VBD.get_all_records":
                watched.meddler.before = None
                sessions.restart()

        watched.meddler.before = meddle
        seen = await viewed(watched)
        assert watched.client.epoch == 2
    assert seen.quality is Quality.COMPLETE


async def test_a_pool_that_ends_every_session_is_given_up() -> None:
    async with watched_pool(all_at_once=False) as watched:
        sessions = watched.pool.sessions

        async def meddle(method: str) -> None:
            if method == "VBD.get_all_records":
                sessions.restart()

        watched.meddler.before = meddle
        with pytest.raises(TargetUnreadable, match="ends its sessions"):
            await viewed(watched)


# --- what could not be read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["VDI", "VBD", "SR", "network", "VIF"])
async def test_a_class_that_fails_leaves_the_rest_standing(name: str) -> None:
    async with watched_pool(all_at_once=False) as watched:
        refusal = ("RBAC_PERMISSION_DENIED", f"{name}.get_all_records", "No permission")
        watched.pool.faults.add(CallFault(method=f"{name}.get_all_records", error=refusal))
        seen, there = await viewed(watched), of_tables(watched)
    assert "RBAC_PERMISSION_DENIED" in about(seen, f"{name} records")
    assert [vm.name for vm in seen.vms] == [vm.name for vm in there.vms]
    assert not any(vm.definition_read for vm in seen.vms)
    for vm, there_it_is in zip(seen.vms, there.vms, strict=True):
        assert set(vm.dangling) <= set(there_it_is.dangling)
    assert seen.quality is Quality.PARTIAL


async def test_a_class_that_hangs_is_given_up_in_time_and_the_rest_stands() -> None:
    async with watched_pool(all_at_once=False) as watched:
        watched.pool.faults.add(CallFault(method="VDI.get_all_records", hang=True))
        seen = await viewed(watched)
    assert "did not answer" in about(seen, "VDI records")
    assert len(seen.hosts) == 2


@pytest.mark.parametrize("name", ["VM", "VBD", "VIF", "VDI", "VM_metrics", "host", "PBD", "network"])
async def test_an_empty_answer_is_believed_only_when_xapi_counts_none_as_well(name: str) -> None:
    async with watched_pool(all_at_once=False) as watched:
        watched.pool.faults.add(CallFault(method=f"{name}.get_all_records", empty=True))
        seen, there = await viewed(watched), of_tables(watched)
    rows = len(getattr(seen, {"VM": "vms", "host": "hosts", "network": "networks"}.get(name, "failures")))
    assert rows in (0, 1)
    assert "0 came" in about(seen, f"{name} records")
    assert seen.all_vms_seen is (name != "VM")
    assert seen.all_hosts_seen is (name != "host")
    assert there.quality is Quality.COMPLETE


async def test_no_vm_at_all_is_never_believed() -> None:
    async with watched_pool() as watched:

        def nothing(method: str, result: Any) -> Any:
            if method == "VM.get_all_records":
                return {}
            if method == "event.from":
                result["valid_ref_counts"]["vm"] = 0
            return result

        watched.meddler.change = nothing
        seen = await viewed(watched)
    assert not seen.all_vms_seen
    assert "no pool without one" in about(seen, "VM records")


async def test_a_pool_that_tells_nothing_of_itself_is_said_once_and_as_of_a_live_pool() -> None:
    async with watched_pool() as watched:

        def nothing(method: str, result: Any) -> Any:
            if method.endswith(".get_all_records"):
                return {}
            if method == "event.from":
                return result | {"events": [], "valid_ref_counts": {}}
            return result

        watched.meddler.change = nothing
        seen = await viewed(watched)
    assert sorted(failure.what for failure in seen.failures) == ["VM records", "host records", "pool records"]
    assert not [failure for failure in seen.failures if "database" in failure.remedy]


async def test_one_record_with_odd_values_spoils_no_other() -> None:
    async with watched_pool(all_at_once=False) as watched:
        odd = watched.machine("Halted")

        def spoil(method: str, result: Any) -> Any:
            if method == "VM.get_all_records":
                result[odd] |= {"memory_static_max": "much", "tags": 7, "power_state": "Levitating"}
            return result

        watched.meddler.change = spoil
        seen = await viewed(watched)
        uuid = watched.uuid(odd)
    [spoiled] = [vm for vm in seen.vms if vm.uuid == uuid]
    assert spoiled.power_state is PowerState.UNKNOWN
    assert not spoiled.definition_read
    assert all(vm.definition_read for vm in seen.vms if vm.uuid != uuid)
    assert "1 of them has a value" in about(seen, "VM records: memory_static_max")
    assert "1 of them has a value" in about(seen, "VM records: tags")


async def test_unknown_fields_and_states_of_newer_releases_are_no_failure() -> None:
    async with watched_pool(all_at_once=False) as watched:
        new = watched.machine("Running")

        def newer(method: str, result: Any) -> Any:
            if method == "VM.get_all_records":
                result[new] |= {"power_state": "Hibernating", "quantum_state": {"a": [1, None]}}
            return result

        watched.meddler.change = newer
        seen = await viewed(watched)
        uuid = watched.uuid(new)
    [vm] = [vm for vm in seen.vms if vm.uuid == uuid]
    assert vm.power_state is PowerState.UNKNOWN
    assert "Hibernating" in vm.power_reason
    assert seen.quality is Quality.COMPLETE


async def test_a_record_that_is_none_leaves_its_class_unread() -> None:
    async with watched_pool(all_at_once=False) as watched:
        odd = watched.machine("Halted")

        def spoil(method: str, result: Any) -> Any:
            if method == "VM.get_all_records":
                result[odd] = "gone fishing"
            return result

        watched.meddler.change = spoil
        seen, there = await viewed(watched), of_tables(watched)
    assert not seen.all_vms_seen
    assert len(seen.vms) == len(there.vms) - 1
    assert "VM records: the whole record" in [failure.what for failure in seen.failures]


async def test_a_host_that_does_not_tell_its_free_memory_is_told() -> None:
    async with watched_pool() as watched:
        refusal = ("HOST_OFFLINE", "a host")
        watched.pool.faults.add(CallFault(method="host.compute_free_memory", times=1, error=refusal))
        seen = await viewed(watched, Depth.REPORT)
    [failure] = seen.failures
    assert failure.what.startswith("free memory of host ")
    assert failure.subject_uuid in {host.uuid for host in seen.hosts}
    assert all(host.memory_bytes_free is not None for host in seen.hosts)  # the other one is computed


@pytest.mark.parametrize("hours", [-5, 3])
async def test_a_clock_that_is_hours_off_is_told_and_dates_nothing(hours: int) -> None:
    async with watched_pool(clock_offset_seconds=hours * 3600.0) as watched:
        seen = await viewed(watched, Depth.REPORT)
    assert len(seen.failures) == 2
    word = "ahead of" if hours > 0 else "behind"
    assert all(f"{abs(hours)} h 0 min {word} ours" in failure.because for failure in seen.failures)
    assert seen.seen_at == int(NOW.timestamp()) * 1_000_000
    on_hosts = [vm for vm in seen.vms if vm.host_uuid is not None]
    assert on_hosts
    assert not any(vm.started_at for vm in on_hosts)


async def test_events_that_are_refused_leave_the_records() -> None:
    async with watched_pool() as watched:
        watched.pool.faults.add(
            CallFault(method="event.from", error=("RBAC_PERMISSION_DENIED", "event.from", ""))
        )
        seen, there = await viewed(watched), of_tables(watched)
    assert seen.vms == there.vms
    assert "RBAC_PERMISSION_DENIED" in about(seen, "changes during the reading")


# --- nothing at all --------------------------------------------------------------------------------------------------


async def test_a_pool_that_refuses_everything_is_unreadable() -> None:
    async with watched_pool() as watched:
        watched.pool.enter_emergency(watched.simulated.master, ApiError("HOST_STILL_BOOTING"))
        with pytest.raises(TargetUnreadable, match="HOST_STILL_BOOTING"):
            await viewed(watched)
        watched.pool.heal_host(watched.simulated.master)


async def test_a_pool_that_answers_no_class_is_unreadable() -> None:
    async with watched_pool(all_at_once=False) as watched:
        watched.pool.faults.add(CallFault(method="*.get_all_records", error=("INTERNAL_ERROR", "Not_found")))
        with pytest.raises(TargetUnreadable, match="INTERNAL_ERROR"):
            await viewed(watched)


async def test_a_pool_that_hangs_is_silent() -> None:
    async with watched_pool(all_at_once=False) as watched:
        watched.pool.faults.add(CallFault(method="*.get_all_records", hang=True))
        with pytest.raises(TargetSilent, match="did not answer within"):
            await viewed(watched)


async def test_a_wrong_password_is_said_once() -> None:
    async with watched_pool() as watched:
        _, observer = observer_of(watched.simulated, watched.meddler, password="wrong")
        with pytest.raises(TargetUnreadable, match="the user or the password is wrong"):
            await watched.done(observer.observe(Depth.FULL))
        assert watched.meddler.asked.count("session.login_with_password") == 1
