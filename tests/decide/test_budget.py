"""The budget: edges of the window, odd clocks, many at once, and that the time that it names is exact.

Effects: none
"""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.decisions import NOW, SECOND
from xenios.decide.budget import Spent, cost_of, refusal_by_budget, room_at
from xenios.decide.guards import GUARDS
from xenios.model.decision import Verdict
from xenios.model.plan import Hazard, Verb
from xenios.model.policy import Budget

BUDGET = Budget(acts_max=3, window_seconds=100, at_once_max=2)


def spent(*seconds_ago: float, under_way: bool = False) -> list[Spent]:
    return [Spent(at=NOW - round(ago * SECOND), under_way=under_way) for ago in seconds_ago]


def rule_for(ledger: list[Spent], now: int = NOW, wanted: int = 1, budget: Budget = BUDGET) -> str | None:
    refusal = refusal_by_budget(budget, ledger, now, wanted)
    if refusal is None:
        return None
    assert refusal.verdict is Verdict.WAIT
    assert refusal.remedy
    return refusal.rule


@pytest.mark.parametrize("verb", Verb)
def test_everything_but_the_harmless_costs(verb: Verb) -> None:
    assert cost_of(verb) == (0 if GUARDS[verb].hazard is Hazard.HARMLESS else 1)


def test_an_empty_ledger_has_room() -> None:
    assert rule_for([]) is None
    assert rule_for([], wanted=2) is None
    assert room_at(BUDGET, [], NOW) == NOW


def test_the_window_and_its_edges() -> None:
    assert rule_for(spent(1, 2)) is None
    assert rule_for(spent(1, 2, 3)) == "budget.window"
    assert rule_for(spent(1, 2, 100)) is None
    assert rule_for(spent(1, 2, 99.999999)) == "budget.window"
    assert rule_for(spent(1, 2, 101, 200, 10**6)) is None


def test_wanted_counts() -> None:
    assert rule_for(spent(1), wanted=2) is None
    assert rule_for(spent(1, 2), wanted=2) == "budget.window"
    assert rule_for([], wanted=3) == "budget.at-once"
    wide = Budget(acts_max=3, window_seconds=100, at_once_max=50)
    assert rule_for([], wanted=3, budget=wide) is None
    assert rule_for([], wanted=4, budget=wide) == "budget.window"
    assert room_at(wide, [], NOW, 4) is None
    refusal = refusal_by_budget(wide, [], NOW, 4)
    assert refusal is not None
    assert "fewer" in refusal.remedy
    for nothing in (0, -1):
        assert rule_for(spent(1, 2, 3, 4, 5, under_way=True), wanted=nothing) is None


def test_at_once() -> None:
    assert rule_for(spent(1, under_way=True)) is None
    assert rule_for(spent(1, 2, under_way=True)) == "budget.at-once"
    assert rule_for(spent(10**6, 10**6, under_way=True)) == "budget.at-once"
    assert rule_for(spent(1, under_way=True), wanted=2) == "budget.at-once"


def test_nothing_at_all_may_be_allowed() -> None:
    assert rule_for([], budget=Budget(acts_max=0)) == "budget.window"
    assert rule_for([], budget=Budget(at_once_max=0)) == "budget.at-once"
    assert room_at(Budget(acts_max=0), [], NOW) is None


def test_what_is_under_way_counts_however_long_ago_it_began() -> None:
    budget = Budget(acts_max=1, window_seconds=100, at_once_max=5)
    ledger = spent(10_000, under_way=True)
    assert rule_for(ledger, budget=budget) == "budget.window"
    assert room_at(budget, ledger, NOW) is None, "nobody knows when it will be over"
    refusal = refusal_by_budget(budget, ledger, NOW)
    assert refusal is not None
    assert "-" not in refusal.remedy
    assert "under way" in refusal.remedy


def test_a_clock_that_went_back_makes_no_room() -> None:
    """The ledger is dated from the future then. It counts, until its own window is over."""
    future = spent(-50, -50, -50)
    assert rule_for(future) == "budget.window"
    assert rule_for(future, now=NOW + 149 * SECOND) == "budget.window"
    assert rule_for(future, now=NOW + 150 * SECOND) is None
    assert room_at(BUDGET, future, NOW) == NOW + 150 * SECOND


def test_the_remedy_names_whole_seconds_that_suffice() -> None:
    ledger = spent(1, 2, 99.5)
    refusal = refusal_by_budget(BUDGET, ledger, NOW)
    assert refusal is not None
    assert refusal.remedy == "wait 1 s"
    assert rule_for(ledger, now=NOW + SECOND) is None


ledgers = st.lists(
    st.builds(
        Spent,
        at=st.integers(NOW - 250 * SECOND, NOW + 150 * SECOND),
        under_way=st.sampled_from([False, False, False, True]),
    ),
    max_size=8,
)
budgets = st.builds(
    Budget, acts_max=st.integers(0, 5), window_seconds=st.integers(1, 200), at_once_max=st.just(100)
)


@given(budgets, ledgers, st.integers(1, 4))
def test_the_time_that_it_names_is_exact(budget: Budget, ledger: list[Spent], wanted: int) -> None:
    at = room_at(budget, ledger, NOW, wanted)
    if at is None:
        for later in (0, 1, 500, 10**9):
            assert rule_for(ledger, NOW + later * SECOND, wanted, budget) == "budget.window"
        return
    assert at >= NOW
    assert rule_for(ledger, at, wanted, budget) is None
    if at > NOW:
        assert rule_for(ledger, at - 1, wanted, budget) == "budget.window"


@given(budgets, ledgers, st.integers(1, 4))
def test_more_spent_or_more_wanted_never_makes_room(budget: Budget, ledger: list[Spent], wanted: int) -> None:
    assume(rule_for(ledger, NOW, wanted, budget) is not None)
    for more in (spent(1), spent(1, under_way=True), spent(-10)):
        assert rule_for(ledger + more, NOW, wanted, budget) is not None
    assert rule_for(ledger, NOW, wanted + 1, budget) is not None


@given(st.lists(st.integers(1, 60), min_size=1, max_size=60), st.integers(1, 4), st.integers(1, 100))
def test_no_window_ever_holds_more_than_allowed(pauses: list[int], acts_max: int, window: int) -> None:
    """Promise 9. Whoever asks as often as he likes, and acts whenever he may, never passes the budget."""
    budget = Budget(acts_max=acts_max, window_seconds=window, at_once_max=10)
    ledger: list[Spent] = []
    now = NOW
    for pause in pauses:
        now += pause * SECOND
        while refusal_by_budget(budget, ledger, now) is None:
            ledger.append(Spent(at=now, under_way=False))
    times = [act.at for act in ledger]
    for begin in times:
        assert sum(begin <= at < begin + window * SECOND for at in times) <= acts_max
