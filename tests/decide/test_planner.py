"""From a decision to steps: the fewest that do, none without a decision, and none for mixed-up VMs.

Effects: none
"""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.decisions import a_record, facts_of, history_of, our_vm, uuid_of, wish
from tests.support.inventory import a_collection, a_host
from xenios.decide.facts import Facts
from xenios.decide.guards import GUARDS
from xenios.decide.planner import plan_for
from xenios.decide.release import MAY_WE_RELEASE
from xenios.decide.touch import MAY_WE_TOUCH
from xenios.model.inventory import PowerState, Vm
from xenios.model.plan import Hazard, Plan, Verb
from xenios.model.record import Record, WishedPower

ON = our_vm()
OFF = our_vm(power_state=PowerState.HALTED)
HOSTS = (a_host(), a_host("host-2"))


def scene(vm: Vm, **changes: Any) -> tuple[Facts, Record]:
    record = a_record(vm.uuid, **changes)
    return facts_of(vm, record, history=history_of(a_collection(vm, hosts=HOSTS))), record


def plan(vm: Vm, **changes: Any) -> Plan | None:
    facts, record = scene(vm, **changes)
    return plan_for(MAY_WE_TOUCH.decide(facts), facts, vm, record)


@pytest.mark.parametrize(
    ("vm", "asked", "verbs", "hazard"),
    [
        (ON, wish(WishedPower.OFF), [Verb.SHUT_DOWN], Hazard.INTERRUPTS),
        (OFF, wish(WishedPower.ON), [Verb.START], Hazard.HARMLESS),
        (OFF, wish(WishedPower.ON, host_uuid="host-2"), [Verb.START], Hazard.HARMLESS),
        (ON, wish(WishedPower.ON, host_uuid="host-2"), [Verb.MOVE], Hazard.INTERRUPTS),
        (ON, wish(host_uuid="host-2"), [Verb.MOVE], Hazard.INTERRUPTS),
        (ON, wish(WishedPower.OFF, host_uuid="host-2"), [Verb.SHUT_DOWN], Hazard.INTERRUPTS),
        (ON, wish(gone=True), [Verb.SHUT_DOWN, Verb.DESTROY], Hazard.DESTROYS),
        (OFF, wish(gone=True), [Verb.DESTROY], Hazard.DESTROYS),
        (
            ON,
            wish(WishedPower.ON, gone=True, host_uuid="host-2"),
            [Verb.SHUT_DOWN, Verb.DESTROY],
            Hazard.DESTROYS,
        ),
    ],
)
def test_the_fewest_steps(vm: Vm, asked: Any, verbs: list[Verb], hazard: Hazard) -> None:
    made = plan(vm, wish=asked)
    assert made is not None
    assert [step.verb for step in made.steps] == verbs
    assert made.hazard is hazard
    assert (made.native_uuid, made.name, made.because) == (vm.uuid, vm.name, "touch.act")
    for step in made.steps:
        if step.verb in (Verb.MOVE, Verb.START):
            assert step.host_uuid == asked.host_uuid
        assert {power.value for power in step.expects} <= {
            state.value for state in GUARDS[step.verb].states if state is not None
        }


def test_no_step_ever_turns_hard_or_goes_where_nobody_asked() -> None:
    for vm in (ON, OFF):
        for asked in (wish(WishedPower.OFF), wish(WishedPower.ON), wish(gone=True)):
            made = plan(vm, wish=asked)
            verbs = {step.verb for step in made.steps} if made is not None else set()
            assert verbs <= {Verb.SHUT_DOWN, Verb.START, Verb.DESTROY}


@pytest.mark.parametrize("asked", [wish(), wish(WishedPower.ON), wish(WishedPower.ON, host_uuid="host-1")])
def test_without_a_decision_to_act_there_is_no_plan(asked: Any) -> None:
    assert plan(ON, wish=asked) is None


def test_a_decision_of_another_table_is_no_ground_for_a_plan() -> None:
    """Else whoever hands back a VM that somebody once wished to be gone would destroy it."""
    facts, record = scene(OFF, wish=wish(gone=True))
    decision = MAY_WE_RELEASE.decide(facts)
    assert decision.rule == "release.act"
    with pytest.raises(ValueError, match=r"release\.act was not decided"):
        plan_for(decision, facts, OFF, record)


def test_a_decision_about_other_facts_is_no_ground_for_a_plan() -> None:
    facts, record = scene(OFF, wish=wish(WishedPower.ON))
    other, _ = scene(ON, wish=wish(gone=True))
    with pytest.raises(ValueError, match="not decided of these facts"):
        plan_for(MAY_WE_TOUCH.decide(facts), other, OFF, record)


def test_another_vm_is_no_ground_for_a_plan() -> None:
    facts, record = scene(OFF, wish=wish(WishedPower.ON))
    decision = MAY_WE_TOUCH.decide(facts)
    with pytest.raises(ValueError, match="is of VM"):
        plan_for(decision, facts, replace(OFF, uuid=uuid_of(2)), record)
    with pytest.raises(ValueError, match="is of VM"):
        plan_for(decision, facts, OFF, replace(record, native_uuid=uuid_of(2)))


def test_a_plan_says_what_undoes_it() -> None:
    for vm, asked in ((ON, wish(WishedPower.OFF)), (OFF, wish(WishedPower.ON)), (OFF, wish(gone=True))):
        made = plan(vm, wish=asked)
        assert made is not None
        assert all(step.undone_by is not None for step in made.steps)
