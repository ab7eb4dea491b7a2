"""Reads which guests there are, what they do, and what they consist of.

Which there are and what they do is one call, flags are one filtered list each, and definitions are asked for several at
a time. They are translated after the bulk read and not in the reading threads: there the translation would hold the
interpreter's lock against the answers that arrive, and twice the time was measured. When only a few are read again,
their flags are asked of each of them, since a filtered list grows with the host.

Effects: reads hypervisors
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from xenios.drivers.base import Progress, no_progress
from xenios.drivers.kvm.client import ConnectionLost, NativeError
from xenios.drivers.kvm.domain import (
    DomainExtras,
    Surroundings,
    UnreadableDefinition,
    vm_from_xml,
    vm_without_definition,
)
from xenios.drivers.kvm.host import host_uuid_of
from xenios.drivers.kvm.view import NOT_SUPPORTED, Domain, View
from xenios.model.inventory import Answer, Capability, Vm

_NO_SUCH_DOMAIN = 42  # VIR_ERR_NO_DOMAIN
_READ_AT_ONCE = 2_000
"""Definitions asked for in one go; some 10 MiB of XML. Each pause between two goes costs a third of a go's time."""
_TRANSLATED_AT_ONCE = 50
"""Definitions translated before other work of the process gets its turn; some 5 ms."""


async def read_guests(view: View, progress: Progress) -> None:
    """Fills in the view's domains; needs its storages and networks."""
    await list_guests(view)
    known = [view.answers.get(capability) for capability in (Capability.STORAGE, Capability.NETWORKS)]
    told = all(answer is not None and answer.answer is Answer.YES for answer in known)
    view.surroundings_known = told and not view.failures
    for domain, error in await _read_definitions(view, progress):
        view.fail(
            f"definition of guest {domain.name!r}",
            f"it vanished while it was read: {error}",
            remedy="inspect again for a view without this gap",
            subject_uuid=domain.uuid,
        )


async def list_guests(view: View) -> None:
    """Fills in which guests there are, what they do and their flags: a few bulk questions, however many there are."""
    libvirt = view.client.libvirt
    nothing: list[tuple[Any, dict[str, Any]]] | None = None
    listed = await view.ask(
        "list of guests", lambda c: c.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0), nothing
    )
    view.guests_listed = listed is not None
    view.domains = [
        Domain(handle=handle, uuid=handle.UUIDString(), name=handle.name(), stats=dict(stats))
        for handle, stats in listed or ()
    ]
    view.domains.sort(key=lambda domain: (domain.name, domain.uuid))  # libvirt lists in no order
    await _read_flags(view)


async def read_guests_again(view: View, uuids: Sequence[str]) -> list[str]:
    """Reads these guests and no other into the view's domains; returns those that libvirt says are not there.

    What it costs depends on how many they are, never on how many guests the host has. Needs the view's storages and
    networks.
    """
    libvirt, connection = view.client.libvirt, view.client.connection
    gone: list[str] = []

    def look_up(uuid: str) -> Any:
        return connection.lookupByUUIDString(uuid)

    handles = await view.client.ask_each(uuids, look_up)
    for uuid, handle in zip(uuids, handles, strict=True):
        if isinstance(handle, ConnectionLost):
            view.lose(f"guest {uuid}", handle)
        elif not isinstance(handle, NativeError):
            view.domains.append(Domain(handle=handle, uuid=uuid, name=handle.name(), stats={}))
        elif handle.code == _NO_SUCH_DOMAIN:
            gone.append(uuid)
        else:
            view.fail(f"guest {uuid}", str(handle), subject_uuid=uuid)
    there = [domain.handle for domain in view.domains]
    if there:
        states: dict[str, dict[str, Any]] = await view.ask(
            "what guests do",
            lambda c: {
                handle.UUIDString(): dict(stats)
                for handle, stats in c.domainListGetStats(there, libvirt.VIR_DOMAIN_STATS_STATE, 0)
            },
            {},
        )
        for domain in view.domains:
            domain.stats = states.get(domain.uuid, {})
        await _read_flags_of_each(view)
        gone += [domain.uuid for domain, _ in await _read_definitions(view, no_progress)]
    return gone


def vm_of(domain: Domain, host_uuid: str) -> Vm:
    """The VM of a domain, also of one whose definition could not be read."""
    if domain.vm is None:
        return vm_without_definition(domain.uuid, domain.name, domain.stats, _extras(domain), host_uuid)
    return domain.vm


