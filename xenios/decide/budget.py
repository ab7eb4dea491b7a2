"""The budget: how many acts that interrupt or destroy there may be in a window, and how many at once, whoever asks.

Whatever goes wrong above, this bounds the harm. The ledger is kept in the database and written before the act, so it
holds across restarts and replicas.

Effects: none
"""

from collections.abc import Sequence

import msgspec

from xenios.decide.guards import GUARDS
from xenios.model.decision import Refusal, Verdict
from xenios.model.plan import Hazard, Verb
from xenios.model.policy import Budget

SECOND = 1_000_000


class Spent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One act in the ledger."""

    at: int
    """When it was reserved, in microseconds since 1970."""
    under_way: bool


def cost_of(verb: Verb) -> int:
    """What a verb takes from the budget."""
    return 0 if GUARDS[verb].hazard is Hazard.HARMLESS else 1


def refusal_by_budget(budget: Budget, ledger: Sequence[Spent], now: int, wanted: int = 1) -> Refusal | None:
    """Why so many more acts may not begin now. An act that is dated from the future counts until its window is over."""
    if wanted <= 0:
        return None
    under_way = sum(spent.under_way for spent in ledger)
    if under_way + wanted > budget.at_once_max:
        return Refusal(
            rule="budget.at-once",
            verdict=Verdict.WAIT,
            because=f"{under_way} acts that interrupt or destroy are under way, {wanted} more are asked for, "
            f"and {budget.at_once_max} at once are allowed",
            remedy="wait until one of them is over, or allow more at once",
        )
    within = _within(budget, ledger, now)
    if len(within) + wanted <= budget.acts_max:
        return None
    free_at = room_at(budget, ledger, now, wanted)
    if free_at is not None:
        remedy = f"wait {-(-(free_at - now) // SECOND)} s"
    elif wanted > budget.acts_max:
        remedy = "ask for fewer, or allow more"
    else:
        remedy = "wait until what is under way is over, or allow more"
    return Refusal(
        rule="budget.window",
        verdict=Verdict.WAIT,
        because=f"{len(within)} acts that interrupt or destroy began within {budget.window_seconds} s, {wanted} more "
        f"are asked for, and {budget.acts_max} are allowed",
        remedy=remedy,
    )


def room_at(budget: Budget, ledger: Sequence[Spent], now: int, wanted: int = 1) -> int | None:
    """When the window has room for so many more, if nothing else begins.

    None: never, or nobody knows, because an act that is under way would have to end first.
    """
    within = _within(budget, ledger, now)
    too_many = len(within) + wanted - budget.acts_max
    if too_many <= 0:
        return now
    leaving = sorted(spent.at for spent in within if not spent.under_way)
    return leaving[too_many - 1] + budget.window_seconds * SECOND if too_many <= len(leaving) else None


def _within(budget: Budget, ledger: Sequence[Spent], now: int) -> list[Spent]:
    """What still counts: begun within the window, and whatever is under way, however long."""
    begin = now - budget.window_seconds * SECOND
    return [spent for spent in ledger if spent.under_way or spent.at > begin]
