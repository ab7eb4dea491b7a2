"""Is every other manager recognised by its traces, and nobody by chance?

Effects: none
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.inventory import a_vm
from xenios.decide.custody import TRACES, Trace, looks_like_cloudstack, managers_seen
from xenios.decide.precedent import is_name_of_its_own_4_0, is_valid_user_vm_name_4_0
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
def test_names_like_cloudstacks(name: str) -> None:
    assert looks_like_cloudstack(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "web-1",
        "i-2-3",
        "i-2-3-",
        "i-a-3-VM",
        "I-2-3-VM",
        "xi-2-3-VM",
        "r-VM",
        "r-4",
        "q-4-VM",
        " i-2-3-VM",
        "i--VM",
    ],
)
def test_other_names(name: str) -> None:
    assert not looks_like_cloudstack(name)


@settings(deadline=None)
@given(
    st.builds(
        "-".join,
        st.lists(
            st.sampled_from(["i", "r", "s", "v", "l", "2", "+3", "٤", "VM", "untagged", "ff", "", "x"]),
            max_size=6,
        ),
    )
)
def test_what_cloudstack_4_0_would_take_for_its_own_is_always_warned_of(name: str) -> None:
    if is_valid_user_vm_name_4_0(name) or is_name_of_its_own_4_0(name):
        assert looks_like_cloudstack(name)
