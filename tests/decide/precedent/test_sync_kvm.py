"""Do fullHostSync and deltaHostSync of 4.0.2 do to KVM hosts what the reference says?

Effects: none
"""

import pytest

from tests.support.inventory import a_host
from tests.support.precedents import Played, a_named_vm, a_view
from xenios.decide.precedent.cloudstack_4_0 import CLOUDSTACK_4_0_2, CLOUDSTACK_4_0_2_PATCHED
from xenios.decide.precedent.java_text import name_uuid
from xenios.decide.precedent.policy import Deed
from xenios.decide.precedent.reports_4_0 import Seen
from xenios.decide.precedent.states import State
from xenios.decide.precedent.sync_4_0 import delta_host_sync, full_host_sync
from xenios.model.collection import Collection
from xenios.model.inventory import Answer, HypervisorKind, PowerState, Vm

KVM = HypervisorKind.KVM
BOTH = pytest.mark.parametrize("policy", [CLOUDSTACK_4_0_2, CLOUDSTACK_4_0_2_PATCHED])
HALTED = PowerState.HALTED


def domain(name: str, state: PowerState = PowerState.RUNNING, **changes: object) -> Vm:
    """A domain with the uuid that CloudStack gives to its name. What is off is on the host that has its definition."""
    facts: dict[str, object] = {"uuid": name_uuid(name), "host_uuid": "host-1"}
    return a_named_vm(name, state, **(facts | changes))


def view(*vms: Vm) -> Collection:
    return a_view(*vms, kind=KVM)


OWN = domain("i-2-7-VM")
UNKNOWN_OWN = domain("i-2-3-VM")


# --- fullHostSync ----------------------------------------------------------------------------------------------------


@BOTH
def test_at_connect_a_name_of_its_own_without_a_record_is_stopped(policy: str) -> None:
    vms = [
        domain("web"),
        domain("i-2-5-OTHER"),
        UNKNOWN_OWN,
        domain("r-4-VM", HALTED),
        domain("i-2-9-VM", uuid="foreign"),
        domain("s-6-VM", HALTED, uuid="foreign and off"),
    ]
    assert Played(policy, *vms, kind=KVM).deeds == [
        (Deed.RECORD_DESTROYED, UNKNOWN_OWN.uuid),
        (Deed.RECORD_DESTROYED, name_uuid("r-4-VM")),
        (Deed.STOP_FAILED, "foreign"),
    ]


@BOTH
@pytest.mark.parametrize("ha", [True, False])
def test_what_is_expected_here_and_not_reported_is_restarted(policy: str, ha: bool) -> None:
    played = Played(policy, kind=KVM)
    played.makes(OWN, ha=ha)
    assert played.connects(view(domain("web"))) == [(Deed.RESTARTED if ha else Deed.MARKED_STOPPED, OWN.uuid)]


@BOTH
def test_a_vm_that_was_moved_by_virsh_is_stopped_where_it_came_to(policy: str) -> None:
    played = Played(policy, kind=KVM)
    played.makes(OWN)
    played.with_row(OWN.name, host_uuid="host-3")  # a host that is not of this view
    moved = domain(OWN.name, host_uuid="host-2")
    assert played.connects(view(moved)) == [(Deed.RECORD_DESTROYED, OWN.uuid)]
    assert "expected on another host" in played.outcomes[0].rule


@BOTH
def test_a_vm_that_was_moved_by_virsh_dies_in_the_next_round_too(policy: str) -> None:
    played = Played(policy, kind=KVM)
    played.makes(OWN, ha=True)
    assert played.sees_view(view(OWN)) == []
    moved = domain(OWN.name, host_uuid="host-2")
    # The old host misses it and starts it again; it then runs twice.
    assert played.sees_view(view(moved))[0] == (Deed.RESTARTED, OWN.uuid)


@BOTH
def test_a_stopped_row_without_a_host_is_left_over_and_stopped(policy: str) -> None:
    played = Played(policy, kind=KVM)
    played.makes(OWN)
    played.with_row(OWN.name, state=State.STOPPED, host_uuid=None)
    assert played.connects(view(OWN)) == [(Deed.RECORD_DESTROYED, OWN.uuid)]


@BOTH
def test_what_runs_as_expected_is_left_alone(policy: str) -> None:
    played = Played(policy, kind=KVM)
    played.makes(OWN)
    for _ in range(2):
        assert played.connects(view(OWN)) == []
        assert played.sees_view(view(OWN)) == []


@BOTH
def test_a_database_of_yesterday_kills_what_was_made_since(policy: str) -> None:
    played = Played(policy, kind=KVM)
    yesterday = played.memory
    played.makes(OWN)
    played.memory = played.policy.restored(yesterday, played.now)
    assert played.connects(view(OWN)) == [(Deed.RECORD_DESTROYED, OWN.uuid)]


# --- deltaHostSync ---------------------------------------------------------------------------------------------------


