"""Follows one libvirt host: a full view, then what libvirt's events hint at, then what polls find that no event told.

An event is a hint to look again, never a state: it only names the guest that is read again, and what is told is what
that reading says. Listening begins before the full view is read, so that nothing is lost between the two. A guest is
called gone only when libvirt, asked for it, says that there is no such guest. A daemon that hangs or dies changes
nothing that is known: it is told as silence, the connection is made again, and a full view follows.

Effects: reads hypervisors
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from msgspec.structs import replace

from xenios.clock import now_micros
from xenios.drivers.base import Depth, no_progress
from xenios.drivers.bulk import collecting_seldom
from xenios.drivers.kvm.again import read_networks_again, read_storages_again
from xenios.drivers.kvm.client import ConnectionLost, LibvirtClient
from xenios.drivers.kvm.events import Hinted
from xenios.drivers.kvm.figures import read_snapshots
from xenios.drivers.kvm.guests import list_guests, read_guests_again, vm_of
from xenios.drivers.kvm.hints import HintBox, Hints
from xenios.drivers.kvm.host import host_uuid_of
from xenios.drivers.kvm.last_seen import LastSeen
from xenios.drivers.kvm.line import Line
from xenios.drivers.kvm.pace import Pace
from xenios.drivers.kvm.view import View
from xenios.drivers.kvm.whole_view import collection_from, read_whole_view
from xenios.errors import TargetUnreadable, XeniosError
from xenios.model.collection import ReadFailure
from xenios.model.inventory import Answer, Capability, CapabilityAnswer, Pool
from xenios.model.update import Update, UpdateSource

_REASONS_MAX = 3
"""Of what happened to a guest, as many as are told in one line."""
_LOOK_AT_LIBVIRTD = (
    "look at libvirtd on that host (guests run on without it); Xenios goes on trying by itself"
)


@dataclass(slots=True)
class _Settling:
    """A guest that is to be looked at once more."""

    due: float
    because: str


class Watch:
    """One watch of one host. `updates` is run once."""

    def __init__(
        self, line: Line, target: str, answers: dict[Capability, CapabilityAnswer], pace: Pace
    ) -> None:
        self._line = line
        self._target = target
        self._answers = answers
        self._pace = pace
        self._box = HintBox()
        line.wake = self._box.wake
        self._seen = LastSeen()
        self._first = True
        self._host: tuple[str, str] | None = None
        """Uuid and name of the host that is watched."""
        self._silent_since: int | None = None
        self._told: str | None = None
        """What was told of the silence last."""
        self._attempts = 0
        self._settling: dict[str, _Settling] = {}
        self._poll_at = self._view_at = 0.0
        self._now = asyncio.get_running_loop().time

    async def updates(self) -> AsyncGenerator[Update, None]:
        """See Observer.watch in drivers/base.py. Ends when the line is closed."""
        while not self._line.closed:
            try:
                async with aclosing(self._follow()) as following:
                    async for update in following:
                        yield update
                continue
            except ConnectionLost as error:
                trouble = TargetUnreadable(str(error), remedy=_LOOK_AT_LIBVIRTD)
            except TargetUnreadable as error:
                trouble = error
            self._line.client.lose(str(trouble))
            if self._first and not self._line.closed:
                raise trouble
            async with aclosing(self._make_again(trouble)) as trying:
                async for update in trying:
                    yield update

    # --- while it answers --------------------------------------------------------------------------------------------

    async def _follow(self) -> AsyncGenerator[Update, None]:
        """Raises ConnectionLost, or TargetUnreadable from a full view."""
        client = self._line.client
        self._box.take()  # what an earlier connection hinted at; everything is read now
        self._settling.clear()
        await self._listen(client)
        try:
            yield await self._look_at_everything(
                client, "the first view" if self._first else "connected again"
            )
            while client.lost is None:
                await self._box.wait(self._seconds_to_wait())
                hints = self._box.take()
                for update in await self._look_at_what_is_due(client, hints):
                    yield update
                if hints:
                    await asyncio.sleep(self._pace.rest_seconds)
            raise ConnectionLost(client.lost)
        finally:
            client.stop_listening()

    async def _listen(self, client: LibvirtClient) -> None:
        kinds = await client.listen(self._box)
        self._answers[Capability.EVENTS] = CapabilityAnswer(
            capability=Capability.EVENTS,
            answer=Answer.YES if kinds else Answer.NO,
            how=f"it let a read-only connection listen to {kinds} kinds of events",
        )

    def _seconds_to_wait(self) -> float:
        due = [self._poll_at, self._view_at, *(settling.due for settling in self._settling.values())]
        return max(0.0, min(due) - self._now())

    async def _look_at_what_is_due(self, client: LibvirtClient, hints: Hints) -> list[Update]:
        if client.lost is not None:
            raise ConnectionLost(client.lost)
        updates = await self._look_at_hints(client, hints)
        if settled := [uuid for uuid, settling in self._settling.items() if settling.due <= self._now()]:
            updates += await self._look_once_more(client, settled)
        if self._view_at <= self._now():
            updates.append(await self._look_at_everything(client, "a regular look", routine=True))
        elif self._poll_at <= self._now():
            updates += await self._poll(client)
        return updates

    async def _look_at_everything(
        self, client: LibvirtClient, because: str, *, routine: bool = False
    ) -> Update:
        """A full view. One during which the connection is lost is told only when nothing is known yet."""
        seen_at = now_micros()
        view = View(client.asking(), self._target, self._answers)
        with collecting_seldom():
            await read_whole_view(view, Depth.FULL, no_progress)
            await _add_snapshots(view)
            if view.lost and not self._first:
                raise ConnectionLost(client.lost)
            collection = collection_from(view, seen_at)
        self._refuse_another_host(collection.pool)
        self._first = False
        if not view.lost:
            self._silent_since = self._told = None
            self._attempts = 0
        self._seen.replace_by(view, collection)
        now = self._now()
        self._poll_at = now + self._pace.spread_out(self._pace.poll_seconds)
        self._view_at = now + self._pace.spread_out(self._pace.view_seconds)
        return Update(
            seen_at=seen_at, source=UpdateSource.VIEW, because=because, routine=routine, view=collection
        )

    def _refuse_another_host(self, pool: Pool) -> None:
        """Nothing of another host may be mixed in. A host without a lasting uuid has a new one after each restart of
        libvirtd, and hosts are renamed; so it is another only when both differ."""
        known = self._host or (pool.uuid, pool.name)
        if pool.uuid != known[0] and pool.name != known[1]:
            raise TargetUnreadable(
                f"another host answers at {self._target}: {pool.name} ({pool.uuid}), not the one that is watched, "
                f"{known[1]} ({known[0]})",
                remedy="watch the new host as a target of its own",
            )
        self._host = (pool.uuid, pool.name)

    async def _poll(self, client: LibvirtClient) -> list[Update]:
        """Asks what all guests do, in bulk, and reads those again that are not as they were last seen."""
        self._poll_at = self._now() + self._pace.spread_out(self._pace.poll_seconds)
        seen_at = now_micros()
        view = View(client.asking(), self._target, self._answers)
        await list_guests(view)
        if view.lost:
            raise ConnectionLost(client.lost)
        because = "asked what all guests do"
        if view.failures:
            failures = tuple(view.failures)
            return [Update(seen_at=seen_at, source=UpdateSource.POLL, because=because, failures=failures)]
        untold = self._seen.untold(view.domains)
        return await self._look_at_guests(client, dict.fromkeys(untold, because), UpdateSource.POLL)

    # --- a few things again ------------------------------------------------------------------------------------------

    async def _look_at_hints(self, client: LibvirtClient, hints: Hints) -> list[Update]:
        updates: list[Update] = []
        reasons: dict[str, str] = {}
        for hinted, look in (
            (Hinted.STORAGE, self._look_at_storages),
            (Hinted.NETWORK, self._look_at_networks),
        ):
            if told := {uuid: _because(words) for uuid, words in hints.of[hinted].items()}:
                update, users = await look(client, told)
                if update is not None:
                    updates.append(update)
                reasons |= dict.fromkeys(users, _together(told.values()))
        guests = {uuid: _because(words) for uuid, words in hints.of[Hinted.GUEST].items()}
        reasons |= guests
        updates += await self._look_at_guests(client, reasons, UpdateSource.EVENT)
        due = self._now() + self._pace.settle_seconds
        self._settling |= {
            uuid: _Settling(due, because) for uuid, because in guests.items() if uuid in self._seen.vms
        }
        return updates

    async def _look_once_more(self, client: LibvirtClient, settled: Sequence[str]) -> list[Update]:
        """Tells of guests only what differs; who does is looked at again."""
        reasons = {uuid: f"{self._settling.pop(uuid).because}, looked at once more" for uuid in settled}
        before = {uuid: self._seen.vms.get(uuid) for uuid in settled}
        updates = await self._look_at_guests(client, reasons, UpdateSource.EVENT)
        due = self._now() + self._pace.settle_seconds
        told = []
        for update in updates:
            moved = tuple(vm for vm in update.vms if vm != before[vm.uuid])
            self._settling |= {
                vm.uuid: _Settling(due, reasons[vm.uuid].removesuffix(", looked at once more"))
                for vm in moved
                if vm.definition_read
            }
            if moved or update.vms_gone or update.failures:
                told.append(replace(update, vms=moved))
        return told

    async def _look_at_guests(
        self, client: LibvirtClient, reasons: dict[str, str], source: UpdateSource
    ) -> list[Update]:
        """Reads these guests again, all of them at once; one update for each of the reasons."""
        if not reasons:
            return []
        seen_at = now_micros()
        view = self._seen.lend_surroundings(View(client.asking(), self._target, self._answers))
        gone = set(await read_guests_again(view, list(reasons)))
        await _add_snapshots(view)
        if view.lost:
            raise ConnectionLost(client.lost)
        host_uuid = host_uuid_of(view.native_host)
        vms = {domain.uuid: vm_of(domain, host_uuid) for domain in view.domains}
        bridges = {uuid: self._seen.keep_vm(vm) for uuid, vm in vms.items()}
        gone = {uuid for uuid in gone if self._seen.forget_vm(uuid)}  # it may have been unknown to us
        updates = []
        for because in dict.fromkeys(reasons.values()):
            uuids = [uuid for uuid, reason in reasons.items() if reason == because]
            update = Update(
                seen_at=seen_at,
                source=source,
                because=because,
                vms=tuple(vms[uuid] for uuid in uuids if uuid in vms),
                vms_gone=tuple(uuid for uuid in uuids if uuid in gone),
                networks=tuple(network for uuid in uuids for network in bridges.get(uuid, ())),
                failures=tuple(failure for failure in view.failures if failure.subject_uuid in uuids),
            )
            if update.vms or update.vms_gone or update.failures:
                updates.append(update)
        if general := tuple(failure for failure in view.failures if failure.subject_uuid is None):
            because = _together(reasons.values())
            updates.append(Update(seen_at=seen_at, source=source, because=because, failures=general))
        return updates

    async def _look_at_storages(
        self, client: LibvirtClient, reasons: dict[str, str]
    ) -> tuple[Update | None, list[str]]:
        """Reads these storage pools again; also returns the guests whose translation may differ by that."""
        seen_at = now_micros()
        view = self._seen.lend_surroundings(View(client.asking(), self._target, self._answers))
        found, gone = await read_storages_again(view, list(reasons))
        if view.lost:
            raise ConnectionLost(client.lost)
        users = [self._seen.keep_storage(storage) for storage in found]
        forgotten = {uuid: self._seen.forget_storage(uuid) for uuid in gone}
        return _of_surroundings(
            Update(
                seen_at=seen_at,
                source=UpdateSource.EVENT,
                because=_together(reasons.values()),
                storages=tuple(found),
                storages_gone=tuple(uuid for uuid, known in forgotten.items() if known is not None),
                failures=tuple(view.failures),
            ),
            [*users, *forgotten.values()],
        )

    async def _look_at_networks(
        self, client: LibvirtClient, reasons: dict[str, str]
    ) -> tuple[Update | None, list[str]]:
        """The same for networks."""
        seen_at = now_micros()
        view = self._seen.lend_surroundings(View(client.asking(), self._target, self._answers))
        found, gone = await read_networks_again(view, list(reasons))
        if view.lost:
            raise ConnectionLost(client.lost)
        users = [self._seen.keep_network(network, vlans) for network, vlans in found]
        forgotten = {uuid: self._seen.forget_network(uuid) for uuid in gone}
        return _of_surroundings(
            Update(
                seen_at=seen_at,
                source=UpdateSource.EVENT,
                because=_together(reasons.values()),
                networks=tuple(network for network, _ in found),
                networks_gone=tuple(uuid for uuid, known in forgotten.items() if known is not None),
                failures=tuple(view.failures),
            ),
            [*users, *forgotten.values()],
        )

    # --- while it does not -------------------------------------------------------------------------------------------

    async def _make_again(self, trouble: XeniosError | None) -> AsyncGenerator[Update, None]:
        """Tells of the silence, and tries until there is a connection or the line is closed.

        The first attempt comes at once. Pauses grow until a whole view was read: a daemon that takes connections and
        drops them, or a host that is another one now, is not asked in haste.
        """
        lost = self._line.client
        self._silent_since = self._silent_since or lost.silent_since or now_micros()
        while trouble is not None and not self._line.closed:
            if str(trouble) != self._told:
                self._told = str(trouble)
                yield _silence(self._silent_since, self._told, trouble.remedy)
            await self._pause()
            trouble = None
            if not self._line.closed:
                try:
                    await self._line.make_again()
                except XeniosError as error:
                    trouble = error

    async def _pause(self) -> None:
        """Waits between two attempts to connect, or until the line is closed."""
        self._attempts += 1
        if self._attempts > 1:
            until = self._now() + self._pace.back_off_seconds(self._attempts - 2)
            while (seconds := until - self._now()) > 0 and not self._line.closed:
                await self._box.wait(seconds)
                self._box.take()


async def _add_snapshots(view: View) -> None:
    """A view for a watch has the snapshots too: whoever takes one wants to see that it was noticed."""
    await read_snapshots(view)
    for domain in view.domains:
        if domain.vm is not None and domain.snapshots:
            domain.vm = replace(domain.vm, snapshots=domain.snapshots)


def _of_surroundings(
    update: Update, users: Iterable[Sequence[str] | None]
) -> tuple[Update | None, list[str]]:
    tells = (
        update.storages or update.storages_gone or update.networks or update.networks_gone or update.failures
    )
    return update if tells else None, [uuid for uuids in users for uuid in uuids or ()]


def _silence(since: int, because: str, remedy: str) -> Update:
    return Update(
        seen_at=now_micros(),
        source=UpdateSource.CONNECTION,
        because=because,
        silent_since=since,
        failures=(ReadFailure(what="everything", because=because, remedy=remedy),),
    )


def _because(words: Sequence[str]) -> str:
    return f"libvirt: {_together(words)}"


def _together(words: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(words))
    more = f" and {len(distinct) - _REASONS_MAX} more" if len(distinct) > _REASONS_MAX else ""
    return ", ".join(distinct[:_REASONS_MAX]) + more
