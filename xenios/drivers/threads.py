"""Threads for calls that block and cannot be interrupted: a hung libvirtd, a dead network file system.

concurrent.futures joins its threads when the interpreter ends; one that is stuck would keep the process for ever. These
are daemon threads, left behind when what they wait for never comes.

Effects: none
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class DaemonThreads:
    """A few threads behind an async face. Must be made inside a running event loop."""

    def __init__(self, count: int, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._count = count
        for number in range(count):
            threading.Thread(target=self._serve, name=f"{name} {number}", daemon=True).start()

    def run(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Runs `call` in a thread; the future gets its result or its exception."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._work.put((call, future))
        return future

    def stop(self) -> None:
        """Lets idle threads end."""
        for _ in range(self._count):
            self._work.put(None)

    def _serve(self) -> None:
        while (job := self._work.get()) is not None:
            call, future = job
            result, error = None, None
            try:
                result = call()
            except Exception as raised:  # noqa: BLE001 - it is handed to whoever waits for the answer
                error = raised
            # When the loop has ended nobody waits for this answer, but what comes next may be closing a file.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_settle, future, result, error)


def _settle(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():
        return  # given up by a timeout
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
