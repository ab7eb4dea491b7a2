"""Do fullSync and deltaSync of 4.0.2 do to a XenServer pool what the reference says, row by row?

Effects: none
"""

import dataclasses

import pytest

from tests.support.inventory import a_disk, a_host
from tests.support.precedents import TWO_HOSTS, Played, a_named_vm, a_view
from xenios.decide.precedent.cloudstack_4_0 import (
    CLOUDSTACK_4_0_2,
    CLOUDSTACK_4_0_2_PATCHED,
    CloudStack402,
)
from xenios.decide.precedent.policy import Deed, Occasion
from xenios.decide.precedent.states import State
from xenios.model.inventory import Answer, DiskKind, PowerState

BOTH = pytest.mark.parametrize("policy", [CLOUDSTACK_4_0_2, CLOUDSTACK_4_0_2_PATCHED])
PAUSED, HALTED, SUSPENDED = PowerState.PAUSED, PowerState.HALTED, PowerState.SUSPENDED
OWN = a_named_vm("i-2-7-VM")
OWN_OFF = a_named_vm("i-2-7-VM", HALTED)
DESTROYED_OWN = [(Deed.RECORD_DESTROYED, OWN.uuid)]


# --- the founding story ----------------------------------------------------------------------------------------------


def test_4_0_2_stops_an_alien_that_appears_and_destroys_its_record() -> None:
    played = Played(CLOUDSTACK_4_0_2)
    alien, look_alike = a_named_vm("fileserver"), a_named_vm("i-2-3-VM")
    assert played.sees(alien) == [(Deed.RECORD_DESTROYED, alien.uuid)]
    assert played.outcomes[0].rule.startswith("deltaSync, unknown VM")
    assert played.sees() == []
    assert played.sees(look_alike) == [(Deed.RECORD_DESTROYED, look_alike.uuid)]


def test_the_patched_one_leaves_the_alien_and_kills_the_look_alike() -> None:
    played = Played(CLOUDSTACK_4_0_2_PATCHED)
    alien, look_alike = a_named_vm("fileserver"), a_named_vm("i-2-3-VM")
    assert played.sees(alien, look_alike) == [(Deed.RECORD_DESTROYED, look_alike.uuid)]
    for _ in range(3):
        assert played.sees(alien) == []


# --- fullSync --------------------------------------------------------------------------------------------------------


@BOTH
def test_at_connect_the_name_decides(policy: str) -> None:
    names = ["web", "i-2-3-VM", "i-2-5-OTHER", "i-2-6-VM-0064", "r-4-VM", "s-1-VM", "v-2-VM", "i-x-3-VM"]
    played = Played(policy, *(a_named_vm(name) for name in names))
    killed = ["i-2-3-VM", "i-2-5-OTHER", "i-2-6-VM-0064"]
    assert played.deeds == [(Deed.RECORD_DESTROYED, f"uuid of {name}") for name in killed]


@BOTH
@pytest.mark.parametrize("ha", [True, False])
@pytest.mark.parametrize("state", [State.RUNNING, State.STARTING])
def test_absent_and_expected_to_run(policy: str, state: State, ha: bool) -> None:
    played = Played(policy)
    played.makes(OWN, ha=ha)
    played.with_row(OWN.name, state=state)
    done = played.connects(a_view(a_named_vm("web")))
    assert done == [(Deed.RESTARTED if ha else Deed.MARKED_STOPPED, OWN.uuid)]
    assert played.row(OWN.name).state is (State.RUNNING if ha else State.STOPPED)
    assert played.alerts == (0 if ha else 1)


@BOTH
def test_absent_but_halted_its_record_goes_and_it_is_started_anew(policy: str) -> None:
    played = Played(policy)
    played.makes(OWN, ha=True)
    assert played.connects(a_view(OWN_OFF)) == [(Deed.RESTARTED, OWN.uuid)]
    assert "record destroyed" in played.outcomes[0].words or "record is destroyed" in played.outcomes[0].words
    assert played.outcomes[0].host_uuid == "host-1"


