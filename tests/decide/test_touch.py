"""May we touch a VM? Whoever looks for a way to touch an alien begins here.

Effects: none
"""

from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.decisions import (
    NOW,
    SECOND,
    THEM,
    a_record,
    an_installation,
    carried_out,
    facts_of,
    history_of,
    marked,
    one_pass,
    our_vm,
    uuid_of,
    wish,
)
from tests.support.inventory import a_collection, a_host, a_vm
from tests.support.matrix import cases_that_act, values_of
from xenios.decide.facts import (
    Facts,
    Freeze,
    OwnerSeen,
    PowerSeen,
    Quiet,
    WishAge,
    Wished,
    WishedPlace,
    Work,
)
from xenios.decide.guards import refusal_in_state
from xenios.decide.ownership import MarkSeen
from xenios.decide.planner import plan_for
from xenios.decide.presence import Sighting
from xenios.decide.touch import MAY_WE_TOUCH
from xenios.model.collection import Quality
from xenios.model.decision import Verdict
from xenios.model.inventory import PowerState, VmKind
from xenios.model.plan import Verb
from xenios.model.record import Custody, DriftPolicy, Record, WishedPower

VALUES = values_of(Facts)
READ = {fact for part in MAY_WE_TOUCH.parts for fact in part.reads}
ACTING = list(cases_that_act(MAY_WE_TOUCH))
"""Every case in which it acts, over all facts that it reads: worked out from the whole matrix, nothing is sampled."""

NEEDED: dict[str, tuple[StrEnum, ...]] = {
    "kind": (VmKind.MACHINE,),
    "custody": (Custody.CREATED, Custody.ADOPTED),
    "mark": (MarkSeen.OURS,),
    "sighting": (Sighting.FRESH,),
    "quality": (Quality.COMPLETE,),
    "power": (PowerSeen.RUNNING, PowerSeen.HALTED),
    "work": (Work.IDLE,),
    "freeze": (Freeze.NONE,),
    "quiet": (Quiet.OVER,),
}


def wish_is_unmet(case: dict[str, Any]) -> bool:
    running = case["power"] is PowerSeen.RUNNING
    match case["wished"]:
        case Wished.GONE:
            return True
        case Wished.OFF:
            return running
        case Wished.ON if not running:
            return True
        case _:
            return running and case["place"] is WishedPlace.ELSEWHERE


def facts_from(case: dict[str, Any]) -> Facts:
    return Facts(**{fact: case.get(fact, of[0]) for fact, of in VALUES.items()})


# --- what acting implies ---------------------------------------------------------------------------------------------


def test_there_are_cases_that_act_and_they_are_few() -> None:
    assert len(ACTING) == len({tuple(case.items()) for case in ACTING})
    assert 0 < len(ACTING) < 200
    assert all(set(case) == READ for case in ACTING)


def test_acting_means_ours_seen_now_whole_idle_free_and_unmet() -> None:
    for case in ACTING:
        for fact, allowed in NEEDED.items():
            assert case[fact] in allowed, f"acts with {fact} {case[fact]}"
        assert wish_is_unmet(case)
        assert case["wish_age"] is WishAge.NEW or case["drift"] is DriftPolicy.RESTORE
        assert case["wished"] is not Wished.GONE or case["custody"] is Custody.CREATED


def test_one_step_away_from_acting_nothing_acts_that_should_not() -> None:
    """The same again through the table itself: every acting case with each of its facts replaced by every value."""
    for case in ACTING:
        assert MAY_WE_TOUCH.decide(facts_from(case)).verdict is Verdict.ACT
        for fact in VALUES:
            for value in VALUES[fact]:
                near = {**case, fact: value}
                if MAY_WE_TOUCH.decide(facts_from(near)).verdict is Verdict.ACT:
                    assert all(near[needed] in allowed for needed, allowed in NEEDED.items())
                    assert wish_is_unmet(near)


@given(st.fixed_dictionaries({fact: st.sampled_from(of) for fact, of in VALUES.items()}))
def test_any_facts_whatever(case: dict[str, Any]) -> None:
    decision = MAY_WE_TOUCH.decide(facts_from(case))
    if decision.verdict is Verdict.ACT:
        assert all(case[fact] in allowed for fact, allowed in NEEDED.items())
        assert wish_is_unmet(case)


