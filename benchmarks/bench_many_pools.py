"""Fifty XenServer pools of one host and 20 VMs read at once, against one pool of 50 hosts and 1,000 VMs.

The hosts and VMs are as many; pools, templates and questions are fifty times as many.

    python -m benchmarks.bench_many_pools

Counted is the CPU time of this process; the pools are simulated in another.

Effects: starts and ends simulated pools
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time

from benchmarks.side_by_side import ratio_line, time_line
from benchmarks.simulated_pools import Serving, connections, observer_of, serving
from xenios.drivers.base import Depth
from xenios.drivers.xenserver.observe import PoolObserver

POOLS, VMS_EACH = 50, 20
ROUNDS = 9


def main() -> int:
    """Measures and prints."""
    with (
        serving(pools=POOLS, hosts=1, vms=VMS_EACH) as many,
        serving(hosts=POOLS, vms=POOLS * VMS_EACH) as one,
    ):
        asyncio.run(_measure(many, one))
    return 0


async def _measure(many: Serving, one: Serving) -> None:
    async with connections() as ours:
        of_many = [observer_of(many.target(number), ours) for number in range(POOLS)]
        of_one = [observer_of(one.target(), ours)]
        fifty: list[float] = []
        single: list[float] = []
        await _cpu_seconds(of_many)
        await _cpu_seconds(of_one)
        for _ in range(ROUNDS):
            fifty.append(await _cpu_seconds(of_many))
            single.append(await _cpu_seconds(of_one))
        await asyncio.gather(*(observer.close() for observer in (*of_many, *of_one)))
    print(time_line(f"{POOLS} pools of {VMS_EACH}", fifty))
    print(time_line(f"1 pool of {POOLS * VMS_EACH}", single))
    print(ratio_line(f"{POOLS} pools / 1 pool", fifty, single, "at most 1.5"))


async def _cpu_seconds(observers: list[PoolObserver]) -> float:
    gc.collect()
    began = time.process_time()
    await asyncio.gather(*(observer.observe(Depth.FULL) for observer in observers))
    return time.process_time() - began


if __name__ == "__main__":
    sys.exit(main())