@BOTH
def test_running_while_its_start_is_not_finished_counts_as_stopped(policy: str) -> None:
    played = Played(policy)
    played.makes(OWN)
    played.with_row(OWN.name, state=State.STARTING)
    assert played.connects(a_view(OWN)) == DESTROYED_OWN
    assert played.row(OWN.name).state is State.STOPPED


@BOTH
@pytest.mark.parametrize("state", [State.STOPPED, State.STOPPING])
def test_present_and_expected_to_be_off_it_is_killed(policy: str, state: State) -> None:
    played = Played(policy)
    played.makes(OWN)
    played.with_row(OWN.name, state=state, host_uuid=None if state is State.STOPPED else "host-1")
    assert played.connects(a_view(OWN)) == DESTROYED_OWN
    assert (played.row(OWN.name).state, played.row(OWN.name).host_uuid) == (State.STOPPED, None)


@BOTH
@pytest.mark.parametrize("state", [State.STOPPED, State.STOPPING])
def test_expected_to_be_off_and_reported_from_a_host_that_is_not_known(policy: str, state: State) -> None:
    """The database says Stopped all the same; there is no host to send a command to."""
    played = Played(policy)
    played.makes(OWN)
    played.with_row(OWN.name, state=state, host_uuid="host-1")
    assert played.connects(a_view(a_named_vm(OWN.name, host_uuid="host-9"))) == []
    row = played.row(OWN.name)
    assert (row.state, row.host_uuid, row.last_host_uuid) == (State.STOPPED, None, "host-1")


@BOTH
@pytest.mark.parametrize("state", [State.DESTROYED, State.EXPUNGING])
def test_present_and_destroyed_it_is_killed(policy: str, state: State) -> None:
    played = Played(policy)
    played.makes(OWN)
    played.with_row(OWN.name, state=state)
    assert played.connects(a_view(OWN)) == DESTROYED_OWN


@BOTH
@pytest.mark.parametrize("before", ["host-2", None])
def test_present_on_another_host_the_database_follows(policy: str, before: str | None) -> None:
    played = Played(policy)
    played.makes(OWN)
    played.with_row(OWN.name, host_uuid=before)
    assert played.connects(a_view(OWN)) == [(Deed.MARKED_MOVED, OWN.uuid)]
    assert played.row(OWN.name).host_uuid == "host-1"


@BOTH
@pytest.mark.parametrize(
    "state", [State.STOPPING, State.MIGRATING, State.STOPPED, State.DESTROYED, State.ERROR]
)
def test_absent_and_not_expected_nothing_follows(policy: str, state: State) -> None:
    played = Played(policy)
    played.makes(OWN)
    played.with_row(OWN.name, state=state)
    assert played.connects(a_view(a_named_vm("web"))) == []
    assert played.row(OWN.name).state is state


@BOTH
@pytest.mark.parametrize("state", [State.RUNNING, State.MIGRATING])
def test_present_as_expected_nothing_follows(policy: str, state: State) -> None:
    played = Played(policy)
    played.makes(OWN)
    played.with_row(OWN.name, state=state)
    assert played.connects(a_view(OWN)) == []


@BOTH
def test_a_vm_whose_hosts_are_elsewhere_is_not_looked_at(policy: str) -> None:
    played = Played(policy)
    played.makes(OWN)
    played.with_row(OWN.name, host_uuid="host-9", last_host_uuid="host-9")
    assert played.connects(a_view()) == []


@BOTH
def test_a_stop_that_fails_at_connect_leaves_the_vm(policy: str) -> None:
    paused = a_named_vm("i-2-3-VM", PAUSED)
    played = Played(policy, paused)
    assert played.deeds == [(Deed.STOP_FAILED, paused.uuid)]
    assert played.sees(paused) == []  # nothing has changed since


