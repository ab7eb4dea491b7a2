"""A XenServer database of 1,000 VMs read into a Collection, against lxml that merely parses the file.

    python -m benchmarks.bench_database [FILE]

Memory is measured in a process of its own: how far its peak rises over what it had before reading, against the file.

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
from xenios.drivers.xenserver.observe import DatabaseObserver
from xenios.simulator.database_file import write_database
from xenios.simulator.population.populate import populate

VMS = 1_000
ROUNDS = 9

_MEMORY_PROBE = """
import asyncio, re, sys
from pathlib import Path
from xenios.drivers.base import Depth
from xenios.drivers.xenserver.observe import DatabaseObserver
def peak_bytes():  # not getrusage: its figure is inherited from whoever started the process
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
before = peak_bytes()
collection = asyncio.run(DatabaseObserver(Path(sys.argv[1]), 600).observe(Depth.FULL))
print(peak_bytes() - before)
"""


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
    size = file.stat().st_size
    probe = [sys.executable, "-c", _MEMORY_PROBE, str(file)]
    grown = int(subprocess.run(probe, check=True, capture_output=True, text=True).stdout)
    print(f"database of {size / 2**20:.1f} MiB, medians of {ROUNDS} rounds:")
    for name, values in seconds.items():
        print(time_line(name, values))
    print(
        ratio_line(
            "into a Collection / lxml", seconds["into a Collection"], seconds["lxml parses"], "at most 3"
        )
    )
    print(ratio_line("the same, results kept", kept["into a Collection"], kept["lxml parses"], "at most 3"))
    print(f"memory / file: {grown / size:.2f}  (claim: below 3)")


if __name__ == "__main__":
    sys.exit(main())
