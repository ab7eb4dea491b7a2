"""Is everything found that a careful operator would want to know, and nothing that is not there?

Effects: reads files
"""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.database_files import EXAMPLE, observed
from tests.support.inventory import GIB, a_collection, a_disk, a_host, a_pool, a_storage, a_vm
from xenios.decide.findings import KINDS, findings_in
from xenios.decide.room import room_of
from xenios.model.collection import Collection
from xenios.model.decision import Finding, Severity
from xenios.model.inventory import (
    Answer,
    DiskKind,
    Guest,
    Memory,
    Nic,
    PowerState,
    Presence,
    Sharing,
    ToolsState,
    Vm,
    VmKind,
)


def found(*vms: Vm, **changes: object) -> list[Finding]:
    collection = a_collection(*vms, **changes)
    return list(findings_in(collection, room_of(collection)))


def codes(*vms: Vm, **changes: object) -> list[str]:
    return [finding.code for finding in found(*vms, **changes)]


def card(mac: str, network: str | None = "network-1") -> tuple[Nic, ...]:
    return (Nic(device="0", mac=mac, network_uuid=network),)


HALTED = PowerState.HALTED
CASES: dict[str, list[str]] = {
    "vm-paused-on-io-error": codes(a_vm(power_state=PowerState.PAUSED, paused_on_io_error=True)),
    "vm-crashed": codes(a_vm(power_state=PowerState.CRASHED)),
    "disk-missing": codes(a_vm(disks=(a_disk("d", presence=Presence.MISSING),))),
    "backing-image-missing": codes(
        a_vm(disks=(a_disk("d", backing=("/base",), backing_presence=Presence.MISSING),))
    ),
    "disk-shared-by-two": codes(a_vm("a", disks=(a_disk("d"),)), a_vm("b", disks=(a_disk("d"),))),
    "uuid-not-unique": codes(a_vm("")),
    "host-not-live": codes(hosts=(a_host(live=Answer.NO),)),
    "mac-duplicate-running": codes(a_vm("a", nics=card("m")), a_vm("b", nics=card("m"))),
    "host-over-promised": codes(a_vm(memory=Memory(bytes_max=64 * GIB))),
    "host-disabled": codes(hosts=(a_host(enabled=Answer.NO),)),
    "storage-detached": codes(storages=(a_storage(detached_host_uuids=("host-1", "gone")),)),
    "storage-nearly-full": codes(storages=(a_storage(used_bytes=901 * GIB),)),
    "vm-host-not-live": codes(a_vm(), hosts=(a_host(live=Answer.NO),)),
    "mac-duplicate": codes(a_vm("a", nics=card("m")), a_vm("b", nics=card("m"), power_state=HALTED)),
    "name-duplicate": codes(a_vm("a", name="x"), a_vm("b", name="x")),
    "name-like-cloudstack": codes(a_vm(name="i-2-3-VM")),
    "name-hard-to-show": codes(a_vm(name="")),
    "device-passthrough": codes(a_vm(passthrough=("PCI 0000:3b:00.0",))),
    "vm-transient": codes(a_vm(persistent=Answer.NO)),
    "reference-dangling": codes(a_vm(dangling=("preferred host",))),
    "disk-local-only": codes(a_vm(disks=(a_disk("d", sharing=Sharing.LOCAL),))),
    "disk-place-unknown": codes(a_vm(disks=(a_disk("d", sharing=Sharing.UNKNOWN),))),
    "guest-tools-absent": codes(a_vm(guest=Guest(tools=ToolsState.ABSENT))),
    "operations-blocked": codes(a_vm(blocked_operations=("start",))),
    "pool-has-no-live-view": codes(pool=a_pool(native_version="database schema 5.909")),
}
TOGETHER = {"vm-host-not-live": {"host-not-live"}}


def test_every_kind_has_a_case() -> None:
    assert set(CASES) == {kind.code for kind in KINDS}


@pytest.mark.parametrize("code", CASES)
def test_a_kind_is_found_where_it_is_and_alone(code: str) -> None:
    assert code in CASES[code]
    assert set(CASES[code]) == {code} | TOGETHER.get(code, set())


def test_a_clean_pool_has_no_findings() -> None:
    assert codes(a_vm("a"), a_vm("b"), a_vm("c", power_state=HALTED), a_vm("d", kind=VmKind.TEMPLATE)) == []
    assert codes() == []


def test_codes_are_stable_words() -> None:
    assert len({kind.code for kind in KINDS}) == len(KINDS)
    for kind in KINDS:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.code)
        assert kind.meaning.endswith(".")
        assert kind.remedy
        assert not kind.remedy.endswith(".")


def test_kinds_and_findings_come_gravest_first() -> None:
    order = list(Severity)
    assert [order.index(kind.severity) for kind in KINDS] == sorted(
        order.index(kind.severity) for kind in KINDS
    )
    collection = observed(EXAMPLE)
    severities = [order.index(finding.severity) for finding in findings_in(collection, room_of(collection))]
    assert severities == sorted(severities)
    assert set(severities) == {0, 1, 2}


def test_the_example_shows_most_kinds() -> None:
    collection = observed(EXAMPLE)
    seen = {finding.code for finding in findings_in(collection, room_of(collection))}
    only_elsewhere = {
        "vm-paused-on-io-error",
        "vm-crashed",
        "backing-image-missing",
        "uuid-not-unique",
        "vm-transient",
        "disk-place-unknown",
        "host-over-promised",
        "storage-nearly-full",
        "mac-duplicate",
    }
    assert {kind.code for kind in KINDS} - seen <= only_elsewhere


