"""Guards: in which state and beside which other work a verb may begin, and how dangerous it is. The last word before an
act, whoever asks for it.

They are our own. A hypervisor refuses by rules of its own, on top of these.

Effects: none
"""

from collections.abc import Mapping

import msgspec

from xenios.decide.facts import PowerSeen
from xenios.model.decision import Refusal, Verdict
from xenios.model.plan import Hazard, Verb

_NO_VM: frozenset[PowerSeen | None] = frozenset({None})
_KNOWN: frozenset[PowerSeen | None] = frozenset(PowerSeen) - {PowerSeen.UNKNOWN, PowerSeen.UNRECOGNISED}
_ANY: frozenset[PowerSeen | None] = frozenset(PowerSeen) | _NO_VM
_SETTLED: frozenset[PowerSeen | None] = frozenset(
    {PowerSeen.RUNNING, PowerSeen.PAUSED, PowerSeen.SUSPENDED, PowerSeen.HALTED}
)


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for one verb."""

    hazard: Hazard
    states: frozenset[PowerSeen | None]
    """States in which it may begin; None: there is no such VM."""
    replaces: frozenset[Verb] = frozenset()
    """Work that it may begin beside, because it ends it. Beside anything else it waits."""


def _in(*states: PowerSeen) -> frozenset[PowerSeen | None]:
    return frozenset(states)


GUARDS: Mapping[Verb, Guard] = {
    Verb.ADOPT: Guard(hazard=Hazard.HARMLESS, states=_KNOWN),
    Verb.RELEASE: Guard(hazard=Hazard.HARMLESS, states=_KNOWN),
    Verb.FORGET: Guard(hazard=Hazard.HARMLESS, states=_ANY),
    Verb.DEPLOY: Guard(hazard=Hazard.HARMLESS, states=_NO_VM),
    Verb.START: Guard(hazard=Hazard.HARMLESS, states=_in(PowerSeen.HALTED)),
    Verb.SHUT_DOWN: Guard(hazard=Hazard.INTERRUPTS, states=_in(PowerSeen.RUNNING)),
    Verb.POWER_OFF: Guard(
        hazard=Hazard.INTERRUPTS,
        states=_in(
            PowerSeen.RUNNING,
            PowerSeen.PAUSED,
            PowerSeen.PAUSED_ON_IO_ERROR,
            PowerSeen.SHUTTING_DOWN,
            PowerSeen.ASLEEP,
            PowerSeen.CRASHED,
        ),
        replaces=frozenset({Verb.SHUT_DOWN, Verb.REBOOT, Verb.RESET, Verb.SUSPEND, Verb.MOVE}),
    ),
    Verb.REBOOT: Guard(hazard=Hazard.INTERRUPTS, states=_in(PowerSeen.RUNNING)),
    Verb.RESET: Guard(
        hazard=Hazard.INTERRUPTS,
        states=_in(PowerSeen.RUNNING, PowerSeen.PAUSED, PowerSeen.PAUSED_ON_IO_ERROR),
        replaces=frozenset({Verb.SHUT_DOWN, Verb.REBOOT}),
    ),
    Verb.SUSPEND: Guard(hazard=Hazard.INTERRUPTS, states=_in(PowerSeen.RUNNING)),
    Verb.RESUME: Guard(
        hazard=Hazard.HARMLESS,
        states=_in(PowerSeen.SUSPENDED, PowerSeen.PAUSED, PowerSeen.PAUSED_ON_IO_ERROR),
    ),
    Verb.MOVE: Guard(hazard=Hazard.INTERRUPTS, states=_in(PowerSeen.RUNNING)),
    Verb.DESTROY: Guard(hazard=Hazard.DESTROYS, states=_in(PowerSeen.HALTED)),
    Verb.SNAPSHOT: Guard(hazard=Hazard.HARMLESS, states=_SETTLED),
    Verb.REVERT: Guard(hazard=Hazard.DESTROYS, states=_SETTLED),
    Verb.DELETE_SNAPSHOT: Guard(hazard=Hazard.DESTROYS, states=_SETTLED),
    Verb.RESIZE: Guard(hazard=Hazard.HARMLESS, states=_in(PowerSeen.HALTED)),
    Verb.ATTACH_DISK: Guard(hazard=Hazard.HARMLESS, states=_in(PowerSeen.HALTED, PowerSeen.RUNNING)),
    Verb.DETACH_DISK: Guard(hazard=Hazard.INTERRUPTS, states=_in(PowerSeen.HALTED, PowerSeen.RUNNING)),
    Verb.RESTORE: Guard(hazard=Hazard.HARMLESS, states=_NO_VM),
}


def refusal_in_state(verb: Verb, power: PowerSeen | None) -> Refusal | None:
    """Why the verb may not begin in this state; `power` None: there is no such VM."""
    states = GUARDS[verb].states
    if power in states:
        return None
    unknown = power in (PowerSeen.UNKNOWN, PowerSeen.UNRECOGNISED)
    if states == _NO_VM:
        return Refusal(
            rule="guard.is-there",
            verdict=Verdict.LEAVE_ALONE,
            because=f"{verb} makes a VM, and it is there already",
            remedy="nothing to do",
        )
    allowed = ", ".join(sorted(state for state in states if state is not None))
    return Refusal(
        rule="guard.power-unknown" if unknown else "guard.power-state",
        verdict=Verdict.WAIT,
        because=f"{verb} is for a VM that is {allowed}; this one is {power or 'not there'}",
        remedy="ask the hypervisor's own tools what the VM does"
        if unknown
        else "bring it to such a state first",
    )


def refusal_beside(verb: Verb, under_way: Verb | None) -> Refusal | None:
    """Why the verb may not begin beside an operation of ours; `under_way` None: there is none."""
    if under_way is None or under_way in GUARDS[verb].replaces:
        return None
    return Refusal(
        rule="guard.one-at-a-time",
        verdict=Verdict.WAIT,
        because=f"{under_way} is under way, and {verb} does not go beside it",
        remedy="wait until that is over, or cancel it",
    )
