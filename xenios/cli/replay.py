"""`xenios replay`: a story, played to several managers at once, and what each of them would do.

Effects: reads files; writes to standard output
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from importlib.resources import files
from typing import TYPE_CHECKING

import click

from xenios import __version__
from xenios.cli import output
from xenios.errors import XeniosError
from xenios.replay.contestants import POLICY_NAMES

if TYPE_CHECKING:
    from xenios.replay.script import Story

WIDTH_WITHOUT_TERMINAL = 160
SUFFIX = ".story"
BYTES_MAX = 1_000_000
ALL = "all"
STANDARD_INPUT = "-"
LIST_SCHEMA = "xenios.replay-list/1"
_GIVE_A_FILE = "write it to a file, and give the path of that"


def _policies(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if names == (ALL,):
        return POLICY_NAMES
    for name in names:
        if name not in POLICY_NAMES:
            from xenios.replay.grammar import listed, near

            raise click.BadParameter(
                f"{name!r} is no policy; {near(name, POLICY_NAMES)}there are {listed(POLICY_NAMES)}, or all."
            )
    if not names:
        raise click.BadParameter("it names no policy; all names every one.")
    return names


def _not_empty(
    _context: click.Context, _parameter: click.Parameter, scripts: tuple[str, ...]
) -> tuple[str, ...]:
    for script in scripts:
        if not script.strip():
            raise click.BadParameter("an empty word names no script; give a file, or the name of a story.")
        if script == STANDARD_INPUT:
            raise click.BadParameter(
                "- is no file; a script is not read from standard input, but from a file."
            )
    return scripts


@click.command(epilog="Exit status: 0 played, 1 a script could not be read, 2 wrong usage.")
@click.argument("scripts", metavar="SCRIPT...", nargs=-1, callback=_not_empty)
@click.option(
    "--policies",
    default=ALL,
    show_default=True,
    metavar="NAME,...",
    callback=_policies,
    help=f"Play it to these: {', '.join(POLICY_NAMES)}.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print it as JSON: what happened (schema xenios.replay/1), or the list.",
)
@click.option("--list", "as_list", is_flag=True, help="List the stories that come with Xenios.")
def replay(scripts: tuple[str, ...], policies: tuple[str, ...], as_json: bool, as_list: bool) -> int:
    """Play a story to several managers and show side by side what each does to the VMs.

    SCRIPT is a file, or the name of a story that comes with Xenios, such as founding. Nothing real is touched: every
    manager plays in a made-up world of its own. docs/replay.md says how stories are written.
    """
    if as_list:
        if scripts:
            raise click.UsageError("--list takes no scripts.")
        _write(_list_of_stories_json() if as_json else _list_of_stories())
        return 0
    if not scripts:
        raise click.UsageError(
            "name a script, or one of the stories that come with Xenios:\n\n" + _list_of_stories().rstrip()
        )
    stories = [_story(script) for script in scripts]
    _write(_rendered(stories, policies, as_json=as_json))
    return 0


def shipped_stories() -> dict[str, str]:
    """The text of every story that comes with Xenios, by its name."""
    found = [
        item for item in files("xenios.replay").joinpath("stories").iterdir() if item.name.endswith(SUFFIX)
    ]
    return {
        item.name.removesuffix(SUFFIX): item.read_text(encoding="utf-8")
        for item in sorted(found, key=lambda item: item.name.removesuffix(SUFFIX))
    }


def _parsed_shipped_stories() -> list[Story]:
    from xenios.replay.parse import parse_story

    return [parse_story(text, name) for name, text in shipped_stories().items()]


def _list_of_stories() -> str:
    stories = _parsed_shipped_stories()
    wide = max((len(story.name) for story in stories), default=0)
    return "".join(f"  {story.name:<{wide}}  {story.kind.value:<9}  {story.title}\n" for story in stories)


def _list_of_stories_json() -> str:
    stories = [
        {"name": story.name, "kind": story.kind.value, "title": story.title, "about": list(story.about)}
        for story in _parsed_shipped_stories()
    ]
    listed = {"schema": LIST_SCHEMA, "xenios_version": __version__, "stories": stories}
    return json.dumps(listed, indent=2) + "\n"


def _story(script: str) -> Story:
    from xenios.replay.parse import parse_story

    shipped = shipped_stories()
    if script in shipped:
        return parse_story(shipped[script], script)
    return parse_story(_text_of(script, tuple(shipped)), script)


def _text_of(script: str, names: tuple[str, ...]) -> str:
    data = _bytes_of(script, names)
    if len(data) > BYTES_MAX:
        raise XeniosError(
            f"{script} has more than {BYTES_MAX:,} bytes", remedy="tell a shorter story, or several"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise XeniosError(
            f"{script}, line {line}: this is no text in UTF-8", remedy="save it as UTF-8"
        ) from None
    if not text.strip():
        raise XeniosError(
            f"{script} is empty", remedy="write a story into it; docs/replay.md says how stories are written"
        )
    return text


def _bytes_of(script: str, names: tuple[str, ...]) -> bytes:
    """The beginning of a regular file, as far as it may be long. A pipe might never end, and a device has no end."""
    from xenios.replay.grammar import near

    try:
        with open(script, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise XeniosError(f"{script} is not a regular file", remedy=_GIVE_A_FILE)
            return file.read(BYTES_MAX + 1)
    except FileNotFoundError:
        raise XeniosError(
            f"there is no file {script!r} and no story of that name",
            remedy=f"{near(script, names)}xenios replay --list names the stories; your own script goes by its path",
        ) from None
    except IsADirectoryError:
        raise XeniosError(f"{script} is a directory, and no script", remedy=_GIVE_A_FILE) from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise XeniosError(
            f"cannot read {script!r}: {why}", remedy="give a script that you may read"
        ) from None


def _open_without_waiting(path: str, flags: int) -> int:
    # Without waiting: a named pipe would wait for a writer for ever.
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _rendered(stories: list[Story], policies: tuple[str, ...], *, as_json: bool) -> str:
    from xenios.replay.contestants import contestants
    from xenios.replay.play import play
    from xenios.replay.told import Replay
    from xenios.report.render_replay import render_replay, render_replay_json

    players = contestants(policies)
    played = Replay(xenios_version=__version__, stories=tuple(play(story, players) for story in stories))
    if as_json:
        return render_replay_json(played)
    terminal = sys.stdout.isatty()
    fallback = os.environ.get("COLUMNS", "")
    width = int(fallback) if fallback.isdecimal() and 0 < int(fallback) < 10_000 else WIDTH_WITHOUT_TERMINAL
    if terminal:
        width = shutil.get_terminal_size((WIDTH_WITHOUT_TERMINAL, 24)).columns
    colour = terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return render_replay(played, width=width, colour=colour)


def _write(text: str) -> None:
    try:
        output.write(text, what="the replay", command="xenios replay")
    except output.ReaderGone as gone:
        if gone.trouble is not None:
            raise gone.trouble from gone
