"""Does an explanation say what the table does: which row decided, which were passed over, and what would change it?

Effects: none
"""

import itertools
import typing
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.decisions import (
    NOW,
    POOL,
    US,
    a_record,
    an_installation,
    facts_of,
    marked,
    our_vm,
    uuid_of,
)
from tests.support.inventory import a_collection, a_host, a_vm
from tests.support.matrix import values_of
from xenios.decide.adopt import AdoptionFacts, adoption_facts
from xenios.decide.bonds import broken_bond, with_change
from xenios.decide.custody import managers_seen
from xenios.decide.explain import (
    CHANGES_MAX,
    SCHEMA,
    Explanation,
    Kind,
    explanation_of_decision,
    explanation_of_finding,
    explanation_of_plan,
)
from xenios.decide.fact_words import FACT_WORDS, label_of, words_of
from xenios.decide.facts import PowerSeen, Wished, facts_about
from xenios.decide.findings import findings_in
from xenios.decide.guards import GUARDS
from xenios.decide.planner import plan_for
from xenios.decide.room import room_of
from xenios.decide.rules import Rule
from xenios.decide.tables import TABLES
from xenios.decide.touch import MAY_WE_TOUCH
from xenios.decide.view_history import PoolHistory, after_consent, after_silence, after_view
from xenios.model.collection import ReadFailure
from xenios.model.decision import Decision, Verdict
from xenios.model.inventory import Answer, PowerState, VmKind
from xenios.model.plan import Verb
from xenios.model.policy import Thresholds
from xenios.model.record import Custody, DriftPolicy, Wish, WishedPower

RULES = [(name, rule) for name, table in TABLES.items() for rule in table.rows]
FAILURE = ReadFailure(what="a VM", because="no answer", remedy="look again")
NETS = {"touch.no-complete-view-yet"}
"""Rules that nothing comes to while the facts are what views make of them: what is caught there was caught before."""
DETAILS = {
    "owners": "oVirt (ovirt-vm)",
    "host": "xcp-1",
    "busy": "clean_shutdown",
    "installation": US,
    "suspicions": "it is odd",
}


def calm(name: str) -> Any:
    """Facts from which the table says ACT, or as near to that as it goes."""
    kinds: dict[str, Any] = {
        "kind": VmKind.MACHINE,
        "custody": Custody.ADOPTED,
        "wished": Wished.OFF,
        "power": PowerSeen.RUNNING,
        "live": Answer.YES,
        "enabled": Answer.YES,
    }
    kind = TABLES[name].facts
    if kind is AdoptionFacts:
        kinds |= {"custody": Custody.UNMANAGED, "mark": typing.get_type_hints(kind)["mark"].ABSENT}
    values = {fact: of[0] for fact, of in values_of(kind).items()}
    return kind(**(values | {fact: value for fact, value in kinds.items() if fact in values}))


def near(name: str, changes: int) -> Iterator[Any]:
    """All facts that differ from the calm ones in so many places."""
    base, values = calm(name), values_of(TABLES[name].facts)
    for facts in itertools.combinations(values, changes):
        for chosen in itertools.product(*(values[fact] for fact in facts)):
            yield replace(base, **dict(zip(facts, chosen, strict=True)))


@cache
def cases_of(name: str) -> dict[str, Any]:
    """Facts that can be, by the id of the rule that they are decided by; for a net, facts that cannot."""
    table = TABLES[name]
    found: dict[str, Any] = {}
    wanted = len(table.rows) - 1
    for changes in range(5):
        for facts in near(name, changes):
            rule = table.decide(facts).rule
            if broken_bond(facts) is None or rule in NETS:
                found.setdefault(rule, facts)
            if len(found) == wanted:
                return found
    return found


def explained(name: str, facts: Any) -> Explanation:
    return explanation_of_decision(
        TABLES[name].decide(facts), about="VM web-1", about_uuid="u-1", details=DETAILS
    )


# --- a decision ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rule"), RULES, ids=lambda value: value.id if isinstance(value, Rule) else ""
)
def test_every_rule_can_be_explained(name: str, rule: Rule[Any]) -> None:
    facts = cases_of(name).get(rule.id)
    if facts is None:
        assert rule is TABLES[name].rows[-1], "nothing that can be is decided by it"
        decision = Decision(table=name, rule=rule.id, verdict=rule.verdict, facts=())
        explanation = explanation_of_decision(decision, about="VM web-1")
    else:
        explanation = explained(name, facts)
        assert explanation.notes == ()
        assert not any(place in explanation.because for place in "{}")
    assert (explanation.schema, explanation.kind) == (SCHEMA, Kind.DECISION)
    assert (explanation.rule, explanation.verdict) == (rule.id, rule.verdict)
    assert (explanation.why, explanation.remedy) == (rule.why, rule.remedy)
    assert explanation.question == TABLES[name].question
    again = msgspec.json.decode(msgspec.json.encode(explanation), type=Explanation)
    assert again == explanation


