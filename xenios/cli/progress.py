"""One line on the terminal that says what is being read, for anything that takes longer than a second.

It goes to standard error, only when that is a terminal, and is gone when the work is done.

Effects: writes to standard error
"""

from __future__ import annotations

import os
import sys
import threading
import time
from types import TracebackType
from typing import TextIO

from xenios.report.words import shown

APPEARS_AFTER_SECONDS = 1.0
_REDRAW_SECONDS = 0.2
_COLUMNS_NOT_TOLD = 80
_COLUMNS_LEFT_FREE = 4
"""For the ^C that a terminal shows at the end of the line; it must not wrap."""
_CLEAR = "\r\x1b[2K"


class ProgressLine:
    """Use as a context manager, and tell it what is being done to which target."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._doing: dict[str, str] = {}
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def tell(self, target: str, doing: str) -> None:
        """Notes what is being done; nothing: it is done with."""
        if doing:
            self._doing[target] = doing
        else:
            self._doing.pop(target, None)

    def __enter__(self) -> ProgressLine:
        if self._stream.isatty() and os.environ.get("TERM") != "dumb":
            # A thread of its own: it must move even while a long translation holds the event loop.
            self._thread = threading.Thread(target=self._draw, name="progress line", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or _COLUMNS_NOT_TOLD
        except OSError:
            return _COLUMNS_NOT_TOLD

    def _draw(self) -> None:
        began = time.monotonic()
        if self._done.wait(APPEARS_AFTER_SECONDS):
            return
        from rich.cells import cell_len, set_cell_size  # names may be of any alphabet, wide letters too

        while not self._done.wait(_REDRAW_SECONDS):
            seconds = time.monotonic() - began
            doing = "; ".join(
                f"{shown(target)}: {shown(what)}" for target, what in list(self._doing.items())[:3]
            )
            more = f"; {len(self._doing) - 3} more" if len(self._doing) > 3 else ""
            line = f"reading, {seconds:.0f} s: {doing}{more}"
            # One row, or clearing the line would leave the rows above it.
            columns = min(cell_len(line), self._columns() - _COLUMNS_LEFT_FREE)
            self._stream.write(_CLEAR + set_cell_size(line, columns))
            self._stream.flush()
        self._stream.write(_CLEAR)
        self._stream.flush()
