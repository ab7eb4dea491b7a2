"""Are CloudStack's rules for names told true, in 4.0 and in 4.22?

Effects: none
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenios.decide.precedent.names import (
    VmType,
    has_patch_drive_name,
    id_of_own_name_4_0,
    is_name_of_its_own_4_0,
    is_own_halted_name_4_4,
    is_valid_cloudstack_vm_name,
    is_valid_console_proxy_name,
    is_valid_router_name,
    is_valid_secondary_storage_name,
    is_valid_system_vm_name,
    is_valid_user_vm_name_4_0,
    is_valid_user_vm_name_4_22,
)

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


@pytest.mark.parametrize(
    ("name", "instance", "valid"),
    [
        ("i-2-3-VM", "VM", True),
        ("i-2-3-VM", "vm", False),
        ("i-2-3-VM", "OTHER", False),
        ("i-2-5-OTHER", "OTHER", True),
        ("i-2-3-VM-0064", "VM", True),
        ("i-2-3-VM-0064", "0064", False),
        ("i-2-3-VM-xyz", "VM", False),
    ],
)
def test_user_vm_names_of_4_0_with_an_instance_name(name: str, instance: str, valid: bool) -> None:
    assert is_valid_user_vm_name_4_0(name, instance) is valid


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("i-2-3-VM", True),
        ("i-web", True),
        ("i-", False),  # the empty part at the end is dropped
        ("i--x", True),
        ("i", False),
        ("I-2-3-VM", False),
        ("r-2-VM", False),
        ("", False),
    ],
)
def test_user_vm_names_of_4_22_ask_for_next_to_nothing(name: str, valid: bool) -> None:
    assert is_valid_user_vm_name_4_22(name) is valid
    assert is_valid_user_vm_name_4_22(name, "ANOTHER") is valid


@pytest.mark.parametrize(
    ("name", "instance", "valid"),
    [
        ("i-2-3-VM", "VM", True),
        ("web-VM", "VM", True),
        ("VM", "VM", False),
        ("i-2-3-VM-0064", "VM", False),
        ("i-2-3-VM-", "VM", True),
        ("web-vm", "VM", False),
    ],
)
def test_is_valid_cloudstack_vm_name(name: str, instance: str, valid: bool) -> None:
    assert is_valid_cloudstack_vm_name(name, instance) is valid


@pytest.mark.parametrize(
    ("name", "instance", "valid"),
    [
        ("r-4-VM", None, True),
        ("r-4-VM", "VM", True),
        ("r-4-VM", "OTHER", False),
        ("r-4-VM-anything", "VM", True),
        ("r-4-VM-1-2", "VM", False),
        ("r-4", None, False),
        ("r-x-VM", None, False),
        ("v-4-VM", None, False),
    ],
)
def test_router_names(name: str, instance: str | None, valid: bool) -> None:
    assert is_valid_router_name(name, instance) is valid


@pytest.mark.parametrize(
    ("name", "instance", "valid"),
    [
        ("{}-1-VM", None, True),
        ("{}-1-VM", "VM", True),
        ("{}-1-VM", "OTHER", False),
        ("{}-1-VM-0064", None, False),
        ("{}-x-VM", None, False),
        ("{}-1", None, False),
        ("x-1-VM", None, False),
    ],
)
def test_names_of_console_proxies_and_other_system_vms(name: str, instance: str | None, valid: bool) -> None:
    assert is_valid_console_proxy_name(name.format("v"), instance) is valid
    assert is_valid_secondary_storage_name(name.format("s"), instance) is valid
    assert is_valid_system_vm_name(name.format("pre"), instance, "pre") is valid


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("i-2-3-VM", (VmType.USER, 3)),
        ("i-2-+003-VM", (VmType.USER, 3)),
        ("i-2-3-VM-0064", (VmType.USER, 3)),
        ("i-2-٣-VM", (VmType.USER, 3)),
        ("r-4-VM", (VmType.ROUTER, 4)),
        ("v-5-VM", (VmType.CONSOLE_PROXY, 5)),
        ("s-6-VM", (VmType.SECONDARY_STORAGE, 6)),
        ("l-7-VM", (VmType.LOAD_BALANCER, 7)),
        ("i-2-3-OTHER", None),
        ("b-7-VM", None),
        ("web", None),
    ],
)
def test_ids_are_read_out_of_names(name: str, read: tuple[VmType, int] | None) -> None:
    assert id_of_own_name_4_0(name) == read


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("i-5-web", True),
        ("s-2-db", True),
        ("v-1-web", True),
        ("i-2-3-VM", True),
        ("r-4-VM", False),
        ("l-4-VM", False),
        ("i-x-web", False),
        ("i-5-", False),
        ("i-٣-web", False),
        ("i-5-we\nb", False),
        ("my i-5-web", False),
    ],
)
def test_what_4_4_and_later_take_for_their_own_halted_vm(name: str, own: bool) -> None:
    assert is_own_halted_name_4_4(name) is own


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("r-web", True),
        ("s-", True),
        ("v-1-VM", True),
        ("i-2-3-VM", False),
        ("R-web", False),
        ("xr-web", False),
    ],
)
def test_what_the_clean_up_of_patch_drives_takes_for_a_system_vm(name: str, begins: bool) -> None:
    assert has_patch_drive_name(name) is begins
