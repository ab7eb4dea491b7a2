"""Facts from clocks, records and switches: quiet time, freeze, consent, wishes, and what changed since it was recorded.

Effects: none
"""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.decisions import (
    DEFAULTS,
    NOW,
    POOL,
    SECOND,
    a_record,
    an_installation,
    facts_of,
    history_of,
    our_vm,
    uuid_of,
    wish,
)
from tests.support.inventory import a_collection, a_host, a_vm
from xenios.decide.changed import WHAT_CHANGED
from xenios.decide.facts import (
    Consent,
    Freeze,
    Move,
    PowerChange,
    PowerSeen,
    Quiet,
    WishAge,
    Wished,
    WishedPlace,
    Work,
    facts_about,
)
from xenios.decide.ownership import MarkSeen
from xenios.decide.presence import Sighting
from xenios.decide.touch import MAY_WE_TOUCH
from xenios.decide.view_history import PoolHistory, after_host_is_off, after_view
from xenios.model.decision import Verdict
from xenios.model.inventory import Answer, Host, PowerState, Vm
from xenios.model.record import Custody, DriftPolicy, Wish, WishedPower

# --- clocks, records, switches ---------------------------------------------------------------------------------------

VM_1 = our_vm()
RECORD_1 = a_record(VM_1.uuid)


def test_facts_of_what_does_not_belong_together_are_refused() -> None:
    history = history_of(a_collection(VM_1))
    for vm, record in (
        (None, None),
        (VM_1, a_record(uuid_of(2))),
        (VM_1, a_record(VM_1.uuid, pool_uuid="pool-2")),
        (None, a_record(VM_1.uuid, pool_uuid="pool-2")),
    ):
        with pytest.raises(ValueError, match="record"):
            facts_of(vm, record, history=history)


def test_a_record_whose_vm_nobody_sees() -> None:
    facts = facts_of(None, RECORD_1, history=history_of(a_collection()))
    assert (facts.mark, facts.power, facts.sighting) == (
        MarkSeen.NOT_READ,
        PowerSeen.UNKNOWN,
        Sighting.NOT_LISTED_ONCE,
    )
    assert facts.power_change is PowerChange.UNKNOWN
    assert facts_of(None, RECORD_1, history=PoolHistory(pool_uuid=POOL)).sighting is Sighting.NO_VIEW


@pytest.mark.parametrize(
    ("started_seconds_ago", "quiet"),
    [(0, Quiet.TOO_EARLY), (119, Quiet.TOO_EARLY), (120, Quiet.OVER), (-5, Quiet.TOO_EARLY)],
)
def test_quiet_time_after_start(started_seconds_ago: int, quiet: Quiet) -> None:
    installation = an_installation(started_at=NOW - started_seconds_ago * SECOND)
    assert facts_of(VM_1, RECORD_1, installation=installation).quiet is quiet


def test_quiet_until_the_first_complete_view_however_long_it_takes() -> None:
    partial = a_collection(VM_1, all_vms_seen=False)
    history = history_of(partial, partial, partial)
    assert facts_of(VM_1, RECORD_1, history=history).quiet is Quiet.NO_COMPLETE_VIEW


def test_freeze() -> None:
    for installation, freeze in (
        (an_installation(frozen_pools=frozenset({"pool-2"})), Freeze.NONE),
        (an_installation(frozen_pools=frozenset({POOL})), Freeze.POOL),
        (an_installation(frozen=True, frozen_pools=frozenset({POOL})), Freeze.INSTALLATION),
    ):
        assert facts_of(VM_1, RECORD_1, installation=installation).freeze is freeze


@pytest.mark.parametrize(
    ("consents", "consent"),
    [
        ({}, Consent.NONE),
        ({"host-2": NOW + 1}, Consent.NONE),
        ({"host-1": NOW + 1}, Consent.GIVEN),
        ({"host-1": NOW}, Consent.EXPIRED),
        ({"host-1": NOW - 1}, Consent.EXPIRED),
    ],
)
def test_consent_is_for_one_host_and_a_time(consents: dict[str, int], consent: Consent) -> None:
    assert facts_of(VM_1, installation=an_installation(consents=consents)).consent is consent
    halted = our_vm(power_state=PowerState.HALTED)
    assert facts_of(halted, installation=an_installation(consents=consents)).consent is Consent.NONE