@BOTH
def test_no_full_sync_without_the_master(policy: str) -> None:
    look_alike = a_named_vm("i-2-3-VM", host_uuid="host-2")
    hosts = (a_host("host-1", live=Answer.NO), a_host("host-2"))
    assert Played(policy, look_alike, hosts=hosts).deeds == []


@BOTH
def test_a_database_of_yesterday_kills_what_was_made_since(policy: str) -> None:
    played = Played(policy)
    yesterday = played.memory
    played.makes(OWN)
    played.memory = played.policy.restored(yesterday, played.now)
    assert played.connects(a_view(OWN)) == DESTROYED_OWN


@BOTH
def test_a_management_server_that_restarts_changes_nothing_for_what_runs_as_it_should(policy: str) -> None:
    played = Played(policy, a_named_vm("web"))
    played.makes(OWN)
    for _ in range(2):
        assert played.connects(a_view(a_named_vm("web"), OWN)) == []
        assert played.sees(a_named_vm("web"), OWN) == []


# --- halted VMs at connect -------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("version", ["7.6.0", "8.3.0", ""])
def test_every_halted_vm_that_prefers_the_host_is_destroyed(policy: str, version: str) -> None:
    vms = [
        a_named_vm("web", HALTED, preferred_host_uuid="host-2"),
        a_named_vm("db", HALTED),
        a_named_vm("asleep", SUSPENDED, preferred_host_uuid="host-1"),
        a_named_vm("elsewhere", HALTED, preferred_host_uuid="host-9"),
        a_named_vm("on", preferred_host_uuid="host-1"),
    ]
    assert Played(policy, *vms, version=version).deeds == [(Deed.RECORD_DESTROYED, "uuid of web")]


@BOTH
def test_a_resident_vm_named_like_a_system_vm_loses_its_cd_drive(policy: str) -> None:
    drive = (a_disk("", kind=DiskKind.CDROM, where=""),)
    vms = [a_named_vm(name, disks=drive) for name in ("r-and-d", "web", "s-1-VM", "i-2-3-VM")]
    assert Played(policy, *vms).deeds == [
        (Deed.RECORD_DESTROYED, "uuid of i-2-3-VM"),
        (Deed.DRIVE_REMOVED, "uuid of r-and-d"),
        (Deed.DRIVE_REMOVED, "uuid of s-1-VM"),
    ]


# --- deltaSync -------------------------------------------------------------------------------------------------------


def test_whatever_changes_is_stopped_if_it_is_unknown() -> None:
    resident = a_named_vm("web")
    moved = a_named_vm("web", host_uuid="host-2")
    for change in (moved, a_named_vm("web", HALTED)):
        played = Played(CLOUDSTACK_4_0_2, resident)
        assert played.deeds == []
        assert played.sees(resident) == []
        assert played.sees(change) == [(Deed.RECORD_DESTROYED, resident.uuid)]


def test_a_suspended_alien_is_struck_at_every_round_until_it_dies() -> None:
    played = Played(CLOUDSTACK_4_0_2, a_named_vm("web"))
    for _ in range(3):
        assert played.sees(a_named_vm("web", SUSPENDED)) == [(Deed.STOP_FAILED, "uuid of web")]
    assert played.sees(a_named_vm("web", HALTED)) == [(Deed.RECORD_DESTROYED, "uuid of web")]
    assert played.sees() == []


def test_the_patched_one_asks_the_name_for_every_change() -> None:
    played = Played(CLOUDSTACK_4_0_2_PATCHED, a_named_vm("web"))
    assert played.sees(a_named_vm("web", host_uuid="host-2")) == []
    assert played.sees(a_named_vm("web", HALTED)) == []
    assert played.sees(a_named_vm("web", HALTED), a_named_vm("r-4-VM"), a_named_vm("i-2-5-OTHER")) == [
        (Deed.RECORD_DESTROYED, "uuid of i-2-5-OTHER")
    ]


