"""Writes the example that ships with the product: the database of a simulated pool in use.

The demo and newcomers need a pool to look at; a real one cannot be shipped. Run it again after a change to
the simulator's population; a test compares the shipped file with what `example` gives.

Effects: none on hypervisors or the product's database; writes the one file
"""

import sys
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from xenios.simulator.database_file import write_database  # noqa: E402 (the line above finds it)
from xenios.simulator.population.populate import populate  # noqa: E402

TARGET = ROOT / "xenios" / "simulator" / "examples" / "pool-in-use.db"
SEED = 1
HOSTS = 3
VMS = 40
NOW = datetime(2026, 8, 21, 6, 0, 0, tzinfo=UTC)


def example() -> bytes:
    """The bytes of the example database."""
    stream = BytesIO()
    write_database(populate(SEED, HOSTS, VMS, NOW), stream, generation=184_467)
    return stream.getvalue()


def main() -> int:
    """Write the file and say so."""
    data = example()
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_bytes(data)
    print(f"wrote {TARGET.relative_to(ROOT)} ({len(data)} bytes)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
