"""Is every other manager recognised by its traces, and nobody by chance?

Effects: none
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.inventory import a_vm
from xenios.decide.custody import NAME_RULES, TRACES, Trace, looks_like_cloudstack, managers_seen
from xenios.decide.details import other_owners
from xenios.decide.precedent.names import (
    has_patch_drive_name,
    is_name_of_its_own_4_0,
    is_own_halted_name_4_4,
    is_valid_cloudstack_vm_name,
    is_valid_router_name,
    is_valid_system_vm_name,
    is_valid_user_vm_name_4_0,
    is_valid_user_vm_name_4_22,
)
from xenios.model.decision import Manager


def test_nobody_is_seen_on_an_ordinary_vm() -> None:
    assert managers_seen(a_vm()) == ()
    assert managers_seen(a_vm(annotations={"mac_seed": "x", "base_template_name": "Debian", "": ""})) == ()


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: f"{trace.manager} {trace.key_prefix}")
def test_every_trace_is_recognised_and_named(trace: Trace) -> None:
    vm = a_vm(annotations={trace.key_prefix + "x": f"before {trace.value_part} after"})
    [seen] = managers_seen(vm)
    assert (seen.manager, seen.owns) == (trace.manager, trace.owns)
    assert trace.key_prefix in seen.evidence
    assert "before" not in seen.evidence


def test_every_manager_has_a_trace() -> None:
    assert {trace.manager for trace in TRACES} == set(Manager)


@pytest.mark.parametrize(
    ("annotations", "manager", "owns"),
    [
        ({"CitrixProvisioningSchemeId": "1"}, Manager.CITRIX, True),
        ({"XenDesktopX": "1"}, Manager.CITRIX, True),
        ({"xo:resource_set": "1"}, Manager.XEN_ORCHESTRA, False),
        ({"XenCenter.CustomFields.Owner": "1"}, Manager.XENCENTER, False),
        ({"folder": "/Finance"}, Manager.XENCENTER, False),
        ({"smbios:manufacturer": "OpenStack Foundation"}, Manager.OPENSTACK_NOVA, True),
        ({"smbios:product": "CloudStack KVM Hypervisor"}, Manager.CLOUDSTACK, True),
        ({"http://openstack.org/xmlns/libvirt/nova/1.1": ""}, Manager.OPENSTACK_NOVA, True),
        ({"http://ovirt.org/vm/1.0": ""}, Manager.OVIRT, True),
        ({"xenios.mark": "1"}, Manager.XENIOS, True),
        ({"urn:xenios:mark": "1"}, Manager.XENIOS, True),
    ],
)
def test_traces_as_they_are_met(annotations: dict[str, str], manager: Manager, owns: bool) -> None:
    [seen] = managers_seen(a_vm(annotations=annotations))
    assert (seen.manager, seen.owns) == (manager, owns)


@pytest.mark.parametrize(
    "annotations",
    [{"smbios:manufacturer": "QEMU"}, {"smbios:product": "Standard PC"}, {"citrix": "x"}, {"my-xo:x": "y"}],
)
def test_no_trace(annotations: dict[str, str]) -> None:
    assert managers_seen(a_vm(annotations=annotations)) == ()


def test_owners_come_first_and_everyone_once() -> None:
    vm = a_vm(
        name="i-2-3-VM", annotations={"xo:a": "", "folder": "", "xo:b": "", "Citrix": "", "XenDesktop": ""}
    )
    seen = managers_seen(vm)
    assert [found.owns for found in seen] == [True, True, False, False]
    assert len({found.manager for found in seen}) == len(seen) == 4


@pytest.mark.parametrize(
    "name",
    [
        "i-2-3-VM",
        "i-2-3-VM-0064",
        "i-10-200-OTHER",
        "r-4-VM",
        "s-1-VM",
        "v-2-VM",
        "l-7-VM",
        "b-8-VM",
        "s-2-db",
        "i-2-3-my own name",
        "i-2-3-a\nb",
        "i-٢-٣-VM",
        "i-+2-3-VM",
    ],
)
def test_names_of_cloudstacks_full_form(name: str) -> None:
    assert looks_like_cloudstack(name)
    [seen] = managers_seen(a_vm(name=name))
    assert (seen.manager, seen.evidence, seen.owns) == (Manager.CLOUDSTACK, f"its name {name!r}", True)


CLEAN_UP = "which the clean-up of 4.4 and later takes for its own"
DRIVE = "which begins like a system VM's: on XenServer that costs it a CD drive, and nothing more"
IN_4_22 = "which 4.22 counts among the names of user VMs; nothing is done for it alone"
SUFFIX = "which ends like CloudStack's own names; nothing is done for it alone"


@pytest.mark.parametrize(
    ("name", "because", "owns"),
    [
        ("i-2-web", CLEAN_UP, True),
        ("i-7-x-VM", CLEAN_UP, True),
        ("i-2-3", CLEAN_UP, True),
        ("i-2-3-", CLEAN_UP, True),
        ("r-web", DRIVE, False),
        ("s-web", DRIVE, False),
        ("v-web", DRIVE, False),
        ("r-4", DRIVE, False),
        ("r-VM", DRIVE, False),
        ("r-", DRIVE, False),
        ("i-x", IN_4_22, False),
        ("i-a-3-VM", IN_4_22, False),
        ("i-2", IN_4_22, False),
        ("i--VM", IN_4_22, False),
        ("web-VM", SUFFIX, False),
        ("web-VM-", SUFFIX, False),
        ("I-2-3-VM", SUFFIX, False),
        ("xi-2-3-VM", SUFFIX, False),
        ("q-4-VM", SUFFIX, False),
        (" i-2-3-VM", SUFFIX, False),
    ],
)
def test_names_that_fit_a_rule_in_part(name: str, because: str, owns: bool) -> None:
    assert looks_like_cloudstack(name)
    [seen] = managers_seen(a_vm(name=name))
    assert (seen.manager, seen.evidence, seen.owns) == (
        Manager.CLOUDSTACK,
        f"its name {name!r}, {because}",
        owns,
    )


def test_only_a_name_that_may_be_acted_on_makes_adoption_ask() -> None:
    asked = {
        name: bool(other_owners(managers_seen(a_vm(name=name))))
        for name in ("i-2-3-VM", "s-2-db", "i-2-web", "r-web", "i-web", "web-VM", "web")
    }
    assert [name for name, asks in asked.items() if asks] == ["i-2-3-VM", "s-2-db", "i-2-web"]


def test_a_key_that_says_more_than_the_name_is_the_one_that_is_told() -> None:
    annotations = {"smbios:product": "CloudStack KVM Hypervisor"}
    [weak] = managers_seen(a_vm(name="web-VM", annotations=annotations))
    assert (weak.evidence, weak.owns) == ("smbios:product = CloudStack", True)
    [full] = managers_seen(a_vm(name="i-2-3-VM", annotations=annotations))
    assert (full.evidence, full.owns) == ("its name 'i-2-3-VM'", True)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "web-1",
        "VM",
        "-",
        "i-",
        "i",
        "web-vm",
        "web-VMs",
        "webVM",
        "web-VM-1",
        "R-web",
        "l-web",
        "b-web",
        "my-r-web",
        "xi-2-3-x",
        "I-2-web",
    ],
)
def test_other_names(name: str) -> None:
    assert not looks_like_cloudstack(name)
    assert managers_seen(a_vm(name=name)) == ()


@settings(deadline=None)
@given(
    st.builds(
        "-".join,
        st.lists(
            st.sampled_from(
                ["i", "r", "s", "v", "l", "2", "+3", "٤", "VM", "untagged", "ff", "", "x", "a\nb"]
            ),
            max_size=6,
        ),
    )
)
def test_what_any_release_goes_by_is_always_warned_of(name: str) -> None:
    acted_on = (
        is_valid_user_vm_name_4_0(name)
        or is_name_of_its_own_4_0(name)
        or is_valid_router_name(name)
        or any(is_valid_system_vm_name(name, None, prefix) for prefix in "vsl")
        or is_own_halted_name_4_4(name)
    )
    told_only = (
        has_patch_drive_name(name)
        or is_valid_user_vm_name_4_22(name)
        or is_valid_cloudstack_vm_name(name, "VM")
    )
    owns = [found.owns for found in managers_seen(a_vm(name=name))]
    if acted_on:
        assert owns == [True]
    elif told_only:
        assert len(owns) == 1
    assert looks_like_cloudstack(name) is bool(owns) is any(rule.fits(name) for rule in NAME_RULES)
