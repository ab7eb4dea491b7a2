"""Is 4.22's power sync the reference's, cell by cell, and its missing rule with the grace period?

Effects: none
"""

from collections.abc import Sequence

import pytest

from tests.support.inventory import a_disk, a_host
from tests.support.precedents import Played, a_named_vm, a_view
from xenios.decide.precedent.cloudstack_4_22 import CLOUDSTACK_4_22
from xenios.decide.precedent.policy import Deed
from xenios.decide.precedent.power_4_22 import POWER_TABLE, Course, handle_power_report
from xenios.decide.precedent.states import PowerReport, State
from xenios.decide.precedent.sync_4_22 import power_report
from xenios.model.inventory import Answer, DiskKind, HypervisorKind, PowerState, Vm

KVM = HypervisorKind.KVM
HALTED, PAUSED, SUSPENDED = PowerState.HALTED, PowerState.PAUSED, PowerState.SUSPENDED
OWN = a_named_vm("i-2-7-VM")

GRID = """
state      | PowerOn     | PowerOff     | PowerReportMissing
Starting   | on alert    | off          | off
Running    | on          | ha or off    | ha or off
Stopping   | on alert    | off          | off
Stopped    | on alert    | off          | off
Migrating  | on          | off silent   | nothing
Destroyed  | log         | nothing      | nothing
Expunging  | log         | nothing      | nothing
Error      | log         | log          | log
Unknown    | log         | log          | log
Shutdowned | log         | log          | log
"""
WORDS = {
    "on": Course.FOLLOW_ON,
    "on alert": Course.FOLLOW_ON_ALERT,
    "off": Course.OFF_PATH,
    "off silent": Course.OFF_PATH_SILENT,
    "ha or off": Course.HA_OR_OFF_PATH,
    "log": Course.LOG,
    "nothing": Course.NOTHING,
}


def cells() -> list[tuple[State, PowerReport, Course]]:
    head, *lines = [[part.strip() for part in line.split("|")] for line in GRID.strip().splitlines()]
    return [
        (State(server), PowerReport(power), WORDS[word])
        for server, *words in lines
        for power, word in zip(head[1:], words, strict=True)
    ]


@pytest.mark.parametrize(("server", "power", "course"), cells())
def test_every_cell(server: State, power: PowerReport, course: Course) -> None:
    assert handle_power_report(server, power) is course


def test_every_state_has_one_row_and_an_unknown_power_changes_nothing() -> None:
    assert sorted(state for row in POWER_TABLE for state in row.server) == sorted(State)
    for state in State:
        assert handle_power_report(state, PowerReport.UNKNOWN) is Course.NOTHING


# --- what is reported ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "on_xenserver", "on_kvm"),
    [
        (PowerState.RUNNING, PowerReport.ON, PowerReport.ON),
        (PowerState.PAUSED, PowerReport.OFF, PowerReport.ON),
        (PowerState.UNKNOWN, PowerReport.UNKNOWN, None),
        (PowerState.HALTED, None, None),
        (PowerState.SUSPENDED, None, None),
        (PowerState.CRASHED, PowerReport.UNKNOWN, None),
        (PowerState.ASLEEP, PowerReport.UNKNOWN, None),
    ],
)
def test_power_states(
    state: PowerState, on_xenserver: PowerReport | None, on_kvm: PowerReport | None
) -> None:
    for kind, wanted in ((HypervisorKind.XENSERVER, on_xenserver), (KVM, on_kvm)):
        played = Played(CLOUDSTACK_4_22, kind=kind)
        view = a_view(a_named_vm("web", state), a_named_vm("other", host_uuid="host-2"), kind=kind)
        turn = played.policy.turn(played.memory, view, 0)
        assert power_report(turn, "host-1") == ({"web": wanted} if wanted is not None else {})


@pytest.mark.parametrize("kind", [HypervisorKind.XENSERVER, KVM])
def test_a_call_that_fails_is_an_empty_report(kind: HypervisorKind) -> None:
    played = Played(CLOUDSTACK_4_22, OWN, kind=kind)
    assert power_report(played.policy.turn(played.memory, None, 0), "host-1") == {}


# --- strangers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [HypervisorKind.XENSERVER, KVM])
def test_no_stranger_is_ever_touched_by_the_sync(kind: HypervisorKind) -> None:
    played = Played(CLOUDSTACK_4_22, kind=kind)
    for state in PowerState:
        vms = [a_named_vm(name, state) for name in ("web", "i-2-3-VM", "i-2-5-OTHER", "r-4-VM")]
        assert played.sees(*vms, kind=kind) == []


