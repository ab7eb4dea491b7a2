"""Standard output, on which a report arrives whole, or it is said why it did not.

Effects: changes how this process writes to its own standard output
"""

from __future__ import annotations

import io
import os
import sys

from xenios.errors import XeniosError


class ReaderGone(Exception):
    """What is printed reaches nobody any more. `trouble` says why, unless a reader down the pipe merely left."""

    def __init__(self, trouble: XeniosError | None = None) -> None:
        super().__init__()
        self.trouble = trouble


def keep_low_descriptors() -> None:
    """Puts /dev/null where the starter closed standard input, output or errors; before anything else is opened.

    What we open next would get that number: a page or a socket would be taken for the output, and libuv ends the
    process when one of these is closed.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free is this one


def prepare() -> None:
    """What every command wants of an output; before the first word.

    A terminal without Unicode shows escapes. And everything arrives: a write to a pipe may stop half-way (a signal
    came, a stopped process went on), which Python's buffers see to and PYTHONUNBUFFERED takes away, so that the rest
    was lost without a word. A pipe that others set non-blocking would likewise refuse the rest.
    """
    out = sys.stdout
    if not isinstance(out, io.TextIOWrapper):
        return
    os.set_blocking(out.fileno(), True)
    if isinstance(out.buffer, io.RawIOBase):
        buffered = io.BufferedWriter(io.FileIO(out.fileno(), "wb", closefd=False))
        sys.stdout = out = io.TextIOWrapper(buffered, encoding=out.encoding, line_buffering=True)
    out.reconfigure(errors="backslashreplace")


def write(text: str, *, what: str, command: str) -> None:
    """Writes it at once, so that a reader down the pipe sees it now.

    `what` it is and which `command` printed it are for the message. Raises ReaderGone.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        let_go()
        if isinstance(error, BrokenPipeError):
            raise ReaderGone from error
        trouble = XeniosError(
            f"cannot write {what}: {error.strerror or error}",
            remedy=f"send it to a place that takes it: {command} … > FILE",
        )
        raise ReaderGone(trouble) from error


def let_go() -> None:
    """Nobody takes what is still buffered, and the interpreter would try again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
