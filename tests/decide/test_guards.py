"""Guards: every verb in every state and beside every other, written down.

Effects: reads files
"""

import pytest

from tests.support.golden import check_golden
from xenios.decide.facts import PowerSeen
from xenios.decide.guards import GUARDS, refusal_beside, refusal_in_state
from xenios.model.decision import Verdict
from xenios.model.plan import Hazard, Verb

STATES: tuple[PowerSeen | None, ...] = (*PowerSeen, None)
UNSURE = (PowerSeen.UNKNOWN, PowerSeen.UNRECOGNISED)


def test_every_verb_has_a_guard() -> None:
    assert set(GUARDS) == set(Verb)


def test_every_verb_in_every_state() -> None:
    lines = [
        "# Which verb may begin in which state (yes), and why not (the rule). `no VM`: there is none.",
        "",
    ]
    for verb in Verb:
        lines.append(f"{verb} ({GUARDS[verb].hazard})")
        for state in STATES:
            refusal = refusal_in_state(verb, state)
            lines.append(f"    {state or 'no VM':<24}{'yes' if refusal is None else refusal.rule}")
    check_golden("decisions/guards-states.txt", "\n".join(lines) + "\n")


def test_every_verb_beside_every_other() -> None:
    lines = ["# Which verb may begin beside work of ours, because it ends it. All others wait.", ""]
    for verb in Verb:
        beside = [str(other) for other in Verb if refusal_beside(verb, other) is None]
        lines.append(f"{verb:<32}{', '.join(beside) or '(nothing)'}")
    check_golden("decisions/guards-beside.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize("verb", Verb)
def test_beside_nothing_everything_may_begin(verb: Verb) -> None:
    assert refusal_beside(verb, None) is None


@pytest.mark.parametrize("verb", Verb)
def test_nothing_begins_beside_itself_or_beside_what_destroys(verb: Verb) -> None:
    assert verb not in GUARDS[verb].replaces
    for other in GUARDS[verb].replaces:
        assert GUARDS[other].hazard is not Hazard.DESTROYS
        assert verb not in GUARDS[other].replaces, "two that end each other would never end"


@pytest.mark.parametrize("state", UNSURE)
def test_nothing_but_our_own_record_is_changed_in_an_unknown_state(state: PowerSeen) -> None:
    assert [verb for verb in Verb if refusal_in_state(verb, state) is None] == [Verb.FORGET]


def test_nothing_that_destroys_begins_while_the_guest_runs_but_for_a_revert() -> None:
    for verb in Verb:
        if GUARDS[verb].hazard is Hazard.DESTROYS and verb not in (Verb.REVERT, Verb.DELETE_SNAPSHOT):
            assert GUARDS[verb].states == {PowerSeen.HALTED}


def test_the_hazard_of_every_verb_that_stops_a_guest() -> None:
    harmful = {verb for verb in Verb if GUARDS[verb].hazard is not Hazard.HARMLESS}
    assert harmful == {
        Verb.SHUT_DOWN,
        Verb.POWER_OFF,
        Verb.REBOOT,
        Verb.RESET,
        Verb.SUSPEND,
        Verb.MOVE,
        Verb.DESTROY,
        Verb.REVERT,
        Verb.DELETE_SNAPSHOT,
        Verb.DETACH_DISK,
    }


@pytest.mark.parametrize("verb", Verb)
def test_a_refusal_says_why_and_what_to_do(verb: Verb) -> None:
    for state in STATES:
        refusal = refusal_in_state(verb, state)
        if refusal is None:
            continue
        assert refusal.rule.startswith("guard.")
        assert refusal.verdict is not Verdict.ACT
        assert str(verb) in refusal.because
        assert refusal.remedy
        assert (refusal.rule == "guard.power-unknown") == (
            state in UNSURE and None not in GUARDS[verb].states
        )
    for other in Verb:
        refusal = refusal_beside(verb, other)
        if refusal is not None:
            assert refusal.rule == "guard.one-at-a-time"
            assert str(other) in refusal.because


@pytest.mark.parametrize("verb", [Verb.DEPLOY, Verb.RESTORE])
def test_what_makes_a_vm_needs_that_there_is_none(verb: Verb) -> None:
    assert [state for state in STATES if refusal_in_state(verb, state) is None] == [None]
