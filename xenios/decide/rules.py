"""What a rule is: one row of a table that a person can read from top to bottom.

A rule's id is for ever: it is a field of the API, an audit record, an anchor in docs/rules.md and the name of a test.

Effects: none
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from xenios.model.decision import Refusal, Verdict

Facts = TypeVar("Facts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Generic[Facts]):
    """One row. `because` is said to the operator and may name parts of the facts; `why` is said in the docs."""

    id: str
    when: Callable[[Facts], bool]
    verdict: Verdict
    because: Callable[[Facts], str] | str
    why: str
    remedy: str

    def refusal(self, facts: Facts) -> Refusal:
        """This row's refusal in words."""
        because = self.because if isinstance(self.because, str) else self.because(facts)
        return Refusal(rule=self.id, verdict=self.verdict, because=because, remedy=self.remedy)
