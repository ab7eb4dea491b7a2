"""Does 4.0's agent list and report what the reference says?

Effects: none
"""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.inventory import a_vm
from xenios.decide.precedent.java_text import name_uuid
from xenios.decide.precedent.reports_4_0 import (
    DELTA,
    CacheAct,
    Reports,
    Seen,
    cache_act,
    changes_since,
    list_on_kvm,
    list_on_xenserver,
)
from xenios.decide.precedent.states import State
from xenios.model.inventory import PowerState, VmKind

# The table a second time: rows are what was cached, columns what is there now.
GRID = """
cached    | Running | Stopped | Stopping | Starting | Migrating | Unknown | Error  | missing
none      | report  | report  | report   | report   | report    | report  | report |
Running   | -       | report  | report   | report   | report    | report  | report | stopped
Stopped   | report  | -       | report   | report   | report    | report  | report | drop
Starting  | cache   | -       | -        | -        | -         | -       | -      | -
Migrating | cache   | -       | -        | -        | -         | -       | -      | -
Stopping  | -       | cache   | -        | -        | -         | -       | -      | drop
Unknown   | report  | report  | report   | report   | report    | -       | report | stopped
Error     | report  | report  | report   | report   | report    | report  | -      | stopped
"""
WORDS = {
    "report": CacheAct.REPORT,
    "cache": CacheAct.CACHE,
    "-": CacheAct.IGNORE,
    "drop": CacheAct.DROP,
    "stopped": CacheAct.REPORT_STOPPED,
}


def cells() -> list[tuple[State | None, State | None, CacheAct]]:
    head, *lines = [[part.strip() for part in line.split("|")] for line in GRID.strip().splitlines()]

    def state(word: str) -> State | None:
        return None if word in ("none", "missing") else State(word)

    return [
        (state(cached), state(now), WORDS[word])
        for cached, *words in lines
        for now, word in zip(head[1:], words, strict=True)
        if word
    ]


@pytest.mark.parametrize(("cached", "now", "act"), cells())
def test_every_cell_of_the_cache_table(cached: State | None, now: State | None, act: CacheAct) -> None:
    assert cache_act(cached, now) is act
    cache = {"web": Seen("host-1", cached)} if cached is not None else {}
    seen = {"web": Seen("host-1", now)} if now is not None else {}
    after, reported = changes_since(cache, seen)
    assert (
        after
        == {
            CacheAct.REPORT: seen,
            CacheAct.CACHE: seen,
            CacheAct.IGNORE: cache,
            CacheAct.DROP: {},
            CacheAct.REPORT_STOPPED: cache,
        }[act]
    )
    assert reported == {
        CacheAct.REPORT: seen,
        CacheAct.REPORT_STOPPED: {"web": Seen("host-1", State.STOPPED)},
    }.get(act, {})


def test_every_row_of_the_table_decides_something() -> None:
    pairs = [pair for pair in product((*State, None), repeat=2) if pair != (None, None)]
    deciding = {
        id(next(row for row in DELTA if cached in row.cached and now in row.now)) for cached, now in pairs
    }
    assert deciding == {id(row) for row in DELTA}


@pytest.mark.parametrize("cached", State)
def test_another_host_is_a_change_whatever_is_under_way(cached: State) -> None:
    for now in State:
        after, reported = changes_since({"web": Seen("host-1", cached)}, {"web": Seen("host-2", now)})
        if now in (State.STOPPED, State.STOPPING):
            assert reported.get("web") in (None, Seen("host-2", now))
        else:
            assert reported == after == {"web": Seen("host-2", now)}


def test_a_name_of_xenservers_own_migration_is_skipped() -> None:
    for name in ("migrating", "migrating-web", "migratingweb"):
        assert changes_since({}, {name: Seen("host-1", State.RUNNING)}) == ({}, {})
    assert changes_since({}, {"Migrating": Seen("host-1", State.RUNNING)})[1]
    # but not when its host changes, and not when it is gone
    cache = {"migrating": Seen("host-1", State.RUNNING)}
    assert changes_since(cache, {"migrating": Seen("host-2", State.RUNNING)})[1]
    assert changes_since(cache, {})[1] == {"migrating": Seen("host-1", State.STOPPED)}


