"""Takes hints out of libvirt's thread into the event loop, and holds them until a watch has time for them.

A thousand guests that stop at once are a thousand hints and one waking. Nothing is lost and nothing grows: what waits
is at most one entry for each thing, with a few of the words that hinted at it.

Effects: none
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass, field

from xenios.drivers.kvm.events import Hinted

WORDS_MAX = 4
"""Of what happened to one thing while nobody had time, in the order in which it happened."""


@dataclass(slots=True)
class Hints:
    """What waits to be looked at again: for each kind of thing its uuids, each with the words that hinted at it."""

    of: dict[Hinted, dict[str, list[str]]] = field(default_factory=lambda: {hinted: {} for hinted in Hinted})

    def __bool__(self) -> bool:
        return any(self.of.values())

    def add(self, hinted: Hinted, uuid: str, words: str) -> None:
        """Notes that something happened; the same again changes nothing."""
        told = self.of[hinted].setdefault(uuid, [])
        if words not in told:
            told.append(words)
            del told[:-WORDS_MAX]


class HintBox:
    """Where libvirt's thread puts hints and a watch takes them. Must be made inside a running event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._waiting = Hints()
        self._woken = False
        self._wake = asyncio.Event()

    def put(self, hinted: Hinted, uuid: str, words: str) -> None:
        """Notes a hint. Any thread may call it."""
        with self._lock:
            self._waiting.add(hinted, uuid, words)
        self.wake()

    def wake(self) -> None:
        """Ends the waiting, also without a hint: the connection was lost, or the watch is to end. For any thread."""
        with self._lock:
            if self._woken:
                return
            self._woken = True
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the watch with it
            self._loop.call_soon_threadsafe(self._wake.set)

    async def wait(self, seconds: float) -> None:
        """Waits until it is woken, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def take(self) -> Hints:
        """All that waits; from now on a hint wakes again."""
        with self._lock:
            taken, self._waiting = self._waiting, Hints()
            self._woken = False
            self._wake.clear()
        return taken
