"""docs/rules.md: every table with its rules, the guards and the budget, as the code has them.

What a guard or the budget says is taken from a refusal that it really gives, and the reason for a number from the
sentence below it in the code. So nothing here is written twice.

Effects: reads files
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator
from itertools import pairwise, starmap
from typing import Any

import msgspec

from xenios.decide.budget import Spent, refusal_by_budget
from xenios.decide.details import DETAILS
from xenios.decide.fact_words import FACT_WORDS
from xenios.decide.facts import PowerSeen
from xenios.decide.guards import GUARDS, refusal_beside, refusal_in_state
from xenios.decide.rules import Part, Rule, Table
from xenios.decide.tables import TABLES
from xenios.model import policy
from xenios.model.decision import Refusal
from xenios.model.plan import Verb
from xenios.model.policy import Budget, Thresholds

STATES: tuple[PowerSeen | None, ...] = (*PowerSeen, None)


def rules() -> Iterator[str]:
    """The lines of the page, below its first one."""
    yield "# Rules\n\n"
    yield 'Every "no" that Xenios says comes from a row of a table, and every decision names its row. A rule\'s id is\n'
    yield "for ever. `xenios explain TARGET VM` shows the rules at work on one VM.\n\n"
    yield "A table is read from top to bottom, part by part. Words in braces are filled in when a rule speaks:\n"
    yield from (f"\n- `{{{name}}}`: {meaning}" for name, meaning in DETAILS.items())
    yield "\n\n"
    yield from (f"- [{table.question}](#{_anchor(table.question)})\n" for table in TABLES.values())
    yield "- [In what state and beside what may a verb begin?](#guards)\n"
    yield "- [How much at once?](#budget)\n- [What the facts mean](#facts)\n\n"
    for table in TABLES.values():
        yield from _table(table)
    yield from _guards()
    yield from _budget()
    yield from _facts()


def _anchor(heading: str) -> str:
    """As GitHub makes them."""
    return "".join(sign for sign in heading.lower().replace(" ", "-") if sign.isalnum() or sign == "-")


def _heading(rule_id: str) -> str:
    return f'#### <a id="{rule_id}"></a>{rule_id}\n\n'


def _table(table: Table[Any]) -> Iterator[str]:
    yield f"## {table.question}\n\n{table.about}\n\n"
    if table.gives_all_reasons:
        yield "An explanation shows all that match; a decision names the first.\n\n"
    for part in table.parts:
        yield from _part(part)


def _part(part: Part[Any]) -> Iterator[str]:
    yield f"### {part.question}\n\nReads: {', '.join(FACT_WORDS[name].label for name in part.reads)}.\n\n"
    for rule in part.rows:
        yield from _rule(rule)


def _rule(rule: Rule[Any]) -> Iterator[str]:
    yield _heading(rule.id)
    yield f"Says: {rule.because}.\n\n{rule.why}\n\n- Verdict: {rule.verdict}\n- What to do: {rule.remedy}\n\n"


# --- guards ----------------------------------------------------------------------------------------------------------


def _guards() -> Iterator[str]:
    yield '## <a id="guards"></a>In what state and beside what may a verb begin?\n\n'
    yield "The last word before an act, whoever asks for it. A hypervisor refuses by rules of its own on top.\n\n"
    for refusal in guard_refusals():
        yield from _refusal(refusal)
    yield "### Verbs and states\n\n"
    yield from _grid(
        ("verb", "hazard", *(state or "not there" for state in STATES)),
        (
            (verb, guard.hazard, *(_sign(state in guard.states) for state in STATES))
            for verb, guard in GUARDS.items()
        ),
    )
    yield "### Verbs and work under way\n\n"
    yield "A verb waits until an operation of ours on the VM is over, but for these, which put an end to it:\n\n"
    yield from _grid(
        ("verb", *(f"{verb} is under way" for verb in _replaced())),
        (
            (verb, *(_sign(refusal_beside(verb, under_way) is None) for under_way in _replaced()))
            for verb in GUARDS
        ),
    )
    yield "Beside every other verb that is under way none begins.\n\n"


def _replaced() -> tuple[Verb, ...]:
    """Verbs that any other may begin beside."""
    return tuple(verb for verb in Verb if any(verb in guard.replaces for guard in GUARDS.values()))


def guard_refusals() -> tuple[Refusal, ...]:
    """One refusal of every guard, the first that there is."""
    in_states = (refusal_in_state(verb, state) for verb in GUARDS for state in STATES)
    beside = (refusal_beside(verb, under_way) for verb in GUARDS for under_way in GUARDS)
    return _first_of_each((*in_states, *beside))


def budget_refusals() -> tuple[Refusal, ...]:
    """One refusal of every rule of the budget."""
    budget = Budget()
    under_way = (Spent(at=0, under_way=True),) * budget.at_once_max
    done = (Spent(at=0, under_way=False),) * budget.acts_max
    return _first_of_each(refusal_by_budget(budget, ledger, now=0) for ledger in (under_way, done))


def _first_of_each(refusals: Iterable[Refusal | None]) -> tuple[Refusal, ...]:
    found: dict[str, Refusal] = {}
    for refusal in refusals:
        if refusal is not None:
            found.setdefault(refusal.rule, refusal)
    return tuple(found.values())


def _refusal(refusal: Refusal) -> Iterator[str]:
    yield _heading(refusal.rule)
    yield f"Says, for instance: {refusal.because}.\n\n"
    yield f"- Verdict: {refusal.verdict}\n- What to do: {refusal.remedy}\n\n"


def _sign(holds: bool) -> str:
    return "✓" if holds else ""


def _grid(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    heads = tuple(columns)
    yield f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}\n"
    yield from (f"| {' | '.join(row)} |\n" for row in rows)
    yield "\n"


# --- numbers ---------------------------------------------------------------------------------------------------------


def _budget() -> Iterator[str]:
    yield '## <a id="budget"></a>How much at once?\n\n'
    yield "The budget bounds the harm whatever goes wrong above it: acts that interrupt or destroy take from it.\n\n"
    for refusal in budget_refusals():
        yield from _refusal(refusal)
    yield from _numbers("The budget", Budget)
    yield from _numbers("Thresholds of deciding", Thresholds)


def _numbers(title: str, kind: type[msgspec.Struct]) -> Iterator[str]:
    reasons = field_docs(kind)
    yield f"### {title}\n\n"
    yield from _grid(
        ("setting", "default", "meaning"),
        (
            (f"`{field.name}`", f"{field.default:g}", reasons.get(field.name, ""))
            for field in msgspec.structs.fields(kind)
        ),
    )


def field_docs(kind: type[msgspec.Struct]) -> dict[str, str]:
    """What stands below each field in the code."""
    tree = ast.parse(inspect.getsource(policy))
    body = next(
        node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind.__name__
    )
    found = {}
    for field, below in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(below.value.value).split())
    return found


def _facts() -> Iterator[str]:
    yield '## <a id="facts"></a>What the facts mean\n\n'
    yield "Rules see these and nothing else: no name, no time, no number.\n\n"
    used = dict.fromkeys(name for table in TABLES.values() for name in table.facts.__struct_fields__)
    yield from _grid(
        ("fact", "in words", "values"),
        (
            (
                f"`{name}`",
                FACT_WORDS[name].label,
                "; ".join(starmap(_value, FACT_WORDS[name].values.items())),
            )
            for name in used
        ),
    )


def _value(value: str, words: str) -> str:
    return f"*{value}*" if words == value else f"*{value}*: {words}"
