"""The event loop that the command runs in: uvloop where there is one, because it holds a connection in a fifth of the
memory; asyncio's own elsewhere.

Effects: those of what is run
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs to the end, in a loop of its own; Ctrl-C cancels it."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
