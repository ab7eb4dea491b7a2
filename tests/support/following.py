"""Reads a watch in the background and keeps the picture that its updates come to.

A test acts on the hypervisor, waits until the picture shows it, and may compare the picture with a fresh view: what the
updates add up to must be what is there.

Effects: none of its own; the watch reads what it reads
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from xenios.drivers.base import Observer
from xenios.model.collection import Collection
from xenios.model.inventory import Host, Network, Storage, Vm
from xenios.model.update import Update

SECONDS_MAX = 30.0


class Following:
    """One watch: its updates so far, and what is known by them."""

    def __init__(self) -> None:
        self.updates: list[Update] = []
        self.view: Collection | None = None
        """The last full view."""
        self.vms: dict[str, Vm] = {}
        self.hosts: dict[str, Host] = {}
        self.storages: dict[str, Storage] = {}
        self.networks: dict[str, Network] = {}
        self.ended: BaseException | bool = False
        """True when the watch came to its end, else what it raised."""
        self._more = asyncio.Event()

    # --- what is known ---

    @property
    def silent(self) -> bool:
        """Whether the last word was that the hypervisor does not answer."""
        return bool(self.updates) and self.updates[-1].silent_since is not None

    def named(self, name: str) -> Vm | None:
        """The VM of that name, if there is exactly one."""
        found = [vm for vm in self.vms.values() if vm.name == name]
        return found[0] if len(found) == 1 else None

    def told_of(self, uuid: str, since: int = 0) -> list[str]:
        """Why updates told of this VM, from update number `since` on; full views do not count."""
        return [
            update.because
            for update in self.updates[since:]
            if uuid in update.vms_gone or any(vm.uuid == uuid for vm in update.vms)
        ]

    # --- waiting ---

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Waits for updates until the condition holds. Raises AssertionError with what was seen instead."""
        deadline = time.monotonic() + SECONDS_MAX
        while not condition():
            if self.ended:
                raise AssertionError(f"the watch ended ({self.ended!r}) before: {what}\n{self}")
            self._more.clear()
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await self._more.wait()
            except TimeoutError:
                raise AssertionError(f"waited in vain for: {what}\n{self}") from None

    def __str__(self) -> str:
        """The last updates, one to a line."""
        return "\n".join(
            f"{update.source.value}: {update.because}: view {update.view}, "
            f"{[(vm.name, vm.power_state.value) for vm in update.vms]}, gone {update.vms_gone}, "
            f"networks {[n.name for n in update.networks]} {update.networks_gone}, "
            f"storages {[s.name for s in update.storages]} {update.storages_gone}, "
            f"silent since {update.silent_since}, {[failure.because for failure in update.failures]}"
            for update in self.updates[-12:]
        )

    # --- reading ---

    def learn(self, update: Update) -> None:
        """Adds an update to the picture."""
        self.updates.append(update)
        if update.view is not None:
            self.view = update.view
            self.vms = {vm.uuid: vm for vm in update.view.vms}
            self.hosts = {host.uuid: host for host in update.view.hosts}
            self.storages = {storage.uuid: storage for storage in update.view.storages}
            self.networks = {network.uuid: network for network in update.view.networks}
        self.vms |= {vm.uuid: vm for vm in update.vms}
        self.hosts |= {host.uuid: host for host in update.hosts}
        self.storages |= {storage.uuid: storage for storage in update.storages}
        self.networks |= {network.uuid: network for network in update.networks}
        for known, gone in (
            (self.vms, update.vms_gone),
            (self.hosts, update.hosts_gone),
            (self.storages, update.storages_gone),
            (self.networks, update.networks_gone),
        ):
            for uuid in gone:
                known.pop(uuid, None)
        self._more.set()

    async def read(self, observer: Observer) -> None:
        """Reads the watch to its end."""
        try:
            async with aclosing(observer.watch()) as updates:
                async for update in updates:
                    self.learn(update)
            self.ended = True
        except Exception as error:  # noqa: BLE001 - whoever waits for an update is told
            self.ended = error
        finally:
            self._more.set()


@asynccontextmanager
async def following(observer: Observer) -> AsyncIterator[Following]:
    """Follows an observer's watch from its first view on; ends the watch at the end, and closes nothing else."""
    seen = Following()
    reading = asyncio.create_task(seen.read(observer))
    try:
        await seen.until(lambda: seen.updates, "the first view")
        yield seen
    finally:
        reading.cancel()
        await asyncio.wait([reading])
