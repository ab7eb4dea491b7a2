"""A XenServer database of 1,000 VMs read into a Collection, against lxml that merely parses the file.

    python -m benchmarks.bench_database [FILE]

Measured thrice: in fresh processes, as a user has it; again and again in one process, with letting go of what was made;
and the same with the results kept, so that freeing lxml's tree is not in its time. Memory is measured in a process of
its own: how far its peak rises over what it had before reading, against the file.

Effects: writes a temporary file
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from lxml import etree

from benchmarks.side_by_side import measure, ratio_line, time_line
from xenios.drivers.base import Depth
from xenios.drivers.xenserver.offline import DatabaseObserver
from xenios.simulator.database_file import write_database
from xenios.simulator.population.populate import populate

VMS = 1_000
ROUNDS = 9

_MEMORY_PROBE = """
import asyncio, re, sys
from pathlib import Path
from xenios.drivers.base import Depth
from xenios.drivers.xenserver.offline import DatabaseObserver
def peak_bytes():  # not getrusage: its figure is inherited from whoever started the process
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
before = peak_bytes()
collection = asyncio.run(DatabaseObserver(Path(sys.argv[1]), 600).observe(Depth.FULL))
print(peak_bytes() - before)
"""

_FRESH = """
import asyncio, sys, time
from pathlib import Path
from lxml import etree
from xenios.drivers.base import Depth
from xenios.drivers.xenserver.offline import DatabaseObserver
file = Path(sys.argv[1])
file.read_bytes()
began = time.perf_counter()
made = {}
print(time.perf_counter() - began)
"""
_OURS, _LXML = "asyncio.run(DatabaseObserver(file, 600).observe(Depth.FULL))", "etree.parse(file)"


def main() -> int:
    """Measures and prints."""
    if len(sys.argv) > 1:
        _measure(Path(sys.argv[1]))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state.db"
        with file.open("wb") as stream:
            write_database(populate(1, 16, VMS, datetime(2026, 8, 21, 2, tzinfo=UTC)), stream)
        _measure(file)
    return 0


def _measure(file: Path) -> None:
    def read() -> object:
        return asyncio.run(DatabaseObserver(file, timeout_seconds=600).observe(Depth.FULL))

    peers = {"into a Collection": read, "lxml parses": lambda: etree.parse(file)}
    seconds = measure(peers, ROUNDS)
    kept = measure(peers, ROUNDS, letting_go=False)
    fresh_ours, fresh_lxml = _in_fresh_processes(file)
    size = file.stat().st_size
    probe = [sys.executable, "-c", _MEMORY_PROBE, str(file)]
    grown = int(subprocess.run(probe, check=True, capture_output=True, text=True).stdout)
    print(f"database of {size / 2**20:.1f} MiB, medians of {ROUNDS} rounds:")
    for name, values in seconds.items():
        print(time_line(name, values))
    print(ratio_line("into a Collection / lxml, in fresh processes", fresh_ours, fresh_lxml, "at most 3"))
    print(
        ratio_line(
            "into a Collection / lxml, in one process",
            seconds["into a Collection"],
            seconds["lxml parses"],
            "at most 3",
        )
    )
    print(ratio_line("the same, results kept", kept["into a Collection"], kept["lxml parses"], "at most 3"))
    print(f"memory / file: {grown / size:.2f}  (claim: below 3)")


def _in_fresh_processes(file: Path) -> tuple[list[float], list[float]]:
    """Seconds of ours and of lxml's, in turn, each in a process that does nothing else."""

    def seconds(what: str) -> float:
        command = [sys.executable, "-c", _FRESH.replace("{}", what), str(file)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    rounds = [(seconds(_OURS), seconds(_LXML)) for _ in range(ROUNDS)]
    return [ours for ours, _ in rounds], [lxml for _, lxml in rounds]


if __name__ == "__main__":
    sys.exit(main())