def test_nothing_that_is_unknown_makes_a_difference_to_the_better() -> None:
    """No value that stands for not knowing is in any case that acts."""
    unknown: dict[str, set[StrEnum]] = {
        "mark": set(MarkSeen) - {MarkSeen.OURS},
        "sighting": set(Sighting) - {Sighting.FRESH},
        "quality": {Quality.PARTIAL, Quality.SUSPICIOUS},
        "power": {PowerSeen.UNKNOWN, PowerSeen.UNRECOGNISED},
        "quiet": {Quiet.TOO_EARLY, Quiet.NO_COMPLETE_VIEW},
    }
    for fact, values in unknown.items():
        assert {case[fact] for case in ACTING} & values == set()


@pytest.mark.parametrize("state", PowerState)
@pytest.mark.parametrize("asked", [WishedPower.ON, WishedPower.OFF, "gone"])
def test_an_alien_is_left_alone_in_every_state(state: PowerState, asked: Any) -> None:
    """Promise 11; also where a record or a mark, but not both, says that it is ours."""
    wanted = wish(gone=True) if asked == "gone" else wish(asked)
    alien = a_vm(uuid_of(1), power_state=state)
    copy = marked(alien, a_record(uuid_of(2)))
    theirs = marked(alien, a_record(uuid_of(1)), THEM)
    released = a_record(uuid_of(1), custody=Custody.RELEASED, wish=wanted)
    claimed = a_record(uuid_of(1), wish=wanted)
    for vm, record in (
        (alien, None),
        (copy, None),
        (theirs, None),
        (marked(alien, claimed), None),
        (alien, claimed),
        (copy, claimed),
        (theirs, claimed),
        (alien, released),
        (marked(alien, released), released),
        (replace(marked(alien, claimed), definition_read=False), claimed),
    ):
        assert MAY_WE_TOUCH.decide(facts_of(vm, record)).verdict is not Verdict.ACT


def test_a_record_that_says_unmanaged_is_no_key() -> None:
    vm = our_vm()
    record = a_record(vm.uuid, custody=Custody.UNMANAGED, wish=wish(WishedPower.OFF))
    assert MAY_WE_TOUCH.decide(facts_of(vm, record)).rule == "touch.mark-without-record"


# --- plans -----------------------------------------------------------------------------------------------------------


def a_scene(case: dict[str, Any]) -> tuple[Any, Record, Any]:
    """A VM, its record and a view in which the facts are these."""
    running = case["power"] is PowerSeen.RUNNING
    vm = our_vm(1, power_state=PowerState.RUNNING if running else PowerState.HALTED)
    hosts = (a_host(), a_host("host-2"))
    wished = case["wished"]
    place = {WishedPlace.ANYWHERE: None, WishedPlace.HERE: "host-1", WishedPlace.ELSEWHERE: "host-2"}
    record = a_record(
        vm.uuid,
        custody=case["custody"],
        drift=case["drift"],
        wish=wish(
            {Wished.ON: WishedPower.ON, Wished.OFF: WishedPower.OFF}.get(wished, WishedPower.NONE),
            gone=wished is Wished.GONE,
            host_uuid=place[case["place"]],
            met_at=1 if case["wish_age"] is WishAge.MET_ONCE else None,
        ),
    )
    if case["owner"] is OwnerSeen.ANOTHER:
        vm = replace(vm, annotations={"http://ovirt.org/vm/1.0": ""})
    return vm, record, a_collection(vm, hosts=hosts)


REAL = [
    case for case in ACTING if case["power"] is PowerSeen.RUNNING or case["place"] is WishedPlace.ANYWHERE
]
"""What is off is nowhere, so that the facts never say that it is elsewhere."""


def test_every_case_that_acts_has_a_plan_that_may_be_carried_out_and_suffices() -> None:
    assert len(REAL) > 30
    for case in REAL:
        vm, record, view = a_scene(case)
        facts = facts_of(vm, record, history=history_of(view))
        assert {fact: getattr(facts, fact) for fact in READ} == case, "these facts are of no real VM"
        decision = MAY_WE_TOUCH.decide(facts)
        plan = plan_for(decision, facts, vm, record)
        assert plan is not None
        assert plan.steps, f"acts without a plan: {case}"
        power = PowerSeen(vm.power_state.value)
        for step in plan.steps:
            assert refusal_in_state(step.verb, power) is None
            assert {PowerSeen(state.value) for state in step.expects} == {power}
            if step.leaves is not None:
                power = PowerSeen(step.leaves.value)
        left = carried_out(view.vms, {vm.uuid: plan})
        after = [replace(view, vms=left, seen_at=NOW + n * 60 * SECOND) for n in (1, 2)]
        done = one_pass(after[0], {vm.uuid: record}, history_of(view, after[0]))[vm.uuid]
        again = one_pass(after[1], {vm.uuid: done.record or record}, history_of(view, *after))[vm.uuid]
        for seen in (done, again):
            assert seen.decision.verdict is not Verdict.ACT
            if case["wished"] is not Wished.GONE:
                assert seen.decision.verdict is Verdict.LEAVE_ALONE
        if case["wished"] is Wished.GONE:
            assert left == ()
            assert [step.verb for step in plan.steps][-1] is Verb.DESTROY
            assert again.facts.sighting is Sighting.CONFIRMED_ABSENT


