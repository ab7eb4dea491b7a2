"""Why? A decision, a plan or a finding, explained: what it says, by which rule, from which facts, after which other
rules, and what would change it.

An explanation is worked out from the table itself. So it says nothing that the table does not do: what would change a
decision is found by deciding again with one fact changed, and the test does the same.

Effects: none
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, get_type_hints

import msgspec

from xenios.decide.bonds import with_change
from xenios.decide.details import DETAILS
from xenios.decide.fact_words import label_of, words_of
from xenios.decide.findings import KINDS
from xenios.decide.guards import GUARDS
from xenios.decide.rules import Rule, Table, facts_as_pairs, filled
from xenios.decide.tables import TABLES
from xenios.model.decision import Decision, Finding, Refusal, Severity, Verdict
from xenios.model.plan import Hazard, Plan, Step

SCHEMA = "xenios.explanation/1"
CHANGES_MAX = 16
"""More are counted and left out, the least useful first."""
_USEFUL = (Verdict.ACT, Verdict.ASK_OPERATOR, Verdict.WAIT, Verdict.LEAVE_ALONE)
_NOT_HERE = "…"
"""For a detail that a rule names and that is not there: the rule did not hold, or does not hold yet."""


class Kind(StrEnum):
    """What is explained."""

    DECISION = "decision"
    PLAN = "plan"
    FINDING = "finding"


class FactSaid(msgspec.Struct, frozen=True, kw_only=True):
    """One fact, for machines and for people."""

    name: str
    value: str
    label: str
    words: str
    read: bool
    """Whether the table reads it."""


class PassedOver(msgspec.Struct, frozen=True, kw_only=True):
    """A row that was looked at and did not hold."""

    rule: str
    because: str
    """What it would have said."""
    question: str
    """That of its part of the table."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What would be decided if one fact were another."""

    fact: str
    label: str
    values: tuple[str, ...]
    """Any of these leads there."""
    words: tuple[str, ...]
    with_it: tuple[FactSaid, ...]
    """What else is necessarily otherwise then."""
    rule: str
    verdict: Verdict
    because: str


