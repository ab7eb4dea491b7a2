"""The time of a simulated pool: the wall clock, or one that tests move by hand.

Sessions expire after a day and tasks after an hour; a test cannot wait for that. So nothing in the simulator
reads the time or sleeps but through the clock it was given. The manual clock wakes sleepers in the order of
their times, and lets everything that became possible happen before it moves on.

Effects: none, but for reading the clock
"""

import asyncio
import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Protocol

# How often other tasks may run before the manual clock takes it that nobody can go on without it.
_TURNS_TO_SETTLE = 100


class SimulatedClock(Protocol):
    """What the simulator needs to know of time."""

    def now(self) -> datetime:
        """The time, in UTC."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after so many seconds; returns what takes it back. Needs a running event loop."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Go on after so many seconds; at once when there are none."""
        ...


class WallClock:
    """The time of this machine."""

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.now(UTC)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after so many seconds; returns what takes it back."""
        return asyncio.get_running_loop().call_later(max(0.0, seconds), callback).cancel

    async def sleep(self, seconds: float) -> None:
        """Go on after so many seconds."""
        if seconds > 0:
            await asyncio.sleep(seconds)


class _Timer:
    """A call to come, unless it was taken back."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def take_back(self) -> None:
        self.callback = None


class ManualClock:
    """A time that stands still until `advance` moves it."""

    def __init__(self, start: datetime) -> None:
        """`start` must know its time zone."""
        if start.tzinfo is None:
            raise ValueError("the start of a simulated clock needs a time zone")
        self._now = start.astimezone(UTC)
        self._numbers = count()
        self._waiting: list[tuple[datetime, int, _Timer]] = []

    def now(self) -> datetime:
        """The time, in UTC."""
        return self._now

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back once the clock has been moved so far; returns what takes it back."""
        timer = _Timer(callback)
        due = self._now + timedelta(seconds=max(0.0, seconds))
        heapq.heappush(self._waiting, (due, next(self._numbers), timer))
        return timer.take_back

    async def sleep(self, seconds: float) -> None:
        """Go on once the clock has been moved so far."""
        if seconds <= 0:
            return
        awake: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not awake.done():
                awake.set_result(None)

        take_back = self.call_later(seconds, wake)
        try:
            await awake
        finally:
            take_back()

    async def advance(self, seconds: float) -> None:
        """Move the clock, waking whoever is due on the way, each at its own time and in order."""
        until = self._now + timedelta(seconds=seconds)
        await self.settle()
        while self._waiting and self._waiting[0][0] <= until:
            due, _, timer = heapq.heappop(self._waiting)
            if timer.callback is not None:
                self._now = max(self._now, due)
                timer.callback()
                await self.settle()
        self._now = max(self._now, until)

    async def settle(self) -> None:
        """Let everything happen that can happen without time passing."""
        for _ in range(_TURNS_TO_SETTLE):
            await asyncio.sleep(0)
