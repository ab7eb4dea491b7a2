"""Do StopCommand and StartCommand hit what the reference says, and leave what it says?

Effects: none
"""

import pytest

from tests.support.inventory import a_pool, a_vm
from xenios.decide.precedent.commands import (
    is_older_than_8,
    manner_4_0,
    manner_4_22,
    start_on_kvm,
    start_on_xenserver,
    stop_on_kvm,
    stop_on_xenserver,
)
from xenios.decide.precedent.java_text import name_uuid
from xenios.decide.precedent.policy import Deed
from xenios.model.inventory import Answer, HypervisorKind, PowerState, Vm, VmKind

NAME = "i-2-3-VM"


def vm(uuid: str, state: PowerState = PowerState.RUNNING, **changes: object) -> Vm:
    host = None if state in (PowerState.HALTED, PowerState.SUSPENDED) else "host-1"
    facts: dict[str, object] = {"name": NAME, "power_state": state, "host_uuid": host}
    return a_vm(uuid, **(facts | changes))


# --- StopCommand on XenServer ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "old", "new", "succeeds"),
    [
        (PowerState.RUNNING, Deed.RECORD_DESTROYED, Deed.STOPPED, True),
        (PowerState.HALTED, Deed.RECORD_DESTROYED, Deed.NOTHING, True),
        (PowerState.PAUSED, Deed.STOP_FAILED, Deed.STOP_FAILED, False),
        (PowerState.SUSPENDED, Deed.STOP_FAILED, Deed.STOP_FAILED, False),
        (PowerState.UNKNOWN, Deed.STOP_FAILED, Deed.STOP_FAILED, False),
    ],
)
def test_one_vm(state: PowerState, old: Deed, new: Deed, succeeds: bool) -> None:
    before_8 = stop_on_xenserver([vm("a", state)], "host-1", destroys_halted=True)
    from_8 = stop_on_xenserver([vm("a", state)], "host-1", destroys_halted=False)
    assert (before_8.deed, before_8.succeeded) == (old, succeeds)
    assert (from_8.deed, from_8.succeeded) == (new, succeeds)
    assert before_8.vm is not None


def test_no_vm_of_the_name_is_a_success() -> None:
    found = stop_on_xenserver([], "host-1", destroys_halted=True)
    assert (found.succeeded, found.vm, found.deed) == (True, None, Deed.NOTHING)


def test_one_that_runs_on_another_host_is_left_out() -> None:
    found = stop_on_xenserver([vm("a", host_uuid="host-2")], "host-1", destroys_halted=True)
    assert (found.succeeded, found.vm) == (True, None)


@pytest.mark.parametrize("state", [PowerState.HALTED, PowerState.PAUSED, PowerState.SUSPENDED])
def test_one_that_does_not_run_is_hit_anywhere_in_the_pool(state: PowerState) -> None:
    elsewhere = vm("a", state, host_uuid="host-2" if state is PowerState.PAUSED else None)
    found = stop_on_xenserver([elsewhere], "host-1", destroys_halted=True)
    assert found.vm == elsewhere


def test_only_the_first_that_ends_up_halted_is_destroyed() -> None:
    halted, running = vm("halted", PowerState.HALTED), vm("running")
    assert stop_on_xenserver([halted, running], "host-1", destroys_halted=True).vm == halted
    assert stop_on_xenserver([running, halted], "host-1", destroys_halted=True).vm == running


def test_a_paused_one_before_it_is_passed_over() -> None:
    found = stop_on_xenserver(
        [vm("paused", PowerState.PAUSED), vm("halted", PowerState.HALTED)], "host-1", destroys_halted=True
    )
    assert found.vm is not None
    assert (found.vm.uuid, found.succeeded) == ("halted", True)


def test_the_label_alone_counts_so_a_template_of_the_name_goes_too() -> None:
    template = vm("t", PowerState.HALTED, kind=VmKind.TEMPLATE)
    assert stop_on_xenserver([template], "host-1", destroys_halted=True).deed is Deed.RECORD_DESTROYED


def test_a_control_domain_makes_it_fail() -> None:
    control = vm("dom0", kind=VmKind.CONTROL_DOMAIN)
    found = stop_on_xenserver([control, vm("a")], "host-1", destroys_halted=True)
    assert (found.succeeded, found.deed) == (False, Deed.STOP_FAILED)


def test_checking_first_nothing_that_runs_is_touched() -> None:
    found = stop_on_xenserver([vm("a")], "host-1", destroys_halted=True, check_before_cleanup=True)
    assert (found.succeeded, found.deed) == (False, Deed.STOP_FAILED)
    halted = [vm("a", PowerState.HALTED)]
    found = stop_on_xenserver(halted, "host-1", destroys_halted=True, check_before_cleanup=True)
    assert found.deed is Deed.RECORD_DESTROYED


