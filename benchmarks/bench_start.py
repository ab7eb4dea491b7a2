"""How long `xenios --help` takes, against a Python that does nothing and one that imports Click.

    python -m benchmarks.bench_start

Effects: starts processes
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from benchmarks.side_by_side import measure, ratio_line, time_line

ROUNDS = 15


def main() -> int:
    """Measures and prints."""
    seconds = measure(
        {
            "xenios --help": _run("-m", "xenios", "--help"),
            "Python that imports click": _run("-c", "import click"),
            "Python that does nothing": _run("-c", "pass"),
        },
        ROUNDS,
    )
    print(f"medians of {ROUNDS} rounds:")
    for name, values in seconds.items():
        print(time_line(name, values))
    print(
        ratio_line(
            "xenios --help / bare Python",
            seconds["xenios --help"],
            seconds["Python that does nothing"],
            "under 150 ms",
        )
    )
    return 0


def _run(*arguments: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
