"""Facts about VMs as real hypervisors tell them: recorded records and definitions, through the drivers, to enums.

Bugs move to where things are translated. So nothing here is made up but the mark, which is put where it really is.

Effects: reads files
"""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import msgspec
import pytest

from tests.support.decisions import (
    DEFAULTS,
    NOW,
    THEM,
    US,
    a_record,
    an_installation,
    facts_of,
    history_of,
    uuid_of,
    wish,
)
from xenios.decide.facts import (
    Consent,
    Elsewhere,
    Facts,
    Freeze,
    Move,
    OwnerSeen,
    PowerChange,
    PowerSeen,
    Quiet,
    WishAge,
    Wished,
    WishedPlace,
    Work,
    facts_about,
)
from xenios.decide.ownership import MarkSeen, mark_of
from xenios.decide.presence import Sighting
from xenios.decide.touch import MAY_WE_TOUCH
from xenios.drivers.kvm.domain import DomainExtras, Surroundings, vm_from_xml, vm_without_definition
from xenios.drivers.xenserver.records import Records
from xenios.drivers.xenserver.translate import collection_from
from xenios.model.collection import Collection, Quality
from xenios.model.decision import Verdict
from xenios.model.inventory import Answer, Vm, VmKind
from xenios.model.mark import KEY_ON_XENSERVER, NAMESPACE_ON_LIBVIRT, text_of
from xenios.model.record import Custody, DriftPolicy, Record, WishedPower

FIXTURES = Path(__file__).parent.parent / "fixtures"
NATIVE: dict[str, dict[str, dict[str, Any]]] = json.loads(
    (FIXTURES / "xapi" / "records.json").read_text(encoding="utf-8")
)
PLAIN = "bc753704-"
"""A running VM of the recorded pool, of which there is a snapshot."""

Row = dict[str, Any]
Edit = Callable[[Row, dict[str, dict[str, Row]]], None]


def native_vm(tables: dict[str, dict[str, Row]], uuid_begins: str) -> Row:
    [row] = [row for row in tables["VM"].values() if row["uuid"].startswith(uuid_begins)]
    return row


def xapi_view(edit: Edit | None = None, begins: str = PLAIN, **how: Any) -> tuple[Collection, str]:
    """A view of the recorded pool after an edit, and the uuid of the VM that it is about."""
    tables = deepcopy(NATIVE)
    row = native_vm(tables, begins)
    if edit is not None:
        edit(row, tables)
    view = collection_from(
        msgspec.convert(tables, Records), seen_at=NOW, source="recorded", native_version="5.909", **how
    )
    return view, row["uuid"]


def xapi_facts(
    edit: Edit | None = None, record: Record | None = None, begins: str = PLAIN, **how: Any
) -> Facts:
    view, uuid = xapi_view(edit, begins, **how)
    history = history_of(view, pool_uuid=view.pool.uuid)
    if record is not None:
        record = msgspec.structs.replace(record, pool_uuid=view.pool.uuid)
    vm = next(vm for vm in view.vms if vm.uuid == uuid)
    return facts_about(vm, record, history, an_installation(), NOW, DEFAULTS)


PLAIN_UUID = native_vm(NATIVE, PLAIN)["uuid"]
OTHERS_UUID = uuid_of(99)
RECORD = a_record(PLAIN_UUID)
REAL_MARK = text_of(mark_of(RECORD, US))
MANY = "x" * 1_000_000

