"""The connection that an observer uses, made again when it was lost.

A daemon that hangs takes every new connection and answers none of them, and an attempt that hangs cannot be taken back.
So only a few may hang at a time: a host that is out of order for a day costs three threads and not thousands.

Effects: reads hypervisors
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from xenios.drivers.kvm.client import LibvirtClient
from xenios.errors import TargetSilent

HANGING_MAX = 3
HANGING_SECONDS_MAX = 3_600.0
"""An attempt that hangs for so long no longer keeps others from being made: it may hang for ever."""


class Line:
    """Holds the client in use. One task at a time may make it again."""

    def __init__(self, client: LibvirtClient) -> None:
        self.client = client
        self.closed = False
        self.wake: Callable[[], None] = lambda: None
        """Tells whoever waits that it is closed."""
        self._hanging: list[tuple[float, LibvirtClient]] = []

    async def make_again(self) -> None:
        """One attempt to connect; afterwards `client` is a new one. Raises TargetUnreadable, TargetSilent."""
        await self.client.close()
        now = asyncio.get_running_loop().time()
        self._hanging = [
            (began, client)
            for began, client in self._hanging
            if client.opening and now - began < HANGING_SECONDS_MAX
        ]
        name = self.client.name
        if len(self._hanging) >= HANGING_MAX:
            raise TargetSilent(
                f"libvirt at {name} takes connections and does not answer: {HANGING_MAX} attempts still wait",
                remedy="look at libvirtd on that host; guests run on when it is restarted",
            )
        client = LibvirtClient(self.client.uri, self.client.timeout_seconds, name)
        try:
            await client.establish()
        finally:
            if client.opening:
                self._hanging.append((now, client))
        if self.closed:
            await client.close()
        else:
            self.client = client

    async def close(self) -> None:
        """Closes the connection for good; may be repeated."""
        self.closed = True
        self.wake()
        await self.client.close()