# --- the missing rule ------------------------------------------------------------------------------------------------


def rounds_until_missing(played: Played, *vms: Vm, **changes: object) -> int:
    for number in range(1, 9):
        played.sees(*vms, **changes)
        if played.outcomes:
            return number
    return 0


def test_missing_is_believed_after_a_reset_and_more_than_two_pings() -> None:
    played = Played(CLOUDSTACK_4_22)
    played.makes(OWN)
    for _ in range(5):
        assert played.sees(OWN) == []
    assert played.row(OWN.name).power_count == 3
    assert rounds_until_missing(played, a_named_vm("web")) == 4  # reset, then 60, 120 and 180 seconds
    assert played.deeds == [(Deed.MARKED_STOPPED, OWN.uuid)]
    assert played.alerts == 1
    assert played.row(OWN.name).state is State.STOPPED


def test_without_the_reset_it_takes_one_ping_less() -> None:
    played = Played(CLOUDSTACK_4_22)
    played.makes(OWN)
    played.sees(OWN)
    assert played.row(OWN.name).power_count == 1
    assert rounds_until_missing(played, a_named_vm("web")) == 3


def test_a_vm_that_is_back_in_time_is_not_missing() -> None:
    played = Played(CLOUDSTACK_4_22)
    played.makes(OWN)
    for _ in range(6):
        played.sees(OWN)
        for _ in range(2):
            assert played.sees(a_named_vm("web")) == []


def test_a_reconnect_gives_a_fresh_grace_period() -> None:
    played = Played(CLOUDSTACK_4_22)
    played.makes(OWN)
    played.sees(OWN)
    for _ in range(6):
        played.sees(a_named_vm("web"))
        played.sees(a_named_vm("web"))
        assert played.outcomes == ()
        played.connects(a_view(a_named_vm("web")))
        assert (played.row(OWN.name).power_count, played.row(OWN.name).power_at) == (0, played.now)


@pytest.mark.parametrize("kind", [HypervisorKind.XENSERVER, KVM])
def test_two_rows_of_a_reported_name_end_the_sync_of_the_whole_host(kind: HypervisorKind) -> None:
    played = Played(CLOUDSTACK_4_22, kind=kind)
    other, elsewhere = a_named_vm("i-2-8-VM"), a_named_vm("i-2-9-VM", host_uuid="host-2")
    twin = a_named_vm(OWN.name, uuid="imported", host_uuid="host-2")
    for vm in (OWN, twin, other, elsewhere):
        played.makes(vm)
    assert len(played.memory.rows) == 4
    done = [told for _ in range(6) for told in played.sees(OWN, kind=kind)]
    # host-2 reports no name that two rows have, so its missing VMs are missed
    assert done == [(Deed.MARKED_STOPPED, twin.uuid), (Deed.MARKED_STOPPED, elsewhere.uuid)]
    assert played.row(other.name).state is State.RUNNING, "its host's sync ends before anybody is missed"
    assert played.row(OWN.name).power_count == 0


@pytest.mark.parametrize("view", [None, a_view()])
def test_an_empty_or_failed_answer_restarts_after_the_grace(view: object) -> None:
    played = Played(CLOUDSTACK_4_22)
    ha, plain = played.makes(OWN, ha=True), played.makes(a_named_vm("i-2-8-VM"))
    played.sees(ha, plain)
    for _ in range(2):
        assert played.sees_view(view) == []  # type: ignore[arg-type]
    done = played.sees_view(view)  # type: ignore[arg-type]
    assert (Deed.MARKED_STOPPED, plain.uuid) in done
    # Nobody can be asked whether it runs, so nothing is done to it; an empty answer says that it does not.
    assert ((Deed.RESTARTED, ha.uuid) in done) is (view is not None)


# --- what follows ----------------------------------------------------------------------------------------------------


def test_a_vm_moved_by_hand_is_followed_in_silence() -> None:
    played = Played(CLOUDSTACK_4_22)
    played.makes(OWN)
    for first in ("host-1", "host-2"):
        for _ in range(4):
            played.sees(a_named_vm(OWN.name, host_uuid=first))
    played.sees(a_named_vm(OWN.name, host_uuid="host-1"))
    assert played.deeds == [(Deed.MARKED_MOVED, OWN.uuid)]
    assert played.alerts == 0
    assert played.row(OWN.name).host_uuid == "host-1"


