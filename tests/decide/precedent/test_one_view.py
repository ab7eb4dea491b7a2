"""Is it told true in one view what each manager would do to each VM?

Effects: none
"""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.inventory import a_collection, a_disk, a_host, a_pool, a_vm
from xenios.decide.precedent import (
    CLOUDSTACK_4_0_2,
    CLOUDSTACK_4_0_2_PATCHED,
    CLOUDSTACK_4_22,
    POLICIES,
    Harm,
    Precedent,
    name_uuid,
    precedent_of,
    precedents_of,
)
from xenios.decide.precedent.policies import policy_named
from xenios.decide.precedent.policy import Deed, Occasion
from xenios.model.inventory import Answer, DiskKind, HypervisorKind, PowerState, Vm, VmKind

# --- XenServer -------------------------------------------------------------------------------------------------------


def on_xenserver(vm: Vm) -> Precedent:
    return precedent_of(CLOUDSTACK_4_0_2, HypervisorKind.XENSERVER, vm)


@pytest.mark.parametrize(
    ("vm", "harm", "rule"),
    [
        (a_vm(name="web"), Harm.ON_CHANGE, "deltaSync"),
        (a_vm(name="i-2-3-VM"), Harm.RECORD_DESTROYED, "fullSync"),
        (a_vm(name="i-2-5-OTHER"), Harm.RECORD_DESTROYED, "fullSync"),
        (a_vm(name="r-4-VM"), Harm.ON_CHANGE, "deltaSync"),
        (a_vm(name="web", power_state=PowerState.PAUSED), Harm.ON_CHANGE, "deltaSync"),
        (a_vm(name="i-2-3-VM", power_state=PowerState.PAUSED), Harm.ON_CHANGE, "fullSync"),
        (a_vm(name="web", power_state=PowerState.SUSPENDED), Harm.ON_CHANGE, "deltaSync"),
        (a_vm(name="i-2-3-VM", power_state=PowerState.SUSPENDED), Harm.ON_CHANGE, "deltaSync"),
        (a_vm(name="web", power_state=PowerState.HALTED), Harm.ON_CHANGE, "deltaSync"),
        (a_vm(name="i-2-3-VM", power_state=PowerState.HALTED), Harm.ON_CHANGE, "deltaSync"),
        (
            a_vm(name="web", power_state=PowerState.HALTED, preferred_host_uuid="host-1"),
            Harm.RECORD_DESTROYED,
            "cleanupHaltedVms",
        ),
        (
            a_vm(name="web", power_state=PowerState.SUSPENDED, preferred_host_uuid="host-1"),
            Harm.ON_CHANGE,
            "deltaSync",
        ),
        (a_vm(name="web", power_state=PowerState.UNKNOWN), Harm.ON_CHANGE, "deltaSync"),
        (a_vm(name="i-2-3-VM", kind=VmKind.CONTROL_DOMAIN), Harm.NONE, "skips a control domain"),
        (a_vm(name="i-2-3-VM", kind=VmKind.SNAPSHOT), Harm.NONE, "skips a snapshot"),
        (
            a_vm(kind=VmKind.TEMPLATE, power_state=PowerState.HALTED, preferred_host_uuid="host-1"),
            Harm.NONE,
            "skips a template",
        ),
    ],
)
def test_on_xenserver(vm: Vm, harm: Harm, rule: str) -> None:
    found = on_xenserver(vm)
    assert found.harm is harm
    assert rule in found.rule
    assert found.policy == CLOUDSTACK_4_0_2
    assert found.at_connect
    assert found.later


@settings(deadline=None)
@given(st.sampled_from(PowerState), st.text(max_size=12), st.sampled_from([None, "host-1"]))
def test_no_machine_of_a_pool_is_safe(state: PowerState, name: str, preferred: str | None) -> None:
    found = on_xenserver(a_vm(power_state=state, name=name, preferred_host_uuid=preferred))
    assert found.harm is not Harm.NONE


# --- KVM -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "uuid_of", "state", "harm", "said"),
    [
        ("web", None, PowerState.RUNNING, Harm.NONE, "left alone"),
        ("web", "web", PowerState.RUNNING, Harm.NONE, "left alone"),
        ("i-2-5-OTHER", "i-2-5-OTHER", PowerState.RUNNING, Harm.NONE, "left alone"),
        ("i-2-3-VM", None, PowerState.RUNNING, Harm.NONE, "does not find it"),
        ("i-2-3-VM", "i-2-3-VM", PowerState.RUNNING, Harm.RECORD_DESTROYED, "shut down or destroyed"),
        ("i-2-3-VM", "i-2-3-VM", PowerState.PAUSED, Harm.RECORD_DESTROYED, "shut down or destroyed"),
        ("r-4-VM", "r-4-VM", PowerState.HALTED, Harm.RECORD_DESTROYED, "definition is removed"),
    ],
)
@pytest.mark.parametrize("kind", [HypervisorKind.KVM, HypervisorKind.TEST])
def test_on_kvm(
    kind: HypervisorKind, name: str, uuid_of: str | None, state: PowerState, harm: Harm, said: str
) -> None:
    vm = a_vm(name_uuid(uuid_of) if uuid_of is not None else "other", name=name, power_state=state)
    found = precedent_of(CLOUDSTACK_4_0_2, kind, vm)
    assert found.harm is harm
    assert said in found.at_connect