@pytest.mark.parametrize("name", TABLES)
def test_rows_passed_over_are_those_that_did_not_hold(name: str) -> None:
    table = TABLES[name]
    for rule_id, facts in cases_of(name).items():
        passed = [row.rule for row in explained(name, facts).passed_over]
        held = {rule.id for rule in table.rows if rule.when(facts)}
        assert not held & set(passed)
        if TABLES[name].gives_all_reasons:
            against = {rule.id for rule in table.rows if rule.verdict is not Verdict.ACT}
            assert set(passed) == against - held
        else:
            before = [rule.id for rule in table.rows]
            assert passed == before[: before.index(rule_id)]


@pytest.mark.parametrize("name", TABLES)
def test_what_would_change_it_is_so_when_it_is_decided_again(name: str) -> None:
    table = TABLES[name]
    kinds = typing.get_type_hints(TABLES[name].facts)
    told = 0
    for rule_id, facts in cases_of(name).items():
        explanation = explained(name, facts)
        assert len(explanation.changes) <= CHANGES_MAX
        for change in explanation.changes:
            for value in change.values:
                also = {fact.name: kinds[fact.name](fact.value) for fact in change.with_it}
                changed = replace(facts, **also, **{change.fact: kinds[change.fact](value)})
                again = table.decide(changed)
                assert (again.rule, again.verdict) == (change.rule, change.verdict)
                assert again.rule != rule_id
                told += 1
    assert told > 10


@pytest.mark.parametrize("name", TABLES)
def test_nothing_that_would_change_it_is_forgotten(name: str) -> None:
    """Within the bound, each fact that alone leads to another rule, and that can be so, is told."""
    for facts in cases_of(name).values():
        explanation = explained(name, facts)
        if explanation.changes_left_out:
            continue
        told = {(change.fact, value) for change in explanation.changes for value in change.values}
        for fact, values in values_of(TABLES[name].facts).items():
            for value in values:
                alone = replace(facts, **{fact: value})
                if broken_bond(alone) is None and TABLES[name].decide(alone).rule != explanation.rule:
                    assert (fact, str(value)) in told


def test_what_leads_to_an_act_comes_first() -> None:
    wished = replace(calm("touch"), wished=Wished.NOTHING)
    assert explained("touch", wished).rule == "touch.nothing-asked"
    first = explained("touch", wished).changes[0]
    assert (first.fact, first.values, first.verdict) == ("wished", ("off",), Verdict.ACT)


def test_the_number_of_changes_is_bounded_and_the_rest_is_counted() -> None:
    acting = explained("touch", calm("touch"))
    assert acting.verdict is Verdict.ACT
    assert len(acting.changes) == CHANGES_MAX
    assert acting.changes_left_out > 0


def test_an_alien_is_not_told_to_have_wishes() -> None:
    """What follows from what was decided earlier is no choice: without a record there is no wish to change."""
    explanation = explained("touch", facts_of(a_vm(uuid_of(1))))
    assert explanation.rule == "touch.alien"
    assert {change.fact for change in explanation.changes} == {"custody", "mark", "kind", "owner"}
    changed = explained("changed", facts_of(a_vm(uuid_of(1))))
    assert {change.fact for change in changed.changes} == {"custody"}


def test_what_follows_from_a_change_is_told_with_it() -> None:
    record = a_record(uuid_of(1), was_on=True, host_uuid="host-1")
    facts = facts_of(our_vm(), record)
    halted = next(change for change in explained("changed", facts).changes if "halted" in change.values)
    assert halted.rule == "changed.followed-stop"
    assert [(fact.name, fact.value) for fact in halted.with_it] == [("power_change", "stopped")]


def test_all_reasons_are_given_where_the_table_gives_them() -> None:
    facts = replace(calm("adopt"), kind=VmKind.TEMPLATE, power=PowerSeen.UNKNOWN, persistent=Answer.NO)
    explanation = explained("adopt", facts)
    assert [reason.rule for reason in explanation.reasons] == [
        "adopt.template",
        "adopt.transient",
        "adopt.power-unknown",
    ]
    assert explained("touch", calm("touch")).reasons == ()
    assert explained("adopt", calm("adopt")).reasons == ()