MARKS: dict[str, tuple[str, MarkSeen]] = {
    "ours": (REAL_MARK, MarkSeen.OURS),
    "copied by clone, copy or import": (text_of(mark_of(a_record(OTHERS_UUID), US)), MarkSeen.COPIED),
    "another installation's": (text_of(mark_of(RECORD, THEM)), MarkSeen.ANOTHERS),
    "another installation's, copied": (text_of(mark_of(a_record(OTHERS_UUID), THEM)), MarkSeen.ANOTHERS),
    "of another record": (
        text_of(mark_of(a_record(PLAIN_UUID, vm_id=uuid_of(7)), US)),
        MarkSeen.OTHER_RECORD,
    ),
    "of another epoch": (text_of(mark_of(a_record(PLAIN_UUID, epoch=2), US)), MarkSeen.OTHER_EPOCH),
    "with a wrong sum": (
        REAL_MARK[:-1] + ("0" if REAL_MARK[-1] != "0" else "1"),
        MarkSeen.DAMAGED,
    ),
    "with one digit changed": (REAL_MARK.replace("epoch=1", "epoch=2"), MarkSeen.DAMAGED),
    "cut off": (REAL_MARK[:60], MarkSeen.UNREADABLE),
    "cut off by one": (REAL_MARK[:-1], MarkSeen.UNREADABLE),
    "with a line break behind": (REAL_MARK + "\n", MarkSeen.UNREADABLE),
    "with a blank before": (" " + REAL_MARK, MarkSeen.UNREADABLE),
    "twice": (REAL_MARK + REAL_MARK, MarkSeen.UNREADABLE),
    "in capitals": (REAL_MARK.upper(), MarkSeen.UNREADABLE),
    "one million letters": (MANY, MarkSeen.UNREADABLE),
    "ours, and one million letters behind": (REAL_MARK + MANY, MarkSeen.UNREADABLE),
    "of a newer version, and one million letters": ("xenios/2 " + MANY, MarkSeen.UNREADABLE),
    "of a newer version": ("xenios/2 installation=x", MarkSeen.UNKNOWN_VERSION),
    "of a much newer version": ("xenios/99999 x", MarkSeen.UNKNOWN_VERSION),
    "of our version with more in it": (REAL_MARK + " more=1", MarkSeen.UNREADABLE),
    "a blank": (" ", MarkSeen.UNREADABLE),
    "markup": ("<mark/>&amp;", MarkSeen.UNREADABLE),
    "other digits": (REAL_MARK.replace("epoch=1", "epoch=١"), MarkSeen.UNREADABLE),
}
CONTROL_CHARACTERS = {
    "zeros and bells": ("\x00\x07\x1b[2J", MarkSeen.UNREADABLE),
    "ours with a zero in it": (REAL_MARK[:30] + "\x00" + REAL_MARK[31:], MarkSeen.UNREADABLE),
    "a lone surrogate": ("\ud800", MarkSeen.UNREADABLE),
    "a newer version with a bell": ("xenios/2 \x07", MarkSeen.UNREADABLE),
}


# --- XenServer -------------------------------------------------------------------------------------------------------


def with_mark(text: str) -> Edit:
    return lambda row, _: row["other_config"].update({KEY_ON_XENSERVER: text})


def test_an_alien_of_a_recorded_pool() -> None:
    assert xapi_facts() == Facts(
        kind=VmKind.MACHINE,
        custody=Custody.UNMANAGED,
        mark=MarkSeen.ABSENT,
        owner=OwnerSeen.NOBODY,
        sighting=Sighting.FRESH,
        quality=Quality.COMPLETE,
        power=PowerSeen.RUNNING,
        elsewhere=Elsewhere.NOT_SEEN,
        wished=Wished.NOTHING,
        wish_age=WishAge.NEW,
        place=WishedPlace.ANYWHERE,
        drift=DriftPolicy.FOLLOW,
        power_change=PowerChange.NONE,
        move=Move.NONE,
        work=Work.IDLE,
        freeze=Freeze.NONE,
        quiet=Quiet.OVER,
        consent=Consent.NONE,
    )


def test_ours_in_a_recorded_pool() -> None:
    record = a_record(
        PLAIN_UUID,
        custody=Custody.ADOPTED,
        was_on=False,
        host_uuid="elsewhere",
        wish=wish(WishedPower.OFF, host_uuid="elsewhere", met_at=1),
        drift=DriftPolicy.RESTORE,
    )
    facts = xapi_facts(with_mark(REAL_MARK), record)
    assert facts == Facts(
        kind=VmKind.MACHINE,
        custody=Custody.ADOPTED,
        mark=MarkSeen.OURS,
        owner=OwnerSeen.NOBODY,
        sighting=Sighting.FRESH,
        quality=Quality.COMPLETE,
        power=PowerSeen.RUNNING,
        elsewhere=Elsewhere.NOT_SEEN,
        wished=Wished.OFF,
        wish_age=WishAge.MET_ONCE,
        place=WishedPlace.ELSEWHERE,
        drift=DriftPolicy.RESTORE,
        power_change=PowerChange.STARTED,
        move=Move.MOVED,
        work=Work.IDLE,
        freeze=Freeze.NONE,
        quiet=Quiet.OVER,
        consent=Consent.NONE,
    )


