"""Is adoption refused for every reason there is, and for no other?

Effects: none
"""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.inventory import a_collection, a_host, a_vm
from xenios.decide.adopt import MAY_WE_ADOPT, adoption_facts, refusals_to_adopt
from xenios.decide.custody import managers_seen
from xenios.decide.details import details_of
from xenios.decide.facts import Freeze
from xenios.decide.ownership import mark_of
from xenios.decide.presence import Sighting
from xenios.model.collection import Collection, Quality
from xenios.model.decision import Refusal, Verdict
from xenios.model.inventory import Answer, Host, Memory, PowerState, Vm, VmKind
from xenios.model.mark import text_of
from xenios.model.record import Custody, Record
from xenios.report.build import report_on

US, THEM = "55555555-0000-4000-8000-000000000000", "66666666-0000-4000-8000-000000000000"
NATIVE = "11111111-0000-4000-8000-000000000000"
RECORD = Record(
    vm_id="22222222-0000-4000-8000-000000000000",
    pool_uuid="pool",
    native_uuid=NATIVE,
    custody=Custody.ADOPTED,
    epoch=1,
)


def refused(vm: Vm, host: Host | None = None, *, unique: bool = True, **more: Any) -> tuple[Refusal, ...]:
    if host is None and vm.host_uuid is not None:
        host = a_host()
    managers = managers_seen(vm)
    facts = adoption_facts(vm, managers, host, uuid_is_unique=unique, installation_id=US, **more)
    return MAY_WE_ADOPT.refusals(facts, details_of(vm, host, managers, ["it is odd"]))


def marked(installation: str = US) -> Vm:
    return a_vm(NATIVE, mark=text_of(mark_of(RECORD, installation)))


DEAD = a_host(name="old-1", live=Answer.NO)
CASES: dict[str, tuple[tuple[Refusal, ...], Verdict, str]] = {
    "adopt.control-domain": (
        refused(a_vm(kind=VmKind.CONTROL_DOMAIN)),
        Verdict.LEAVE_ALONE,
        "hypervisor itself",
    ),
    "adopt.snapshot": (refused(a_vm(kind=VmKind.SNAPSHOT)), Verdict.LEAVE_ALONE, "a snapshot"),
    "adopt.template": (refused(a_vm(kind=VmKind.TEMPLATE)), Verdict.LEAVE_ALONE, "a template"),
    "adopt.uuid-not-unique": (refused(a_vm(), unique=False), Verdict.LEAVE_ALONE, "more than once"),
    "adopt.definition-unread": (refused(a_vm(definition_read=False)), Verdict.WAIT, "could not be read"),
    "adopt.not-seen-now": (refused(a_vm(), sighting=Sighting.STALE), Verdict.WAIT, "not seen now"),
    "adopt.power-unrecognised": (
        refused(a_vm(power_state=PowerState.UNKNOWN, power_recognised=False)),
        Verdict.WAIT,
        "no word for",
    ),
    "adopt.power-unknown": (
        refused(a_vm(power_state=PowerState.UNKNOWN)),
        Verdict.WAIT,
        "its power state is unknown",
    ),
    "adopt.host-not-live": (refused(a_vm(), DEAD), Verdict.WAIT, "its host old-1 does not answer"),
    "adopt.host-unknown": (refused(a_vm(), a_host(live=Answer.UNKNOWN)), Verdict.WAIT, "nothing is known"),
    "adopt.transient": (refused(a_vm(persistent=Answer.NO)), Verdict.LEAVE_ALONE, "transient"),
    "adopt.ours-already": (refused(marked(), record=RECORD), Verdict.LEAVE_ALONE, "ours already"),
    "adopt.another-installations": (refused(marked(THEM)), Verdict.ASK_OPERATOR, "another installation"),
    "adopt.mark-unknown": (refused(a_vm(mark="secret")), Verdict.ASK_OPERATOR, "no mark of ours"),
    "adopt.managed-by-another": (
        refused(a_vm(annotations={"CitrixX": "secret"})),
        Verdict.ASK_OPERATOR,
        "it looks managed by Citrix (CitrixX)",
    ),
    "adopt.frozen": (refused(a_vm(), freeze=Freeze.POOL), Verdict.WAIT, "frozen"),
    "adopt.view-suspicious": (
        refused(a_vm(), quality=Quality.SUSPICIOUS),
        Verdict.WAIT,
        "not to be believed: it is odd",
    ),
    "adopt.our-own-work": (
        refused(a_vm(NATIVE), record=replace(RECORD, operation="op")),
        Verdict.WAIT,
        "an operation of ours",
    ),
    "adopt.busy": (refused(a_vm(busy=("clone", "export"))), Verdict.WAIT, "at work on it: clone, export"),
}


