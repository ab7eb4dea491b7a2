"""Seen, gone, or not known: each way a VM may be seen, and that every doubt is unknown.

Effects: none
"""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.decisions import DEFAULTS, NOW, POOL, SECOND, a_record, facts_of, history_of, our_vm
from tests.support.inventory import a_collection, a_host, a_vm
from xenios.decide.presence import Sighting, presence_of
from xenios.decide.view_history import PoolHistory, after_silence, after_view, after_word
from xenios.model.collection import Collection
from xenios.model.inventory import Answer, PowerState, Presence, Vm

VM = our_vm()
RECORD = a_record(VM.uuid)
WITH, WITHOUT = a_collection(VM), a_collection()
BLIND = a_collection(all_vms_seen=False)
DEAD = a_collection(hosts=(a_host(), a_host("host-2", live=Answer.NO)))
UNSURE = a_collection(hosts=(a_host(), a_host("host-2", live=Answer.UNKNOWN)))
FEWER_HOSTS = a_collection(all_hosts_seen=False)
NO_HOST = a_collection(hosts=())


def sighting(*views: Collection, vm: Vm | None = None, now: int = NOW, **how: Any) -> Sighting:
    return facts_of(vm, RECORD if vm is None else None, history=history_of(*views), now=now, **how).sighting


@pytest.mark.parametrize(
    ("age_seconds", "seen"),
    [
        (0, Sighting.FRESH),
        (600, Sighting.FRESH),
        (601, Sighting.STALE),
        (-120, Sighting.FRESH),
        (-121, Sighting.STALE),
        (10**9, Sighting.STALE),
        (-(10**9), Sighting.STALE),
    ],
)
def test_how_long_a_sighting_is_fresh(age_seconds: int, seen: Sighting) -> None:
    assert sighting(WITH, vm=VM, now=NOW + age_seconds * SECOND) is seen


def test_a_microsecond_too_old_is_too_old() -> None:
    assert sighting(WITH, vm=VM, now=NOW + DEFAULTS.fresh_seconds * SECOND) is Sighting.FRESH
    assert sighting(WITH, vm=VM, now=NOW + DEFAULTS.fresh_seconds * SECOND + 1) is Sighting.STALE


def test_the_pools_word_keeps_a_sighting_fresh_and_its_silence_ends_that() -> None:
    later = NOW + 3600 * SECOND
    history = after_word(history_of(WITH), later)
    assert facts_of(VM, RECORD, history=history, now=later).sighting is Sighting.FRESH
    history = after_silence(history, later)
    assert facts_of(VM, RECORD, history=history, now=later).sighting is Sighting.HOST_SILENT
    assert (
        facts_of(VM, RECORD, history=after_word(history, later + 1), now=later).sighting
        is Sighting.HOST_SILENT
    )


@pytest.mark.parametrize("live", [Answer.NO, Answer.UNKNOWN])
def test_a_silent_host(live: Answer) -> None:
    view = a_collection(VM, hosts=(a_host(live=live),))
    assert sighting(view, vm=VM) is Sighting.HOST_SILENT
    assert sighting(a_collection(VM, hosts=()), vm=VM) is Sighting.HOST_SILENT


def test_what_runs_on_no_known_host_is_not_seen_to_run() -> None:
    for state in (PowerState.RUNNING, PowerState.PAUSED, PowerState.CRASHED, PowerState.ASLEEP):
        lost = our_vm(power_state=state, host_uuid=None)
        assert sighting(a_collection(lost), vm=lost) is Sighting.HOST_SILENT
    off = our_vm(power_state=PowerState.HALTED)
    assert sighting(a_collection(off), vm=off) is Sighting.FRESH


def test_where_no_host_answers_nothing_is_seen_now() -> None:
    """A database file, or a pool whose master is gone: what is off is only remembered to be off, too."""
    off = our_vm(power_state=PowerState.HALTED)
    for hosts in (
        (),
        (a_host(live=Answer.NO),),
        (a_host(live=Answer.UNKNOWN), a_host("host-2", live=Answer.NO)),
    ):
        assert sighting(a_collection(off, hosts=hosts), vm=off) is Sighting.HOST_SILENT
    assert (
        sighting(a_collection(off, hosts=(a_host(live=Answer.NO), a_host("host-2"))), vm=off)
        is Sighting.FRESH
    )