@BOTH
def test_a_vm_moved_by_hand_is_followed(policy: str) -> None:
    played = Played(policy)
    played.makes(OWN)
    assert played.sees(OWN) == []
    assert played.sees(a_named_vm(OWN.name, host_uuid="host-2")) == [(Deed.MARKED_MOVED, OWN.uuid)]
    assert played.row(OWN.name).host_uuid == "host-2"


@BOTH
@pytest.mark.parametrize("ha", [True, False])
def test_a_vm_shut_down_from_inside(policy: str, ha: bool) -> None:
    played = Played(policy)
    played.makes(OWN, ha=ha)
    done = played.sees(OWN_OFF)
    assert done == [(Deed.RESTARTED if ha else Deed.RECORD_DESTROYED, OWN.uuid)]
    assert played.row(OWN.name).state is (State.RUNNING if ha else State.STOPPED)


@BOTH
def test_a_suspended_vm_of_its_own_is_lost_in_the_books(policy: str) -> None:
    played = Played(policy)
    played.makes(OWN, ha=True)
    done = played.sees(a_named_vm(OWN.name, SUSPENDED))
    assert (Deed.STOP_FAILED, OWN.uuid) in done
    assert (Deed.MARKED_STOPPED, OWN.uuid) in done
    assert (Deed.START_FAILED, OWN.uuid) in done


@BOTH
def test_an_own_vm_that_somebody_starts_is_only_told_in_the_log(policy: str) -> None:
    played = Played(policy)
    played.makes(OWN_OFF)
    assert played.sees(OWN) == []  # compareState: careful not to stop what it does not handle
    assert played.row(OWN.name).state is State.STOPPED
    assert played.connects(a_view(OWN)) == DESTROYED_OWN  # but fullSync is not careful


@BOTH
def test_an_empty_list_restarts_everything_and_stops_it_first(policy: str) -> None:
    played = Played(policy, a_named_vm("web"))
    played.makes(OWN, ha=True)
    other = played.makes(a_named_vm("i-2-8-VM"))
    assert played.sees(a_named_vm("web"), OWN, other) == []
    done = played.sees()
    assert (Deed.RESTARTED, OWN.uuid) in done
    assert (Deed.RECORD_DESTROYED, other.uuid) in done
    # To 4.0.2 the strangers have changed too: they are gone.
    strangers = {"uuid of web"} if policy == CLOUDSTACK_4_0_2 else set()
    assert {uuid for _, uuid in done} == {OWN.uuid, other.uuid} | strangers


@BOTH
def test_a_call_that_fails_is_no_sync_at_all(policy: str) -> None:
    played = Played(policy)
    played.makes(OWN, ha=True)
    before = played.memory
    assert played.sees_view(None) == []
    assert played.memory == before
    assert played.connects(None) == []


@BOTH
def test_two_vms_of_one_name_are_one_to_it(policy: str) -> None:
    twin = a_named_vm(OWN.name, uuid="twin", host_uuid="host-2")
    played = Played(policy)
    played.makes(OWN)
    assert played.sees(OWN, twin) == [(Deed.MARKED_MOVED, OWN.uuid)]  # the last of the list is the one
    assert played.sees(OWN) == [(Deed.MARKED_MOVED, OWN.uuid)]


@BOTH
def test_a_halted_namesake_dies_when_its_own_is_stopped(policy: str) -> None:
    played = Played(policy)
    played.makes(OWN)
    namesake = a_named_vm(OWN.name, HALTED, uuid="namesake")
    assert played.stops(OWN, namesake, OWN) == [(Deed.RECORD_DESTROYED, "namesake")]
    assert played.policy.belief(played.memory, OWN) == "Stopped"


@BOTH
def test_a_host_that_joined_later_is_unknown_and_so_nothing_is_sent_there(policy: str) -> None:
    played = Played(policy, hosts=TWO_HOSTS[:1])
    assert played.sees(a_named_vm("i-2-3-VM", host_uuid="host-2")) == []


