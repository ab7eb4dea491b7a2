"""Sees one libvirt host as a pool of one, over one read-only connection.

What a view consists of is in whole_view.py, how it is followed in watch.py.

Effects: reads hypervisors
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from xenios.clock import now_micros
from xenios.drivers.base import Depth, Progress, no_progress
from xenios.drivers.bulk import collecting_seldom
from xenios.drivers.kvm.client import LibvirtClient
from xenios.drivers.kvm.line import Line
from xenios.drivers.kvm.pace import Pace
from xenios.drivers.kvm.view import View
from xenios.drivers.kvm.watch import Watch
from xenios.drivers.kvm.whole_view import collection_from, read_whole_view
from xenios.errors import XeniosError
from xenios.model.collection import Collection
from xenios.model.inventory import Capability, CapabilityAnswer
from xenios.model.update import Update


class KvmObserver:
    """Reads one libvirt host over one read-only connection; see drivers/base.py for the contract."""

    def __init__(self, client: LibvirtClient, target: str, pace: Pace | None = None) -> None:
        self._line = Line(client)
        self._target = target
        self._pace = pace or Pace()
        self._answers: dict[Capability, CapabilityAnswer] = {}
        self._watched = False

    @classmethod
    async def open(
        cls, target: str, timeout_seconds: float, *, name: str | None = None, pace: Pace | None = None
    ) -> KvmObserver:
        """Connects to a libvirt URI, shown as `name`, within this time, which each view may then take as well.

        Raises TargetUnreadable or TargetSilent.
        """
        name = name or target
        return cls(await LibvirtClient.open(target, timeout_seconds, name), name, pace)

    @property
    def target(self) -> str:
        """The libvirt URI."""
        return self._target

    @property
    def capabilities(self) -> tuple[CapabilityAnswer, ...]:
        """What this libvirt can tell; see drivers/base.py."""
        return tuple(self._answers.values())

    async def close(self) -> None:
        """Closes the connection, and ends a watch."""
        await self._line.close()

    async def observe(self, depth: Depth, progress: Progress = no_progress) -> Collection:
        """A full view of the host; see drivers/base.py."""
        seen_at = now_micros()
        view = View(self._line.client.asking(), self._target, self._answers)
        with collecting_seldom():
            await read_whole_view(view, depth, progress)
            return collection_from(view, seen_at)

    async def watch(self) -> AsyncGenerator[Update, None]:
        """A full view, then what changes; see drivers/base.py."""
        if self._watched:
            raise XeniosError(
                f"{self._target} is being watched by this observer already",
                remedy="open another observer for another watch",
            )
        self._watched = True
        watch = Watch(self._line, self._target, self._answers, self._pace)
        updates = watch.updates()
        try:
            async for update in updates:
                yield update
        finally:
            self._watched = False
            await updates.aclose()