def test_an_unknown_policy_is_refused() -> None:
    assert POLICIES == (CLOUDSTACK_4_0_2, CLOUDSTACK_4_0_2_PATCHED, CLOUDSTACK_4_22)
    with pytest.raises(ValueError, match="unknown policy 'vsphere'"):
        precedent_of("vsphere", HypervisorKind.KVM, a_vm())


# --- all policies ----------------------------------------------------------------------------------------------------

CD = (a_disk("", kind=DiskKind.CDROM, where=""),)
PATCHED, NEW = CLOUDSTACK_4_0_2_PATCHED, CLOUDSTACK_4_22


@pytest.mark.parametrize(
    ("policy", "version", "vm", "harm", "rule"),
    [
        (PATCHED, "7.6.0", a_vm(name="web"), Harm.NONE, "name rule"),
        (PATCHED, "7.6.0", a_vm(name="i-2-3-VM"), Harm.RECORD_DESTROYED, "fullSync"),
        (PATCHED, "7.6.0", a_vm(name="i-2-3-VM", power_state=PowerState.HALTED), Harm.ON_CHANGE, "patched"),
        (PATCHED, "7.6.0", a_vm(name="r-4-VM"), Harm.NONE, "name rule"),
        # When somebody shuts it down, its preferred host destroys it at the next connection.
        (
            PATCHED,
            "8.3.0",
            a_vm(name="web", preferred_host_uuid="host-1"),
            Harm.ON_CHANGE,
            "cleanupHaltedVms",
        ),
        (
            PATCHED,
            "8.3.0",
            a_vm(name="web", power_state=PowerState.HALTED, preferred_host_uuid="host-1"),
            Harm.RECORD_DESTROYED,
            "cleanupHaltedVms",
        ),
        (NEW, "8.3.0", a_vm(name="i-2-3-VM"), Harm.NONE, "not in the database"),
        (NEW, "8.3.0", a_vm(name="i-2-3-VM", preferred_host_uuid="host-1"), Harm.NONE, "not in the database"),
        (
            NEW,
            "7.6.0",
            a_vm(name="i-2-3-VM", preferred_host_uuid="host-1"),
            Harm.ON_CHANGE,
            "cleanupHaltedVms",
        ),
        (
            NEW,
            "7.6.0",
            a_vm(name="s-2-db", power_state=PowerState.HALTED, preferred_host_uuid="host-1"),
            Harm.RECORD_DESTROYED,
            "cleanupHaltedVms",
        ),
        (
            NEW,
            "7.6.0",
            a_vm(name="web", power_state=PowerState.HALTED, preferred_host_uuid="host-1"),
            Harm.NONE,
            "not in the database",
        ),
        (NEW, "8.3.0", a_vm(name="r-and-d", disks=CD), Harm.DRIVE_REMOVED, "destroyPatchVbd"),
        (NEW, "8.3.0", a_vm(name="r-and-d"), Harm.NONE, "not in the database"),
        # Off and on again: it loses its drive at the next connection, which is no harm to its record.
        (NEW, "8.3.0", a_vm(name="r-and-d", disks=CD, power_state=PowerState.HALTED), Harm.NONE, "dropped"),
    ],
)
def test_the_other_policies_on_xenserver(policy: str, version: str, vm: Vm, harm: Harm, rule: str) -> None:
    found = precedent_of(policy, HypervisorKind.XENSERVER, vm, version=version)
    assert (found.harm, found.policy) == (harm, policy)
    assert rule in found.rule
    assert found.at_connect
    assert found.later


def test_two_rules_that_strike_one_after_the_other_are_both_named() -> None:
    vm = a_vm(name="r-4-VM", disks=CD)
    old = precedent_of(CLOUDSTACK_4_0_2, HypervisorKind.XENSERVER, vm)
    assert old.harm is Harm.ON_CHANGE
    assert old.rule.index("destroyPatchVbd") < old.rule.index("; then deltaSync")
    patched = precedent_of(PATCHED, HypervisorKind.XENSERVER, vm)
    assert (patched.harm, patched.later) == (Harm.DRIVE_REMOVED, "left alone")


