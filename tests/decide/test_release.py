"""May a VM be handed back? The mark comes off what carries it for certain, and nothing else is written.

Effects: none
"""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.decisions import (
    NOW,
    POOL,
    SECOND,
    THEM,
    a_record,
    an_installation,
    facts_of,
    history_of,
    marked,
    our_vm,
    uuid_of,
    wish,
)
from tests.support.inventory import a_collection, a_host, a_pool, a_vm
from tests.support.matrix import cases_that_act
from xenios.decide.facts import Freeze, Work
from xenios.decide.ownership import MarkSeen
from xenios.decide.presence import Sighting
from xenios.decide.release import MAY_WE_RELEASE
from xenios.decide.view_history import after_silence
from xenios.model.decision import Verdict
from xenios.model.inventory import Answer, PowerState
from xenios.model.record import Custody, Record, WishedPower

OURS = our_vm()
RECORD = a_record(OURS.uuid)


def rule_for(vm: Any = OURS, record: Record | None = RECORD, **how: Any) -> str:
    return MAY_WE_RELEASE.decide(facts_of(vm, record, **how)).rule


def test_acting_means_our_own_mark_seen_now_and_nothing_in_the_way() -> None:
    for case in cases_that_act(MAY_WE_RELEASE):
        assert case["mark"] in (MarkSeen.OURS, MarkSeen.OTHER_EPOCH, MarkSeen.OTHER_RECORD)
        assert case["sighting"] is Sighting.FRESH
        assert case["freeze"] is Freeze.NONE
        assert case["work"] is Work.IDLE


@pytest.mark.parametrize("custody", [Custody.CREATED, Custody.ADOPTED, Custody.RELEASED])
def test_what_carries_our_mark_may_be_handed_back(custody: Custody) -> None:
    assert rule_for(record=replace(RECORD, custody=custody)) == "release.act"
    assert rule_for(record=replace(RECORD, custody=custody, epoch=2)) == "release.act"


def test_a_mark_without_a_record_may_be_taken_off() -> None:
    assert rule_for(record=None) == "release.act"


def test_what_is_not_ours_to_take_off_stays() -> None:
    alien = a_vm(OURS.uuid)
    assert rule_for(alien, None) == "release.not-ours"
    assert rule_for(marked(alien, RECORD, THEM)) == "release.another-installations"
    assert rule_for(marked(alien, RECORD, THEM), None) == "release.another-installations"
    assert rule_for(marked(alien, a_record(uuid_of(2))), None) == "release.not-ours"
    assert rule_for(marked(alien, a_record(uuid_of(2)))) == "release.copy"
    assert rule_for(replace(OURS, mark="rubbish")) == "release.mark-not-ours-to-read"
    assert rule_for(replace(OURS, mark="xenios/2 x")) == "release.mark-not-ours-to-read"
    assert rule_for(replace(OURS, mark=OURS.mark[:-1] + "g")) == "release.mark-not-ours-to-read"
    assert rule_for(alien) == "release.no-mark"
    assert rule_for(alien, replace(RECORD, custody=Custody.RELEASED)) == "release.done"


@pytest.mark.parametrize("state", PowerState)
@pytest.mark.parametrize("wished", WishedPower)
def test_neither_what_it_does_nor_what_was_wished_stands_against_it(
    state: PowerState, wished: WishedPower
) -> None:
    assert rule_for(our_vm(power_state=state), replace(RECORD, wish=wish(wished))) == "release.act"


def test_it_waits_for_what_is_in_the_way() -> None:
    assert rule_for(installation=an_installation(frozen_pools=frozenset({POOL}))) == "release.frozen"
    assert rule_for(installation=an_installation(frozen=True)) == "release.frozen"
    assert rule_for(record=replace(RECORD, operation="op")) == "release.our-own-work"
    assert rule_for(replace(OURS, busy=("export",))) == "release.anothers-work"
    assert rule_for(now=NOW + 3600 * SECOND) == "release.not-seen"
    assert rule_for(replace(OURS, definition_read=False)) == "release.not-seen"
    assert rule_for(history=after_silence(history_of(a_collection(OURS)), NOW)) == "release.not-seen"
    assert (
        rule_for(history=history_of(a_collection(OURS, hosts=(a_host(live=Answer.NO),))))
        == "release.not-seen"
    )
    assert rule_for(history=history_of(a_collection(OURS, OURS))) == "release.doubled"
    without = a_collection()
    assert rule_for(None, history=history_of(without)) == "release.not-seen"
    assert rule_for(None, history=history_of(without, without)) == "release.gone"


def test_a_view_that_is_not_believed_is_no_ground_for_writing() -> None:
    """A copy of the pool, say, restored elsewhere with every uuid and mark in it."""
    other_pool = a_collection(OURS, pool=a_pool(uuid="pool-2"))
    facts = facts_of(OURS, RECORD, history=history_of(other_pool))
    assert MAY_WE_RELEASE.decide(facts).verdict is not Verdict.ACT
