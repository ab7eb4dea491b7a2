"""Measures peers in turn, so that whatever else the machine does hits them alike, and prints their ratios.

A machine shared with others is noisy: single times mean little, their ratios within a round mean more, and the median
over rounds is what is printed, with the spread beside it.

Effects: none
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping


def measure(
    peers: Mapping[str, Callable[[], object]], rounds: int, *, letting_go: bool = True
) -> dict[str, list[float]]:
    """Seconds of each peer in each round, with or without letting go of what it made; each runs once unmeasured."""
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    for peer in peers.values():
        peer()
    for _ in range(rounds):
        for name, peer in peers.items():
            gc.collect()
            began = time.perf_counter()
            made = peer()
            if letting_go:
                del made
            seconds[name].append(time.perf_counter() - began)
            made = None
    return seconds


def ratio_line(claim: str, above: list[float], below: list[float], bound: str) -> str:
    """One line: the median of the rounds' ratios, their spread, and what is claimed."""
    ratios = sorted(a / b for a, b in zip(above, below, strict=True))
    middle = statistics.median(ratios)
    return f"{claim}: {middle:.2f}  (rounds {ratios[0]:.2f} to {ratios[-1]:.2f}; claim: {bound})"


def time_line(name: str, seconds: list[float]) -> str:
    """One line: the median time of a peer, for orientation only."""
    return f"  {name}: {statistics.median(seconds) * 1000:.0f} ms"
