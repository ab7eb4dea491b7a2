"""`xenios explain`: why would this VM not be touched, and may it be adopted? One look, and the rules that answer.

Effects: reads hypervisors and files; writes to standard output
"""

from __future__ import annotations

import math
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xenios import __version__
from xenios.app import Access, view_of, without_secrets
from xenios.cli import output
from xenios.cli.credentials import access_to, credential_options
from xenios.cli.event_loop import run
from xenios.cli.progress import ProgressLine
from xenios.clock import now_micros
from xenios.report.explained import ABOUT_ONE_VM, ASKED_WITHOUT_A_WORD, Explained, explained_in

if TYPE_CHECKING:
    from xenios.model.collection import Collection

WIDTH_WITHOUT_TERMINAL = 140
WIDTH_MAX = 10_000
ALL = "all"


def _tables(_context: click.Context, _parameter: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    if ALL in words:
        return ABOUT_ONE_VM
    return tuple(name for name in ABOUT_ONE_VM if name in words) if words else ASKED_WITHOUT_A_WORD


def _not_empty(_context: click.Context, parameter: click.Parameter, word: str) -> str:
    if not word.strip():
        raise click.BadParameter(f"an empty {parameter.name} names nothing; a VM without a name has a uuid.")
    return word


def _finite(_context: click.Context, _parameter: click.Parameter, seconds: float) -> float:
    if math.isnan(seconds):  # no range check notices it
        raise click.BadParameter("nan is no number of seconds.")
    return seconds


@click.command(
    epilog="Exit status: 0 explained, 1 something could not be read or there is no such VM, 2 wrong usage."
)
@click.argument("target", callback=_not_empty)
@click.argument("vm", callback=_not_empty)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON (schema: docs/explain.schema.json).")
@click.option(
    "--table",
    "tables",
    type=click.Choice((*ABOUT_ONE_VM, ALL)),
    multiple=True,
    callback=_tables,
    help="Ask this table of rules (docs/rules.md); may be given several times. Without it: touch and adopt. all: every "
    "table about one VM. The tables here and disturb are about hosts, so they are not asked here.",
)
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0.1, max=86_400),
    default=30.0,
    show_default=True,
    callback=_finite,
    metavar="SECONDS",
    help="Read the target within this time.",
)
@credential_options
def explain(
    target: str,
    vm: str,
    as_json: bool,
    tables: tuple[str, ...],
    timeout_seconds: float,
    password_file: Path | None,
    fingerprints: frozenset[bytes],
    insecure: bool,
) -> int:
    """Say why a VM would not be touched, and whether it may be adopted.

    TARGET is what xenios inspect takes. VM is its uuid, or its name where no other VM has it. Shown are the verdict,
    the rule that gave it, the facts that it went by, the rules that did not hold, and what would change it.
    """
    access = access_to((target,), password_file, fingerprints, insecure, purpose="explain")
    explained = explained_in(
        look(target, timeout_seconds, access),
        vm,
        tables,
        target=without_secrets(target),
        now=now_micros(),
        xenios_version=__version__,
    )
    print_explained(explained, as_json=as_json)
    return 0 if explained.status == "complete" else 1


def look(target: str, timeout_seconds: float, access: Access) -> Collection:
    """Reads the target, with a line of progress on a terminal. Raises XeniosError when nothing could be read."""
    with ProgressLine() as line:
        try:
            return run(view_of(target, timeout_seconds=timeout_seconds, progress=line.tell, access=access))
        finally:
            line.tell(without_secrets(target), "")


def print_explained(explained: Explained, *, as_json: bool) -> None:
    """Prints it to standard output; a reader that goes away early (head, less) is no error."""
    from xenios.report.render_explanation import render_explained_text, render_explanation_json

    if as_json:
        text = render_explanation_json(explained)
    else:
        terminal = sys.stdout.isatty()
        columns = os.environ.get("COLUMNS", "")
        width = (
            int(columns) if columns.isdecimal() and 0 < int(columns) < WIDTH_MAX else WIDTH_WITHOUT_TERMINAL
        )
        if terminal:
            width = shutil.get_terminal_size((WIDTH_WITHOUT_TERMINAL, 24)).columns
        colour = terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        text = render_explained_text(explained, width=width, colour=colour)
    try:
        output.write(text, what="the explanation", command="xenios explain")
    except output.ReaderGone as gone:
        if gone.trouble is not None:
            raise gone.trouble from gone