@BOTH
def test_a_silent_host_is_told_once_and_nothing_else(policy: str) -> None:
    played = Played(policy)
    own = played.makes(a_named_vm("i-2-7-VM", host_uuid="host-2"), ha=True)
    hosts = (a_host("host-1"), a_host("host-2", live=Answer.NO))
    alerts = []
    for _ in range(6):
        assert played.sees(own, hosts=hosts) == []
        alerts.append(played.alerts)
    assert alerts == [0, 0, 0, 1, 0, 0]
    played.sees(own)
    assert played.memory.silent_since == {}


def test_two_installations_on_one_pool_kill_each_others_vms() -> None:
    one = Played(CLOUDSTACK_4_0_2)
    other = Played(dataclasses.replace(CloudStack402(), instance="OTHER"))
    own, others = one.makes(a_named_vm("i-2-3-VM")), other.makes(a_named_vm("i-2-3-OTHER"))
    assert one.sees(own, others) == [(Deed.RECORD_DESTROYED, others.uuid)]
    assert other.sees(own, others) == [(Deed.RECORD_DESTROYED, own.uuid)]


def test_two_installations_with_one_instance_name_take_each_others_vms_for_their_own() -> None:
    one, other = Played(CLOUDSTACK_4_0_2), Played(CLOUDSTACK_4_0_2)
    mine, yours = (
        a_named_vm("i-2-3-VM", uuid="mine"),
        a_named_vm("i-2-3-VM", uuid="yours", host_uuid="host-2"),
    )
    one.makes(mine)
    other.makes(yours)
    assert one.sees(mine, yours) == [(Deed.MARKED_MOVED, "mine")]
    assert one.sees(yours) == []


def test_a_strangers_name_with_an_id_of_its_own_makes_it_stop_the_stranger() -> None:
    played = Played(CLOUDSTACK_4_0_2_PATCHED)
    played.makes(OWN)
    stranger = a_named_vm("i-9-7-VM")
    assert played.sees(OWN, stranger) == [(Deed.RECORD_DESTROYED, stranger.uuid)]
    # At connect the stranger stands for the VM whose id it has, which is found to run where it should: both are spared.
    played = Played(CLOUDSTACK_4_0_2_PATCHED)
    played.makes(OWN)
    assert played.connects(a_view(OWN, stranger)) == []


# --- what its users ask ----------------------------------------------------------------------------------------------


@BOTH
def test_a_stop_destroys_the_record_and_a_start_makes_a_new_one(policy: str) -> None:
    played = Played(policy)
    played.makes(OWN)
    assert played.stops(OWN) == DESTROYED_OWN
    assert played.row(OWN.name).state is State.STOPPED
    assert played.sees() == []
    assert played.starts(OWN, a_named_vm("web")) == [(Deed.STARTED, OWN.uuid)]
    assert played.outcomes[0].host_uuid == "host-1"
    assert OWN.uuid not in [uuid for _, uuid in played.sees(a_named_vm("web"), OWN)]
    assert played.row(OWN.name).state is State.RUNNING


@BOTH
def test_a_stop_that_fails_leaves_it_running_in_the_books(policy: str) -> None:
    played = Played(policy)
    played.makes(OWN)
    assert played.stops(a_named_vm(OWN.name, PAUSED)) == [(Deed.STOP_FAILED, OWN.uuid)]
    assert played.row(OWN.name).state is State.RUNNING


@BOTH
def test_a_start_destroys_every_halted_vm_of_the_name(policy: str) -> None:
    played = Played(policy)
    played.makes(OWN_OFF)
    alien = a_named_vm(OWN.name, HALTED, uuid="alien")
    assert played.starts(OWN, alien, OWN_OFF) == [
        (Deed.RECORD_DESTROYED, "alien"),
        (Deed.STARTED, OWN.uuid),
    ]


