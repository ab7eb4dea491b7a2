"""Sees a live XenServer pool through XAPI: an observer that reads it whole, and follows it by events.

Effects: reads hypervisors
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable

import msgspec

from xenios.clock import now_micros
from xenios.drivers.base import Depth, Progress, no_progress
from xenios.drivers.bulk import collecting_seldom
from xenios.drivers.xenserver.follow import Follower
from xenios.drivers.xenserver.pool_errors import SessionRenewed
from xenios.drivers.xenserver.reading import PoolClient, Reading, collection_of, read_pool
from xenios.errors import TargetUnreadable, XeniosError
from xenios.model.collection import Collection
from xenios.model.inventory import CapabilityAnswer
from xenios.model.update import Update

_READINGS_MAX = 3
"""A session that ends in the middle of a reading makes it begin anew, but not for ever."""


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Whatever depends on time or chance, so that a simulated pool may bring its own."""

    now: Callable[[], int] = now_micros
    """Microseconds since 1970 (UTC), for what people read."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds since whenever, for waiting."""
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    chance: Callable[[], float] = random.random
    """From 0 to 1: a thousand pools must not be asked at the same moment."""


class PoolObserver:
    """Reads one pool; see drivers/base.py for the contract."""

    def __init__(
        self, client: PoolClient, *, name: str, connection: str = "", timing: Timing | None = None
    ) -> None:
        """`name`: how the target is shown. `connection`: how far it is to be trusted, in words."""
        self._client = client
        self._name = name
        self._connection = connection
        self._timing = timing or Timing()
        self._answers: tuple[CapabilityAnswer, ...] = ()

    @property
    def target(self) -> str:
        """The pool, as the user named it."""
        return self._name

    @property
    def capabilities(self) -> tuple[CapabilityAnswer, ...]:
        """What this pool tells; see drivers/base.py."""
        return self._answers

    async def close(self) -> None:
        """Logs out."""
        await self._client.logout()

    async def observe(self, depth: Depth, progress: Progress = no_progress) -> Collection:
        """The pool as it is; see drivers/base.py."""
        with collecting_seldom():
            reading = await self._read(depth, progress)
            self._answers = reading.capabilities
            return collection_of(reading)

    async def watch(self) -> AsyncGenerator[Update, None]:
        """The pool as it changes; see drivers/base.py."""
        follower = Follower(self._client, self._read_for_watch, self._timing)
        while True:
            told = deque(await follower.step())
            while told:
                yield told.popleft()  # nothing here holds on to a whole view while it waits for the next event

    async def _read_for_watch(self, depth: Depth) -> Reading:
        reading = await self._read(depth, no_progress)
        self._answers = reading.capabilities
        return reading

    async def _read(self, depth: Depth, progress: Progress) -> Reading:
        """All attempts together end within the time for one question: who waits for a view was promised that."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._client.timeout_seconds
        error: XeniosError = TargetUnreadable(
            f"{self._name} ends its sessions while it is being read",
            remedy="see what logs sessions out on that pool, or whether its toolstack keeps restarting",
        )
        for _ in range(_READINGS_MAX):
            try:
                return await read_pool(
                    self._client, depth, self._timing.now(), ends_at, progress, self._connection
                )
            except SessionRenewed as renewed:
                if isinstance(renewed.__cause__, XeniosError):
                    error = renewed.__cause__
        raise error
