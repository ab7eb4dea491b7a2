"""How soon a change on a watched XenServer pool is told, and what watching costs while nothing happens.

    python -m benchmarks.bench_pool_watch

An administrator renames VMs of a pool of 1,000, one at a time and 0.15 s apart; counted is from the moment at which he
has the server's reply to the moment at which the observer's stream has the change. Watching idle pools is measured in
processes of its own, side by side: a pool of 10 VMs and one of 2,000 for the same time, and 1,000 pools at once.

Effects: starts and ends simulated pools
"""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

from benchmarks.simulated_pools import PASSWORD, Serving, connections, observer_of, serving
from xenios.drivers.base import Depth

VMS = 1_000
CHANGES = 200
APART_SECONDS = 0.15
IDLE_SECONDS = 65.0
"""Longer than the longest wait for an event, so that each watch asks again at least once."""
POOLS = 1_000


def main() -> int:
    """Measures and prints; with the word `idle` and targets it is a process that watches."""
    if sys.argv[1:2] == ["idle"]:
        print(json.dumps(asyncio.run(_idle(sys.argv[2:]))))
        return 0
    with serving(hosts=16, vms=VMS) as pool:
        delays = asyncio.run(_delays_milliseconds(pool))
    ranks = statistics.quantiles(delays, n=100)
    print(f"{CHANGES} changes on a pool of {VMS} VMs, from the server's reply to the stream:")
    print(f"  median {statistics.median(delays):.1f} ms, p99 {ranks[98]:.1f} ms  (claim: p99 within 20 ms)")
    with serving(hosts=2, vms=10) as small, serving(hosts=2, vms=2_000) as large:
        few, many = _idle_elsewhere([small.target()], [large.target()])
    print(
        f"idle for {IDLE_SECONDS:g} s: {few['cpu_ms']:.0f} ms of CPU with 10 VMs, {many['cpu_ms']:.0f} ms with 2,000"
    )
    with serving(pools=POOLS, hosts=1, vms=2) as pools:
        [all_of_them] = _idle_elsewhere([pools.target(number) for number in range(POOLS)])
    share = all_of_them["cpu_ms"] / IDLE_SECONDS / 10
    print(
        f"{POOLS} idle pools in one process: {share:.2f} % of a core  (claim: under 5), "
        f"{all_of_them['resident_mib']:.0f} MiB resident  (claim: 128)"
    )
    return 0


# --- how soon -------------------------------------------------------------------------------------------------------


async def _delays_milliseconds(pool: Serving) -> list[float]:
    async with connections() as ours:
        observer = observer_of(pool.target(), ours)
        uuids = [vm.uuid for vm in (await observer.observe(Depth.FULL)).vms]
        replied: dict[str, float] = {}
        told: dict[str, float] = {}
        async with aclosing(observer.watch()) as updates:
            await anext(updates)
            administrator = threading.Thread(target=_rename, args=(pool.ports[0], uuids, replied))
            administrator.start()
            async for update in updates:
                now = time.perf_counter()
                # The first word counts: a VM is told again when a snapshot of it is renamed.
                told = {vm.name: now for vm in update.vms if vm.name.startswith("renamed ")} | told
                if len(told) == CHANGES:
                    break
            await asyncio.to_thread(administrator.join)
        await observer.close()
    return [(told[name] - replied[name]) * 1000 for name in replied]


def _rename(port: int, uuids: list[str], replied: dict[str, float]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def call(method: str, *params: str) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1})
        connection.request("POST", "/jsonrpc", body)
        return json.loads(connection.getresponse().read())["result"]

    session = call("session.login_with_password", "root", PASSWORD, "1.0", "administrator")
    references = [call("VM.get_by_uuid", session, uuids[number % len(uuids)]) for number in range(CHANGES)]
    time.sleep(1)
    for number, reference in enumerate(references):
        name = f"renamed {number}"
        call("VM.set_name_label", session, reference, name)
        replied[name] = time.perf_counter()
        time.sleep(APART_SECONDS)
    connection.close()


# --- what it costs --------------------------------------------------------------------------------------------------


def _idle_elsewhere(*watches: list[str]) -> list[dict[str, float]]:
    """Each list of targets watched by a process of its own, all at the same time."""
    command = [sys.executable, "-m", "benchmarks.bench_pool_watch", "idle"]
    processes = [
        subprocess.Popen([*command, *targets], stdout=subprocess.PIPE, text=True) for targets in watches
    ]
    return [json.loads(process.communicate()[0]) for process in processes]


async def _idle(targets: list[str]) -> dict[str, float]:
    """CPU of this process while it watches and nothing happens, and its memory at the end."""
    places = asyncio.Semaphore(16)
    ready = asyncio.Semaphore(0)

    async def watch(target: str) -> None:
        async with aclosing(observer_of(target, ours).watch()) as updates:
            async with places:
                await anext(updates)
            ready.release()
            async for _ in updates:
                pass

    async with connections() as ours:
        watching = [asyncio.create_task(watch(target)) for target in targets]
        for _ in targets:
            await ready.acquire()
        await asyncio.sleep(3)
        began = time.process_time()
        await asyncio.sleep(IDLE_SECONDS)
        used = time.process_time() - began
        resident_mib = _resident_mib()
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    return {"cpu_ms": used * 1000, "resident_mib": resident_mib}


def _resident_mib() -> float:
    resident = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    return int(resident[1]) / 1024 if resident else 0.0


if __name__ == "__main__":
    sys.exit(main())
