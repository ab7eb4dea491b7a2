"""From a wish that may be acted on to a plan: the fewest steps that bring the VM there, each expecting what it needs.

Effects: none
"""

from xenios.decide.facts import Facts, PowerSeen, Wished, WishedPlace
from xenios.decide.guards import GUARDS
from xenios.decide.rules import facts_as_pairs
from xenios.decide.touch import MAY_WE_TOUCH
from xenios.model.decision import Decision, Verdict
from xenios.model.inventory import PowerState, Vm
from xenios.model.plan import Hazard, Plan, Step, Verb
from xenios.model.record import Record

_HAZARDS = tuple(Hazard)


def plan_for(decision: Decision, facts: Facts, vm: Vm, record: Record) -> Plan | None:
    """What a decision to act comes to; None for every other decision, and when nothing is to be done.

    The steps only say what would be done. Whether it may be, is asked again before each of them. Raises ValueError when
    these do not belong together: whoever calls has mixed up VMs or tables, and nothing may come of that.
    """
    if decision.verdict is not Verdict.ACT:
        return None
    if decision.table != MAY_WE_TOUCH.name or decision.facts != facts_as_pairs(facts):
        raise ValueError(f"{decision.rule} was not decided of these facts about the VM {vm.uuid}")
    if vm.uuid != record.native_uuid:
        raise ValueError(f"the record {record.vm_id} is of VM {record.native_uuid}, not of {vm.uuid}")
    steps = _steps(facts, record)
    if not steps:
        return None
    return Plan(
        native_uuid=vm.uuid,
        name=vm.name,
        because=decision.rule,
        hazard=max((GUARDS[step.verb].hazard for step in steps), key=_HAZARDS.index),
        steps=steps,
    )


def _steps(facts: Facts, record: Record) -> tuple[Step, ...]:
    runs = facts.power is PowerSeen.RUNNING
    if facts.wished is Wished.GONE:
        return (*((_SHUT_DOWN,) if runs else ()), _DESTROY)
    if facts.wished is Wished.OFF:
        return (_SHUT_DOWN,) if runs else ()
    if facts.wished is Wished.ON and facts.power is PowerSeen.HALTED:
        return (_start_on(record.wish.host_uuid),)
    if runs and facts.place is WishedPlace.ELSEWHERE:
        return (_move_to(record.wish.host_uuid),)
    return ()


_SHUT_DOWN = Step(
    verb=Verb.SHUT_DOWN, expects=(PowerState.RUNNING,), leaves=PowerState.HALTED, undone_by=Verb.START
)
_DESTROY = Step(verb=Verb.DESTROY, expects=(PowerState.HALTED,), leaves=None, undone_by=Verb.RESTORE)


def _start_on(host_uuid: str | None) -> Step:
    return Step(
        verb=Verb.START,
        expects=(PowerState.HALTED,),
        leaves=PowerState.RUNNING,
        host_uuid=host_uuid,
        undone_by=Verb.SHUT_DOWN,
    )


def _move_to(host_uuid: str | None) -> Step:
    return Step(
        verb=Verb.MOVE,
        expects=(PowerState.RUNNING,),
        leaves=PowerState.RUNNING,
        host_uuid=host_uuid,
        undone_by=Verb.MOVE,
    )
