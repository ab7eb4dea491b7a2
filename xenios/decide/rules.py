"""What a rule is: one row of a table that a person can read from top to bottom. The first row that matches decides.

A rule's id is for ever: it is a field of the API, an audit record, an anchor in docs/rules.md and the name of a test.

A table that depends on many facts is read in parts, one question after the other, each depending on few. So the
whole of every part can be written down, case by case, and looked at (tests/golden/decisions).

Effects: none
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from xenios.model.decision import Decision, Refusal, Verdict

Facts = TypeVar("Facts")
_PLACE = re.compile(r"\{([a-z_]+)\}")
DECISIONS_KEPT_MAX = 65_536
"""Facts are enums, so that equal ones are met again and again; see benchmarks/bench_decide.py."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Generic[Facts]):
    """One row. `because` is said to the operator, `why` in the docs.

    `because` may name details, such as {host}, that facts do not hold; whoever renders it fills them in.
    """

    id: str
    when: Callable[[Facts], bool]
    verdict: Verdict
    because: str
    why: str
    remedy: str

    def refusal(self, details: Mapping[str, str]) -> Refusal:
        """This row's refusal in words."""
        return Refusal(
            rule=self.id, verdict=self.verdict, because=filled(self.because, details), remedy=self.remedy
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Generic[Facts]):
    """Rows about one question, and the names of all the facts that they read."""

    question: str
    reads: tuple[str, ...]
    rows: tuple[Rule[Facts], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Generic[Facts]):
    """All rows about one decision."""

    name: str
    """"touch": what the ids of its rules begin with."""
    question: str
    about: str
    """How it is read, for the docs."""
    facts: type[Facts]
    """What decides it."""
    parts: tuple[Part[Facts], ...]
    gives_all_reasons: bool = False
    """Whether people are told every row against it, and not the first alone."""
    _decided: dict[Facts, Decision] = field(default_factory=dict, repr=False, compare=False)

    @property
    def rows(self) -> tuple[Rule[Facts], ...]:
        """All rows from top to bottom."""
        return tuple(rule for part in self.parts for rule in part.rows)

    def decide(self, facts: Facts) -> Decision:
        """What the first row that matches says. Raises LookupError when none does: a table ends with one that does."""
        decision = self._decided.get(facts)
        if decision is None:
            decision = self._decision(facts)
            if len(self._decided) < DECISIONS_KEPT_MAX:
                self._decided[facts] = decision
        return decision

    def forget_decided(self) -> None:
        """Lets go of the decisions kept; they are made again when they are asked for."""
        self._decided.clear()

    def refusals(self, facts: Facts, details: Mapping[str, str]) -> tuple[Refusal, ...]:
        """What every row against it says, so that all can be put right at once; empty when the table says ACT."""
        matching = [rule for rule in self.rows if rule.when(facts)]
        against = [rule for rule in matching[:-1] if rule.verdict is not Verdict.ACT]
        if not against and matching[0].verdict is not Verdict.ACT:
            against = matching[:1]
        return tuple(rule.refusal(details) for rule in against)

    def _decision(self, facts: Facts) -> Decision:
        for rule in self.rows:
            if rule.when(facts):
                return Decision(
                    table=self.name, rule=rule.id, verdict=rule.verdict, facts=facts_as_pairs(facts)
                )
        raise LookupError(f"no row of {self.name!r} matches {facts}")


def nobody_thought_of_it(table_name: str) -> Rule[Any]:
    """The last row of every table: it catches what nobody thought of, and leaves it alone."""
    return Rule(
        id=f"{table_name}.nobody-thought-of-it",
        when=lambda _: True,
        verdict=Verdict.LEAVE_ALONE,
        because="no rule says what to do",
        why="What nobody thought of is left alone.",
        remedy="report it: this row decides no case that we know of",
    )


def filled(text: str, details: Mapping[str, str]) -> str:
    """The text with its details, each put in once: what stands in a detail is never taken for a place to fill."""
    return _PLACE.sub(lambda place: details.get(place[1], "(not known)"), text)


def facts_as_pairs(facts: object) -> tuple[tuple[str, str], ...]:
    """Facts as they are stored and shown: name and value of each."""
    return tuple((name, str(getattr(facts, name))) for name in getattr(facts, "__struct_fields__", ()))