async def _read_flags(view: View) -> None:
    """Autostart, persistence, managed save and snapshots: one bulk question each, not one per guest."""
    libvirt = view.client.libvirt

    async def marked(what: str, flag: int) -> set[str] | None:
        none: set[str] | None = None
        return await view.ask(
            f"which guests have {what}",
            lambda c: {domain.UUIDString() for domain in c.listAllDomains(flag)},
            none,
            if_unsupported=set(),
        )

    autostart, persistent, saved, snapshots = await asyncio.gather(
        marked("autostart", libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART),
        marked("a permanent definition", libvirt.VIR_CONNECT_LIST_DOMAINS_PERSISTENT),
        marked("their memory saved", libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE),
        marked("snapshots", libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT),
    )
    for domain in view.domains:
        domain.autostart = _membership(domain.uuid, autostart)
        domain.persistent = _membership(domain.uuid, persistent)
        domain.managed_save = _membership(domain.uuid, saved)
        domain.has_snapshots = domain.uuid in (snapshots or ())


async def _read_flags_of_each(view: View) -> None:
    """The same, asked of each of a few guests."""

    async def of_each(question: Callable[[Any], Any]) -> list[Answer]:
        answers = await view.client.ask_each(view.domains, lambda domain: question(domain.handle))
        return [_told(answer) for answer in answers]

    flags = await asyncio.gather(
        of_each(lambda handle: handle.autostart()),
        of_each(lambda handle: handle.isPersistent()),
        of_each(lambda handle: handle.hasManagedSaveImage()),
        of_each(lambda handle: handle.snapshotNum()),
    )
    for domain, autostart, persistent, saved, snapshots in zip(view.domains, *flags, strict=True):
        domain.autostart, domain.persistent, domain.managed_save = autostart, persistent, saved
        domain.has_snapshots = snapshots is Answer.YES


async def _read_definitions(view: View, progress: Progress) -> list[tuple[Domain, NativeError]]:
    """Gives each domain its VM; those that libvirt no longer knows are taken out of the view and returned."""
    around = _surroundings(view)
    vanished: dict[str, tuple[Domain, NativeError]] = {}
    for start in range(0, len(view.domains), _READ_AT_ONCE):
        part = view.domains[start : start + _READ_AT_ONCE]

        def reached(number: int, start: int = start) -> None:
            progress(f"guests {start + number} of {len(view.domains)}")

        answers = await view.client.ask_each(part, lambda domain: str(domain.handle.XMLDesc(0)), reached)
        for number, (domain, answer) in enumerate(zip(part, answers, strict=True)):
            if number % _TRANSLATED_AT_ONCE == 0:
                await asyncio.sleep(0)
            what = f"definition of guest {domain.name!r}"
            if isinstance(answer, ConnectionLost):
                view.lose(what, answer)
            elif isinstance(answer, NativeError) and answer.code == _NO_SUCH_DOMAIN:
                vanished[domain.uuid] = (domain, answer)
            else:
                try:
                    if isinstance(answer, NativeError):
                        raise answer
                    domain.vm = vm_from_xml(answer, domain.stats, _extras(domain), around)
                except (NativeError, UnreadableDefinition) as error:
                    view.fail(what, str(error), subject_uuid=domain.uuid)
    view.domains = [domain for domain in view.domains if domain.uuid not in vanished]
    return list(vanished.values())


def _surroundings(view: View) -> Surroundings:
    return Surroundings(
        host_uuid=host_uuid_of(view.native_host),
        storages=tuple(view.storages),
        pool_paths={storage.name: storage.where for storage in view.storages},
        network_uuids={network.name: network.uuid for network in view.networks},
        network_bridges={network.name: network.bridge for network in view.networks},
        network_vlans={network.name: network.vlan for network in view.networks},
        portgroup_vlans=view.portgroup_vlans,
        addresses=view.addresses,
        complete=view.surroundings_known,
    )


def _extras(domain: Domain) -> DomainExtras:
    return DomainExtras(
        autostart=domain.autostart, persistent=domain.persistent, managed_save=domain.managed_save
    )


def _membership(uuid: str, members: set[str] | None) -> Answer:
    if members is None:
        return Answer.UNKNOWN
    return _yes_or_no(uuid in members)


def _told(answer: Any) -> Answer:
    if isinstance(answer, NativeError) and answer.code == NOT_SUPPORTED:
        return Answer.NO  # as with the lists: a driver without saved memory has no guest with it
    return Answer.UNKNOWN if isinstance(answer, Exception) else _yes_or_no(bool(answer))


def _yes_or_no(value: bool) -> Answer:
    return Answer.YES if value else Answer.NO