def test_every_row_against_it_has_a_case() -> None:
    beside = {"adopt.nothing-against", "adopt.nobody-thought-of-it"}
    assert {*CASES} | beside == {rule.id for rule in MAY_WE_ADOPT.rows}


def test_the_first_row_is_the_gravest_reason() -> None:
    order = [Verdict.LEAVE_ALONE, Verdict.WAIT, Verdict.ASK_OPERATOR, Verdict.ACT]
    rows = MAY_WE_ADOPT.rows[:-1]
    assert [rule.verdict for rule in rows] == sorted((rule.verdict for rule in rows), key=order.index)


@pytest.mark.parametrize("rule", CASES)
def test_a_row_alone_refuses_and_says_why(rule: str) -> None:
    refusals, verdict, said = CASES[rule]
    [refusal] = refusals
    assert refusal.rule == rule
    assert refusal.verdict is verdict
    assert said in refusal.because
    assert refusal.remedy
    assert "secret" not in refusal.because


def test_rows_are_for_ever_and_one_acts() -> None:
    ids = [rule.id for rule in MAY_WE_ADOPT.rows]
    assert len(set(ids)) == len(ids)
    for rule in MAY_WE_ADOPT.rows:
        assert rule.id.startswith("adopt.")
        assert (rule.verdict is Verdict.ACT) == (rule.id == "adopt.nothing-against")
        assert rule.why
        assert rule.remedy


@pytest.mark.parametrize("state", [state for state in PowerState if state is not PowerState.UNKNOWN])
def test_an_ordinary_vm_may_be_adopted_in_every_state(state: PowerState) -> None:
    assert refused(a_vm(power_state=state)) == ()


@pytest.mark.parametrize(
    "vm",
    [
        a_vm(),
        marked(),
        replace(marked(), uuid="33333333-0000-4000-8000-000000000000"),
        a_vm(NATIVE, mark=text_of(mark_of(replace(RECORD, epoch=7), US))),
    ],
    ids=["an alien", "marked without a record", "a copy of ours", "of another epoch"],
)
def test_what_may_be_adopted(vm: Vm) -> None:
    assert refused(vm) == ()
    assert refused(replace(vm, uuid=NATIVE, mark=""), record=RECORD) == ()


def test_a_halted_vm_needs_no_host() -> None:
    assert refused(a_vm(power_state=PowerState.HALTED)) == ()
    assert refused(a_vm(power_state=PowerState.SUSPENDED, host_uuid=None)) == ()


@pytest.mark.parametrize("state", [PowerState.RUNNING, PowerState.PAUSED, PowerState.CRASHED])
def test_what_runs_nowhere_is_not_adopted(state: PowerState) -> None:
    assert [refusal.rule for refusal in refused(a_vm(power_state=state, host_uuid=None))] == [
        "adopt.host-unknown"
    ]


def test_a_tool_that_people_use_is_no_reason() -> None:
    assert refused(a_vm(annotations={"xo:x": "", "folder": "", "XenCenter.x": ""})) == ()


def test_all_reasons_are_given_at_once() -> None:
    vm = a_vm(name="i-2-3-VM", busy=("clone",), persistent=Answer.NO, power_state=PowerState.UNKNOWN)
    assert [refusal.rule for refusal in refused(vm, DEAD, unique=False)] == [
        "adopt.uuid-not-unique",
        "adopt.transient",
        "adopt.power-unknown",
        "adopt.host-not-live",
        "adopt.busy",
        "adopt.managed-by-another",
    ]


def test_both_owners_are_named() -> None:
    vm = a_vm(name="r-4-VM", annotations={"http://ovirt.org/vm/1.0": ""})
    [refusal] = refused(vm)
    assert "CloudStack (its name 'r-4-VM') and oVirt (http://ovirt.org/vm/1.0)" in refusal.because


def verdicts(collection: Collection) -> dict[str, str]:
    """What the report says of every VM, by uuid."""
    report = report_on("test", collection, (), None)
    vms = (*report.vms, *report.templates, *report.snapshots, *report.control_domains)
    return {vm.uuid: vm.may_be_adopted for vm in vms}


