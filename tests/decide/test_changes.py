"""Are differences told, and is what was not read, not told or merely follows from another change kept quiet about?

Effects: none
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.inventory import GIB, a_collection, a_disk, a_host, a_pool, a_storage, a_vm
from xenios.decide.changes import Known
from xenios.decide.vm_differences import differences_between_vms, known_after
from xenios.model.collection import Collection, ReadFailure
from xenios.model.inventory import (
    Answer,
    Disk,
    DiskKind,
    Guest,
    Memory,
    Network,
    Nic,
    PowerState,
    Presence,
    Snapshot,
    ToolsState,
    Vm,
    VmKind,
)
from xenios.model.update import Change, ChangeKind, FieldChange, Thing, Update, UpdateSource

NOW = 1_790_000_000_000_000
FAILURE = ReadFailure(what="storage pools", because="refused", remedy="ask again")


def view_of(view: Collection, *, routine: bool = True) -> Update:
    because = "a regular look" if routine else "logged in again"
    return Update(seen_at=NOW, source=UpdateSource.VIEW, because=because, routine=routine, view=view)


def event(**changes: Any) -> Update:
    return Update(seen_at=NOW, source=UpdateSource.EVENT, because="event.from", **changes)


def silence(because: str = "refused") -> Update:
    failure = ReadFailure(what="the pool", because=because, remedy="wait")
    return event(silent_since=NOW - 5, failures=(failure,))


def knowing(*vms: Vm, **changes: Any) -> Known:
    known = Known()
    known.learn(view_of(a_collection(*vms, **changes)))
    return known


def kinds(changes: tuple[Change, ...]) -> list[tuple[ChangeKind, str]]:
    return [(change.kind, change.uuid or change.name) for change in changes]


def fields(old: Vm, new: Vm) -> dict[str, tuple[Any, Any]]:
    """Differences by field and item: before and after."""
    told = differences_between_vms(old, new, lambda uuid: f"name of {uuid}")
    return {
        field.field + (f"[{field.item}]" if field.item else ""): (field.before, field.after) for field in told
    }


# --- from updates to changes -----------------------------------------------------------------------------------------


def test_the_first_view_is_told_as_one_and_not_thing_by_thing() -> None:
    view = a_collection(a_vm("a"), a_vm("b"), a_vm("t", kind=VmKind.TEMPLATE), failures=(FAILURE,))
    first, failed = Known().learn(view_of(view))
    assert (first.kind, first.thing, first.uuid) == (ChangeKind.FIRST_VIEW, Thing.POOL, "pool-1")
    assert {field.field: field.after for field in first.fields} == {"vms": 2, "hosts": 1}
    assert (failed.kind, failed.name, failed.remedy) == (ChangeKind.NOT_READ, "storage pools", "ask again")


def test_a_first_view_counts_nothing_that_it_did_not_see_to_the_end() -> None:
    [first, *_] = Known().learn(view_of(a_collection(a_vm(), all_vms_seen=False, all_hosts_seen=False)))
    assert {field.field: field.after for field in first.fields} == {"vms": None, "hosts": None}


def test_a_vm_that_is_different_is_told_with_what_is_different() -> None:
    [change] = knowing(a_vm("a"), a_vm("b")).learn(event(vms=(a_vm("a", name="other"),)))
    assert (change.kind, change.thing, change.uuid, change.name) == (
        ChangeKind.CHANGED,
        Thing.VM,
        "a",
        "other",
    )
    assert change.fields == (FieldChange(field="name", before="name of a", after="other"),)
    assert (change.source, change.because, change.seen_at) == (UpdateSource.EVENT, "event.from", NOW)


def test_a_vm_that_is_as_it_was_is_not_told() -> None:
    assert knowing(a_vm("a")).learn(event(vms=(a_vm("a"),))) == ()


def test_figures_that_move_by_themselves_are_not_told() -> None:
    known = knowing(a_vm("a"))
    moved = a_vm("a", memory=replace(a_vm("a").memory, bytes_actual=3 * GIB, bytes_resident=GIB))
    moved = replace(moved, disks=tuple(replace(disk, used_bytes=7) for disk in moved.disks))
    storage, host = a_storage(used_bytes=200 * GIB), a_host(memory_bytes_free=GIB)
    assert known.learn(event(vms=(moved,), storages=(storage,), hosts=(host,))) == ()


@pytest.mark.parametrize(
    ("kind", "thing"),
    [
        (VmKind.MACHINE, Thing.VM),
        (VmKind.TEMPLATE, Thing.TEMPLATE),
        (VmKind.SNAPSHOT, Thing.SNAPSHOT),
        (VmKind.CONTROL_DOMAIN, Thing.CONTROL_DOMAIN),
    ],
)
def test_what_appears_is_told_as_what_it_is(kind: VmKind, thing: Thing) -> None:
    [change] = knowing().learn(event(vms=(a_vm("new", kind=kind),)))
    assert (change.kind, change.thing) == (ChangeKind.APPEARED, thing)
    assert change.fields[0] == FieldChange(field="power_state", after="running")
    assert {field.field for field in change.fields} == {
        "power_state",
        "host_uuid",
        "vcpus",
        "memory.bytes_max",
    }


def test_gone_is_what_the_hypervisor_says_and_no_longer_listed_is_what_a_view_lacks() -> None:
    known = knowing(a_vm("a"), a_vm("b"), a_vm("c"))
    assert kinds(known.learn(event(vms_gone=("a", "never known")))) == [(ChangeKind.GONE, "a")]
    assert kinds(known.learn(view_of(a_collection(a_vm("b"))))) == [(ChangeKind.NO_LONGER_LISTED, "c")]
    assert known.learn(view_of(a_collection(a_vm("b")))) == ()


def test_a_view_that_did_not_see_every_vm_loses_none() -> None:
    known = knowing(a_vm("a"), a_vm("b"))
    assert known.learn(view_of(a_collection(a_vm("a"), all_vms_seen=False))) == ()
    assert known.learn(event(vms=(a_vm("b"),))) == ()  # it is still known


def test_hosts_storages_and_networks_are_lost_only_by_views_that_saw_them_to_the_end() -> None:
    known = knowing(networks=(Network(uuid="network-1", name="lan"),))
    nothing: dict[str, Any] = {"hosts": (), "storages": (), "networks": ()}
    [failed] = known.learn(view_of(a_collection(**nothing, all_hosts_seen=False, failures=(FAILURE,))))
    assert failed.kind is ChangeKind.NOT_READ
    told = known.learn(view_of(a_collection(**nothing)))
    assert kinds(told) == [
        (ChangeKind.READ_AGAIN, "storage pools"),
        (ChangeKind.NO_LONGER_LISTED, "host-1"),
        (ChangeKind.NO_LONGER_LISTED, "storage-1"),
        (ChangeKind.NO_LONGER_LISTED, "network-1"),
    ]


def test_surroundings_that_change_appear_and_go_are_told() -> None:
    known = knowing()
    dead = a_host(live=Answer.NO)
    [host] = known.learn(event(hosts=(dead,)))
    assert host.fields == (FieldChange(field="live", before=Answer.YES, after=Answer.NO),)
    [storage] = known.learn(event(storages=(a_storage(host_uuids=()),)))
    assert storage.fields == (
        FieldChange(field="host_uuids", before=("host-1",), after=(), before_name="host-1"),
    )
    [network] = known.learn(event(networks=(Network(uuid="n", name="dmz"),)))
    assert (network.kind, network.thing, network.name) == (ChangeKind.APPEARED, Thing.NETWORK, "dmz")
    assert kinds(known.learn(event(networks_gone=("n",)))) == [(ChangeKind.GONE, "n")]
    [pool] = known.learn(event(pool=a_pool(master_uuid="host-2"), hosts=(a_host("host-2", name="two"),)))[:1]
    assert pool.fields == (
        FieldChange(
            field="master_uuid", before="host-1", after="host-2", before_name="host-1", after_name="two"
        ),
    )


def test_what_a_surrounding_does_not_tell_this_time_is_no_change() -> None:
    assert knowing().learn(event(hosts=(a_host(memory_bytes_total=None),))) == ()


# --- silence ---------------------------------------------------------------------------------------------------------


def test_silence_is_told_once_for_each_reason_and_changes_no_vm() -> None:
    known = knowing(a_vm("a"))
    [silent] = known.learn(silence())
    assert (silent.kind, silent.because, silent.remedy) == (ChangeKind.SILENT, "refused", "wait")
    assert silent.fields == (FieldChange(field="silent_since", after=NOW - 5),)
    assert known.learn(silence()) == ()
    assert kinds(known.learn(silence("timed out"))) == [(ChangeKind.SILENT, "pool-1")]
    [again] = known.learn(view_of(a_collection(a_vm("a")), routine=False))
    assert again.kind is ChangeKind.ANSWERS_AGAIN
    assert known.learn(view_of(a_collection(a_vm("a")))) == ()


def test_an_event_after_silence_says_that_it_answers_again() -> None:
    known = knowing(a_vm("a"))
    known.learn(silence())
    told = known.learn(event(vms=(a_vm("a", name="other"),)))
    assert kinds(told) == [(ChangeKind.ANSWERS_AGAIN, "pool-1"), (ChangeKind.CHANGED, "a")]


def test_a_view_for_a_reason_is_told_with_it_and_a_regular_one_is_not() -> None:
    known = knowing()
    [looked] = known.learn(view_of(a_collection(), routine=False))
    assert (looked.kind, looked.because) == (ChangeKind.LOOKED_AGAIN, "logged in again")
    assert known.learn(view_of(a_collection())) == ()


def test_a_failure_is_told_once_and_its_end_too() -> None:
    known = knowing()
    assert kinds(known.learn(event(failures=(FAILURE,)))) == [(ChangeKind.NOT_READ, "storage pools")]
    assert known.learn(event(failures=(FAILURE,))) == ()
    assert known.learn(view_of(a_collection(failures=(FAILURE,)))) == ()
    assert kinds(known.learn(view_of(a_collection()))) == [(ChangeKind.READ_AGAIN, "storage pools")]


# --- two sightings of one VM -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"power_state": PowerState.PAUSED}, {}, {"power_state": ("paused", "running")}),
        ({}, {"power_state": PowerState.UNKNOWN}, {"power_state": ("running", "unknown")}),
        ({}, {"host_uuid": "host-2"}, {"host_uuid": ("host-1", "host-2")}),
        ({"vcpus": 2}, {"vcpus": 4}, {"vcpus": (2, 4)}),
        (
            {"tags": ("a", "b")},
            {"tags": ("b", "c")},
            {"tags[a]": ("a value", None), "tags[c]": (None, "a value")},
        ),
        ({}, {"high_availability": "restart"}, {"high_availability": ("", "restart")}),
        ({}, {"paused_on_io_error": True}, {"paused_on_io_error": (False, True)}),
        ({}, {"preferred_host_uuid": "host-9"}, {"preferred_host_uuid": (None, "host-9")}),
        ({}, {"autostart": Answer.YES}, {"autostart": (Answer.NO, Answer.YES)}),
        ({}, {"blocked_operations": ("destroy",)}, {"blocked_operations": ((), ("destroy",))}),
        ({"started_at": 1}, {"started_at": 2}, {"started_at": (1, 2)}),
        ({}, {"kind": VmKind.TEMPLATE}, {"kind": (VmKind.MACHINE, VmKind.TEMPLATE)}),
        (
            {},
            {"snapshots": (Snapshot(uuid="s", name="before"),)},
            {"snapshots[s]": (None, "before")},
        ),
        (
            {"guest": Guest(tools=ToolsState.ABSENT)},
            {"guest": Guest(tools=ToolsState.WORKING)},
            {"guest.tools": ("absent", "working")},
        ),
    ],
)
def test_what_is_different_is_told(
    before: dict[str, Any], after: dict[str, Any], told: dict[str, Any]
) -> None:
    assert fields(a_vm(**before), a_vm(**after)) == told


def test_memory_that_is_not_told_is_no_change_and_stays_known() -> None:
    before = a_vm(memory=Memory(bytes_max=4 * GIB, bytes_dynamic_max=4 * GIB))
    untold = a_vm(memory=Memory(bytes_max=None))
    assert fields(before, untold) == {}
    kept = known_after(before, untold)
    assert fields(kept, a_vm(memory=Memory(bytes_max=8 * GIB))) == {"memory.bytes_max": (4 * GIB, 8 * GIB)}


def test_a_definition_that_was_not_read_takes_nothing_back() -> None:
    before = a_vm()
    unread = a_vm(definition_read=False, disks=(), nics=(), tags=(), name="renamed")
    told = fields(before, unread)
    assert told == {"name": ("name of vm-1", "renamed"), "definition_read": (True, False)}
    kept = known_after(before, unread)
    assert kept.disks == before.disks
    assert fields(kept, a_vm(name="renamed")) == {"definition_read": (False, True)}


def test_what_follows_from_a_halt_is_not_told_beside_it() -> None:
    nic = a_vm().nics[0]
    running = a_vm(
        nics=(replace(nic, addresses=("10.0.0.5",), connected=Answer.YES),),
        guest=Guest(tools=ToolsState.WORKING, os="Debian"),
        started_at=NOW,
    )
    halted = a_vm(
        power_state=PowerState.HALTED,
        vcpus=1,
        nics=(replace(nic, connected=Answer.NO),),
        guest=Guest(),
    )
    assert fields(running, halted).keys() == {"power_state", "host_uuid"}
    assert fields(halted, running).keys() == {"power_state", "host_uuid"}


def test_the_value_of_an_annotation_is_nobodys_business() -> None:
    told = fields(
        a_vm(annotations={"a": "secret", "b": "secret"}), a_vm(annotations={"b": "other", "c": "x"})
    )
    assert told == {
        "annotations[a]": ("a value", None),
        "annotations[b]": ("a value", "another value"),
        "annotations[c]": (None, "a value"),
    }


def test_a_disk_that_comes_goes_grows_or_moves_to_another_device_is_told_as_such() -> None:
    first, second = a_disk("one"), a_disk("two", device="xvdb")
    assert fields(a_vm(disks=(first,)), a_vm(disks=(first, second))) == {
        "disks[xvdb]": (None, "two"),
        "disks.kind[xvdb]": (None, DiskKind.DISK),
        "disks.size_bytes[xvdb]": (None, 10 * GIB),
    }
    assert fields(a_vm(disks=(first, second)), a_vm(disks=(first,))) == {"disks[xvdb]": ("two", None)}
    grown = replace(first, size_bytes=20 * GIB)
    assert fields(a_vm(disks=(first,)), a_vm(disks=(grown,))) == {
        "disks.size_bytes[xvda]": (10 * GIB, 20 * GIB)
    }
    moved = replace(first, device="xvdc")
    assert fields(a_vm(disks=(first,)), a_vm(disks=(moved,))) == {"disks.device[xvda]": ("xvda", "xvdc")}


def test_an_empty_drive_that_is_named_otherwise_while_the_vm_runs_is_the_same_drive() -> None:
    drive = Disk(device="3", kind=DiskKind.CDROM, where="")
    off = a_vm(power_state=PowerState.HALTED, disks=(a_disk("one"), drive))
    on = a_vm(disks=(a_disk("one"), replace(drive, device="xvdd")))
    assert fields(off, on).keys() == {"power_state", "host_uuid"}


def test_a_disk_whose_presence_is_not_known_any_more_is_no_news() -> None:
    before = a_vm(disks=(a_disk("one"),))
    assert fields(before, a_vm(disks=(a_disk("one", presence=Presence.UNKNOWN),))) == {}
    assert fields(before, a_vm(disks=(a_disk("one", presence=Presence.MISSING),))) == {
        "disks.presence[xvda]": (Presence.THERE, Presence.MISSING)
    }


def test_a_card_in_another_network_is_told() -> None:
    before = a_vm(nics=(Nic(device="0", mac="aa", network_uuid="n1", network_name="lan"),))
    after = a_vm(nics=(Nic(device="0", mac="aa", network_uuid="n2", network_name="dmz"),))
    assert fields(before, after) == {
        "nics.network_uuid[0]": ("n1", "n2"),
        "nics.network_name[0]": ("lan", "dmz"),
    }
    assert fields(a_vm(nics=()), after).keys() == {"nics[0]", "nics.network_uuid[0]", "nics.network_name[0]"}


# --- whatever comes --------------------------------------------------------------------------------------------------

VMS = st.builds(
    a_vm,
    st.sampled_from(["a", "b", "c"]),
    name=st.sampled_from(["x", "y"]),
    power_state=st.sampled_from([PowerState.RUNNING, PowerState.HALTED, PowerState.UNKNOWN]),
    definition_read=st.booleans(),
    tags=st.sampled_from([(), ("t",)]),
)
ONE_EACH = st.lists(VMS, max_size=3, unique_by=lambda vm: vm.uuid)
VIEWS = st.builds(
    lambda vms, seen: a_collection(*vms, all_vms_seen=seen),
    ONE_EACH,
    st.booleans(),
)
UPDATES = st.one_of(
    st.builds(view_of, VIEWS),
    st.builds(lambda vms: event(vms=tuple(vms)), ONE_EACH),
    st.builds(lambda uuid: event(vms_gone=(uuid,)), st.sampled_from(["a", "b"])),
    st.just(silence()),
)


@given(st.lists(UPDATES, max_size=12))
def test_changes_add_up_to_what_was_seen_and_silence_to_nothing(updates: list[Update]) -> None:
    known = Known()
    known.learn(view_of(a_collection()))
    there: set[str] = set()
    for update in updates:
        told = known.learn(update)
        if update.silent_since is not None:
            assert {change.thing for change in told} <= {Thing.POOL}
        for change in told:
            if change.kind is ChangeKind.APPEARED:
                there.add(change.uuid)
            elif change.kind in (ChangeKind.GONE, ChangeKind.NO_LONGER_LISTED):
                there.remove(change.uuid)
        if update.view is not None:
            seen = {vm.uuid for vm in update.view.vms}
            assert there == seen if update.view.all_vms_seen else there >= seen
        assert known.learn(update) == ()  # the same again is no news