@pytest.mark.parametrize("name", [*MARKS, *CONTROL_CHARACTERS])
def test_a_mark_in_other_config(name: str) -> None:
    text, seen = (MARKS | CONTROL_CHARACTERS)[name]
    facts = xapi_facts(with_mark(text), RECORD)
    assert facts.mark is seen
    asked = msgspec.structs.replace(RECORD, wish=wish(WishedPower.OFF))
    acts = MAY_WE_TOUCH.decide(xapi_facts(with_mark(text), asked)).verdict is Verdict.ACT
    assert acts == (seen is MarkSeen.OURS)
    assert MAY_WE_TOUCH.decide(xapi_facts(with_mark(text))).verdict is not Verdict.ACT


def test_an_empty_mark_in_other_config_is_none() -> None:
    assert xapi_facts(with_mark(""), RECORD).mark is MarkSeen.ABSENT


def test_a_snapshot_carries_its_vms_mark_and_is_not_ours() -> None:
    def mark_all(row: Row, tables: dict[str, dict[str, Row]]) -> None:
        row["other_config"][KEY_ON_XENSERVER] = REAL_MARK
        native_vm(tables, "168feddc")["other_config"][KEY_ON_XENSERVER] = REAL_MARK

    view, _ = xapi_view(mark_all)
    [snapshot] = [vm for vm in view.vms if vm.kind is VmKind.SNAPSHOT and vm.snapshot_of_uuid == PLAIN_UUID]
    facts = facts_of(snapshot, history=history_of(view, pool_uuid=view.pool.uuid))
    assert (facts.kind, facts.mark, facts.custody) == (VmKind.SNAPSHOT, MarkSeen.COPIED, Custody.UNMANAGED)


@pytest.mark.parametrize("begins", ["a580aba6-", "716a638a-"])
def test_a_clone_carries_the_mark_and_is_not_ours(begins: str) -> None:
    """XAPI copies other_config whole to a clone, a copy and a VM that is imported."""
    facts = xapi_facts(with_mark(REAL_MARK), None, begins)
    assert (facts.mark, facts.custody) == (MarkSeen.COPIED, Custody.UNMANAGED)
    assert MAY_WE_TOUCH.decide(facts).rule == "touch.copy"


def test_reverting_to_a_snapshot_from_before_adoption_takes_the_mark_away() -> None:
    """VM.revert brings other_config back as it was when the snapshot was taken."""
    record = a_record(PLAIN_UUID, custody=Custody.ADOPTED, was_on=True, wish=wish(WishedPower.ON, met_at=1))

    def reverted(row: Row, tables: dict[str, dict[str, Row]]) -> None:
        row["other_config"] = dict(native_vm(tables, "168feddc")["other_config"])
        row["power_state"], row["resident_on"] = "Halted", "OpaqueRef:NULL"

    before = xapi_facts(with_mark(REAL_MARK), record)
    after = xapi_facts(reverted, record)
    assert (before.mark, before.power) == (MarkSeen.OURS, PowerSeen.RUNNING)
    assert (after.mark, after.power, after.power_change) == (
        MarkSeen.ABSENT,
        PowerSeen.HALTED,
        PowerChange.STOPPED,
    )
    assert MAY_WE_TOUCH.decide(after).rule == "touch.record-without-mark"


def test_reverting_to_a_snapshot_from_an_earlier_custody_brings_an_old_mark_back() -> None:
    record = a_record(PLAIN_UUID, custody=Custody.ADOPTED, epoch=2)
    facts = xapi_facts(with_mark(REAL_MARK), record)
    assert facts.mark is MarkSeen.OTHER_EPOCH
    assert MAY_WE_TOUCH.decide(facts).rule == "touch.mark-of-another-epoch"


def test_a_template_made_of_ours() -> None:
    def as_template(row: Row, _: object) -> None:
        row["other_config"][KEY_ON_XENSERVER] = REAL_MARK
        row["power_state"], row["resident_on"], row["is_a_template"] = "Halted", "OpaqueRef:NULL", True

    asked = msgspec.structs.replace(RECORD, wish=wish(WishedPower.ON))
    facts = xapi_facts(as_template, asked)
    assert (facts.kind, facts.mark) == (VmKind.TEMPLATE, MarkSeen.OURS)
    assert MAY_WE_TOUCH.decide(facts).rule == "touch.template"


