"""A pool with VMs of ours and of others, for tests of deciding: records, marks, views, and one whole pass over them.

Effects: none
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from tests.support.inventory import a_collection, a_vm
from xenios.decide.changed import WHAT_CHANGED
from xenios.decide.facts import Facts, Wished, facts_about
from xenios.decide.ownership import mark_of
from xenios.decide.planner import plan_for
from xenios.decide.touch import MAY_WE_TOUCH
from xenios.decide.view_history import PoolHistory, after_view
from xenios.model.collection import Collection
from xenios.model.decision import Decision
from xenios.model.inventory import PowerState, Vm
from xenios.model.mark import text_of
from xenios.model.plan import Plan, Verb
from xenios.model.policy import Thresholds
from xenios.model.record import Custody, Installation, Record, Wish, WishedPower

SECOND = 1_000_000
NOW = 1_790_000_000_000_000
"""When the views of tests/support/inventory.py are made."""
POOL = "pool-1"
US = "aaaaaaaa-0000-4000-8000-000000000001"
THEM = "bbbbbbbb-0000-4000-8000-000000000002"
DEFAULTS = Thresholds()
_PLACED = frozenset({PowerState.RUNNING, PowerState.PAUSED, PowerState.ASLEEP})


def uuid_of(number: int) -> str:
    """The uuid of the n-th VM."""
    return f"{number:08x}-1111-4111-8111-111111111111"


def a_record(native_uuid: str, **changes: Any) -> Record:
    """A record of a VM that we made, without a wish, as it is found. A wish was asked just now, unless it says when."""
    facts: dict[str, Any] = {
        "vm_id": f"cccccccc{native_uuid[8:]}",
        "pool_uuid": POOL,
        "native_uuid": native_uuid,
        "custody": Custody.CREATED,
        "epoch": 1,
    }
    wish = changes.get("wish")
    if wish is not None and wish.asked_at is None:
        changes["wish"] = replace(wish, asked_at=NOW)
    return Record(**(facts | changes))


def an_installation(**changes: Any) -> Installation:
    """This Xenios, which began to look an hour ago."""
    facts: dict[str, Any] = {"id": US, "started_at": NOW - 3600 * SECOND}
    return Installation(**(facts | changes))


def marked(vm: Vm, record: Record, installation_id: str = US) -> Vm:
    """The VM with the mark that belongs to the record."""
    return replace(vm, mark=text_of(mark_of(record, installation_id)))


def our_vm(number: int = 1, **changes: Any) -> Vm:
    """A VM that carries the mark of its `a_record`."""
    uuid = uuid_of(number)
    return marked(a_vm(uuid, **changes), a_record(uuid))


def history_of(*views: Collection, thresholds: Thresholds = DEFAULTS, pool_uuid: str = POOL) -> PoolHistory:
    """What these views come to, each looked at when it was made."""
    history = PoolHistory(pool_uuid=pool_uuid)
    for view in views:
        history = after_view(history, view, view.seen_at, thresholds)
    return history


def facts_of(
    vm: Vm | None,
    record: Record | None = None,
    *,
    history: PoolHistory | None = None,
    installation: Installation | None = None,
    now: int = NOW,
    thresholds: Thresholds = DEFAULTS,
) -> Facts:
    """The facts about a VM; in a view of its own unless there is a history."""
    if history is None:
        history = history_of(a_collection(*([vm] if vm is not None else [])))
    return facts_about(vm, record, history, installation or an_installation(), now, thresholds)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a pass comes to for one VM."""

    facts: Facts
    changed: Decision
    decision: Decision
    record: Record | None
    plan: Plan | None


def one_pass(
    view: Collection,
    records: Mapping[str, Record],
    history: PoolHistory,
    *,
    installation: Installation | None = None,
    now: int | None = None,
    thresholds: Thresholds = DEFAULTS,
) -> dict[str, Seen]:
    """Every VM of the view and every record, by uuid, decided as a pass decides. `history`: with the view in it."""
    installation = installation or an_installation()
    now = view.seen_at if now is None else now
    seen: dict[str, Seen] = {}
    vms = {vm.uuid: vm for vm in view.vms}
    for uuid in dict.fromkeys((*vms, *records)):
        vm, record = vms.get(uuid), records.get(uuid)
        facts = facts_about(vm, record, history, installation, now, thresholds)
        changed = WHAT_CHANGED.decide(facts)
        if record is not None:
            record = followed(record, changed, facts, vm, now)
            facts = facts_about(vm, record, history, installation, now, thresholds)
        decision = MAY_WE_TOUCH.decide(facts)
        plan = plan_for(decision, facts, vm, record) if vm is not None and record is not None else None
        seen[uuid] = Seen(facts=facts, changed=changed, decision=decision, record=record, plan=plan)
    return seen


def followed(record: Record, changed: Decision, facts: Facts, vm: Vm | None, now: int) -> Record:
    """The record after what WHAT_CHANGED said."""
    if vm is None:
        return record
    was_on, host_uuid = vm.holds_memory, vm.host_uuid if vm.power_state in _PLACED else record.host_uuid
    match changed.rule:
        case "changed.followed-stop" | "changed.followed-start":
            wish = replace(record.wish, power=WishedPower.NONE)
            return replace(record, was_on=was_on, host_uuid=host_uuid, wish=wish)
        case "changed.followed-move":
            return replace(record, host_uuid=host_uuid)
        case "changed.as-asked":
            met = replace(record.wish, met_at=now)
            return replace(record, was_on=was_on, host_uuid=host_uuid, wish=met)
        case "changed.nothing":
            told = replace(record, was_on=was_on, host_uuid=host_uuid)
            done = MAY_WE_TOUCH.decide(facts).rule == "touch.as-wished" and facts.wished is not Wished.NOTHING
            return replace(told, wish=replace(told.wish, met_at=told.wish.met_at or now)) if done else told
        case _:
            return record


def carried_out(vms: Iterable[Vm], plans: Mapping[str, Plan]) -> tuple[Vm, ...]:
    """The VMs after every plan succeeded."""
    left = []
    for vm in vms:
        after: Vm | None = vm
        plan = plans.get(vm.uuid)
        for step in plan.steps if plan is not None else ():
            assert after is not None
            assert after.power_state in step.expects
            if step.verb is Verb.DESTROY:
                after = None
                continue
            assert step.leaves is not None
            host = step.host_uuid or after.host_uuid or "host-1"
            after = replace(
                after, power_state=step.leaves, host_uuid=None if step.leaves is PowerState.HALTED else host
            )
        if after is not None:
            left.append(after)
    return tuple(left)


def wish(power: WishedPower = WishedPower.NONE, **changes: Any) -> Wish:
    """A wish that was not met yet."""
    return Wish(power=power, **({"asked_at": NOW} | changes))