def test_gone_is_what_two_complete_views_in_a_row_lack() -> None:
    assert sighting(WITH, WITHOUT) is Sighting.NOT_LISTED_ONCE
    assert sighting(WITH, WITHOUT, WITHOUT) is Sighting.CONFIRMED_ABSENT
    assert sighting(WITH, WITHOUT, WITHOUT, WITHOUT) is Sighting.CONFIRMED_ABSENT
    assert sighting(WITH, WITHOUT, WITHOUT, WITH, vm=VM) is Sighting.FRESH
    assert sighting(WITH, WITHOUT, WITH, WITHOUT) is Sighting.NOT_LISTED_ONCE


@pytest.mark.parametrize("doubtful", [BLIND, DEAD, UNSURE, FEWER_HOSTS, NO_HOST])
def test_a_view_that_could_not_show_everything_confirms_nothing_and_breaks_the_row(
    doubtful: Collection,
) -> None:
    assert sighting(WITH, doubtful) is Sighting.NOT_KNOWN
    assert sighting(WITH, doubtful, doubtful, doubtful) is Sighting.NOT_KNOWN
    assert sighting(WITH, WITHOUT, doubtful) is Sighting.NOT_KNOWN
    assert sighting(WITH, WITHOUT, doubtful, WITHOUT) is Sighting.NOT_LISTED_ONCE
    assert sighting(WITH, WITHOUT, WITHOUT, doubtful) is Sighting.NOT_KNOWN


def test_what_was_recorded_and_never_seen_is_missed_just_so() -> None:
    assert facts_of(None, RECORD, history=PoolHistory(pool_uuid=POOL)).sighting is Sighting.NO_VIEW
    assert sighting(BLIND) is Sighting.NOT_KNOWN
    assert sighting(WITHOUT) is Sighting.NOT_LISTED_ONCE
    assert sighting(WITHOUT, WITHOUT) is Sighting.CONFIRMED_ABSENT


def test_what_was_seen_long_ago_and_is_missed_again() -> None:
    others = a_collection(a_vm("other"))
    assert sighting(WITH, others, others, others, BLIND, others) is Sighting.NOT_LISTED_ONCE
    assert sighting(WITH, others, others, others, BLIND, others, others) is Sighting.CONFIRMED_ABSENT


def test_silence_between_views_breaks_the_row() -> None:
    history = after_silence(history_of(WITH, WITHOUT), NOW)
    assert facts_of(None, RECORD, history=history).sighting is Sighting.HOST_SILENT
    again = after_view(history, WITHOUT, NOW, DEFAULTS)
    assert facts_of(None, RECORD, history=again).sighting is Sighting.NOT_LISTED_ONCE


def test_twins() -> None:
    on_1, on_2 = our_vm(), our_vm(host_uuid="host-2")
    off = our_vm(power_state=PowerState.HALTED)
    assert sighting(a_collection(on_1, on_1), vm=on_1) is Sighting.TWICE
    assert sighting(a_collection(on_1, off), vm=on_1) is Sighting.TWICE
    assert sighting(a_collection(on_1, on_2), vm=on_1) is Sighting.ON_TWO_HOSTS
    assert sighting(a_collection(on_1, off, on_2), vm=off) is Sighting.ON_TWO_HOSTS
    silent = after_silence(history_of(a_collection(on_1, on_2)), NOW)
    assert facts_of(on_1, history=silent).sighting is Sighting.ON_TWO_HOSTS
    assert sighting(a_collection(on_1, on_2), a_collection(on_1), vm=on_1) is Sighting.FRESH


@pytest.mark.parametrize("seen", Sighting)
def test_presence_has_three_values(seen: Sighting) -> None:
    expected = {Sighting.FRESH: Presence.THERE, Sighting.CONFIRMED_ABSENT: Presence.MISSING}
    assert presence_of(seen) is expected.get(seen, Presence.UNKNOWN)


@pytest.mark.parametrize("views", [1, 2, 5])
def test_as_many_views_confirm_as_is_set(views: int) -> None:
    thresholds = replace(DEFAULTS, views_to_confirm_absence=views)
    for missed in range(1, 7):
        history = history_of(WITH, *[WITHOUT] * missed, thresholds=thresholds)
        seen = facts_of(None, RECORD, history=history, thresholds=thresholds).sighting
        assert seen is (Sighting.CONFIRMED_ABSENT if missed >= views else Sighting.NOT_LISTED_ONCE)