@BOTH
def test_in_a_round_only_names_of_its_own_are_stopped(policy: str) -> None:
    played = Played(policy, kind=KVM)
    assert played.sees_view(view(domain("web"), domain("i-2-5-OTHER"), UNKNOWN_OWN)) == [
        (Deed.RECORD_DESTROYED, UNKNOWN_OWN.uuid)
    ]
    assert played.sees_view(view(domain("web", HALTED), domain("i-2-5-OTHER"))) == []


@BOTH
@pytest.mark.parametrize("ha", [True, False])
def test_a_domain_shut_down_from_inside(policy: str, ha: bool) -> None:
    played = Played(policy, kind=KVM)
    played.makes(OWN, ha=ha)
    assert played.sees_view(view(OWN)) == []
    done = played.sees_view(view(domain(OWN.name, HALTED)))
    assert done == [(Deed.RESTARTED if ha else Deed.RECORD_DESTROYED, OWN.uuid)]


@BOTH
def test_a_connection_that_fails_is_an_empty_list(policy: str) -> None:
    played = Played(policy, kind=KVM)
    played.makes(OWN, ha=True)
    other = played.makes(domain("i-2-8-VM"))
    alien = domain("web")
    assert played.sees_view(view(OWN, other, alien)) == []
    done = played.sees_view(None)
    assert sorted(done) == sorted([(Deed.RESTARTED, OWN.uuid), (Deed.RECORD_DESTROYED, other.uuid)])


@BOTH
def test_an_empty_list_does_the_same(policy: str) -> None:
    played = Played(policy, kind=KVM)
    played.makes(OWN, ha=True)
    assert played.sees_view(view(OWN)) == []
    assert played.sees_view(view()) == [(Deed.RESTARTED, OWN.uuid)]


@BOTH
def test_an_own_domain_with_a_foreign_uuid_is_taken_for_dead_and_started_a_second_time(policy: str) -> None:
    played = Played(policy, kind=KVM)
    foreign = played.makes(domain("i-2-7-VM", uuid="foreign"), ha=True)
    assert played.sees_view(view(foreign)) == []
    done = played.sees_view(None)
    assert (Deed.STOP_FAILED, "foreign") in done
    assert (Deed.START_FAILED, "foreign") in done  # libvirt takes no second domain of one name


@BOTH
def test_a_start_that_the_server_has_forgotten_is_finished_at_connect(policy: str) -> None:
    played = Played(policy, kind=KVM)
    played.makes(OWN)
    played.with_row(OWN.name, state=State.STARTING)
    assert played.connects(view(OWN)) == [(Deed.MARKED_RUNNING, OWN.uuid)]
    played.with_row(OWN.name, state=State.STARTING)
    assert played.sees_view(view(OWN)) == []  # a delta does not


@BOTH
def test_a_domain_that_crashed_is_unknown_and_nothing_follows(policy: str) -> None:
    played = Played(policy, kind=KVM)
    played.makes(OWN, ha=True)
    assert played.sees_view(view(domain(OWN.name, PowerState.CRASHED))) == []


@BOTH
def test_its_own_stop_and_start_are_no_change_to_it(policy: str) -> None:
    played = Played(policy, kind=KVM)
    played.makes(OWN)
    assert played.stops(OWN, kind=KVM) == [(Deed.RECORD_DESTROYED, OWN.uuid)]
    assert played.sees_view(view(domain("web"))) == []
    assert played.starts(OWN, domain("web"), host="host-2", kind=KVM) == [(Deed.STARTED, OWN.uuid)]
    assert played.sees_view(view(domain("web"), domain(OWN.name, host_uuid="host-2"))) == []
    assert played.row(OWN.name).host_uuid == "host-2"


@BOTH
def test_a_silent_host_sends_no_ping(policy: str) -> None:
    played = Played(policy, kind=KVM)
    played.makes(OWN, ha=True)
    hosts = (a_host("host-1", live=Answer.NO), a_host("host-2"))
    for _ in range(5):
        assert played.sees(kind=KVM, hosts=hosts) == []


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize(
    ("state", "alerts", "deed"),
    [(State.ERROR, 2, Deed.RECORD_DESTROYED), (State.SHUTDOWNED, 0, Deed.RECORD_DESTROYED)],
)
def test_reports_that_no_list_of_ours_makes(full: bool, state: State, alerts: int, deed: Deed) -> None:
    played = Played(CLOUDSTACK_4_0_2, kind=KVM)
    played.makes(OWN)
    turn = played.policy.turn(played.memory, view(OWN), played.now)
    sync = full_host_sync if full else delta_host_sync
    sync(turn, "host-1", {OWN.name: Seen("host-1", state)}, "VM")
    reaction = turn.end()
    deeds = [told.deed for told in reaction.outcomes]
    assert deeds.count(Deed.ALERT) == alerts  # storage failure, and stopped unexpectedly
    assert [each for each in deeds if each is not Deed.ALERT] == [deed]
    row = reaction.memory.row_of_name(OWN.name)
    assert row is not None
    assert row.state is State.STOPPED
