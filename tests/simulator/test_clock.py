"""Does the clock that tests move wake everybody at the right time and in order?

Effects: none
"""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from xenios.simulator.clock import ManualClock, WallClock

START = datetime(2026, 8, 21, tzinfo=UTC)


async def test_sleepers_wake_in_the_order_of_their_times() -> None:
    clock = ManualClock(START)
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, *seconds: float) -> None:
        for each in seconds:
            await clock.sleep(each)
            woken.append((name, (clock.now() - START).total_seconds()))

    async with asyncio.TaskGroup() as group:
        group.create_task(sleeper("often", 1.0, 1.0, 1.0))
        group.create_task(sleeper("once", 2.5))
        await clock.advance(2.0)
        assert woken == [("often", 1.0), ("often", 2.0)]
        await clock.advance(5.0)
    assert woken[2:] == [("once", 2.5), ("often", 3.0)]
    assert clock.now() == START + timedelta(seconds=7)


async def test_what_was_taken_back_is_not_called() -> None:
    clock = ManualClock(START)
    called: list[str] = []
    take_back = clock.call_later(1.0, lambda: called.append("taken back"))
    clock.call_later(1.0, lambda: called.append("kept"))
    take_back()
    await clock.advance(1.0)
    assert called == ["kept"]


async def test_a_sleeper_that_was_cancelled_is_forgotten() -> None:
    clock = ManualClock(START)
    task = asyncio.ensure_future(clock.sleep(1.0))
    await clock.settle()
    task.cancel()
    await clock.advance(2.0)
    assert task.cancelled()


async def test_no_time_is_no_sleep() -> None:
    await ManualClock(START).sleep(0.0)
    await WallClock().sleep(-1.0)


def test_a_clock_without_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        ManualClock(datetime(2026, 8, 21))  # noqa: DTZ001 (that is the mistake)


async def test_the_wall_clock_is_in_utc_and_calls_back() -> None:
    clock = WallClock()
    assert clock.now().tzinfo is UTC
    done = asyncio.Event()
    clock.call_later(0.0, done.set)
    async with asyncio.timeout(10):
        await done.wait()
        await clock.sleep(0.001)
