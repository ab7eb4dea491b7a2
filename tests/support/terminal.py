"""A real pseudo-terminal with a person's eyes: runs a command in it, and keeps what its screen shows.

What matters of a progress line is what is left on the screen, so the control sequences that Xenios may send are
carried out here, and any other fails the test: a name that brought its own would be seen at once.

Effects: starts processes of its own
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

from tests.support.command import ROOT, environment

SECONDS_MAX = 60.0
# Makes the terminal on standard input the one whose keyboard interrupts the command, and becomes the command.
_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """A terminal of so many columns with one command in it. A context manager."""

    def __init__(
        self, command: Sequence[str], columns: int, env: Mapping[str, str | None] | None = None
    ) -> None:
        self.columns = columns
        self.output = b""
        self._control, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _TAKE_TERMINAL, *command],
                stdin=inside,
                stdout=inside,
                stderr=inside,
                cwd=ROOT,
                env=environment({"TERM": "xterm-256color", "COLUMNS": None, **(env or {})}),
                start_new_session=True,
            )
        finally:
            os.close(inside)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(SECONDS_MAX)
        os.close(self._control)

    def wait(self) -> int:
        """Read until the command has ended; its exit code."""
        self.read_until(lambda: False)
        return self.process.wait(SECONDS_MAX)

    def read_until(self, condition: Callable[[], bool]) -> bool:
        """Read until the condition holds (True) or the command has hung up (False)."""
        deadline = time.monotonic() + SECONDS_MAX
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._control], [], [], left)[0]:
                raise TimeoutError(f"waited {SECONDS_MAX:.0f} s in vain; so far: {self.output!r}")
            try:
                data = os.read(self._control, 65536)
            except OSError:  # EIO: the other end is closed
                return False
            if not data:
                return False
            self.output += data
        return True

    def type(self, keys: bytes) -> None:
        """Type on its keyboard."""
        os.write(self._control, keys)

    @property
    def text(self) -> str:
        """All that was written so far."""
        return self.output.decode("utf-8", "replace")

    @property
    def screen(self) -> list[str]:
        """The lines as they stand after all that was written, wrapped where the terminal wraps."""
        lines: list[list[str]] = [[]]
        column = 0
        for part in re.split(r"(\x1b\[[0-9;]*[A-Za-z]|\r|\n)", self.text):
            if part == "\n":
                lines.append([])
                column = 0
            elif part == "\r":
                column = 0
            elif part == "\x1b[2K":
                lines[-1] = []
            elif _COLOUR.fullmatch(part) or not part:
                continue
            else:
                for character in part:
                    if ord(character) < 32 or 0x7F <= ord(character) < 0xA0:
                        raise AssertionError(f"a control character reached the terminal: {character!r}")
                    if column + width(character) > self.columns:
                        lines.append([])
                        column = 0
                    row = lines[-1]
                    row += [" "] * (column - len(row))
                    cells = width(character)
                    row[column : column + cells] = [character] + [""] * (cells - 1)
                    column += cells
        return ["".join(line).rstrip() for line in lines]


def width(text: str) -> int:
    """Columns that a text takes on a terminal."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def plain(text: str) -> str:
    """A text without colours."""
    return _COLOUR.sub("", text)