def test_details_are_filled_in_and_what_is_not_there_is_not_made_up() -> None:
    owned = MAY_WE_TOUCH.decide(facts_of(a_vm(uuid_of(1), annotations={"http://ovirt.org/vm/1.0": ""})))
    told = explanation_of_decision(owned, about="VM", details=DETAILS)
    assert told.because == "it is not ours, and looks managed by oVirt (ovirt-vm)"
    untold = explanation_of_decision(owned, about="VM")
    assert untold.because == "it is not ours, and looks managed by (not known)"
    because = [each.because for each in untold.passed_over] + [each.because for each in untold.changes]
    assert any("…" in said for said in because)
    assert not any("{" in said for said in because)


# --- decisions of other versions -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"table": "tomorrow", "rule": "tomorrow.rain"}, "no such rule"),
        ({"rule": "touch.of-a-newer-version"}, "no such rule"),
        ({"facts": (("kind", "machine"),)}, "other facts"),
        ({"facts": ()}, "other facts"),
        ({"rule": "touch.frozen", "verdict": Verdict.WAIT}, "have changed since"),
        ({"verdict": Verdict.ACT}, "have changed since"),
    ],
)
def test_a_decision_of_another_version_is_shown_as_it_is(changes: dict[str, Any], said: str) -> None:
    decision = replace(MAY_WE_TOUCH.decide(facts_of(a_vm(uuid_of(1)))), **changes)
    explanation = explanation_of_decision(decision, about="VM web-1")
    assert said in explanation.notes[0]
    assert (explanation.rule, explanation.verdict) == (decision.rule, decision.verdict)
    assert (explanation.changes, explanation.passed_over) == ((), ())


def test_a_value_of_a_newer_version_is_shown_as_it_is() -> None:
    decision = MAY_WE_TOUCH.decide(facts_of(a_vm(uuid_of(1))))
    odd = tuple((name, "levitating" if name == "power" else value) for name, value in decision.facts)
    explanation = explanation_of_decision(replace(decision, facts=odd), about="VM web-1")
    assert "other facts" in explanation.notes[0]
    assert next(fact for fact in explanation.facts if fact.name == "power").words == "levitating"


# --- plans and findings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "steps"),
    [
        (Wish(power=WishedPower.OFF), ["shut down"]),
        (Wish(gone=True), ["shut down", "destroy"]),
        (Wish(host_uuid="host-2"), ["move on host two"]),
    ],
)
def test_a_plan_says_what_each_step_does(wish: Wish, steps: list[str]) -> None:
    record = a_record(uuid_of(1), wish=wish)
    vm, facts = our_vm(), facts_of(our_vm(), record)
    decision = MAY_WE_TOUCH.decide(facts)
    plan = plan_for(decision, facts, vm, record)
    assert plan is not None
    explanation = explanation_of_plan(plan, decision=decision, host_names={"host-2": "host two"})
    assert (explanation.kind, explanation.rule, explanation.verdict) == (Kind.PLAN, "touch.act", Verdict.ACT)
    assert [step.does for step in explanation.steps] == steps
    assert explanation.hazard is plan.hazard
    assert explanation.steps[0].expects == "running"
    assert explanation.facts
    last = explanation.steps[-1]
    assert last.leaves == ("no VM" if wish.gone else "running" if wish.host_uuid else "halted")
    assert last.undone_by
    assert [step.hazard for step in explanation.steps] == [GUARDS[step.verb].hazard for step in plan.steps]


def test_every_verb_can_be_a_step_and_a_plan_may_be_asked_for_by_a_person() -> None:
    record = a_record(uuid_of(1), wish=Wish(power=WishedPower.OFF))
    facts = facts_of(our_vm(), record)
    plan = plan_for(MAY_WE_TOUCH.decide(facts), facts, our_vm(name=" "), record)
    assert plan is not None
    for verb in Verb:
        step = replace(plan.steps[0], verb=verb, expects=(), leaves=None, undone_by=None)
        explanation = explanation_of_plan(replace(plan, because="alice", steps=(step,)))
        assert explanation.steps[0].expects == "no such VM"
        assert explanation.steps[0].undone_by == "nothing"
        assert "alice" in explanation.because
        assert uuid_of(1) in explanation.about


def test_a_finding_says_what_it_means() -> None:
    collection = a_collection(a_vm(power_state=PowerState.CRASHED))
    finding = findings_in(collection, room_of(collection))[0]
    explanation = explanation_of_finding(finding)
    assert (explanation.kind, explanation.rule) == (Kind.FINDING, "vm-crashed")
    assert (explanation.severity, explanation.verdict) == (finding.severity, None)
    assert explanation.why == "The guest has crashed and is kept as it is."
    assert explanation.remedy == finding.remedy


