"""`xenios inspect`: look at hypervisors in use, and report.

Effects: reads hypervisors and files; writes the report to standard output or where the user says
"""

from __future__ import annotations

import math
import os
import shutil
import sys
import tempfile
from pathlib import Path

import click

from xenios.app import Access, inspect_targets
from xenios.cli import output
from xenios.cli.credentials import access_to, credential_options
from xenios.cli.event_loop import run
from xenios.cli.progress import ProgressLine
from xenios.decide.precedent import POLICIES
from xenios.errors import XeniosError
from xenios.report.schema import Report

WIDTH_WITHOUT_TERMINAL = 140


@click.command(
    epilog="Exit status: 0 complete, 1 something could not be read (the report says what; with --watch: a whole "
    "target), 2 wrong usage."
)
@click.argument(
    "targets",
    metavar="TARGET...",
    nargs=-1,
    required=True,
    callback=lambda _context, _parameter, targets: _not_empty(targets),
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the report as JSON (schema: docs/report.schema.json)."
)
@click.option(
    "--html",
    "html_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    callback=lambda _context, _parameter, file: _a_file(file),
    help="Also write the report as one self-contained HTML page.",
)
@click.option(
    "--compare",
    type=click.Choice(POLICIES),
    help="Add what that manager's sync would do to each VM if the pool were added to it.",
)
@click.option(
    "--details", is_flag=True, help="Print every disk, NIC and reason of every VM, not only the tables."
)
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0.1, max=86_400),
    default=30.0,
    show_default=True,
    callback=lambda _context, _parameter, seconds: _finite(seconds),
    metavar="SECONDS",
    help="Read each target within this time; what is unread by then is reported as such.",
)
@click.option(
    "--watch",
    "stay_on",
    is_flag=True,
    help="Stay on, and print each change as it happens, a line each; with --json, one JSON object a line "
    "(schema: docs/change.schema.json). Ctrl-C ends it.",
)
@credential_options
def inspect(
    targets: tuple[str, ...],
    as_json: bool,
    html_file: Path | None,
    compare: str | None,
    details: bool,
    timeout_seconds: float,
    stay_on: bool,
    password_file: Path | None,
    fingerprints: frozenset[bytes],
    insecure: bool,
) -> int:
    """Report what is on hypervisors in use, without changing anything.

    TARGET is a XenServer or XCP-ng pool (xenserver://user@host[:port] by HTTPS, xenserver+http://user@host by plain
    HTTP), a libvirt URI (qemu:///system, qemu+ssh://root@host/system, test:///default), or a file: a pool's database
    (xe pool-dump-database, state.db). Several targets are read at once.
    """
    if stay_on:
        _refuse_beside_watch({"--html": html_file, "--compare": compare, "--details": details})
        from xenios.cli.watch import watch

        access = access_to(targets, password_file, fingerprints, insecure, purpose="watch")
        return watch(targets, as_json=as_json, timeout_seconds=timeout_seconds, access=access)
    access = access_to(targets, password_file, fingerprints, insecure)
    report = look(targets, compare=compare, timeout_seconds=timeout_seconds, access=access)
    print_report(report, as_json=as_json, details=details)
    if html_file is not None:
        write_html(report, html_file)  # last: when the page cannot be written, the report is not lost
    return 0 if report.complete else 1


def look(
    targets: tuple[str, ...], *, compare: str | None, timeout_seconds: float, access: Access | None = None
) -> Report:
    """Reads all targets, with a line of progress on a terminal."""
    with ProgressLine() as line:
        return run(
            inspect_targets(
                targets,
                compare=compare,
                timeout_seconds=timeout_seconds,
                progress=line.tell,
                access=access,
            )
        )


def print_report(report: Report, *, as_json: bool = False, details: bool = False) -> None:
    """Prints the report to standard output; a reader that goes away early (head, less) is no error."""
    if as_json:
        from xenios.report.render_json import render_json

        text = render_json(report)
    else:
        from xenios.report.render_text import render_text

        terminal = sys.stdout.isatty()
        width = (
            shutil.get_terminal_size((WIDTH_WITHOUT_TERMINAL, 24)).columns
            if terminal
            else _width_from_environment()
        )
        colour = terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        text = render_text(report, width=width, colour=colour, details=details)
    try:
        output.write(text, what="the report", command="xenios inspect")
    except output.ReaderGone as gone:
        if gone.trouble is not None:
            raise gone.trouble from gone


def write_html(report: Report, file: Path) -> None:
    """Writes the page whole or not at all; into a pipe or device (/dev/stdout) as it is. Raises XeniosError."""
    from xenios.report.render_html import render_html

    page = render_html(report).encode("utf-8", "backslashreplace")
    try:
        file = file.resolve()  # a link stays a link
        if file.exists() and not file.is_file():
            file.write_bytes(page)  # replacing /dev/null by a page would break the machine
            return
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(page)
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(name, 0o666 & ~umask)
            os.replace(name, file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise XeniosError(
            f"cannot write {file}: {error.strerror or error}", remedy="give --html a file that you may write"
        ) from error


def _refuse_beside_watch(options: dict[str, object]) -> None:
    for name, given in options.items():
        if given:
            raise click.UsageError(f"{name} belongs to a report, and --watch prints changes.")


def _not_empty(targets: tuple[str, ...]) -> tuple[str, ...]:
    if not all(target.strip() for target in targets):
        raise click.BadParameter("an empty target names nothing.")
    return targets


def _a_file(file: Path | None) -> Path | None:
    if file == Path("-"):
        raise click.BadParameter("the page goes into a file: give it a name.")
    return file


def _finite(seconds: float) -> float:
    if math.isnan(seconds):  # no range check notices it
        raise click.BadParameter("nan is no number of seconds.")
    return seconds


def _width_from_environment() -> int:
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdecimal() and int(columns) > 0 else WIDTH_WITHOUT_TERMINAL