@pytest.mark.parametrize("state", [State.STOPPED, State.STOPPING, State.STARTING])
def test_a_vm_started_behind_its_back_is_taken_over_with_an_alert(state: State) -> None:
    played = Played(CLOUDSTACK_4_22)
    played.makes(OWN)
    played.with_row(OWN.name, state=state, host_uuid=None)
    assert played.sees(OWN) == [(Deed.MARKED_RUNNING, OWN.uuid)]
    assert played.alerts == 1
    assert played.row(OWN.name).host_uuid == "host-1"


def test_a_zombie_runs_on() -> None:
    played = Played(CLOUDSTACK_4_22)
    played.makes(OWN)
    for state in (State.DESTROYED, State.EXPUNGING, State.ERROR):
        played.with_row(OWN.name, state=state)
        assert played.sees(OWN) == []


def test_a_paused_vm_counts_as_off_and_its_stop_fails_for_ever() -> None:
    played = Played(CLOUDSTACK_4_22)
    played.makes(OWN)
    for _ in range(6):
        assert played.sees(a_named_vm(OWN.name, PAUSED)) == [(Deed.STOP_FAILED, OWN.uuid)]
    assert played.row(OWN.name).state is State.RUNNING


@pytest.mark.parametrize("ha", [True, False])
@pytest.mark.parametrize("version", ["7.6.0", "8.3.0"])
def test_a_vm_shut_down_from_inside(ha: bool, version: str) -> None:
    played = Played(CLOUDSTACK_4_22, version=version)
    played.makes(OWN, ha=ha)
    off = a_named_vm(OWN.name, HALTED)
    rounds_until_missing(played, off, version=version)
    assert played.deeds[0] == (Deed.RESTARTED if ha else Deed.MARKED_STOPPED, OWN.uuid)


def test_high_availability_drops_a_vm_that_is_seen_running() -> None:
    played = Played(CLOUDSTACK_4_22)
    played.makes(OWN, ha=True)
    # A paused namesake on the same host comes last in the report and stands for both.
    assert played.sees(OWN, a_named_vm(OWN.name, PAUSED, uuid="namesake")) == []
    assert played.row(OWN.name).power is PowerReport.OFF
    assert played.row(OWN.name).state is State.RUNNING


def test_a_migration_that_ended_is_followed_without_a_word() -> None:
    played = Played(CLOUDSTACK_4_22)
    played.makes(OWN)
    played.with_row(OWN.name, state=State.MIGRATING)
    assert played.sees(a_named_vm(OWN.name, host_uuid="host-2")) == [(Deed.MARKED_RUNNING, OWN.uuid)]
    assert (played.alerts, played.row(OWN.name).host_uuid) == (0, "host-2")


def test_on_kvm_high_availability_never_restarts_while_the_host_is_up() -> None:
    played = Played(CLOUDSTACK_4_22, kind=KVM)
    played.makes(OWN, ha=True)
    for _ in range(10):
        assert played.sees(a_named_vm("web"), kind=KVM) == []
    assert played.row(OWN.name).state is State.RUNNING


def test_names_are_looked_up_without_regard_to_the_host_so_a_namesake_is_taken_for_it() -> None:
    played = Played(CLOUDSTACK_4_22)
    played.makes(a_named_vm(OWN.name, HALTED))
    assert played.sees(a_named_vm(OWN.name, uuid="alien", host_uuid="host-2")) == [
        (Deed.MARKED_RUNNING, OWN.uuid)
    ]
    assert played.row(OWN.name).host_uuid == "host-2"


def test_two_of_one_name_make_its_host_change_at_every_ping() -> None:
    played = Played(CLOUDSTACK_4_22)
    played.makes(OWN)
    twin = a_named_vm(OWN.name, uuid="twin", host_uuid="host-2")
    for _ in range(3):
        assert {deed for deed, _ in played.sees(OWN, twin)} == {Deed.MARKED_MOVED}


def test_a_silent_host_sends_no_ping() -> None:
    played = Played(CLOUDSTACK_4_22)
    played.makes(OWN, ha=True)
    hosts = (a_host("host-1", live=Answer.NO), a_host("host-2"))
    for _ in range(6):
        assert played.sees(hosts=hosts) == []
    assert played.row(OWN.name).state is State.RUNNING


