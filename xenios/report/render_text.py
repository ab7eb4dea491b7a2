"""Renders the report for a terminal: what is there, who manages it, may it be adopted, what to mind, how much room.

The order is that of the questions: is the view complete, what would a takeover mean, what needs care, then the tables.

Effects: none
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from xenios.decide.findings import KINDS
from xenios.decide.precedent import Harm
from xenios.model.collection import ReadFailure
from xenios.model.decision import Finding, Severity
from xenios.model.inventory import Answer
from xenios.report.render_text_details import details_of
from xenios.report.render_text_tables import capability_table, name_of, tables_of
from xenios.report.schema import Report, Summary, TargetReport, VmReport
from xenios.report.terminal import drawn
from xenios.report.words import ADOPTION_WORDS, adoption_words, bytes_text, plural, shown, time_text

SUBJECTS_SHOWN_MAX = 12

_SEVERITY_STYLE = {Severity.CRITICAL: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


def render_text(report: Report, *, width: int, colour: bool, details: bool = False) -> str:
    """The report as text of at most `width` columns, with ANSI colours or without."""
    return drawn(lambda console: _print_report(console, report, details=details), width=width, colour=colour)


def _print_report(console: Console, report: Report, *, details: bool) -> None:
    for target in report.targets:
        _print_target(console, target, report.compare, details=details)
    _print_closing(console, report)


def _print_target(console: Console, target: TargetReport, compare: str | None, *, details: bool) -> None:
    console.print()
    console.print(_headline(target))
    _print_failures(console, target.failures)
    if target.pool is None or target.summary is None:
        return
    if not details:
        _print_not_told(console, target)
    _print_meaning(console, target.summary, compare, complete=target.status == "complete")
    _print_findings(console, target.findings)
    _print_refusals(console, target.vms)
    for title, table, notes in tables_of(target, compare, console.width):
        console.print()
        console.print(Text(title, style="bold"))
        console.print(table)
        for note in notes:
            console.print(Text(note, style="dim"))
    _print_others(console, target)
    if details:
        console.print()
        console.print(Text("Capabilities", style="bold"))
        console.print(capability_table(target))
        storage_names = {storage.uuid: storage.name for storage in target.storages}
        for vm in (*target.vms, *target.control_domains, *target.templates, *target.snapshots):
            console.print()
            console.print(details_of(vm, storage_names))


def _headline(target: TargetReport) -> Text:
    line = Text(shown(target.target), style="bold")
    if target.pool is not None:
        pool = target.pool
        product = f"{shown(pool.product)} {shown(pool.version)}".strip()
        line.append(f"  pool {shown(pool.name) if pool.name.strip() else 'without a name'}")
        line.append(f": {product}" if product else "")
        line.append(f"\n{target.source}; seen {time_text(target.seen_at)}; ", style="dim")
    else:
        line.append("  ")
    line.append(target.status.upper(), style="green" if target.status == "complete" else "bold red")
    return line


def _print_not_told(console: Console, target: TargetReport) -> None:
    answers = [answer.capability.value for answer in target.capabilities if answer.answer is Answer.NO]
    if answers:
        console.print(
            Text(f"Not told by this source: {', '.join(answers)} (--details says why)", style="dim")
        )


def _print_failures(console: Console, failures: Sequence[ReadFailure]) -> None:
    if failures:
        console.print(Text(f"Could not be read ({len(failures)}):", style="bold red"))
    for failure in failures[: SUBJECTS_SHOWN_MAX * 2]:
        console.print(Text(f"  {shown(failure.what)}: {shown(failure.because)}"))
        console.print(Text(f"    → {shown(failure.remedy)}", style="dim"))
    if len(failures) > SUBJECTS_SHOWN_MAX * 2:
        console.print(Text(f"  … and {len(failures) - SUBJECTS_SHOWN_MAX * 2} more (--json has all)"))


def _print_meaning(console: Console, summary: Summary, compare: str | None, *, complete: bool) -> None:
    """What a takeover would mean, in sentences."""
    power = ", ".join(f"{count} {state}" for state, count in summary.by_power_state.items())
    nobody = "No VMs." if complete else "No VMs were seen."
    lines = [f"{plural(summary.vms, 'VM')}: {power}." if summary.vms else nobody]
    if summary.vms:
        counts = [(word, summary.by_adoption.get(word, 0)) for word in ADOPTION_WORDS]
        lines.append(
            "; ".join(f"{count} {adoption_words(word, count)}" for word, count in counts if count) + "."
        )
        managers = ", ".join(f"{shown(name)} {count}" for name, count in summary.by_manager.items())
        lines.append(f"Managed by: {managers}.")
    if summary.memory_bytes_drift is not None:
        lines.append(
            f"Memory: {bytes_text(summary.memory_bytes_free)} free on hosts that take VMs; a manager that counts only "
            f"its own VMs would promise {bytes_text(summary.memory_bytes_drift)} too much."
        )
    if compare and summary.vms:
        lines.append(_comparison_line(compare, summary.by_harm))
    for line in lines:
        console.print(Text("  " + line))


def _comparison_line(compare: str, by_harm: Mapping[str, int]) -> str:
    destroyed, later = by_harm.get(Harm.RECORD_DESTROYED, 0), by_harm.get(Harm.ON_CHANGE, 0)
    drives = by_harm.get(Harm.DRIVE_REMOVED, 0)
    spared = f"it would spare {by_harm.get(Harm.NONE) or 'none'}."
    harms = []
    if destroyed or later:
        harms.append(
            f"destroy {plural(destroyed, 'VM')} as soon as it connects and {later} more after their first change "
            "(their records; the disks stay)"
        )
    if drives:
        harms.append(f"remove a CD drive from {plural(drives, 'VM')}")
    return f"{compare} would {' and '.join(harms) or 'destroy no VM'}; {spared}"


def _print_findings(console: Console, findings: Sequence[Finding]) -> None:
    console.print()
    console.print(Text(f"Findings ({len(findings)})" if findings else "Findings: none", style="bold"))
    by_code: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_code[finding.code].append(finding)
    for kind in KINDS:
        found = by_code.get(kind.code, [])
        if not found:
            continue
        title = Text(f"  {kind.severity.value:<8} ", style=_SEVERITY_STYLE[kind.severity])
        title.append(f"{kind.code} ({len(found)})", style="bold")
        title.append(f": {kind.meaning}")
        console.print(title)
        for line in _finding_lines(found):
            console.print(Padding(Text(line), (0, 0, 0, 11)))
        console.print(Padding(Text(f"→ {kind.remedy}", style="dim"), (0, 0, 0, 11)))


def _finding_lines(found: Sequence[Finding]) -> Iterator[str]:
    """One line per finding of a code; of what only informs and is said of several, one line of names."""
    if len(found) > 1 and found[0].severity is Severity.INFO:
        times = Counter((finding.subject_uuid, finding.subject) for finding in found)
        names = [
            shown(subject) + (f" ({count})" if count > 1 else "") for (_, subject), count in times.items()
        ]
        more = (
            f", … and {len(names) - SUBJECTS_SHOWN_MAX} more (--json or --html has all)"
            if len(names) > SUBJECTS_SHOWN_MAX
            else ""
        )
        yield ", ".join(names[:SUBJECTS_SHOWN_MAX]) + more
        return
    for finding in found[:SUBJECTS_SHOWN_MAX]:
        yield f"{shown(finding.subject)}: {shown(finding.detail)}"
    if len(found) > SUBJECTS_SHOWN_MAX:
        yield f"… and {len(found) - SUBJECTS_SHOWN_MAX} more (--json or --html has all)"


def _print_refusals(console: Console, vms: Iterable[VmReport]) -> None:
    by_rule: dict[str, list[tuple[VmReport, str, str]]] = defaultdict(list)
    for vm in vms:
        for refusal in vm.refusals:
            by_rule[refusal.rule].append((vm, refusal.because, refusal.remedy))
    if by_rule:
        console.print()
        console.print(Text("Why VMs may not be adopted as they are", style="bold"))
    for rule, refused in by_rule.items():
        console.print(Text(f"  {rule} ({len(refused)})", style="bold"))
        for vm, because, _ in refused[:SUBJECTS_SHOWN_MAX]:
            console.print(Padding(Text(f"{name_of(vm)}: {shown(because)}"), (0, 0, 0, 4)))
        if len(refused) > SUBJECTS_SHOWN_MAX:
            console.print(
                Text(f"    … and {len(refused) - SUBJECTS_SHOWN_MAX} more (--json or --html has all)")
            )
        console.print(Padding(Text(f"→ {refused[0][2]}", style="dim"), (0, 0, 0, 4)))


def _print_others(console: Console, target: TargetReport) -> None:
    console.print()
    console.print(Text("Kept apart, never to be touched as machines", style="bold"))
    for title, vms in (
        ("control domains", target.control_domains),
        ("templates", target.templates),
        ("snapshots", target.snapshots),
    ):
        names = ", ".join(name_of(vm) for vm in vms[:SUBJECTS_SHOWN_MAX])
        more = f", … {len(vms) - SUBJECTS_SHOWN_MAX} more" if len(vms) > SUBJECTS_SHOWN_MAX else ""
        console.print(Padding(Text(f"{len(vms)} {title}{': ' if names else ''}{names}{more}"), (0, 0, 0, 2)))


def _print_closing(console: Console, report: Report) -> None:
    console.print()
    if report.complete:
        console.print(Text("Nothing was changed by this look.", style="dim"))
    else:
        console.print(
            Text(
                "Nothing was changed by this look. It is NOT complete: see what could not be read.",
                style="bold red",
            )
        )
