"""The one place that reads the wall clock; everything else is given the time.

Effects: none, but for reading the clock
"""

import time


def now_micros() -> int:
    """Microseconds since 1970 in UTC, the unit of every stored time."""
    return time.time_ns() // 1000