@pytest.mark.parametrize(
    ("state", "was_on", "change"),
    [
        (PowerState.RUNNING, None, PowerChange.NONE),
        (PowerState.RUNNING, True, PowerChange.NONE),
        (PowerState.RUNNING, False, PowerChange.STARTED),
        (PowerState.HALTED, True, PowerChange.STOPPED),
        (PowerState.HALTED, False, PowerChange.NONE),
        (PowerState.SUSPENDED, True, PowerChange.SUSPENDED),
        (PowerState.PAUSED, True, PowerChange.NONE),
        (PowerState.CRASHED, True, PowerChange.NONE),
        (PowerState.UNKNOWN, True, PowerChange.UNKNOWN),
        (PowerState.UNKNOWN, None, PowerChange.UNKNOWN),
    ],
)
def test_a_change_of_power(state: PowerState, was_on: bool | None, change: PowerChange) -> None:
    vm = our_vm(power_state=state)
    assert facts_of(vm, a_record(vm.uuid, was_on=was_on)).power_change is change


def test_where_it_is_asked_to_run_and_where_it_was() -> None:
    hosts = (a_host(), a_host("host-2"))
    moved = our_vm(host_uuid="host-2")
    history = history_of(a_collection(moved, hosts=hosts))

    def facts(vm: Vm = moved, **record: Any) -> tuple[WishedPlace, Move]:
        found = facts_of(vm, a_record(moved.uuid, **record), history=history)
        return found.place, found.move

    assert facts() == (WishedPlace.ANYWHERE, Move.NONE)
    assert facts(wish=wish(host_uuid="host-2"), host_uuid="host-1") == (WishedPlace.HERE, Move.MOVED)
    assert facts(wish=wish(host_uuid="host-1"), host_uuid="host-2") == (WishedPlace.ELSEWHERE, Move.NONE)
    for state in (PowerState.HALTED, PowerState.SUSPENDED, PowerState.UNKNOWN, PowerState.SHUTTING_DOWN):
        off = our_vm(power_state=state, host_uuid="host-2")
        assert facts(off, wish=wish(host_uuid="host-1"), host_uuid="host-1") == (
            WishedPlace.ANYWHERE,
            Move.NONE,
        )


@pytest.mark.parametrize(
    ("asked", "wished"),
    [
        (wish(), Wished.NOTHING),
        (wish(WishedPower.ON), Wished.ON),
        (wish(WishedPower.OFF), Wished.OFF),
        (wish(WishedPower.ON, gone=True), Wished.GONE),
        (wish(host_uuid="host-1"), Wished.NOTHING),
    ],
)
def test_what_is_wished(asked: Any, wished: Wished) -> None:
    assert facts_of(VM_1, a_record(VM_1.uuid, wish=asked)).wished is wished


def test_our_own_operation_outweighs_anothers() -> None:
    busy = our_vm(busy=("clone",))
    assert facts_of(busy, a_record(busy.uuid, operation="op-1")).work is Work.OURS
    assert facts_of(busy, a_record(busy.uuid)).work is Work.ANOTHERS


def test_a_halted_vm_whose_last_host_is_silent_may_still_run_there() -> None:
    """XAPI can be told to forget that a VM runs on a dead host. If that host lives, a start would be a second one."""
    halted = our_vm(power_state=PowerState.HALTED)
    hosts = (a_host(), a_host("host-2", live=Answer.NO))
    record = a_record(
        halted.uuid,
        was_on=True,
        host_uuid="host-2",
        drift=DriftPolicy.RESTORE,
        wish=wish(WishedPower.ON, met_at=1),
    )
    facts = facts_of(halted, record, history=history_of(a_collection(halted, hosts=hosts)))
    assert facts.sighting is Sighting.HOST_SILENT
    assert MAY_WE_TOUCH.decide(facts).rule == "touch.host-silent"
    back = history_of(a_collection(halted, hosts=(a_host(), a_host("host-2"))))
    assert MAY_WE_TOUCH.decide(facts_of(halted, record, history=back)).verdict is Verdict.ACT
    left = history_of(a_collection(halted, hosts=(a_host(),)))
    assert MAY_WE_TOUCH.decide(facts_of(halted, record, history=left)).rule == "touch.host-gone"


