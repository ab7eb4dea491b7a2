"""An observer of a simulated pool, without a socket and by the pool's own clock.

Between client and pool stands a meddler, by which a test changes an answer on its way, or does something at the moment
when a certain question is asked.

Effects: none
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from tests.support.following import Following
from tests.support.simulated import Client, Simulated, simulated_pool
from xenios.drivers.xenserver.observe import PoolObserver, Timing
from xenios.drivers.xenserver.session import READ_METHODS, XapiClient
from xenios.drivers.xenserver.target import Secret, parse_target
from xenios.drivers.xenserver.transport import Address, HttpAnswer
from xenios.simulator.pool import SimulatedPool
from xenios.simulator.serving.in_process import InProcessTransport

STEP_SECONDS = 0.05
STEPS_MAX = 4_000
TIMEOUT_SECONDS = 20.0


_TOO_MUCH = json.dumps(
    {"jsonrpc": "2.0", "error": {"code": 1, "message": "INTERNAL_ERROR", "data": ["Out_of_memory"]}, "id": 1}
).encode()


def _from_the_beginning(_session: str, classes: list[str], token: str, _seconds: float) -> bool:
    return token == "" and len(classes) > 1


class Meddler:
    """A transport that leads to simulated pools, and does what a test wants on the way."""

    def __init__(self, pool: SimulatedPool) -> None:
        self.inner = InProcessTransport(pool)
        self.before: Callable[[str], Awaitable[object]] | None = None
        """Is told each method before it is asked."""
        self.change: Callable[[str, Any], Any] | None = None
        """Given a method and the result of its answer, returns the result to be taken for it."""
        self.asked: list[str] = []
        self.all_at_once = True
        """False: no answer holds the whole pool, so it must be read class by class."""

    async def post(
        self,
        base: Address,
        path: str,
        body: bytes,
        timeout_seconds: float,
        headers: Mapping[str, str],
        *,
        answer_bytes_max: int | None = None,
    ) -> HttpAnswer:
        """See transport.py."""
        call = json.loads(body)
        method = call["method"]
        if method == "event.from" and not self.all_at_once and _from_the_beginning(*call["params"]):
            return HttpAnswer(status=200, content_type="application/json", body=_TOO_MUCH)
        self.asked.append(method)
        if self.before is not None:
            await self.before(method)
        answer = await self.inner.post(
            base, path, body, timeout_seconds, headers, answer_bytes_max=answer_bytes_max
        )
        if self.change is None or answer.status != 200:
            return answer
        said = json.loads(answer.body)
        if "result" in said:
            said["result"] = self.change(method, said["result"])
        return replace(answer, body=json.dumps(said).encode())

    async def close(self) -> None:
        """See transport.py."""
        await self.inner.close()


@dataclass
class Watched:
    """A simulated pool, somebody who works on it, and an observer that looks on."""

    simulated: Simulated
    admin: Client
    meddler: Meddler
    client: XapiClient
    observer: PoolObserver

    @property
    def pool(self) -> SimulatedPool:
        """The pool itself, for state that no call tells."""
        return self.simulated.pool

    def timing(self) -> Timing:
        """The pool's clock, as the observer wants it."""
        return timing_of(self.simulated)

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Lets the pool's time pass until the condition holds. Raises AssertionError when it never does."""
        for _ in range(STEPS_MAX):
            if condition():
                return
            await self.simulated.clock.advance(STEP_SECONDS)
        raise AssertionError(f"waited in vain for: {what}")

    async def done(self, work: Awaitable[Any]) -> Any:
        """What something comes to, with as much of the pool's time as it takes."""
        task = asyncio.ensure_future(work)
        await self.until(task.done, "an answer")
        return task.result()

    async def do(self, method: str, *params: Any) -> Any:
        """The administrator calls something, and it ends."""
        return await self.done(self.admin.call(method, *params))

    def ref(self, class_name: str, **fields: Any) -> str:
        """The ref of the first row that has these values."""
        for ref, record in self.pool.tables.rows(class_name).items():
            if all(record[name] == value for name, value in fields.items()):
                return ref
        raise AssertionError(f"no {class_name} with {fields}")

    def machine(self, power_state: str = "Halted", verb: str = "") -> str:
        """The ref of a VM proper in a state, in which something is allowed."""
        for ref, vm in self.pool.tables.rows("VM").items():
            if vm["is_a_template"] or vm["is_control_domain"] or vm["power_state"] != power_state:
                continue
            if not verb or verb in vm["allowed_operations"]:
                return ref
        raise AssertionError(f"no {power_state} VM")

    def uuid(self, ref: str) -> str:
        """The uuid of a VM."""
        return str(self.pool.tables.get("VM", ref)["uuid"])

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Following]:
        """Follows the pool from its first view on."""
        seen = Following()
        reading = asyncio.create_task(seen.read(self.observer))
        try:
            await self.until(lambda: seen.updates or seen.ended, "the first view")
            yield seen
        finally:
            reading.cancel()
            await self.until(reading.done, "the end of the watch")

    async def settled(self, seen: Following) -> None:
        """Waits until everything that happened is told: until a mark of the administrator's has come through."""
        dom0 = self.ref("VM", is_control_domain=True)
        uuid, mark = self.uuid(dom0), f"mark {self.pool.tables.generation}"
        await self.do("VM.add_tags", dom0, mark)
        await self.until(lambda: mark in seen.vms[uuid].tags, "the mark")


def timing_of(simulated: Simulated) -> Timing:
    """A simulated pool's clock, as an observer wants it, and no chance."""
    clock = simulated.clock
    return Timing(
        now=lambda: int(clock.now().timestamp()) * 1_000_000 + clock.now().microsecond,
        monotonic=lambda: clock.now().timestamp(),
        sleep=clock.sleep,
        chance=lambda: 0.5,
    )


def observer_of(
    simulated: Simulated, transport: Any, password: str = "xenios"
) -> tuple[XapiClient, PoolObserver]:
    """An observer of a simulated pool through its master, and the client that it asks with."""
    address = simulated.pool.tables.get("host", simulated.master)["address"]
    target = f"xenserver://root@{address}"
    client = XapiClient(
        parse_target(target),
        Secret(password),
        transport,
        methods=READ_METHODS,
        timeout_seconds=TIMEOUT_SECONDS,
        purpose="test",
    )
    return client, PoolObserver(client, name=target, timing=timing_of(simulated))


@asynccontextmanager
async def watched_pool(
    hosts: int = 2, vms: int = 12, *, all_at_once: bool = True, **options: Any
) -> AsyncIterator[Watched]:
    """A pool under observation. At the end nothing may have been written to it but by the administrator.

    Without `all_at_once` it must be read class by class.
    """
    options = {"speed": 0.0, "login_delay_seconds": 0.0} | options
    async with simulated_pool(hosts, vms, **options) as simulated:
        meddler = Meddler(simulated.pool)
        meddler.all_at_once = all_at_once
        client, observer = observer_of(simulated, meddler)
        admin = await simulated.log_in("an administrator")
        watched = Watched(simulated, admin, meddler, client, observer)
        try:
            yield watched
        finally:
            meddler.before = meddler.change = None
            await watched.done(observer.close())
        by_us = [entry for entry in simulated.pool.journal.entries if entry.originator.startswith("xenios/")]
        assert [entry for entry in by_us if entry.is_write] == []