def test_a_wish_that_was_met_is_told_to_be() -> None:
    for case in REAL:
        if case["wished"] in (Wished.GONE, Wished.NOTHING) or case["wish_age"] is WishAge.MET_ONCE:
            continue
        vm, record, view = a_scene(case)
        plan = one_pass(view, {vm.uuid: record}, history_of(view))[vm.uuid].plan
        assert plan is not None
        after = replace(view, vms=carried_out(view.vms, {vm.uuid: plan}), seen_at=NOW + 60 * SECOND)
        done = one_pass(after, {vm.uuid: record}, history_of(view, after))[vm.uuid]
        assert done.record is not None
        if case["wished"] is Wished.ON and case["place"] is WishedPlace.ELSEWHERE:
            continue
        assert done.record.wish.met_at == after.seen_at
        assert done.decision.rule == "touch.as-wished"


# --- one row after the other, as an operator meets them --------------------------------------------------------------

OURS = our_vm()
TO_STOP = a_record(OURS.uuid, wish=wish(WishedPower.OFF), was_on=True)


def rule_for(vm: Any = OURS, record: Record | None = TO_STOP, **how: Any) -> str:
    return MAY_WE_TOUCH.decide(facts_of(vm, record, **how)).rule


def test_what_brakes_an_act() -> None:
    assert rule_for() == "touch.act"
    assert rule_for(installation=an_installation(frozen=True)) == "touch.frozen"
    assert rule_for(installation=an_installation(frozen_pools=frozenset({"pool-1"}))) == "touch.pool-frozen"
    assert rule_for(installation=an_installation(started_at=NOW)) == "touch.quiet-time"
    assert rule_for(replace(OURS, busy=("migrate_send",))) == "touch.anothers-work"
    assert rule_for(record=replace(TO_STOP, operation="op")) == "touch.our-own-work"
    assert rule_for(now=NOW + 3600 * SECOND) == "touch.seen-too-long-ago"
    assert rule_for(history=history_of(a_collection(OURS, all_hosts_seen=False))) == "touch.view-partial"


@pytest.mark.parametrize(
    ("state", "rule"),
    [
        (PowerState.RUNNING, "touch.act"),
        (PowerState.PAUSED, "touch.paused"),
        (PowerState.SUSPENDED, "touch.suspended"),
        (PowerState.SHUTTING_DOWN, "touch.shutting-down"),
        (PowerState.ASLEEP, "touch.asleep"),
        (PowerState.CRASHED, "touch.crashed"),
        (PowerState.HALTED, "touch.as-wished"),
        (PowerState.UNKNOWN, "touch.power-unknown"),
    ],
)
def test_a_wish_to_be_off_in_every_state(state: PowerState, rule: str) -> None:
    assert rule_for(our_vm(power_state=state)) == rule
    assert (
        rule_for(our_vm(power_state=PowerState.PAUSED, paused_on_io_error=True)) == "touch.paused-on-io-error"
    )


def test_drift_is_followed_unless_it_shall_be_restored() -> None:
    met = replace(TO_STOP, wish=wish(WishedPower.OFF, met_at=1))
    assert rule_for(record=met) == "touch.drift-followed"
    assert rule_for(record=replace(met, drift=DriftPolicy.RESTORE)) == "touch.act"


def test_what_was_adopted_is_not_destroyed_by_a_wish() -> None:
    gone = replace(TO_STOP, wish=wish(gone=True))
    assert rule_for(record=gone) == "touch.act"
    assert rule_for(record=replace(gone, custody=Custody.ADOPTED)) == "touch.adopted-shall-go"


def test_what_we_destroyed_and_somebody_brought_back_is_not_destroyed_again() -> None:
    """Restored from a backup with its uuid and its mark. The wish was met once."""
    gone = replace(TO_STOP, wish=wish(gone=True, met_at=1))
    assert rule_for(record=gone) == "touch.drift-followed"


def test_a_move_that_was_asked_is_made_and_what_is_off_is_not_moved() -> None:
    there = a_record(OURS.uuid, wish=wish(host_uuid="host-2"))
    assert rule_for(record=there) == "touch.act"
    assert rule_for(our_vm(power_state=PowerState.HALTED), record=there) == "touch.nothing-asked"
