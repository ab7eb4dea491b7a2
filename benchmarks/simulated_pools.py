"""Simulated XenServer pools in a process of their own, so that what they cost is not counted as ours.

As a script it serves pools and prints their ports, one line of JSON, until its standard input ends.

Effects: starts and ends a process that listens on loopback
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from xenios.app import Access, Connections
from xenios.drivers.xenserver.observe import PoolObserver
from xenios.drivers.xenserver.session import READ_METHODS, XapiClient
from xenios.drivers.xenserver.target import Secret, parse_target
from xenios.simulator.clock import WallClock
from xenios.simulator.facts.datamodel import Records
from xenios.simulator.pool import SimulatedPool
from xenios.simulator.population.populate import populate
from xenios.simulator.serving.served import ServedPool, bind, hosts_in_order

PASSWORD = "benchmark"
_ADDRESS = "127.0.0.1"
_NOW = datetime(2026, 8, 21, 2, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Serving:
    """Pools that are being served."""

    ports: list[int]
    pid: int

    def target(self, number: int = 0) -> str:
        """What `xenios inspect` would be told."""
        return f"xenserver+http://root@{_ADDRESS}:{self.ports[number]}"


@contextlib.contextmanager
def serving(*, pools: int = 1, hosts: int = 1, vms: int) -> Iterator[Serving]:
    """Serves so many pools of so many hosts and VMs each; a pool's master is at 127.0.0.1."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.simulated_pools", str(pools), str(hosts), str(vms)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Serving(json.loads(_line_of(process)), process.pid)
    finally:
        process.communicate(timeout=60)  # closes its standard input


def _line_of(process: subprocess.Popen[str]) -> str:
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line:
        raise RuntimeError("the simulated pools did not start; what they said is above")
    return line


def observer_of(target: str, connections: Connections, timeout_seconds: float = 120) -> PoolObserver:
    """What `xenios inspect` would look through."""
    client = XapiClient(
        parse_target(target),
        Secret(PASSWORD),
        connections.transport,
        methods=READ_METHODS,
        timeout_seconds=timeout_seconds,
    )
    return PoolObserver(client, name=target)


def connections() -> Connections:
    """One transport for all pools of a benchmark."""
    return Connections(Access(password_for=lambda _: Secret(PASSWORD)))


# --- the process that serves ----------------------------------------------------------------------------------------


async def _serve(pools: int, hosts: int, vms: int) -> None:
    served = [_started(_made(number, hosts, vms)) for number in range(pools)]
    gc.freeze()  # as `xenios simulate` does
    print(json.dumps([pool.addresses[pool.pool.master()][1] for pool in served]), flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, partial(sys.stdin.read))
    await asyncio.gather(*(pool.close() for pool in served))


def _made(seed: int, hosts: int, vms: int) -> Records:
    return populate(seed, hosts, vms, _NOW)


def _started(records: Records) -> ServedPool:
    pool = SimulatedPool(records, clock=WallClock(), seed=1, login_delay_seconds=0, password=PASSWORD)
    served = ServedPool(pool)
    [bound] = bind([_ADDRESS], 0)
    served.start({hosts_in_order(records)[0]: bound})
    return served


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve(*(int(text) for text in sys.argv[1:])))