@BOTH
def test_what_runs_in_the_books_is_not_started(policy: str) -> None:
    played = Played(policy)
    played.makes(OWN)
    assert played.starts(OWN, OWN_OFF) == [(Deed.NOTHING, OWN.uuid)]
    assert "Running in its database" in played.outcomes[0].words


@BOTH
def test_what_it_does_not_know_it_cannot_stop(policy: str) -> None:
    played = Played(policy)
    assert played.stops(OWN) == [(Deed.NOTHING, OWN.uuid)]
    assert played.starts(OWN, OWN_OFF) == [(Deed.NOTHING, OWN.uuid)]


def test_a_memory_is_never_changed() -> None:
    played = Played(CLOUDSTACK_4_0_2, a_named_vm("web"))
    played.makes(OWN, ha=True)
    before = played.memory
    first = played.policy.react(before, Occasion.ROUND, a_view(OWN_OFF), 1)
    second = played.policy.react(before, Occasion.ROUND, a_view(OWN_OFF), 1)
    assert first == second
    assert played.policy.belief(before, OWN) == "Running on host-1"


# --- what compareState says is done ----------------------------------------------------------------------------------


@BOTH
def test_a_vm_that_runs_while_it_is_to_be_stopped_is_stopped_by_high_availability(policy: str) -> None:
    played = Played(policy)
    played.makes(OWN)
    played.memory = played.policy.restored(played.memory, played.now)  # the cache is empty, so it is a change
    played.with_row(OWN.name, state=State.STOPPING)
    assert played.sees(OWN) == DESTROYED_OWN
    assert played.row(OWN.name).state is State.STOPPED


@BOTH
def test_that_stop_may_fail(policy: str) -> None:
    played = Played(policy)
    played.makes(OWN)
    played.memory = played.policy.restored(played.memory, played.now)
    played.with_row(OWN.name, state=State.STOPPING)
    assert played.sees(a_named_vm(OWN.name, PAUSED)) == [(Deed.STOP_FAILED, OWN.uuid)]
    assert played.row(OWN.name).state is State.STOPPING


@BOTH
def test_a_vm_gone_while_it_is_to_be_stopped_is_stopped(policy: str) -> None:
    played = Played(policy)
    played.makes(OWN)
    played.with_row(OWN.name, state=State.STOPPING)
    assert played.sees(OWN_OFF) == DESTROYED_OWN
    assert played.row(OWN.name).state is State.STOPPED


@BOTH
def test_a_vm_that_is_destroyed_in_the_books_is_cleaned_up_once_it_is_off(policy: str) -> None:
    played = Played(policy)
    played.makes(OWN)
    played.with_row(OWN.name, state=State.DESTROYED)
    assert played.sees(OWN_OFF) == DESTROYED_OWN


@BOTH
def test_a_start_on_another_host_ignores_the_report_of_this_one(policy: str) -> None:
    played = Played(policy)
    played.makes(OWN)
    played.with_row(OWN.name, state=State.STARTING, host_uuid="host-2")
    assert played.sees(OWN_OFF) == []


@BOTH
def test_a_migration_under_way_is_left_alone(policy: str) -> None:
    played = Played(policy)
    played.makes(OWN)
    played.with_row(OWN.name, state=State.MIGRATING)
    assert played.sees(OWN_OFF) == []
    assert played.sees(a_named_vm(OWN.name, host_uuid="host-2")) == []


@BOTH
def test_a_vm_of_a_dead_host_is_given_up_there_and_started_elsewhere(policy: str) -> None:
    played = Played(policy)
    own = played.makes(a_named_vm("i-2-7-VM", host_uuid="host-2"), ha=True)
    hosts = (a_host("host-1"), a_host("host-2", live=Answer.NO))
    # Somebody tells the pool that the host is dead, so its VMs are off.
    done = played.sees(a_named_vm(own.name, HALTED), hosts=hosts)
    assert (Deed.STOP_FAILED, None) in done
    assert done[-1] == (Deed.RESTARTED, own.uuid)
    assert played.outcomes[-1].host_uuid == "host-1"