@pytest.mark.parametrize("was_on", [True, False, None])
@pytest.mark.parametrize(
    "silent", [(a_host("host-2", live=Answer.NO),), ()], ids=["silent", "out of the pool"]
)
def test_a_vm_that_was_seen_on_a_host_that_fell_silent_may_still_run_there(
    was_on: bool | None, silent: tuple[Host, ...]
) -> None:
    """Whatever the record says: it did not follow while nobody knew."""
    running = our_vm(host_uuid="host-2")
    halted = our_vm(power_state=PowerState.HALTED)
    record = a_record(halted.uuid, was_on=was_on, host_uuid="host-1", wish=wish(WishedPower.ON))
    dead = (a_host(), a_host("host-2", live=Answer.NO))
    history = history_of(a_collection(running, hosts=dead), a_collection(halted, hosts=(a_host(), *silent)))
    expected = "touch.host-silent" if silent else "touch.host-gone"
    assert MAY_WE_TOUCH.decide(facts_of(halted, record, history=history)).rule == expected
    vouched = after_host_is_off(history, "host-2")
    assert MAY_WE_TOUCH.decide(facts_of(halted, record, history=vouched)).verdict is Verdict.ACT
    answering = after_view(history, a_collection(halted, hosts=(a_host(), a_host("host-2"))), NOW, DEFAULTS)
    assert MAY_WE_TOUCH.decide(facts_of(halted, record, history=answering)).verdict is Verdict.ACT


def test_a_vm_that_is_in_another_pool_too_is_not_started_here() -> None:
    """virsh migrate leaves the definition behind, off, with our mark on it."""
    halted = our_vm(power_state=PowerState.HALTED)
    record = a_record(halted.uuid, was_on=True, host_uuid="host-1", wish=wish(WishedPower.ON))
    history = history_of(a_collection(halted))
    alone = facts_about(halted, record, history, an_installation(), NOW, DEFAULTS)
    assert MAY_WE_TOUCH.decide(alone).verdict is Verdict.ACT
    both = facts_about(halted, record, history, an_installation(), NOW, DEFAULTS, frozenset({halted.uuid}))
    assert MAY_WE_TOUCH.decide(both).rule == "touch.seen-in-another-pool"
    assert WHAT_CHANGED.decide(both).rule == "changed.seen-in-another-pool"


@pytest.mark.parametrize(
    ("asked_at", "met_at", "restored_at", "age"),
    [
        (NOW, None, None, WishAge.NEW),
        (NOW - DEFAULTS.wish_seconds_max * SECOND, None, None, WishAge.NEW),
        (NOW - DEFAULTS.wish_seconds_max * SECOND - 1, None, None, WishAge.LAPSED),
        (None, None, None, WishAge.LAPSED),
        (NOW + (DEFAULTS.clock_jump_seconds_max + 1) * SECOND, None, None, WishAge.LAPSED),
        (1, 2, None, WishAge.MET_ONCE),
        (NOW - 2, None, NOW - 1, WishAge.LAPSED),
        (NOW - 1, None, NOW - 1, WishAge.LAPSED),
        (NOW - 2, NOW - 1, NOW, WishAge.LAPSED),
        (NOW, None, NOW - 1, WishAge.NEW),
        (NOW - 1, NOW, NOW - 2, WishAge.MET_ONCE),
    ],
)
def test_an_old_wish_is_no_order(
    asked_at: int | None, met_at: int | None, restored_at: int | None, age: WishAge
) -> None:
    """What was asked before the database was restored may have been taken back in the part that was lost."""
    vm = our_vm()
    asked = Wish(power=WishedPower.OFF, asked_at=asked_at, met_at=met_at)
    record = replace(a_record(vm.uuid, was_on=True, drift=DriftPolicy.RESTORE), wish=asked)
    us = an_installation(restored_at=restored_at)
    facts = facts_about(vm, record, history_of(a_collection(vm)), us, NOW, DEFAULTS)
    assert facts.wish_age is age
    assert (MAY_WE_TOUCH.decide(facts).verdict is Verdict.ACT) == (age is not WishAge.LAPSED)


def test_an_alien_has_no_facts_but_what_is_seen() -> None:
    facts = facts_of(a_vm(uuid_of(3)))
    assert (facts.custody, facts.wished, facts.drift, facts.power_change) == (
        Custody.UNMANAGED,
        Wished.NOTHING,
        DriftPolicy.FOLLOW,
        PowerChange.NONE,
    )
