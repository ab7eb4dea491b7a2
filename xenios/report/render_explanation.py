"""Renders explanations: for a terminal, as JSON, and as a fragment of a page.

All three show one structure, an Explanation (decide/explain.py). What people read of it is put into labelled parts in
one place, `parts_of`; a terminal and a page only lay these out. So what one of them says, the others say too.

Foreign text is made harmless where it is printed: by `shown()` here, and by the template engine on a page.

Effects: none
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from xenios.decide.explain import Change, Explanation, FactSaid, StepSaid
from xenios.model.decision import Refusal, Severity, Verdict
from xenios.report.explained import SCHEMA, Explained
from xenios.report.terminal import drawn
from xenios.report.words import plural, shown, time_text

_LABEL_COLUMNS_MAX = 34


class Tone(StrEnum):
    """What a line is, for whoever gives it a colour. Nothing is said by colour alone."""

    PLAIN = "plain"
    VERDICT_ACT = "act"
    VERDICT_ASK = "ask"
    VERDICT_WAIT = "wait"
    VERDICT_NO = "no"
    GRAVE = "grave"
    REMEDY = "remedy"
    QUIET = "quiet"


_TONE_OF: dict[Verdict | Severity, Tone] = {
    Verdict.ACT: Tone.VERDICT_ACT,
    Verdict.ASK_OPERATOR: Tone.VERDICT_ASK,
    Verdict.WAIT: Tone.VERDICT_WAIT,
    Verdict.LEAVE_ALONE: Tone.VERDICT_NO,
    Severity.CRITICAL: Tone.GRAVE,
    Severity.WARNING: Tone.VERDICT_ASK,
    Severity.INFO: Tone.PLAIN,
}
_STYLE = {
    Tone.PLAIN: "",
    Tone.VERDICT_ACT: "bold green",
    Tone.VERDICT_ASK: "bold yellow",
    Tone.VERDICT_WAIT: "bold cyan",
    Tone.VERDICT_NO: "bold",
    Tone.GRAVE: "bold red",
    Tone.REMEDY: "",
    Tone.QUIET: "dim",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Something said, with what it is. Foreign text is in it as it came."""

    label: str
    text: str
    remedy: str = ""
    """What to do about it, where that is said of this line and not of the whole."""
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPart:
    """Lines that answer one question."""

    title: str
    lines: tuple[Line, ...]


# --- one structure ---------------------------------------------------------------------------------------------------


def parts_of(explanation: Explanation) -> tuple[LabelledPart, ...]:
    """What an explanation says, in this order: what, why, from what, instead of what, unless what."""
    parts = [LabelledPart(title=explanation.question, lines=tuple(_answer(explanation)))]
    if len(explanation.reasons) > 1:
        parts.append(_part("Everything that stands against it", map(reason_line, explanation.reasons)))
    if explanation.steps:
        parts.append(_part("Steps, one after the other", _steps(explanation.steps)))
    if explanation.facts:
        parts.append(_part("The facts", map(_fact, (fact for fact in explanation.facts if fact.read))))
    parts += _passed_over(explanation)
    if explanation.changes:
        parts.append(_part("What would change it", _changes(explanation)))
    return tuple(parts)


def reason_line(refusal: Refusal) -> Line:
    """One reason against something, wherever it is shown: in an explanation, and in the details of a report."""
    return Line(label=refusal.rule, text=f"{refusal.verdict}: {refusal.because}", remedy=refusal.remedy)


def _part(title: str, lines: Iterator[Line]) -> LabelledPart:
    return LabelledPart(title=title, lines=tuple(lines))


def _answer(explanation: Explanation) -> Iterator[Line]:
    if explanation.verdict is not None:
        verdict = explanation.verdict
        yield Line(label="verdict", text=verdict.value, tone=_TONE_OF[verdict])
    if explanation.severity is not None:
        severity = explanation.severity
        yield Line(label="severity", text=severity.value, tone=_TONE_OF[severity])
    yield Line(label="because", text=explanation.because)
    yield Line(label="rule", text=explanation.rule)
    if explanation.why:
        yield Line(label="why", text=explanation.why)
    if explanation.hazard is not None:
        yield Line(label="hazard", text=explanation.hazard.value)
    yield Line(label="what to do", text=explanation.remedy, tone=Tone.REMEDY)
    for note in explanation.notes:
        yield Line(label="note", text=note, tone=Tone.VERDICT_ASK)


def _steps(steps: Sequence[StepSaid]) -> Iterator[Line]:
    for number, step in enumerate(steps, 1):
        yield Line(
            label=f"{number}. {step.does}",
            text=f"expects: {step.expects}; leaves: {step.leaves}; undone by: {step.undone_by}; {step.hazard}",
        )


