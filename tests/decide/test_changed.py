"""What a change means for our record: followed, restored, waited for or told, and never more than that.

Effects: none
"""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.decisions import (
    NOW,
    a_record,
    facts_of,
    history_of,
    marked,
    one_pass,
    our_vm,
    uuid_of,
    wish,
)
from tests.support.inventory import a_collection, a_host, a_pool, a_vm
from xenios.decide.changed import WHAT_CHANGED
from xenios.decide.view_history import after_silence
from xenios.model.collection import Collection
from xenios.model.decision import Verdict
from xenios.model.inventory import Answer, PowerState, Vm
from xenios.model.record import Custody, DriftPolicy, Record, WishedPower

ON = our_vm()
OFF = our_vm(power_state=PowerState.HALTED)
HOSTS = (a_host(), a_host("host-2"))
MOVED = our_vm(host_uuid="host-2")
WAS_ON = a_record(ON.uuid, was_on=True, host_uuid="host-1")
WAS_OFF = a_record(ON.uuid, was_on=False)


def rule_for(vm: Vm | None, record: Record | None, *views: Collection, **how: Any) -> str:
    history = history_of(*(views or (a_collection(*([vm] if vm else []), hosts=HOSTS),)))
    return WHAT_CHANGED.decide(facts_of(vm, record, history=history, **how)).rule


def test_it_never_acts() -> None:
    assert all(rule.verdict is not Verdict.ACT for rule in WHAT_CHANGED.rows)


def asked(record: Record, power: WishedPower, **changes: Any) -> Record:
    drift = changes.pop("drift", DriftPolicy.FOLLOW)
    return replace(record, wish=wish(power, **changes), drift=drift)


@pytest.mark.parametrize(
    ("vm", "record", "rule"),
    [
        (ON, WAS_ON, "changed.nothing"),
        (OFF, WAS_OFF, "changed.nothing"),
        (ON, a_record(ON.uuid), "changed.nothing"),
        (OFF, WAS_ON, "changed.followed-stop"),
        (our_vm(power_state=PowerState.SUSPENDED), WAS_ON, "changed.suspended"),
        (our_vm(power_state=PowerState.PAUSED), WAS_ON, "changed.nothing"),
        (our_vm(power_state=PowerState.CRASHED), WAS_ON, "changed.nothing"),
        (ON, WAS_OFF, "changed.followed-start"),
        (MOVED, WAS_ON, "changed.followed-move"),
        (our_vm(power_state=PowerState.UNKNOWN), WAS_ON, "changed.power-unknown"),
        (OFF, asked(WAS_ON, WishedPower.OFF), "changed.as-asked"),
        (OFF, replace(WAS_ON, wish=wish(gone=True)), "changed.as-asked"),
        (ON, asked(WAS_OFF, WishedPower.ON), "changed.as-asked"),
        (MOVED, replace(WAS_ON, wish=wish(host_uuid="host-2")), "changed.as-asked"),
        (OFF, asked(WAS_ON, WishedPower.ON), "changed.followed-stop"),
        (OFF, asked(WAS_ON, WishedPower.ON, met_at=1), "changed.followed-stop"),
        (ON, asked(WAS_OFF, WishedPower.OFF, met_at=1), "changed.followed-start"),
        (OFF, asked(WAS_ON, WishedPower.ON, met_at=1, drift=DriftPolicy.RESTORE), "changed.drift-to-restore"),
        (
            ON,
            asked(WAS_OFF, WishedPower.OFF, met_at=1, drift=DriftPolicy.RESTORE),
            "changed.drift-to-restore",
        ),
        (
            MOVED,
            replace(WAS_ON, wish=wish(host_uuid="host-1", met_at=1), drift=DriftPolicy.RESTORE),
            "changed.drift-to-restore",
        ),
    ],
)
def test_what_is_ours_and_seen(vm: Vm, record: Record, rule: str) -> None:
    assert rule_for(vm, record) == rule


def test_what_is_not_ours_changes_no_record() -> None:
    alien = a_vm(uuid_of(3))
    assert rule_for(alien, None) == "changed.not-ours"
    assert rule_for(ON, replace(WAS_OFF, custody=Custody.RELEASED)) == "changed.not-ours"
    assert rule_for(ON, None) == "changed.not-ours"


