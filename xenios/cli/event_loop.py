"""The event loop that every command runs in: uvloop, because it holds a connection in a fifth of the memory.

Effects: those of what is run
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

# Imported before there is anything to run: Ctrl-C in the middle of an import would leave a coroutine unawaited.
import uvloop

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs to the end, in a loop of its own; Ctrl-C cancels it."""
    return uvloop.run(work)
