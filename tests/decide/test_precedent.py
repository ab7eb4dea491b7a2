"""Is it told true what CloudStack 4.0.2 would do to each VM?

Effects: none
"""

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.inventory import a_vm
from xenios.decide.precedent import (
    CLOUDSTACK_4_0_2,
    POLICIES,
    Harm,
    Precedent,
    is_name_of_its_own_4_0,
    is_valid_user_vm_name_4_0,
    name_uuid,
    precedent_of,
)
from xenios.model.inventory import HypervisorKind, PowerState, Vm, VmKind

LONG_MAX, LONG_OVER = str(2**63 - 1), str(2**63)


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("i-2-3-VM", True),
        ("i-2-5-OTHER", True),
        ("i-2-3-my own VM", True),
        ("i-2-3-VM-0064", True),
        ("i-2-3-VM-ffff", True),
        ("i-2-3-VM-FFFF", True),
        ("i-2-3-VM-untagged", True),
        ("i-2-3-VM-UNTAGGED", True),  # equalsIgnoreCase
        ("i-2-3-VM-xyz", False),
        ("i-2-3-VM-", True),  # Java's split drops empty parts at the end
        ("i-2-3-VM--", True),
        ("i-2-3-", False),
        ("i-2-3--", False),
        ("i-2-3--0064", True),  # an empty part in the middle stays
        ("i-2-3", False),
        ("i-2", False),
        ("i", False),
        ("", False),
        ("-", False),
        ("-----", False),
        ("i-2-3-VM-1-2", False),
        ("I-2-3-VM", False),
        ("r-4-VM", False),
        ("s-1-VM", False),
        ("i-a-3-VM", False),
        ("i-2-b-VM", False),
        ("i--2-3-VM", False),  # a negative number has a hyphen, and so one part more
        ("i-+2-3-VM", True),  # since Java 7
        ("i-+-3-VM", False),
        ("i- 2-3-VM", False),
        ("i-2 -3-VM", False),
        ("i-2-3- VM", True),
        (" i-2-3-VM", False),
        ("i-2.0-3-VM", False),
        ("i-0x2-3-VM", False),
        ("i-002-3-VM", True),
        (f"i-{'0' * 100}2-3-VM", True),
        (f"i-{LONG_MAX}-3-VM", True),
        (f"i-{LONG_OVER}-3-VM", False),
        (f"i-{'9' * 5000}-3-VM", False),
        ("i-2-3-VM-7fffffffffffffff", True),
        ("i-2-3-VM-8000000000000000", False),
        ("i-٢-٣-VM", True),  # Long.parseLong takes the digits of every script,
        ("i-２-３-VM-ＦＦ", True),  # in base 16 also full-width letters,
        ("i-\U0001d7d0-3-VM", False),  # but none beyond the first plane
        ("i-²-3-VM", False),
        ("i-2-3-VM-ﬀ", False),
        ("i‐2‐3‐VM", False),
        ("i-2-3-\u202e", True),
        ("i-2-3-V\nM", True),
    ],
)
def test_user_vm_names_of_4_0(name: str, valid: bool) -> None:
    assert is_valid_user_vm_name_4_0(name) is valid


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("i-2-3-VM", True),
        ("i-2-3-VM-0064", True),
        ("i-2-5-OTHER", False),
        ("i-2-3-vm", False),
        ("r-4-VM", True),
        ("r-4-VM-0064", True),
        ("r-4-OTHER", False),
        ("r-x-VM", False),
        ("r-4-VM-1-2", False),
        ("s-1-VM", True),
        ("v-2-VM", True),
        ("l-2-VM", True),
        ("b-2-VM", False),  # internal load balancers came later
        ("s-1-VM-0064", False),
        ("v-2-VM-", True),
        ("web", False),
        ("", False),
    ],
)
def test_names_that_an_installation_reads_its_ids_from(name: str, own: bool) -> None:
    assert is_name_of_its_own_4_0(name) is own


def test_another_installation_has_another_suffix() -> None:
    assert is_name_of_its_own_4_0("i-2-5-OTHER", "OTHER")
    assert not is_name_of_its_own_4_0("i-2-3-VM", "OTHER")


@settings(deadline=None)
@given(st.text("irsv-0123VM٣ \n", max_size=12))
def test_any_name_is_judged(name: str) -> None:
    if is_valid_user_vm_name_4_0(name):
        assert name.startswith("i-")
    is_name_of_its_own_4_0(name)


def test_the_uuid_that_java_makes_of_a_name() -> None:
    # UUID.nameUUIDFromBytes("hello".getBytes()), of the MD5 5d41402abc4b2a76b9719d911017c592
    assert name_uuid("hello") == "5d41402a-bc4b-3a76-b971-9d911017c592"
    assert uuid.UUID(name_uuid("i-2-3-VM")).version == 3
    assert name_uuid("Süd") != name_uuid("Sud")
    assert name_uuid("\ud800") == name_uuid("?")  # what Java's getBytes writes for half a character


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
    assert POLICIES == (CLOUDSTACK_4_0_2,)
    with pytest.raises(ValueError, match="unknown policy 'vsphere'"):
        precedent_of("vsphere", HypervisorKind.KVM, a_vm())