@pytest.mark.parametrize(
    ("told", "power"),
    [
        ("Running", PowerSeen.RUNNING),
        ("Halted", PowerSeen.HALTED),
        ("Suspended", PowerSeen.SUSPENDED),
        ("Paused", PowerSeen.PAUSED),
        ("running", PowerSeen.RUNNING),
        ("Hibernating", PowerSeen.UNRECOGNISED),
        ("Halted ", PowerSeen.UNRECOGNISED),
        ("", PowerSeen.UNRECOGNISED),
        ("x" * 100_000, PowerSeen.UNRECOGNISED),
    ],
)
def test_power_states_of_xapi_and_of_a_newer_one(told: str, power: PowerSeen) -> None:
    asked = msgspec.structs.replace(RECORD, was_on=True, wish=wish(WishedPower.ON))

    def edit(row: Row, _: object) -> None:
        row["power_state"] = told
        row["other_config"][KEY_ON_XENSERVER] = REAL_MARK

    facts = xapi_facts(edit, asked)
    assert facts.power is power
    if power is PowerSeen.UNRECOGNISED:
        assert facts.power_change is PowerChange.UNKNOWN
        assert MAY_WE_TOUCH.decide(facts).rule == "touch.power-unrecognised"


def test_a_task_of_the_hypervisor_is_anothers_work() -> None:
    assert (
        xapi_facts(lambda row, _: row.update(current_operations={"OpaqueRef:1": "clone"})).work
        is Work.ANOTHERS
    )
    newer = xapi_facts(lambda row, _: row.update(current_operations={"OpaqueRef:1": "levitate"}), RECORD)
    assert newer.work is Work.ANOTHERS


def test_another_control_planes_trace_in_other_config() -> None:
    facts = xapi_facts(lambda row, _: row["other_config"].update({"XenDesktop.x": "1"}))
    assert facts.owner is OwnerSeen.ANOTHER
    assert MAY_WE_TOUCH.decide(facts).rule == "touch.managed-by-another"
    renamed = xapi_facts(lambda row, _: row.update(name_label="i-2-3-VM"))
    assert renamed.owner is OwnerSeen.NOBODY


def test_a_vm_on_a_host_that_nobody_knows() -> None:
    facts = xapi_facts(lambda row, _: row.update(resident_on="OpaqueRef:gone"), RECORD)
    assert (facts.power, facts.sighting) == (PowerSeen.RUNNING, Sighting.HOST_SILENT)


@pytest.mark.parametrize("live", [False, None])
def test_a_vm_on_a_host_that_is_not_known_to_answer(live: bool | None) -> None:
    def silent(_: Row, tables: dict[str, dict[str, Row]]) -> None:
        for metrics in tables["host_metrics"].values():
            if live is None:
                del metrics["live"]
            else:
                metrics["live"] = live

    assert xapi_facts(silent, RECORD).sighting is Sighting.HOST_SILENT


def test_the_same_uuid_twice_and_on_two_hosts() -> None:
    def twin(row: Row, tables: dict[str, dict[str, Row]], **changes: Any) -> None:
        row["other_config"][KEY_ON_XENSERVER] = REAL_MARK
        tables["VM"]["OpaqueRef:twin"] = deepcopy(row) | changes

    def halted_twin(row: Row, tables: dict[str, dict[str, Row]]) -> None:
        twin(row, tables, power_state="Halted", resident_on="OpaqueRef:NULL")

    def running_twin(row: Row, tables: dict[str, dict[str, Row]]) -> None:
        [host] = tables["host"].values()
        tables["host"]["OpaqueRef:h2"] = deepcopy(host) | {"uuid": uuid_of(2)}
        twin(row, tables, resident_on="OpaqueRef:h2")

    asked = msgspec.structs.replace(RECORD, wish=wish(WishedPower.OFF))
    twice, two_hosts = xapi_facts(halted_twin, asked), xapi_facts(running_twin, asked)
    assert (twice.mark, twice.sighting) == (MarkSeen.OURS, Sighting.TWICE)
    assert (two_hosts.mark, two_hosts.sighting) == (MarkSeen.OURS, Sighting.ON_TWO_HOSTS)
    assert MAY_WE_TOUCH.decide(twice).rule == "touch.same-uuid-twice"
    assert MAY_WE_TOUCH.decide(two_hosts).rule == "touch.on-two-hosts"


def test_a_definition_with_a_damaged_part_is_not_read() -> None:
    [ref] = [ref for ref, row in NATIVE["VM"].items() if row["uuid"] == PLAIN_UUID]
    facts = xapi_facts(with_mark(REAL_MARK), RECORD, damaged={ref})
    assert facts.mark is MarkSeen.NOT_READ