def test_what_is_not_seen_for_certain_changes_no_record() -> None:
    without = a_collection(hosts=HOSTS)
    assert rule_for(None, WAS_ON) == "changed.unknown"
    assert rule_for(None, WAS_ON, without, without) == "changed.gone"
    assert rule_for(None, WAS_ON, a_collection(all_vms_seen=False)) == "changed.unknown"
    assert rule_for(OFF, WAS_ON, now=NOW + 10**10) == "changed.unknown"
    assert rule_for(ON, WAS_OFF, a_collection(ON, hosts=(a_host(live=Answer.NO),))) == "changed.unknown"
    assert rule_for(OFF, WAS_ON, a_collection(OFF, ON)) == "changed.contradictory"
    assert rule_for(ON, WAS_OFF, a_collection(ON, MOVED)) == "changed.contradictory"
    assert rule_for(OFF, WAS_ON, a_collection(OFF, pool=a_pool(uuid="pool-2"))) == "changed.view-suspicious"
    silent = after_silence(history_of(a_collection(ON)), NOW)
    assert WHAT_CHANGED.decide(facts_of(ON, WAS_OFF, history=silent)).rule == "changed.unknown"


def test_what_carries_no_fitting_mark_changes_no_record() -> None:
    for vm in (replace(OFF, mark=""), replace(OFF, mark="x"), marked(OFF, a_record(uuid_of(2)))):
        assert rule_for(vm, WAS_ON) == "changed.keys-do-not-fit"


def test_a_mark_that_was_not_read_is_not_told_to_be_wrong() -> None:
    decision = rule_for(replace(OFF, definition_read=False), WAS_ON)
    assert decision != "changed.keys-do-not-fit", "nobody knows whether the keys fit: wait, and ask nobody"


def test_work_under_way_changes_no_record() -> None:
    assert rule_for(OFF, replace(WAS_ON, operation="op")) == "changed.our-own-doing"
    assert rule_for(replace(OFF, busy=("clean_shutdown",)), WAS_ON) == "changed.in-anothers-hands"


# --- promises --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("views", [(ON, MOVED), (ON, None, MOVED), (ON, None, None, MOVED), (MOVED,)])
def test_a_vm_that_somebody_moved_is_never_called_stopped_and_never_started(
    views: tuple[Vm | None, ...],
) -> None:
    """Promise 7, in either order of arrival: first missing where it was, or first seen where it is."""
    records = {ON.uuid: asked(WAS_ON, WishedPower.ON, met_at=1, drift=DriftPolicy.RESTORE)}
    seen_so_far: list[Collection] = []
    for n, vm in enumerate(views):
        seen_so_far.append(a_collection(*([vm] if vm else []), hosts=HOSTS, seen_at=NOW + n * 60_000_000))
        seen = one_pass(seen_so_far[-1], records, history_of(*seen_so_far))[ON.uuid]
        assert seen.plan is None
        assert seen.decision.verdict is not Verdict.ACT
        assert seen.record is not None
        assert seen.record.was_on is True
        assert seen.changed.rule != "changed.followed-stop"
        records = {ON.uuid: seen.record}
    assert records[ON.uuid].host_uuid == "host-2"


def test_a_vm_that_was_shut_down_from_inside_stays_down() -> None:
    records = {ON.uuid: asked(WAS_ON, WishedPower.ON, met_at=1)}
    view = a_collection(OFF, hosts=HOSTS)
    for _ in range(3):
        seen = one_pass(view, records, history_of(view))[ON.uuid]
        assert seen.plan is None
        assert seen.record is not None
        records = {ON.uuid: seen.record}
    assert records[ON.uuid].wish.power is WishedPower.NONE
    assert records[ON.uuid].was_on is False


def test_what_shall_be_restored_is_brought_back() -> None:
    records = {ON.uuid: asked(WAS_ON, WishedPower.ON, met_at=1, drift=DriftPolicy.RESTORE)}
    view = a_collection(OFF, hosts=HOSTS)
    seen = one_pass(view, records, history_of(view))[ON.uuid]
    assert (seen.changed.rule, seen.decision.rule) == ("changed.drift-to-restore", "touch.act")