def _fact(fact: FactSaid) -> Line:
    return Line(label=fact.label, text=fact.words)


def _passed_over(explanation: Explanation) -> Iterator[LabelledPart]:
    questions = dict.fromkeys(row.question for row in explanation.passed_over)
    for question in questions:
        rows = [row for row in explanation.passed_over if row.question == question]
        yield LabelledPart(
            title=f"Looked at, and not so: {question}",
            lines=tuple(Line(label=row.rule, text=row.because, tone=Tone.QUIET) for row in rows),
        )


def _changes(explanation: Explanation) -> Iterator[Line]:
    said = {row.rule for row in explanation.passed_over}
    for change in explanation.changes:
        yield Line(label=change.label, text=_change_words(change, said))
    if explanation.changes_left_out:
        yield Line(
            label="…", text=f"and {plural(explanation.changes_left_out, 'other change')}", tone=Tone.QUIET
        )


def _change_words(change: Change, said: Collection[str]) -> str:
    """What a rule says is left out where it stands above, among those that did not hold."""
    beside = "".join(f", and {fact.label}: {fact.words}" for fact in change.with_it)
    because = "" if change.rule in said else f"; {change.because}"
    return f"{' / '.join(change.words)}{beside} → {change.verdict} ({change.rule}){because}"


# --- for a terminal --------------------------------------------------------------------------------------------------


def render_explanation_text(explanation: Explanation, *, width: int, colour: bool) -> str:
    """One explanation as text of at most `width` columns, with ANSI colours or without."""
    return drawn(lambda console: _print(console, explanation), width=width, colour=colour)


def render_explained_text(explained: Explained, *, width: int, colour: bool) -> str:
    """All explanations of one look as text."""
    return drawn(lambda console: _print_explained(console, explained), width=width, colour=colour)


def _print_explained(console: Console, explained: Explained) -> None:
    seen = f"{explained.source}; seen {time_text(explained.seen_at)}; {explained.status.upper()}"
    console.print(Text(shown(explained.target), style="bold"))
    console.print(Text(shown(seen), style="dim"))
    console.print(Text(shown(explained.without)))
    if explained.failures:
        lacking = f"{plural(explained.failures, 'thing')} could not be read: xenios inspect says what."
        console.print(Text(lacking, style="bold red"))
    for explanation in explained.explanations:
        console.print()
        _print(console, explanation)
    console.print()
    console.print(Text("Nothing was changed by this look.", style="dim"))


def _print(console: Console, explanation: Explanation) -> None:
    heading = Text(shown(explanation.about), style="bold")
    if explanation.about_uuid and explanation.about_uuid not in explanation.about:
        heading.append(f"  {shown(explanation.about_uuid)}", style="dim")
    console.print(heading)
    for part in parts_of(explanation):
        console.print(Text(f"  {shown(part.title)}", style="bold"))
        console.print(Padding(_grid(part.lines), (0, 0, 0, 4)))


def _grid(lines: Sequence[Line]) -> Table:
    labels = [shown(line.label) for line in lines]
    grid = Table.grid(padding=(0, 2, 0, 0))
    columns = min(_LABEL_COLUMNS_MAX, max((len(label) for label in labels), default=0))
    grid.add_column(width=columns, overflow="fold", style="dim")
    grid.add_column(overflow="fold")
    for label, line in zip(labels, lines, strict=True):
        text = Text(shown(line.text), style=_STYLE[line.tone])
        if line.remedy:
            text.append(f"\n→ {shown(line.remedy)}", style="dim")
        grid.add_row(Text(label), text)
    return grid


# --- as JSON, and for a page -----------------------------------------------------------------------------------------


def render_explanation_json(explanation: Explanation | Explained) -> str:
    """It as JSON text, indented, with a line end. Escapes every character that could steer a terminal."""
    text = json.dumps(msgspec.to_builtins(explanation), indent=2, ensure_ascii=True)
    return text.replace("\x7f", "\\u007f") + "\n"


def json_schema_of_explanations() -> dict[str, Any]:
    """The JSON Schema of what `xenios explain --json` prints."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Xenios explanations ({SCHEMA})",
        **msgspec.json.schema(Explained),
    }


def render_explanation_html(explanation: Explanation) -> str:
    """One explanation as a fragment of HTML: no script, no style of its own, nothing that must be unique on a page."""
    from xenios.report.render_html import environment

    template = environment().get_template("html/explanation.j2")
    return template.render(explanation=explanation, parts=parts_of(explanation))