@pytest.mark.parametrize(
    ("vms", "said"),
    [
        ((a_vm("a"), a_vm("b")), {"a": "yes", "b": "yes"}),
        ((a_vm("a"), a_vm("a")), {"a": "no"}),
        ((a_vm("a"), a_vm("a", kind=VmKind.TEMPLATE)), {"a": "no"}),
        ((a_vm(""),), {"": "no"}),
        ((a_vm("a", busy=("x",), name="i-2-3-VM"),), {"a": "not now"}),
        ((a_vm("a", busy=("x",), kind=VmKind.SNAPSHOT),), {"a": "no"}),
        ((a_vm("a", name="i-2-3-VM"),), {"a": "ask the operator"}),
    ],
)
def test_the_gravest_verdict_is_reported(vms: tuple[Vm, ...], said: dict[str, str]) -> None:
    assert verdicts(a_collection(*vms)) == said


# --- properties ------------------------------------------------------------------------------------------------------

answers = st.sampled_from(Answer)
vms = st.builds(
    a_vm,
    st.sampled_from("abc"),
    name=st.sampled_from(["web", "db", "i-2-3-VM", "r-4-VM", ""]),
    kind=st.sampled_from([VmKind.MACHINE] * 4 + list(VmKind)),
    power_state=st.sampled_from(PowerState),
    host_uuid=st.sampled_from(["host-1", "dead", "unsure"]),
    persistent=answers,
    busy=st.sampled_from([(), (), ("clone",)]),
    definition_read=st.sampled_from([True, True, False]),
    annotations=st.sampled_from([{}, {}, {"Citrix": ""}, {"xo:x": ""}]),
)
HOSTS = (a_host(), a_host("dead", live=Answer.NO), a_host("unsure", live=Answer.UNKNOWN))
collections = st.lists(vms, max_size=4).map(lambda list_: a_collection(*list_, hosts=HOSTS))

Forget = Callable[[Collection], Collection]


def in_each_vm(**lost: object) -> Forget:
    return lambda seen: replace(seen, vms=tuple(replace(vm, **lost) for vm in seen.vms))


LOSSES: dict[str, Forget] = {
    "all hosts": lambda seen: replace(seen, hosts=()),
    "the last host": lambda seen: replace(seen, hosts=seen.hosts[:-1]),
    "whether hosts live": lambda seen: replace(
        seen, hosts=tuple(replace(host, live=Answer.UNKNOWN) for host in seen.hosts)
    ),
    "power states": in_each_vm(power_state=PowerState.UNKNOWN),
    "uuids": in_each_vm(uuid=""),
    "definitions": in_each_vm(definition_read=False),
    "what is in unread definitions": in_each_vm(
        definition_read=False, annotations={}, busy=(), persistent=Answer.UNKNOWN, disks=(), nics=()
    ),
    "memory": in_each_vm(memory=Memory(bytes_max=None)),
}


@pytest.mark.parametrize("loss", LOSSES)
@settings(deadline=None)
@given(seen=collections)
def test_less_knowledge_never_makes_a_vm_adoptable(loss: str, seen: Collection) -> None:
    before = report_on("test", seen, (), None)
    after = report_on("test", LOSSES[loss](seen), (), None)

    def adoptable(report: object) -> list[str]:
        found: list[str] = []
        for kind in ("vms", "templates", "snapshots", "control_domains"):
            found += [vm.name for vm in getattr(report, kind) if vm.may_be_adopted == "yes"]
        return sorted(found)

    left = adoptable(before)
    for name in adoptable(after):
        assert name in left
        left.remove(name)


@settings(deadline=None)
@given(collections, st.randoms(use_true_random=False))
def test_the_order_of_vms_does_not_matter(seen: Collection, chance: object) -> None:
    shuffled = list(seen.vms)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert verdicts(seen) == verdicts(replace(seen, vms=tuple(shuffled)))


@settings(deadline=None)
@given(vms, st.text(max_size=12))
def test_a_new_name_changes_no_verdict_but_for_cloudstacks_names(vm: Vm, name: str) -> None:
    def without_names(vm: Vm) -> list[str]:
        owners = [seen for seen in managers_seen(vm) if "its name" not in seen.evidence]
        return [refusal.rule for refusal in refusals_to_adopt(vm, owners, a_host(), uuid_is_unique=True)]

    renamed = replace(vm, name=name)
    assert without_names(vm) == without_names(renamed)
    if not any("its name" in seen.evidence for one in (vm, renamed) for seen in managers_seen(one)):
        assert refused(vm) == refused(renamed)
