"""`xenios demo`: the main job on a shipped example, needing no hypervisor.

Effects: reads the example; writes one HTML page where the user says
"""

from __future__ import annotations

import sys
from importlib.resources import as_file, files
from pathlib import Path

import click

from xenios.cli.inspect import look, print_report, write_html
from xenios.decide.precedent import CLOUDSTACK_4_0_2

EXAMPLE = "examples/pool-in-use.db"


@click.command()
@click.option(
    "--html",
    "html_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("xenios-demo.html"),
    show_default=True,
    metavar="FILE",
    help="Where to write the page.",
)
def demo(html_file: Path) -> int:
    """Show the main job on a shipped example: a XenServer pool in use, inspected and compared."""
    with as_file(files("xenios.simulator") / EXAMPLE) as example:
        report = look((str(example),), compare=CLOUDSTACK_4_0_2, timeout_seconds=30)
    print_report(report)
    write_html(report, html_file)
    click.echo(f"The same as a page to show around: {html_file.resolve()}")
    command = sys.argv[0] if Path(sys.argv[0]).name == "xenios" else "xenios"
    click.echo(f"Now your own: {command} inspect qemu:///system, or a file from xe pool-dump-database.")
    return 0 if report.complete else 1