def test_a_table_that_was_not_read_makes_the_view_partial() -> None:
    facts = xapi_facts(with_mark(REAL_MARK), RECORD, unread={"VM"})
    assert (facts.quality, facts.mark) == (Quality.PARTIAL, MarkSeen.NOT_READ)


def test_every_recorded_vm_has_facts_and_none_is_touched() -> None:
    view, _ = xapi_view()
    history = history_of(view, pool_uuid=view.pool.uuid)
    rules = {vm.uuid: MAY_WE_TOUCH.decide(facts_of(vm, history=history)) for vm in view.vms}
    assert len(rules) == 27
    assert {decision.verdict for decision in rules.values()} == {Verdict.LEAVE_ALONE}


# --- libvirt ---------------------------------------------------------------------------------------------------------

RUNNING = {"state.state": 1, "state.reason": 1}
KVM_HOST = "host-1"
CHAIN_UUID = "eb3df6d5-46d1-502b-86ab-3de803a029cf"
KVM_RECORD = a_record(CHAIN_UUID)
KVM_MARK = text_of(mark_of(KVM_RECORD, US))


def libvirt_vm(
    metadata: str = "",
    stats: dict[str, Any] | None = None,
    extras: DomainExtras | None = None,
    name: str = "chain",
    **replaced: str,
) -> Vm:
    """A recorded domain with metadata of ours put in."""
    xml = (FIXTURES / "libvirt" / f"{name}.xml").read_text(encoding="utf-8")
    if metadata:
        assert "<metadata>" not in xml
        xml = xml.replace("  <vcpu", f"  <metadata>{metadata}</metadata>\n  <vcpu", 1)
    for old, new in replaced.items():
        xml = xml.replace(old, new)
    around = Surroundings(
        host_uuid=KVM_HOST,
        pool_paths={},
        network_uuids={},
        network_bridges={},
        network_vlans={},
        addresses={},
    )
    return vm_from_xml(xml, RUNNING if stats is None else stats, extras or DomainExtras(), around)


def element(text: str) -> str:
    return f"<xenios:mark xmlns:xenios='{NAMESPACE_ON_LIBVIRT}'>{escape(text)}</xenios:mark>"


def test_ours_and_an_alien_on_libvirt() -> None:
    alien = facts_of(libvirt_vm())
    ours = facts_of(libvirt_vm(element(KVM_MARK)), KVM_RECORD)
    assert (alien.custody, alien.mark, alien.owner) == (
        Custody.UNMANAGED,
        MarkSeen.ABSENT,
        OwnerSeen.NOBODY,
    )
    assert (ours.custody, ours.mark, ours.owner) == (Custody.CREATED, MarkSeen.OURS, OwnerSeen.NOBODY)
    for facts in (alien, ours):
        assert (facts.kind, facts.sighting, facts.quality) == (
            VmKind.MACHINE,
            Sighting.FRESH,
            Quality.COMPLETE,
        )
        assert (facts.power, facts.work, facts.quiet) == (PowerSeen.RUNNING, Work.IDLE, Quiet.OVER)


@pytest.mark.parametrize("name", MARKS)
def test_a_mark_in_metadata(name: str) -> None:
    text, seen = MARKS[name]
    text = text.replace(PLAIN_UUID, CHAIN_UUID) if seen in (MarkSeen.UNREADABLE, MarkSeen.DAMAGED) else text
    if text.startswith("xenios/1") and seen not in (MarkSeen.UNREADABLE, MarkSeen.DAMAGED):
        text = {
            "ours": KVM_MARK,
            "another installation's": text_of(mark_of(KVM_RECORD, THEM)),
            "of another record": text_of(mark_of(a_record(CHAIN_UUID, vm_id=uuid_of(7)), US)),
            "of another epoch": text_of(mark_of(a_record(CHAIN_UUID, epoch=2), US)),
        }.get(name, text)
    facts = facts_of(libvirt_vm(element(text)), KVM_RECORD)
    assert facts.mark is seen


def test_control_characters_cannot_stand_in_xml_at_all() -> None:
    vm = libvirt_vm(element(KVM_MARK[:30] + "\x7f\x85" + KVM_MARK[31:]))
    assert facts_of(vm, KVM_RECORD).mark is MarkSeen.UNREADABLE