def test_a_database_of_yesterday_harms_nothing() -> None:
    played = Played(CLOUDSTACK_4_22)
    yesterday = played.memory
    played.makes(OWN)
    played.memory = played.policy.restored(yesterday, played.now)
    assert played.connects(a_view(OWN)) == []
    for _ in range(6):
        assert played.sees(OWN) == []
    assert played.policy.belief(played.memory, OWN) == "unknown to it"


# --- clean-ups at connect --------------------------------------------------------------------------------------------

CD = (a_disk("", kind=DiskKind.CDROM, where=""),)
HALTED_NAMES = ("web", "i-5-web", "s-2-db", "v-1-web", "r-4-VM", "l-4-VM", "i-x-web", "i-2-3-VM")


def halted(names: Sequence[str]) -> list[Vm]:
    return [a_named_vm(name, HALTED, preferred_host_uuid="host-1") for name in names]


@pytest.mark.parametrize(
    ("version", "destroyed"),
    [
        ("7.6.0", ["i-5-web", "s-2-db", "v-1-web", "i-2-3-VM"]),
        ("8.0.0", []),
        ("8.3.0", []),
        ("", ["i-5-web", "s-2-db", "v-1-web", "i-2-3-VM"]),
    ],
)
def test_halted_vms_with_names_like_its_own_are_destroyed_before_8(
    version: str, destroyed: list[str]
) -> None:
    played = Played(CLOUDSTACK_4_22, *halted(HALTED_NAMES), version=version)
    assert played.deeds == [(Deed.RECORD_DESTROYED, f"uuid of {name}") for name in destroyed]


def test_only_the_preferred_host_counts() -> None:
    vms = [a_named_vm("i-5-web", HALTED), a_named_vm("s-2-db", HALTED, preferred_host_uuid="host-9")]
    assert Played(CLOUDSTACK_4_22, *vms).deeds == []


@pytest.mark.parametrize("version", ["7.6.0", "8.3.0"])
def test_a_resident_vm_named_like_a_system_vm_loses_its_cd_drive(version: str) -> None:
    vms = [
        a_named_vm("r-and-d", disks=CD),
        a_named_vm("s-", disks=(a_disk("d"), *CD, *CD)),
        a_named_vm("v-1", PAUSED, disks=CD),
        a_named_vm("i-2-3-VM", disks=CD),
        a_named_vm("r-none"),
        a_named_vm("r-off", HALTED, disks=CD),
        a_named_vm("R-1", disks=CD),
    ]
    played = Played(CLOUDSTACK_4_22, *vms, version=version)
    assert played.deeds == [(Deed.DRIVE_REMOVED, f"uuid of {name}") for name in ("r-and-d", "s-", "v-1")]


def test_on_kvm_nothing_is_cleaned_up_at_connect() -> None:
    vms = [*halted(HALTED_NAMES), a_named_vm("r-1", disks=CD)]
    assert Played(CLOUDSTACK_4_22, *vms, kind=KVM).deeds == []


# --- what its users ask ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "deed"), [("7.6.0", Deed.RECORD_DESTROYED), ("8.3.0", Deed.STOPPED)])
def test_a_stop_leaves_the_record_from_8_on(version: str, deed: Deed) -> None:
    played = Played(CLOUDSTACK_4_22, version=version)
    played.makes(OWN)
    assert played.stops(OWN, version=version) == [(deed, OWN.uuid)]


@pytest.mark.parametrize("version", ["7.6.0", "8.3.0"])
def test_a_start_destroys_every_halted_namesake_in_every_version(version: str) -> None:
    played = Played(CLOUDSTACK_4_22, version=version)
    own = played.makes(a_named_vm(OWN.name, HALTED))
    alien = a_named_vm(OWN.name, HALTED, uuid="alien")
    done = played.starts(own, alien, own, version=version)
    assert done == [(Deed.RECORD_DESTROYED, "alien"), (Deed.STARTED, OWN.uuid)]


def test_a_start_takes_a_namesake_that_runs_for_its_own() -> None:
    played = Played(CLOUDSTACK_4_22)
    own = played.makes(a_named_vm(OWN.name, HALTED))
    alien = a_named_vm(OWN.name, uuid="alien", host_uuid="host-2")
    assert played.starts(own, alien) == [(Deed.MARKED_RUNNING, "alien")]
    assert played.row(OWN.name).host_uuid == "host-2"
    assert played.stops(own, alien) == [(Deed.RECORD_DESTROYED, "alien")]
