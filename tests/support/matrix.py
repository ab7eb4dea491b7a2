"""All cases of a decision table, part by part: what is decided in each, and by which row.

A part depends on the facts that it reads and on nothing else, and only such cases reach it as passed the parts above.
So the product of all facts, which nobody could look at, is written down in pieces that can be.

Effects: none
"""

from __future__ import annotations

import itertools
import typing
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import msgspec

from xenios.decide.adopt import AdoptionFacts
from xenios.decide.disturb import HostFacts
from xenios.decide.facts import Facts
from xenios.decide.placement import PlacementFacts
from xenios.decide.rules import Part, Rule, Table

FACTS_OF: dict[str, type[msgspec.Struct]] = {
    "touch": Facts,
    "release": Facts,
    "changed": Facts,
    "adopt": AdoptionFacts,
    "here": PlacementFacts,
    "disturb": HostFacts,
}
"""What each table decides by."""

Case = tuple[StrEnum, ...]


class ReadElsewhere(AssertionError):
    """A row read a fact that its part does not name."""


class Only:
    """The facts of one case, and no other: whoever reads more is found out."""

    def __init__(self, names: tuple[str, ...], case: Case) -> None:
        self._facts = dict(zip(names, case, strict=True))
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> StrEnum:
        try:
            value = self._facts[name]
        except KeyError:
            raise ReadElsewhere(f"a row reads {name!r}, which its part does not name") from None
        self.read.add(name)
        return value


def values_of(facts: type[msgspec.Struct]) -> dict[str, tuple[StrEnum, ...]]:
    """All values of each fact, in their order."""
    return {name: tuple(kind) for name, kind in typing.get_type_hints(facts).items()}


class PartMatrix(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a table and all cases that reach it."""

    table: str
    number: int
    question: str
    reads: tuple[str, ...]
    outcomes: dict[Case, Rule[Any] | None]
    """The row that decides; None: no row of this part does, and the next part is asked."""

    @property
    def passed(self) -> list[Case]:
        """Cases that no row of this part decides."""
        return [case for case, rule in self.outcomes.items() if rule is None]


def first_match(rows: tuple[Rule[Any], ...], reads: tuple[str, ...], case: Case) -> Rule[Any] | None:
    """The row that decides a case, given nothing but the facts that are named."""
    only: Any = Only(reads, case)
    return next((rule for rule in rows if rule.when(only)), None)


def cases_reaching(
    part: Part[Any], above: list[PartMatrix], values: dict[str, tuple[StrEnum, ...]]
) -> list[Case]:
    """The product of all facts that the part reads, without what no part above lets through."""
    allowed = []
    for matrix in above:
        shared = [name for name in part.reads if name in matrix.reads]
        places = [matrix.reads.index(name) for name in shared]
        allowed.append(
            (
                [part.reads.index(name) for name in shared],
                {tuple(case[i] for i in places) for case in matrix.passed},
            )
        )
    of_each = [
        [
            value
            for value in values[name]
            if all(value in _met(name, matrix) for matrix in above if name in matrix.reads)
        ]
        for name in part.reads
    ]
    return [
        case
        for case in itertools.product(*of_each)
        if all(tuple(case[i] for i in places) in passed for places, passed in allowed)
    ]


def _met(name: str, matrix: PartMatrix) -> set[StrEnum]:
    """The values of a fact that this part lets through."""
    place = matrix.reads.index(name)
    return {case[place] for case in matrix.passed}


def matrix_of(table: Table[Any]) -> list[PartMatrix]:
    """Every part of the table with all its cases."""
    values = values_of(FACTS_OF[table.name])
    found: list[PartMatrix] = []
    for number, part in enumerate(table.parts, start=1):
        outcomes = {
            case: first_match(part.rows, part.reads, case) for case in cases_reaching(part, found, values)
        }
        found.append(
            PartMatrix(
                table=table.name, number=number, question=part.question, reads=part.reads, outcomes=outcomes
            )
        )
    return found


def written(matrix: PartMatrix) -> str:
    """The matrix as text: a line for all cases that differ in one fact only and are decided alike.

    That fact is the one with most values; so a change of policy shows as exactly the cases that changed.
    """
    met = [tuple(dict.fromkeys(case[i] for case in matrix.outcomes)) for i in range(len(matrix.reads))]
    last = max(range(len(met)), key=lambda i: len(met[i]))
    order = [i for i in range(len(met)) if i != last and len(met[i]) > 1]
    always = [f"{matrix.reads[i]} {met[i][0]}" for i in range(len(met)) if len(met[i]) == 1]
    lines: dict[tuple[Case, str], list[StrEnum]] = {}
    for case, rule in matrix.outcomes.items():
        said = f"{rule.verdict.name} {rule.id}" if rule is not None else "(asks on)"
        lines.setdefault((tuple(case[i] for i in order), said), []).append(case[last])
    text = [
        f"# {matrix.table}, part {matrix.number}: {matrix.question}",
        f"# {len(matrix.outcomes)} cases, of facts with these values:",
        *(f"#   {matrix.reads[i]}: {', '.join(met[i])}" for i in (*order, last)),
        *([f"#   and always: {', '.join(always)}"] if always else []),
        "",
    ]
    for (case, said), values in lines.items():
        facts = [*case, "any" if len(values) == len(met[last]) else "|".join(values)]
        text.append(f"{said:<44} {', '.join(facts)}")
    return "\n".join(text) + "\n"


def cases_that_act(table: Table[Any]) -> Iterator[dict[str, StrEnum]]:
    """Every case in which the table says ACT, over all facts that any of its parts reads."""
    found: list[dict[str, StrEnum]] = [{}]
    for matrix in matrix_of(table):
        joined: list[dict[str, StrEnum]] = []
        for case, rule in matrix.outcomes.items():
            here = dict(zip(matrix.reads, case, strict=True))
            acts = rule is not None and rule.verdict.name == "ACT"
            if acts or rule is None:
                fitting = [
                    {**before, **here}
                    for before in found
                    if all(before.get(name, value) is value for name, value in here.items())
                ]
                if acts:
                    yield from fitting
                else:
                    joined += fitting
        found = joined
