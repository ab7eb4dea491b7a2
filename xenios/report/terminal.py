"""Text for a terminal, or for whatever stands in its place: one way of drawing for every report.

Effects: none
"""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

from rich.console import Console

WIDTH_MIN = 60
"""Narrower than this, lines are longer than the terminal: half a word a line helps nobody."""


def drawn(draw: Callable[[Console], None], *, width: int, colour: bool) -> str:
    """What `draw` prints, in lines of at most `width` columns without blanks at their ends."""
    out = StringIO()
    console = Console(
        file=out,
        width=max(WIDTH_MIN, width),
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    draw(console)
    return "\n".join(line.rstrip() for line in out.getvalue().split("\n"))
