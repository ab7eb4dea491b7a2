"""A simulated pool without sockets, whose clock only the test moves.

Effects: none
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from xenios.simulator.clock import ManualClock
from xenios.simulator.facts.datamodel import Records
from xenios.simulator.pool import SimulatedPool
from xenios.simulator.population.populate import populate
from xenios.simulator.verbs.at_rest import work_out_allowed_operations

NOW = datetime(2026, 8, 21, 6, 0, 0, tzinfo=UTC)
Result = TypeVar("Result")


@dataclass
class Simulated:
    """A pool that was started, and the clock that it lives by."""

    pool: SimulatedPool
    clock: ManualClock

    @property
    def master(self) -> str:
        """The ref of the master."""
        return self.pool.master()

    @property
    def supporters(self) -> list[str]:
        """The refs of all other hosts."""
        return [ref for ref in self.pool.tables.rows("host") if ref != self.master]

    async def log_in(
        self, originator: str = "a test", user: str = "root", password: str = "xenios"
    ) -> Client:
        """Somebody who is logged in to the master."""
        params = [user, password, "1.0", originator]
        session = await self.pool.call(self.master, "session.login_with_password", params)
        return Client(self, self.master, session)

    async def after(self, seconds: float, work: Awaitable[Result]) -> Result:
        """What something comes to when so much time passes meanwhile."""
        task = asyncio.ensure_future(work)
        await self.clock.advance(seconds)
        if not task.done():
            task.cancel()
            raise AssertionError(f"no answer after {seconds} s")
        return task.result()


@dataclass
class Client:
    """Calls on behalf of one session."""

    simulated: Simulated
    host: str
    session: str

    async def call(self, method: str, *params: Any) -> Any:
        """The value that a call returns; the session is put before the parameters."""
        return await self.simulated.pool.call(self.host, method, [self.session, *params])

    def start(self, method: str, *params: Any) -> asyncio.Task[Any]:
        """A call that somebody else waits for."""
        return asyncio.ensure_future(self.call(method, *params))

    async def events(self, token: str = "", *classes: str, seconds: float = 0.0) -> dict[str, Any]:
        """What event.from tells, with the time that it takes passing meanwhile."""
        work = self.call("event.from", list(classes or ("*",)), token, seconds)
        reply: dict[str, Any] = await self.simulated.after(seconds + 0.2, work)
        return reply


@asynccontextmanager
async def simulated_pool(
    hosts: int = 1, vms: int = 5, records: Records | None = None, **options: Any
) -> AsyncIterator[Simulated]:
    """A populated pool, or the one of `records`; fails when the simulator showed a defect of its own."""
    clock = ManualClock(NOW)
    made = work_out_allowed_operations(populate(1, hosts, vms, NOW)) if records is None else records
    pool = SimulatedPool(made, clock=clock, **options)
    pool.start()
    try:
        yield Simulated(pool, clock)
    finally:
        await pool.close()
    if pool.defects:
        raise pool.defects[0]