# --- words and bonds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted({table.facts for table in TABLES.values()}, key=str))
def test_every_fact_and_every_value_has_words(kind: type[msgspec.Struct]) -> None:
    for fact, values in values_of(kind).items():
        assert set(map(str, values)) == set(FACT_WORDS[fact].values), fact
        assert label_of(fact) == FACT_WORDS[fact].label


def test_no_words_are_left_over() -> None:
    assert set(FACT_WORDS) == {fact for table in TABLES.values() for fact in values_of(table.facts)}
    assert (label_of("mood"), words_of("mood", "good")) == ("mood", "good")


@pytest.mark.parametrize("name", TABLES)
@given(data=st.data())
def test_what_a_change_brings_with_it_can_be(name: str, data: st.DataObject) -> None:
    values = values_of(TABLES[name].facts)
    facts = TABLES[name].facts(**{fact: data.draw(st.sampled_from(of)) for fact, of in values.items()})
    fact = data.draw(st.sampled_from(sorted(values)))
    value = data.draw(st.sampled_from(values[fact]))
    changed = with_change(facts, fact, value)
    if changed is not None:
        assert broken_bond(changed) is None
        assert getattr(changed, fact) is value


@settings(deadline=None)
@given(data=st.data())
def test_bonds_forbid_nothing_that_happens(data: st.DataObject) -> None:
    """Whatever VM, record and views there are: the facts about them break no bond."""
    draw = data.draw
    vms = tuple(
        a_vm(
            uuid_of(1),
            power_state=draw(st.sampled_from(PowerState)),
            host_uuid=draw(st.sampled_from([None, "host-1", "host-2"])),
            power_recognised=draw(st.booleans()),
            paused_on_io_error=draw(st.booleans()),
            definition_read=draw(st.booleans()),
            busy=draw(st.sampled_from([(), ("start",)])),
        )
        for _ in range(draw(st.integers(0, 2)))
    )
    record = a_record(
        uuid_of(1),
        custody=draw(st.sampled_from([Custody.CREATED, Custody.ADOPTED, Custody.RELEASED])),
        epoch=draw(st.integers(1, 2)),
        wish=Wish(
            power=draw(st.sampled_from(WishedPower)),
            gone=draw(st.booleans()),
            host_uuid=draw(st.sampled_from([None, "host-1", "host-2"])),
            met_at=draw(st.sampled_from([None, NOW])),
        ),
        drift=draw(st.sampled_from(DriftPolicy)),
        operation=draw(st.sampled_from([None, "op"])),
        was_on=draw(st.sampled_from([None, True, False])),
        host_uuid=draw(st.sampled_from([None, "host-1", "host-2"])),
    )
    mark = draw(st.sampled_from(["none", "ours", "older", "theirs", "rubbish"]))
    if mark != "none":
        vms = tuple(marked(vm, replace(record, epoch=2 if mark == "ours" else 1)) for vm in vms)
        if mark == "rubbish":
            vms = tuple(replace(vm, mark="rubbish") for vm in vms)
    history = a_history(draw, vms)
    vm = vms[0] if vms else None
    known = draw(st.booleans()) or vm is None
    installation = an_installation(id=US if mark != "theirs" else uuid_of(9), started_at=NOW)
    facts = facts_about(vm, record if known else None, history, installation, NOW, Thresholds())
    assert broken_bond(facts) is None, facts
    if vm is not None:
        host = draw(st.sampled_from([None, a_host(), a_host(live=Answer.NO), a_host(live=Answer.UNKNOWN)]))
        adoption = adoption_facts(
            vm,
            managers_seen(vm),
            host,
            uuid_is_unique=True,
            record=record if known else None,
            installation_id=US,
        )
        assert broken_bond(adoption) is None, adoption


def a_history(draw: Any, vms: tuple[Any, ...]) -> PoolHistory:
    """Some views with these VMs and without, whole or not, and silence between."""
    history = PoolHistory(pool_uuid=POOL)
    others = tuple(a_vm(uuid_of(number)) for number in range(100, 110))
    for _ in range(draw(st.integers(0, 4))):
        event = draw(st.sampled_from(["with", "without", "partial", "empty", "silence", "consent", "late"]))
        if event == "silence":
            history = after_silence(history, NOW)
        elif event == "consent":
            history = after_consent(history)
        else:
            seen = (*vms, *others) if event in ("with", "late") else () if event == "empty" else others
            changes = {"failures": (FAILURE,)} if event == "partial" else {}
            at = NOW + 10**10 if event == "late" else NOW
            hosts = (a_host(), a_host("host-2", live=draw(st.sampled_from(Answer))))
            view = a_collection(*seen, hosts=hosts, seen_at=at, **changes)
            history = after_view(history, view, NOW, Thresholds())
    return history
