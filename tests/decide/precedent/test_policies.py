"""Do all policies keep the form, believe what they should, and never change a memory?

Effects: none
"""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.inventory import GIB, MIB, a_host, a_vm
from tests.support.precedents import MINUTE, Played, a_named_vm, a_view
from xenios.decide.precedent.policies import POLICIES, POLICY_TITLES, PRECEDENTS, policy_named
from xenios.decide.precedent.policy import HARMING_DEEDS, Deed, Occasion, Policy
from xenios.model.inventory import HypervisorKind, Memory, PowerState, Vm, VmKind

ALL = pytest.mark.parametrize("name", POLICIES)
KINDS = (HypervisorKind.XENSERVER, HypervisorKind.KVM)
OWN = a_named_vm("i-2-7-VM")


def test_there_are_three_and_each_has_a_title() -> None:
    assert POLICIES == ("cloudstack-4.0.2", "cloudstack-4.0.2-patched", "cloudstack-4.22")
    policies: list[Policy[Any]] = list(PRECEDENTS)
    assert [policy.name for policy in policies] == list(POLICIES)
    assert set(POLICY_TITLES) == set(POLICIES)
    with pytest.raises(ValueError, match="unknown policy 'vsphere'; known: cloudstack-4"):
        policy_named("vsphere")


# --- room: strangers are in nobody's sum ------------------------------------------------------------------------------


@ALL
def test_room_is_a_sum_over_the_database(name: str) -> None:
    played = Played(name)
    aliens = [a_named_vm(f"alien-{number}") for number in range(3)]
    dom0 = a_vm("dom0", name="dom0", kind=VmKind.CONTROL_DOMAIN, memory=Memory(bytes_max=2 * GIB))
    total = (64 * GIB - 2 * GIB - 128 * MIB) * 63 // 64
    view = a_view(dom0, *aliens)
    room = played.policy.room(played.memory, view)
    assert {uuid: claimed.bytes_used for uuid, claimed in room.items()} == {"host-1": 0, "host-2": 0}
    assert room["host-1"].bytes_total == room["host-1"].bytes_free == total
    played.makes(OWN)
    assert played.policy.room(played.memory, view)["host-1"].bytes_free == total - 4 * GIB


@ALL
def test_the_last_host_keeps_the_room_of_a_stopped_vm_for_an_hour(name: str) -> None:
    played = Played(name)
    played.makes(OWN)
    played.stops(OWN)
    for seen_at, used in ((0, 4 * GIB), (59 * MINUTE, 4 * GIB), (60 * MINUTE, 0)):
        room = played.policy.room(played.memory, a_view(seen_at=seen_at))
        assert (room["host-1"].bytes_used, room["host-2"].bytes_used) == (used, 0)


@ALL
def test_on_kvm_a_gibibyte_is_kept_and_what_is_not_told_is_not_known(name: str) -> None:
    hosts = (a_host("host-1"), a_host("host-2", memory_bytes_total=None))
    played = Played(name, hosts=hosts, kind=HypervisorKind.KVM)
    room = played.policy.room(played.memory, a_view(hosts=(*hosts, a_host("new")), kind=HypervisorKind.KVM))
    assert room["host-1"].bytes_free == 63 * GIB
    assert room["host-2"].bytes_free is None
    assert "new" not in room
    unknown = a_view(hosts=hosts)
    assert played.policy.room(played.memory, unknown)["host-2"].bytes_total is None


# --- belief ----------------------------------------------------------------------------------------------------------


@ALL
def test_what_it_believes(name: str) -> None:
    played = Played(name, hosts=(a_host("host-1", name="alpha"),))
    assert played.policy.belief(played.memory, OWN) == "unknown to it"
    played.makes(OWN)
    assert played.policy.belief(played.memory, OWN) == "Running on alpha"
    played.stops(OWN)
    assert played.policy.belief(played.memory, OWN) == "Stopped"


@ALL
def test_ids_come_from_the_names_or_are_the_next(name: str) -> None:
    played = Played(name)
    for vm in (OWN, a_named_vm("web"), a_named_vm("i-9-7-VM"), a_named_vm("r-4-VM")):
        played.makes(vm)
    assert {row.name: row.id for row in played.memory.rows.values()} == {
        "i-2-7-VM": 7,
        "web": 8,
        "i-9-7-VM": 9,
        "r-4-VM": 4,
    }


# --- properties ------------------------------------------------------------------------------------------------------

vms = st.lists(
    st.builds(
        a_named_vm,
        st.sampled_from(["web", "i-2-3-VM", "i-2-7-VM", "r-4-VM", "i-2-5-OTHER", "migrating-x"]),
        st.sampled_from(PowerState),
        uuid=st.sampled_from("abcdef"),
        preferred_host_uuid=st.sampled_from([None, "host-1", "host-2"]),
    ),
    max_size=5,
    unique_by=lambda vm: vm.uuid,
)
scenes = st.lists(st.tuples(st.sampled_from(Occasion), st.none() | vms), max_size=5)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(POLICIES), st.sampled_from(KINDS), st.booleans(), scenes)
def test_any_story_can_be_played_twice_and_hits_only_what_was_seen(
    name: str, kind: HypervisorKind, ha: bool, story: list[tuple[Occasion, list[Vm] | None]]
) -> None:
    policy = policy_named(name)
    memory = policy.created(policy.begin(), OWN, ha=ha, now=0)
    memory = policy.react(memory, Occasion.CONNECT, a_view(OWN, kind=kind), 0).memory
    seen = {OWN.uuid}
    for number, (occasion, there) in enumerate(story, 1):
        view = a_view(*there, kind=kind) if there is not None else None
        seen |= {vm.uuid for vm in there or ()}
        kept = repr(memory)
        first = policy.react(memory, occasion, view, number * MINUTE)
        assert first == policy.react(memory, occasion, view, number * MINUTE)
        assert repr(memory) == kept
        assert {told.vm_uuid for told in first.outcomes} - {None} <= seen
        assert all(told.words and told.rule for told in first.outcomes)
        memory = first.memory


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(KINDS), vms, vms)
def test_4_22_touches_no_stranger_in_a_round(kind: HypervisorKind, first: list[Vm], then: list[Vm]) -> None:
    policy = policy_named("cloudstack-4.22")
    memory = policy.react(policy.begin(), Occasion.CONNECT, a_view(*first, kind=kind), 0).memory
    assert policy.react(memory, Occasion.ROUND, a_view(*then, kind=kind), MINUTE).outcomes == ()


@settings(deadline=None, max_examples=150)
@given(vms, vms)
def test_the_patch_only_ever_does_less_in_a_round(first: list[Vm], then: list[Vm]) -> None:
    done = {}
    for name in ("cloudstack-4.0.2", "cloudstack-4.0.2-patched"):
        policy = policy_named(name)
        memory = policy.react(policy.begin(), Occasion.CONNECT, a_view(*first), 0).memory
        reaction = policy.react(memory, Occasion.ROUND, a_view(*then), MINUTE)
        done[name] = {(told.deed, told.vm_uuid) for told in reaction.outcomes}
    assert done["cloudstack-4.0.2-patched"] <= done["cloudstack-4.0.2"]


def test_harming_deeds_are_those_that_reach_the_vm() -> None:
    assert (
        frozenset({Deed.DRIVE_REMOVED, Deed.RESTARTED, Deed.STOPPED, Deed.RECORD_DESTROYED}) == HARMING_DEEDS
    )