def test_a_vm_that_is_suddenly_off_is_asked_a_second_time() -> None:
    asked: list[str] = []

    def real(name: str, _: State) -> State:
        asked.append(name)
        return State.RUNNING

    off = {"web": Seen("host-1", State.STOPPED)}
    assert changes_since({"web": Seen("host-1", State.RUNNING)}, off, real_state=real)[1] == {}
    assert changes_since({}, off, real_state=real)[1] == {"web": Seen("host-1", State.RUNNING)}
    assert asked == ["web", "web"]
    for state in (State.STOPPED, State.STOPPING):
        changes_since({"web": Seen("host-1", state)}, off, real_state=real)
    assert asked == ["web", "web"]


def test_what_is_gone_is_said_anew_every_round() -> None:
    cache: Reports = {"web": Seen("host-1", State.RUNNING)}
    for _ in range(3):
        cache, reported = changes_since(cache, {})
        assert reported == {"web": Seen("host-1", State.STOPPED)}


@given(
    st.dictionaries(
        st.sampled_from("abc"), st.builds(Seen, st.sampled_from(["h1", "h2"]), st.sampled_from(State))
    ),
    st.dictionaries(
        st.sampled_from("abc"), st.builds(Seen, st.sampled_from(["h1", "h2"]), st.sampled_from(State))
    ),
)
def test_names_do_not_touch_each_other_and_nothing_is_changed_in_place(cache: Reports, seen: Reports) -> None:
    before = dict(cache), dict(seen)
    after, reported = changes_since(cache, seen)
    assert (cache, seen) == before
    for name in "abc":
        alone = changes_since(
            {name: cache[name]} if name in cache else {}, {name: seen[name]} if name in seen else {}
        )
        assert alone[0].get(name) == after.get(name)
        assert alone[1].get(name) == reported.get(name)


# --- what is listed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("power", "state"),
    [
        (PowerState.RUNNING, State.RUNNING),
        (PowerState.PAUSED, State.RUNNING),
        (PowerState.UNKNOWN, State.UNKNOWN),
        (PowerState.HALTED, None),
        (PowerState.SUSPENDED, None),  # XenServer has it on no host, so it is not listed
    ],
)
def test_states_on_xenserver(power: PowerState, state: State | None) -> None:
    host = "host-1" if power not in (PowerState.HALTED, PowerState.SUSPENDED) else None
    found = list_on_xenserver([a_vm(name="web", power_state=power, host_uuid=host)])
    assert found == ({"web": Seen("host-1", state)} if state is not None else {})


@pytest.mark.parametrize("kind", VmKind)
def test_only_machines_are_listed(kind: VmKind) -> None:
    assert bool(list_on_xenserver([a_vm(kind=kind)])) is (kind is VmKind.MACHINE)


def test_two_vms_of_one_name_are_one_the_last() -> None:
    vms = [a_vm("a", name="web"), a_vm("b", name="web", host_uuid="host-2", power_state=PowerState.UNKNOWN)]
    assert list_on_xenserver(vms) == {"web": Seen("host-2", State.UNKNOWN)}


@pytest.mark.parametrize(
    ("power", "own_uuid", "state"),
    [
        (PowerState.RUNNING, False, State.RUNNING),
        (PowerState.PAUSED, False, State.RUNNING),
        (PowerState.SHUTTING_DOWN, False, State.STOPPING),
        (PowerState.CRASHED, False, State.UNKNOWN),
        (PowerState.ASLEEP, False, State.UNKNOWN),
        (PowerState.HALTED, True, State.STOPPED),
        (PowerState.SUSPENDED, True, State.STOPPED),
        (PowerState.HALTED, False, None),  # looked for by the uuid of its name, and so not seen
        (PowerState.SUSPENDED, False, None),
        (PowerState.UNKNOWN, False, None),
    ],
)
def test_states_on_kvm(power: PowerState, own_uuid: bool, state: State | None) -> None:
    vm = a_vm(name_uuid("web") if own_uuid else "other", name="web", power_state=power, host_uuid="host-1")
    found = list_on_kvm([vm], "host-1")
    assert found == ({"web": Seen("host-1", state)} if state is not None else {})
    assert list_on_kvm([vm], "host-2") == {}