@pytest.mark.parametrize(
    ("version", "older"),
    [
        ("7.6.0", True),
        ("6.2", True),
        ("8.0.0", False),
        ("8.3.0", False),
        ("10.1", False),
        ("", True),
        ("unknown", True),
        ("9" * 50, False),
        ("٨.0", True),  # digits, but none that this reads
    ],
)
def test_the_version_decides_whether_records_stay(version: str, older: bool) -> None:
    assert is_older_than_8(version) is older
    pool = a_pool(version=version)
    assert manner_4_22(pool).destroys_halted is older
    assert manner_4_0(pool).destroys_halted is True


# --- StopCommand on KVM ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uuid", "state", "by_name", "deed"),
    [
        (name_uuid(NAME), PowerState.RUNNING, False, Deed.RECORD_DESTROYED),
        (name_uuid(NAME), PowerState.PAUSED, False, Deed.RECORD_DESTROYED),
        (name_uuid(NAME), PowerState.HALTED, False, Deed.RECORD_DESTROYED),
        ("other", PowerState.RUNNING, False, Deed.STOP_FAILED),
        ("other", PowerState.HALTED, False, Deed.STOP_FAILED),
        ("other", PowerState.RUNNING, True, Deed.RECORD_DESTROYED),
        ("other", PowerState.HALTED, True, Deed.RECORD_DESTROYED),
    ],
)
def test_a_domain(uuid: str, state: PowerState, by_name: bool, deed: Deed) -> None:
    found = stop_on_kvm([vm(uuid, state, host_uuid="host-1")], NAME, "host-1", by_name=by_name)
    assert (found.deed, found.succeeded) == (deed, True)


def test_a_domain_on_another_host_is_not_found() -> None:
    found = stop_on_kvm([vm(name_uuid(NAME), host_uuid="host-2")], NAME, "host-1", by_name=True)
    assert (found.deed, found.vm, found.succeeded) == (Deed.NOTHING, None, True)


def test_a_domain_that_runs_is_left_alone_when_checked_first() -> None:
    found = stop_on_kvm([vm("a")], NAME, "host-1", by_name=True, check_before_cleanup=True)
    assert (found.succeeded, found.deed) == (False, Deed.STOP_FAILED)


# --- StartCommand ----------------------------------------------------------------------------------------------------


def test_on_xenserver_every_halted_vm_of_the_name_is_destroyed() -> None:
    found = start_on_xenserver([vm("a", PowerState.HALTED), vm("b", PowerState.HALTED)])
    assert found.succeeded
    assert [each.uuid for each in found.destroyed] == ["a", "b"]


def test_on_xenserver_one_that_runs_is_taken_for_it() -> None:
    found = start_on_xenserver([vm("a", PowerState.HALTED), vm("b")])
    assert (found.succeeded, found.taken_over) == (True, vm("b"))
    assert [each.uuid for each in found.destroyed] == ["a"]


@pytest.mark.parametrize("state", [PowerState.PAUSED, PowerState.SUSPENDED, PowerState.UNKNOWN])
def test_on_xenserver_any_other_state_makes_it_fail(state: PowerState) -> None:
    assert not start_on_xenserver([vm("a", state)]).succeeded


def test_on_kvm_later_versions_undefine_what_has_the_name() -> None:
    off = vm("alien", PowerState.HALTED, host_uuid="host-1")
    assert start_on_kvm([off], NAME, "host-1", by_name=True).destroyed == (off,)
    transient = vm("alien", PowerState.HALTED, host_uuid="host-1", persistent=Answer.NO)
    assert start_on_kvm([transient], NAME, "host-1", by_name=True).destroyed == ()
    assert not start_on_kvm([vm("alien")], NAME, "host-1", by_name=True).succeeded
    assert start_on_kvm([vm("alien", host_uuid="host-2")], NAME, "host-1", by_name=True).succeeded


def test_on_kvm_4_0_cannot_have_a_name_that_another_domain_has() -> None:
    off = vm("alien", PowerState.HALTED, host_uuid="host-1")
    assert not start_on_kvm([off], NAME, "host-1", by_name=False).succeeded
    own = vm(name_uuid(NAME), PowerState.HALTED, host_uuid="host-1")
    assert start_on_kvm([own], NAME, "host-1", by_name=False).succeeded


@pytest.mark.parametrize("kind", HypervisorKind)
def test_whatever_is_not_xenserver_is_handled_as_kvm(kind: HypervisorKind) -> None:
    for manner in (manner_4_0(a_pool(kind=kind)), manner_4_22(a_pool(kind=kind))):
        assert manner.xenserver is (kind is HypervisorKind.XENSERVER)