@pytest.mark.parametrize("state", PowerState)
@pytest.mark.parametrize("name", ["web", "i-2-3-VM", "r-4-VM"])
def test_the_other_policies_on_kvm(state: PowerState, name: str) -> None:
    vm = a_vm(name_uuid(name), name=name, power_state=state)
    old, patched, new = (precedent_of(policy, HypervisorKind.KVM, vm) for policy in POLICIES)
    assert new.harm is Harm.NONE
    assert (old.harm, old.at_connect, old.later) == (patched.harm, patched.at_connect, patched.later)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", HypervisorKind)
@pytest.mark.parametrize("other", [VmKind.TEMPLATE, VmKind.SNAPSHOT, VmKind.CONTROL_DOMAIN])
def test_what_is_no_machine_is_not_looked_at(policy: str, kind: HypervisorKind, other: VmKind) -> None:
    vm = a_vm(name="i-2-3-VM", kind=other, power_state=PowerState.HALTED, preferred_host_uuid="host-1")
    found = precedent_of(policy, kind, vm)
    assert (found.harm, found.later) == (Harm.NONE, "not looked at")


# --- a whole view ----------------------------------------------------------------------------------------------------


def test_vms_of_one_name_share_a_fate() -> None:
    vms = [
        a_vm("on", name="i-2-3-VM"),
        a_vm("off", name="i-2-3-VM", power_state=PowerState.HALTED),
        a_vm("template", name="i-2-3-VM", kind=VmKind.TEMPLATE, power_state=PowerState.HALTED),
        a_vm("web", name="web"),
    ]
    harms = [found.harm for found in precedents_of(CLOUDSTACK_4_0_2, a_collection(*vms))]
    assert harms == [Harm.RECORD_DESTROYED, Harm.ON_CHANGE, Harm.NONE, Harm.ON_CHANGE]
    # The halted one comes first in this view, so the one StopCommand ends with it, and the other lives on for now.
    harms = [found.harm for found in precedents_of(CLOUDSTACK_4_0_2, a_collection(vms[1], vms[0]))]
    assert harms == [Harm.RECORD_DESTROYED, Harm.ON_CHANGE]


def test_a_preferred_host_that_does_not_answer_or_exist_destroys_nothing() -> None:
    vm = a_vm("off", power_state=PowerState.HALTED, preferred_host_uuid="host-1")
    gone = replace(vm, preferred_host_uuid="host-9")
    for each, live, harm in (
        (vm, Answer.YES, Harm.RECORD_DESTROYED),
        (vm, Answer.UNKNOWN, Harm.RECORD_DESTROYED),
        (vm, Answer.NO, Harm.ON_CHANGE),
        (gone, Answer.YES, Harm.ON_CHANGE),
    ):
        view = a_collection(each, hosts=(a_host("host-1", live=live),))
        assert [found.harm for found in precedents_of(CLOUDSTACK_4_0_2, view)] == [harm]


def test_many_of_one_name_are_judged_all_the_same() -> None:
    vms = [a_vm(f"vm-{number}", name="i-2-3-VM") for number in range(50)]
    found = precedents_of(CLOUDSTACK_4_0_2, a_collection(*vms))
    assert Counter(each.harm for each in found) == {Harm.RECORD_DESTROYED: 1, Harm.ON_CHANGE: 49}


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(POLICIES),
    st.sampled_from([HypervisorKind.XENSERVER, HypervisorKind.KVM]),
    st.sampled_from(["7.6.0", "8.3.0"]),
    st.lists(
        st.builds(
            a_vm,
            st.text("ab", min_size=1, max_size=6),
            name=st.sampled_from(
                ["web", "i-2-3-VM", "i-5-web", "r-4-VM", "s-1-x", "i-2-5-OTHER", "migratingx"]
            ),
            power_state=st.sampled_from([PowerState.RUNNING, PowerState.PAUSED, PowerState.HALTED]),
            preferred_host_uuid=st.sampled_from([None, "host-1"]),
            disks=st.sampled_from([(), CD]),
        ),
        max_size=4,
        unique_by=(lambda vm: vm.uuid, lambda vm: vm.name),
    ),
)
def test_the_report_and_the_story_cannot_differ(
    policy: str, kind: HypervisorKind, version: str, vms: list[Vm]
) -> None:
    view = a_collection(*vms, pool=a_pool(kind=kind, version=version))
    manager = policy_named(policy)
    told = manager.react(manager.begin(), Occasion.CONNECT, view, 0).outcomes
    destroyed = {each.vm_uuid for each in told if each.deed is Deed.RECORD_DESTROYED}
    judged = dict(zip([vm.uuid for vm in vms], precedents_of(policy, view), strict=True))
    assert {uuid for uuid, found in judged.items() if found.harm is Harm.RECORD_DESTROYED} == destroyed


def test_a_view_without_vms() -> None:
    assert precedents_of(CLOUDSTACK_4_0_2, a_collection()) == ()
