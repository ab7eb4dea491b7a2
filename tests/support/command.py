"""Runs the real `xenios` command in a process of its own, as a person at a prompt would.

What a command prints, how it ends and whether it ends at all can only be seen from outside. A test that needs
something to happen at a certain point of a look ("the daemon dies while definitions are read") says at which message
of progress: `at_progress()` makes the command send a signal there, and wait until it has arrived.

Effects: starts processes of its own and waits for them
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SECONDS_MAX = 60.0
COLUMNS = 200

_SIGNALLING = """
import os, pathlib, sys
from xenios.cli.progress import ProgressLine

after, number, pid = (int(word) for word in sys.argv[1:4])
tell, told, first = ProgressLine.tell, 0, None

def has_arrived():
    if pid == os.getpid():
        return True
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
    return text.split("State:")[1].split()[0] in "TtZX"

def tell_and_signal(self, target, doing):
    global told, first
    tell(self, target, doing)
    first = first or target
    told += target == first
    if target == first and told == after + 1:
        os.kill(pid, number)
        while not has_arrived():
            pass

ProgressLine.tell = tell_and_signal
from xenios.cli.main import main
main(sys.argv[4:])
"""

# The checkout, and the interpreter too, may lie where only their owner can read: everything is imported before.
_UNPRIVILEGED = """
import os, sys
import libvirt
import xenios.cli.inspect, xenios.cli.main, xenios.drivers.kvm.observe, xenios.report.render_json
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
xenios.cli.main.main(sys.argv[1:])
"""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def said(self) -> str:
        """Everything it wrote, to either stream."""
        return self.out + self.err

    def report(self) -> dict[str, Any]:
        """Its output as the JSON report that it is."""
        report: dict[str, Any] = json.loads(self.out)
        return report


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal that is sent at one message of progress about the first target, counted from 0.

    `pid` None: to the command itself.
    """

    number: signal.Signals
    after_messages: int
    pid: int | None = None


def xenios(
    *words: str,
    env: Mapping[str, str | None] | None = None,
    cwd: Path | None = None,
    at_progress: Signal | None = None,
    unprivileged: bool = False,
    seconds_max: float = SECONDS_MAX,
) -> Finished:
    """Run `xenios` with these words and wait for its end.

    A value None in `env` takes the variable away. `unprivileged`: as a user without any rights; needs root.
    """
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _UNPRIVILEGED, *words] if unprivileged else command_line(words, at_progress),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=cwd or ROOT,
        env=environment(env),
        timeout=seconds_max,
        check=False,
    )
    seconds = time.monotonic() - began
    return Finished(
        done.returncode,
        done.stdout.decode("utf-8", "backslashreplace"),
        done.stderr.decode("utf-8", "backslashreplace"),
        seconds,
    )


def command_line(words: Sequence[str], at_progress: Signal | None = None) -> list[str]:
    """The words that start the command, in this interpreter."""
    if at_progress is None:
        return [sys.executable, "-m", "xenios", *words]
    target = "0" if at_progress.pid is None else str(at_progress.pid)
    program = _SIGNALLING.replace("sys.argv[1:4])", "sys.argv[1:4])\npid = pid or os.getpid()", 1)
    numbers = [str(at_progress.after_messages), str(int(at_progress.number)), target]
    return [sys.executable, "-c", program, *numbers, *words]


def environment(changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """The environment of a command: ours, wide, without what would colour it, and with the changes."""
    merged: dict[str, str | None] = {**os.environ, "COLUMNS": str(COLUMNS), "PYTHONPATH": str(ROOT)}
    for name in ("NO_COLOR", "FORCE_COLOR", "XENIOS_DEBUG", "PYTHONIOENCODING", "PYTHONUTF8"):
        merged[name] = None
    merged |= changes or {}
    return {name: value for name, value in merged.items() if value is not None}
