"""A live XenServer pool of 1,000 VMs read into a Collection, against XenServer's own client reading the same classes.

    python -m benchmarks.bench_pool_view

The pool is simulated in a process of its own and answers over loopback; both clients are logged in and have a
connection open. The official client calls get_all_records for each class that the view reads, one after another, as
scripts do. What a watch keeps is measured in a process of its own, as the difference to a pool without VMs.

Effects: starts and ends a simulated pool
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import tracemalloc
from contextlib import aclosing

import XenAPI

from benchmarks.side_by_side import measure, ratio_line, time_line
from benchmarks.simulated_pools import PASSWORD, Serving, connections, observer_of, serving
from xenios.drivers.base import Depth
from xenios.drivers.xenserver.records import CLASSES

VMS = 1_000
HOSTS = 16
ROUNDS = 7


def main() -> int:
    """Measures and prints; with the word `kept` and a target it is the process that measures memory."""
    if sys.argv[1:2] == ["kept"]:
        print(asyncio.run(_bytes_kept(sys.argv[2])))
        return 0
    with serving(hosts=HOSTS, vms=VMS) as full, serving(hosts=HOSTS, vms=0) as empty:
        _measure_reading(full)
        kept = (_bytes_kept_elsewhere(full) - _bytes_kept_elsewhere(empty)) / VMS
        print(f"kept by a watch: {kept / 1024:.2f} KiB per VM  (claim: at most 2)")
    return 0


def _measure_reading(pool: Serving) -> None:
    loop = asyncio.new_event_loop()
    ours = connections()
    observer = observer_of(pool.target(), ours)
    session = XenAPI.Session(f"http://127.0.0.1:{pool.ports[0]}")
    session.login_with_password("root", PASSWORD, "1.0", "benchmark")

    def into_the_model() -> object:
        return loop.run_until_complete(observer.observe(Depth.FULL))

    def official_client() -> object:
        return [getattr(session.xenapi, name).get_all_records() for name in CLASSES]

    seconds = measure({"into a Collection": into_the_model, "official client": official_client}, ROUNDS)
    session.logout()
    loop.run_until_complete(observer.close())
    loop.run_until_complete(ours.__aexit__(None, None, None))
    loop.close()
    for name, values in seconds.items():
        print(time_line(name, values))
    print(
        ratio_line(
            "official client / into a Collection",
            seconds["official client"],
            seconds["into a Collection"],
            "at least 10",
        )
    )


def _bytes_kept_elsewhere(pool: Serving) -> int:
    command = [sys.executable, "-m", "benchmarks.bench_pool_view", "kept", pool.target()]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


async def _bytes_kept(target: str) -> int:
    """What is allocated while a watch waits for the second thing to tell, beyond what was before it began."""
    async with connections() as ours:
        observer = observer_of(target, ours)
        await observer.observe(Depth.FULL)  # whatever is made once and for all
        gc.collect()
        tracemalloc.start()
        async with aclosing(observer.watch()) as updates:
            await anext(updates)
            waiting = asyncio.ensure_future(anext(updates))
            await asyncio.sleep(2)
            gc.collect()
            kept, _ = tracemalloc.get_traced_memory()
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await observer.close()
    return kept


if __name__ == "__main__":
    sys.exit(main())