class StepSaid(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a plan."""

    does: str
    expects: str
    leaves: str
    undone_by: str
    hazard: Hazard


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer. What does not belong to its kind is empty."""

    schema: str = SCHEMA
    kind: Kind
    about: str
    """What it is about, in words; "VM web-1"."""
    about_uuid: str
    question: str
    verdict: Verdict | None = None
    severity: Severity | None = None
    """Of a finding."""
    hazard: Hazard | None = None
    """Of a plan: the worst of its steps."""
    rule: str
    """The rule's id, the finding's code, or who asked for the plan."""
    because: str
    why: str
    remedy: str
    reasons: tuple[Refusal, ...] = ()
    """Every reason against, where the table gives all of them."""
    steps: tuple[StepSaid, ...] = ()
    facts: tuple[FactSaid, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    changes: tuple[Change, ...] = ()
    changes_left_out: int = 0
    notes: tuple[str, ...] = ()
    """What a reader must know beside it."""


def explanation_of_decision(
    decision: Decision, *, about: str, about_uuid: str = "", details: Mapping[str, str] | None = None
) -> Explanation:
    """Why a table decided so. `details`: those of the VM, as `details_of` tells them.

    A decision may be old, or of a newer version. What this version does not know is said, and never made up.
    """
    told = details or {}
    table = TABLES.get(decision.table)
    rule = _rule(table, decision.rule)
    facts = _facts(decision)
    notes = list(_notes(decision, table, rule, facts))
    may_ask = table is not None and rule is not None and facts is not None and not notes
    changes = _changes(table, facts) if may_ask and table is not None else ()
    return Explanation(
        kind=Kind.DECISION,
        about=about,
        about_uuid=about_uuid,
        question=table.question if table is not None else decision.table,
        verdict=decision.verdict,
        rule=decision.rule,
        because=filled(rule.because, told) if rule is not None else "(not known to this version)",
        why=rule.why if rule is not None else "",
        remedy=rule.remedy if rule is not None else "bring Xenios up to date",
        reasons=_reasons(table, facts, told) if may_ask and table is not None else (),
        facts=_facts_said(decision, table),
        passed_over=tuple(_passed_over(table, facts)) if may_ask and table is not None else (),
        changes=changes[:CHANGES_MAX],
        changes_left_out=max(0, len(changes) - CHANGES_MAX),
        notes=tuple(notes),
    )


def explanation_of_plan(
    plan: Plan, *, decision: Decision | None = None, host_names: Mapping[str, str] | None = None
) -> Explanation:
    """What would be done to a VM, step by step. `decision`: the one that it comes from, whose facts are shown too."""
    rule = _rule(_table_of(plan.because), plan.because)
    table = TABLES.get(decision.table) if decision is not None else None
    return Explanation(
        kind=Kind.PLAN,
        about=f"VM {plan.name if plan.name.strip() else plan.native_uuid}",
        about_uuid=plan.native_uuid,
        question="What would be done to it?",
        verdict=Verdict.ACT,
        hazard=plan.hazard,
        rule=plan.because,
        because=rule.because if rule is not None else f"it was asked for: {plan.because}",
        why=rule.why if rule is not None else "",
        remedy="freeze its pool or take the wish back, if this shall not be",
        steps=tuple(_step(step, host_names or {}) for step in plan.steps),
        facts=_facts_said(decision, table) if decision is not None else (),
    )


def explanation_of_finding(finding: Finding) -> Explanation:
    """What a finding means."""
    meaning = next((kind.meaning for kind in KINDS if kind.code == finding.code), "")
    return Explanation(
        kind=Kind.FINDING,
        about=finding.subject,
        about_uuid=finding.subject_uuid,
        question="What was found?",
        severity=finding.severity,
        rule=finding.code,
        because=finding.detail,
        why=meaning,
        remedy=finding.remedy,
    )


# --- what the table says -------------------------------------------------------------------------------------------


def _table_of(rule_id: str) -> Table[Any] | None:
    return TABLES.get(rule_id.partition(".")[0])


def _rule(table: Table[Any] | None, rule_id: str) -> Rule[Any] | None:
    rows = table.rows if table is not None else ()
    return next((rule for rule in rows if rule.id == rule_id), None)


def _facts(decision: Decision) -> Any:
    """The facts as they were; None when this version has others."""
    table = TABLES.get(decision.table)
    kind = table.facts if table is not None else None
    if kind is None or set(kind.__struct_fields__) != {name for name, _ in decision.facts}:
        return None
    try:
        return msgspec.convert(dict(decision.facts), kind)
    except msgspec.ValidationError:
        return None


def _notes(decision: Decision, table: Table[Any] | None, rule: Rule[Any] | None, facts: Any) -> Iterator[str]:
    if table is None or rule is None:
        yield "this version has no such rule: another one decided"
    elif facts is None:
        yield "this version goes by other facts: another one decided"
    elif (now := table.decide(facts)).rule != decision.rule or now.verdict is not decision.verdict:
        yield f"the rules have changed since: from the same facts it would be {now.verdict} ({now.rule}) now"


def _reasons(table: Table[Any], facts: Any, told: Mapping[str, str]) -> tuple[Refusal, ...]:
    return table.refusals(facts, told) if table.gives_all_reasons else ()


def _passed_over(table: Table[Any], facts: Any) -> Iterator[PassedOver]:
    """Rows before the one that decided; where all reasons are given, every row against that did not hold."""
    for part in table.parts:
        for rule in part.rows:
            if rule.when(facts):
                if not table.gives_all_reasons:
                    return
            elif not table.gives_all_reasons or rule.verdict is not Verdict.ACT:
                because = _said_without(rule.because)
                yield PassedOver(rule=rule.id, because=because, question=part.question)


def _said_without(because: str) -> str:
    """What a rule would say that does not hold, without details: those at hand are of something else."""
    return filled(because, dict.fromkeys(DETAILS, _NOT_HERE))


# --- facts and what would change the decision ----------------------------------------------------------------------


@cache
def _read_by(table_name: str) -> frozenset[str]:
    return frozenset(name for part in TABLES[table_name].parts for name in part.reads)


def _facts_said(decision: Decision, table: Table[Any] | None) -> tuple[FactSaid, ...]:
    read = _read_by(table.name) if table is not None else frozenset(name for name, _ in decision.facts)
    return tuple(_fact_said(name, value, read=name in read) for name, value in decision.facts)


def _fact_said(name: str, value: str, *, read: bool = True) -> FactSaid:
    return FactSaid(name=name, value=value, label=label_of(name), words=words_of(name, value), read=read)


def _changes(table: Table[Any], facts: Any) -> tuple[Change, ...]:
    """One fact at a time, what else would be decided; facts that lead furthest come first."""
    now = table.decide(facts)
    by_fact = []
    for name, values in get_type_hints(type(facts)).items():
        led: dict[tuple[str, tuple[FactSaid, ...]], list[str]] = {}
        for value in values:
            changed = with_change(facts, name, value) if value is not getattr(facts, name) else None
            if changed is None or (rule := table.decide(changed).rule) == now.rule:
                continue
            led.setdefault((rule, _with_it(table, facts, changed, name)), []).append(str(value))
        if led and (name in _read_by(table.name) or _leads_by_another(led)):
            by_fact.append(sorted((_change(table, name, *to, led[to]) for to in led), key=_usefulness))
    by_fact.sort(key=lambda changes: _usefulness(changes[0]))
    return tuple(change for changes in by_fact for change in changes)


def _with_it(table: Table[Any], before: Any, after: Any, name: str) -> tuple[FactSaid, ...]:
    """What else is different, as far as the table reads it."""
    pairs = zip(facts_as_pairs(before), facts_as_pairs(after), strict=True)
    read = _read_by(table.name)
    return tuple(_fact_said(*new) for old, new in pairs if new != old and new[0] != name and new[0] in read)


def _leads_by_another(led: Mapping[tuple[str, tuple[FactSaid, ...]], list[str]]) -> bool:
    """Whether a fact that the table does not read itself leads somewhere by what follows from it."""
    return all(with_it for _, with_it in led)


def _change(
    table: Table[Any],
    name: str,
    rule_id: str,
    with_it: tuple[FactSaid, ...],
    values: list[str],
) -> Change:
    rule = _rule(table, rule_id)
    if rule is None:
        raise LookupError(f"{table.name!r} decided by {rule_id!r}, which it does not have")
    return Change(
        fact=name,
        label=label_of(name),
        values=tuple(values),
        words=tuple(words_of(name, value) for value in values),
        with_it=with_it,
        rule=rule.id,
        verdict=rule.verdict,
        because=_said_without(rule.because),
    )


def _usefulness(change: Change) -> int:
    return _USEFUL.index(change.verdict)


# --- steps -----------------------------------------------------------------------------------------------------------


def _step(step: Step, host_names: Mapping[str, str]) -> StepSaid:
    where = f" on {host_names.get(step.host_uuid, step.host_uuid)}" if step.host_uuid is not None else ""
    if step.undone_by is None:
        undone = "nothing"
    else:
        undone = f"{step.undone_by} to where it was" if step.undone_by is step.verb else str(step.undone_by)
    return StepSaid(
        does=f"{step.verb}{where}",
        expects=" or ".join(step.expects) if step.expects else "no such VM",
        leaves=str(step.leaves) if step.leaves is not None else "no VM",
        undone_by=undone,
        hazard=GUARDS[step.verb].hazard,
    )
