"""The `xenios` command: names its commands and imports each only when it runs, for a prompt answer to --help.

Effects: those of the command that is run
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import Any

import click

from xenios import __version__
from xenios.cli import output
from xenios.errors import XeniosError

COMMANDS = {
    "demo": ("xenios.cli.demo", "Show the main job on a shipped example: a XenServer pool in use."),
    "explain": (
        "xenios.cli.explain",
        "Say why a VM would not be touched, or may not be adopted, and by which rules.",
    ),
    "inspect": ("xenios.cli.inspect", "Report what is on hypervisors in use, without changing anything."),
    "replay": ("xenios.cli.replay", "Play a story to several managers: what would each do to the VMs?"),
    "simulate": ("xenios.cli.simulate", "Serve a simulated XenServer pool, made up or a copy of a real one."),
}
"""Name of each command, the module that has it under its own name, and one line of help."""


_OUTPUT_LOST = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE}
"""What happens to output. Whoever reads or writes other files says itself what went wrong with them."""


class LateCommands(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands by name."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(COMMANDS[cmd_name][0]), cmd_name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list for --help, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in sorted(COMMANDS.items())])


@click.group(cls=LateCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", prog_name="xenios")
def cli() -> None:
    """A VM control plane that moves into hypervisors already in use and harms none of the VMs it finds there."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits: 0 done, 1 something failed or could not be read, 2 wrong usage."""
    output.keep_low_descriptors()
    if sys.stderr is None:  # closed by whoever started us; what would be said there is lost, and nothing else
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - it stays open as long as the process
    if sys.stdout is None:
        click.echo(
            "Error: standard output is closed\n  give the report a place to go: a file, or /dev/null",
            err=True,
        )
        sys.exit(1)
    output.prepare()
    try:
        code = _run(arguments)
        sys.stdout.flush()
        sys.exit(code)
    except XeniosError as error:
        from xenios.report.words import shown

        click.echo(f"Error: {shown(str(error))}\n  {shown(error.remedy)}", err=True)
        sys.exit(1)
    except OSError as error:
        if error.errno not in _OUTPUT_LOST:
            raise
        output.let_go()
        if not isinstance(error, BrokenPipeError):
            click.echo(
                f"Error: cannot write to standard output: {error.strerror}\n  send it to a place that takes it",
                err=True,
            )
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(_interrupted())


def _run(arguments: list[str] | None) -> Any:
    try:
        return cli.main(args=arguments, prog_name="xenios", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return 2
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _interrupted()


def _interrupted() -> int:
    click.echo("Interrupted; nothing was changed.", err=True)
    return 130