# --- what must not be found ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pair",
    [
        (a_vm("a", disks=(a_disk("d", shareable=True),)), a_vm("b", disks=(a_disk("d", shareable=True),))),
        (a_vm("a", disks=(a_disk("d", read_only=True),)), a_vm("b", disks=(a_disk("d"),))),
        (
            a_vm("a", disks=(a_disk("d", kind=DiskKind.CDROM),)),
            a_vm("b", disks=(a_disk("d", kind=DiskKind.CDROM),)),
        ),
        (a_vm("a", disks=(a_disk(""),)), a_vm("b", disks=(a_disk(""),))),
        (a_vm("a", disks=(a_disk("d"),)), a_vm("b", disks=(a_disk("d"),), kind=VmKind.SNAPSHOT)),
    ],
)
def test_disks_that_two_may_have(pair: tuple[Vm, Vm]) -> None:
    assert "disk-shared-by-two" not in codes(*pair)


def test_two_cards_of_one_vm_are_no_duplicate() -> None:
    assert codes(a_vm(nics=(*card("m"), *card("m", "network-2")))) == []


def test_one_mac_on_two_networks_is_no_clash_yet() -> None:
    assert codes(a_vm("a", nics=card("m", "n1")), a_vm("b", nics=card("m", "n2"))) == ["mac-duplicate"] * 2


def test_one_mac_on_networks_not_known_is_no_clash_that_is_known() -> None:
    assert codes(a_vm("a", nics=card("m", None)), a_vm("b", nics=card("m", None))) == ["mac-duplicate"] * 2


def test_one_mac_in_two_vlans_of_a_network_is_no_clash() -> None:
    first, second = (replace(*card("m"), vlan=1),), (replace(*card("m"), vlan=2),)
    assert codes(a_vm("a", nics=first), a_vm("b", nics=second)) == ["mac-duplicate"] * 2


def test_of_three_only_those_that_run_clash() -> None:
    vms = (
        a_vm("a", nics=card("m")),
        a_vm("b", nics=card("m")),
        a_vm("c", nics=card("m"), power_state=HALTED),
    )
    assert {f.subject_uuid: f.code for f in found(*vms)} == {
        "a": "mac-duplicate-running",
        "b": "mac-duplicate-running",
        "c": "mac-duplicate",
    }


@pytest.mark.parametrize(
    "name", ["\x1b[31mred", "a\nb", "\u202egnp", "\u200b", " ", "\u00a0", "a\u2028b", "\U000e0041"]
)
def test_names_that_are_hard_to_show_are_told_in_plain_letters(name: str) -> None:
    [finding] = found(a_vm(name=name))
    assert finding.code == "name-hard-to-show"
    assert finding.detail.isprintable()


@pytest.mark.parametrize("name", ["Süd 日本語", "\U0001f680 rocket", 'it\'s "quoted"', "100% %."])
def test_names_in_any_script_are_fine(name: str) -> None:
    assert codes(a_vm(name=name)) == []


def test_templates_and_snapshots_are_not_compared() -> None:
    odd = {"name": "i-2-3-VM", "nics": card("m"), "disks": (a_disk("d", presence=Presence.MISSING),)}
    assert codes(*(a_vm(kind.name, kind=kind, **odd) for kind in VmKind if kind is not VmKind.MACHINE)) == []


def test_what_is_not_known_is_no_finding() -> None:
    unknown = a_vm(
        power_state=PowerState.UNKNOWN,
        persistent=Answer.UNKNOWN,
        guest=Guest(),
        disks=(a_disk("d", presence=Presence.UNKNOWN, backing_presence=Presence.UNKNOWN),),
        memory=Memory(bytes_max=None),
    )
    silent = a_host(
        live=Answer.UNKNOWN, enabled=Answer.UNKNOWN, memory_bytes_total=None, memory_bytes_overhead=None
    )
    assert (
        codes(unknown, hosts=(silent,), storages=(a_storage(used_bytes=None), a_storage(size_bytes=0))) == []
    )


def test_a_storage_of_images_may_be_full() -> None:
    assert codes(storages=(a_storage(content="images", used_bytes=1000 * GIB),)) == []


def test_a_detached_storage_names_its_hosts() -> None:
    [finding] = found(storages=(a_storage(detached_host_uuids=("host-1", "gone")),))
    assert finding.detail == "not attached on host-1, gone"


vms = st.builds(
    a_vm,
    st.sampled_from("abcd"),
    name=st.sampled_from(["x", "y", "i-2-3-VM", ""]),
    power_state=st.sampled_from(PowerState),
    nics=st.sampled_from([card("m"), card("n"), ()]),
    disks=st.sampled_from([(), (a_disk("d"),), (a_disk("e", sharing=Sharing.LOCAL),)]),
)


@settings(deadline=None)
@given(st.lists(vms, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_vms_does_not_matter(list_: list[Vm], chance: object) -> None:
    def known(collection: Collection) -> list[tuple[str, str, str]]:
        all_ = findings_in(collection, room_of(collection))
        return sorted((finding.code, finding.subject_uuid, finding.subject) for finding in all_)

    collection = a_collection(*list_)
    shuffled = list(list_)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert known(collection) == known(replace(collection, vms=tuple(shuffled)))
