"""A report arrives whole: whatever interrupts the writing, and however the other end of the pipe is set.

Effects: starts, stops and continues processes of its own
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.command import ROOT, command_line, environment
from tests.support.kvm_host import wait_until

EXAMPLE = str(ROOT / "xenios" / "simulator" / "examples" / "pool-in-use.db")
PIPE_BYTES = 65_536
"""What a pipe of Linux holds; the report of the example is several times as long."""


@contextmanager
def reporting(unbuffered: str, *, blocking: bool = True) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The command, and the end of the pipe from which nobody has read yet."""
    reading, writing = os.pipe()
    os.set_blocking(writing, blocking)
    with subprocess.Popen(
        command_line(["inspect", "--json", EXAMPLE]),
        stdout=writing,
        env=environment({"PYTHONUNBUFFERED": unbuffered or None}),
        cwd=ROOT,
    ) as process:
        os.close(writing)
        try:
            yield process, reading
        finally:
            process.kill()
            os.close(reading)


def bytes_waiting(reading: int) -> int:
    """How much is in the pipe."""
    return int.from_bytes(fcntl.ioctl(reading, termios.FIONREAD, bytes(4)), "little")


def state_of(process: subprocess.Popen[bytes]) -> str:
    """One letter, as in proc(5)."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2][0]


def report_from(process: subprocess.Popen[bytes], reading: int) -> str:
    with open(reading, "rb", closefd=False) as pipe:
        text = pipe.read()
    assert process.wait(60) == 0
    assert len(text) > 2 * PIPE_BYTES
    return str(json.loads(text)["schema"])


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_report_that_was_stopped_half_way_arrives_whole(unbuffered: str) -> None:
    with reporting(unbuffered) as (process, reading):
        wait_until(lambda: bytes_waiting(reading) == PIPE_BYTES, "the pipe is full")
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: state_of(process) == "T", "it is stopped")
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: state_of(process) != "T", "it goes on")
        assert report_from(process, reading) == "xenios.report/1"


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_pipe_that_others_set_non_blocking_gets_the_whole_report(unbuffered: str) -> None:
    with reporting(unbuffered, blocking=False) as (process, reading):
        wait_until(lambda: bytes_waiting(reading) == PIPE_BYTES, "the pipe is full")
        assert report_from(process, reading) == "xenios.report/1"