@pytest.mark.parametrize(
    "metadata",
    [
        element(KVM_MARK) + element(KVM_MARK),
        element(KVM_MARK) + element(""),
        element("") + element(KVM_MARK),
        element(KVM_MARK) + element(text_of(mark_of(KVM_RECORD, THEM))),
        element(""),
        f"<m:mark xmlns:m='{NAMESPACE_ON_LIBVIRT}'/>",
        f"<m:mark xmlns:m='{NAMESPACE_ON_LIBVIRT}'><a>{KVM_MARK}</a></m:mark>",
    ],
)
def test_several_elements_or_an_empty_one_are_no_mark(metadata: str) -> None:
    assert facts_of(libvirt_vm(metadata), KVM_RECORD).mark is MarkSeen.UNREADABLE


@pytest.mark.parametrize(
    "metadata",
    [
        f"<mark>{KVM_MARK}</mark>",
        f"<m:mark xmlns:m='urn:xenios:marks'>{KVM_MARK}</m:mark>",
        f"<m:mark xmlns:m='URN:XENIOS:MARK'>{KVM_MARK}</m:mark>",
        f"<m:other xmlns:m='{NAMESPACE_ON_LIBVIRT}'>{KVM_MARK}</m:other>",
        f"<a>{element(KVM_MARK)}</a>",
    ],
)
def test_a_mark_in_the_wrong_place_is_none(metadata: str) -> None:
    assert facts_of(libvirt_vm(metadata), KVM_RECORD).mark is MarkSeen.ABSENT


def test_a_clone_by_virt_clone_keeps_the_metadata_and_is_not_ours() -> None:
    clone = libvirt_vm(element(KVM_MARK), **{CHAIN_UUID + "</uuid>": uuid_of(5) + "</uuid>"})
    assert clone.uuid == uuid_of(5)
    facts = facts_of(clone)
    assert facts.mark is MarkSeen.COPIED
    assert MAY_WE_TOUCH.decide(facts).rule == "touch.copy"


@pytest.mark.parametrize(
    ("state", "reason", "managed_save", "power"),
    [
        (0, 0, Answer.NO, PowerSeen.UNKNOWN),
        (1, 1, Answer.NO, PowerSeen.RUNNING),
        (2, 1, Answer.NO, PowerSeen.RUNNING),
        (3, 1, Answer.NO, PowerSeen.PAUSED),
        (3, 5, Answer.NO, PowerSeen.PAUSED_ON_IO_ERROR),
        (4, 1, Answer.NO, PowerSeen.SHUTTING_DOWN),
        (5, 1, Answer.NO, PowerSeen.HALTED),
        (5, 1, Answer.YES, PowerSeen.SUSPENDED),
        (5, 1, Answer.UNKNOWN, PowerSeen.UNKNOWN),
        (6, 1, Answer.NO, PowerSeen.CRASHED),
        (7, 1, Answer.NO, PowerSeen.ASLEEP),
        (8, 0, Answer.NO, PowerSeen.UNRECOGNISED),
        (99, 99, Answer.NO, PowerSeen.UNRECOGNISED),
        (-1, 0, Answer.NO, PowerSeen.UNKNOWN),
    ],
)
def test_states_of_libvirt_and_of_a_newer_one(
    state: int, reason: int, managed_save: Answer, power: PowerSeen
) -> None:
    stats = {"state.state": state, "state.reason": reason}
    extras = DomainExtras(managed_save=managed_save)
    asked = msgspec.structs.replace(KVM_RECORD, wish=wish(WishedPower.OFF))
    facts = facts_of(libvirt_vm(element(KVM_MARK), stats, extras), asked)
    assert facts.power is power
    assert (MAY_WE_TOUCH.decide(facts).verdict is Verdict.ACT) == (power is PowerSeen.RUNNING)
    unread = vm_without_definition(CHAIN_UUID, "x", stats, extras, KVM_HOST)
    facts = facts_of(unread, asked)
    assert facts.mark is MarkSeen.NOT_READ
    assert facts.power in (power, PowerSeen.PAUSED)
    assert MAY_WE_TOUCH.decide(facts).verdict is not Verdict.ACT


def test_novas_metadata_names_an_owner() -> None:
    facts = facts_of(libvirt_vm(name="nova"))
    assert facts.owner is OwnerSeen.ANOTHER
    assert MAY_WE_TOUCH.decide(facts).rule == "touch.managed-by-another"
