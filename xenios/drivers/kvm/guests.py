"""Reads which guests there are, what they do, and what they consist of.

Which there are and what they do is one call, flags are one filtered list each, and definitions are asked for several at
a time. They are translated after the bulk read and not in the reading threads: there the translation would hold the
interpreter's lock against the answers that arrive, and twice the time was measured.

Effects: reads hypervisors
"""

from __future__ import annotations

import asyncio
from typing import Any

from xenios.drivers.base import Progress
from xenios.drivers.kvm.client import ConnectionLost, NativeError
from xenios.drivers.kvm.domain import (
    DomainExtras,
    Surroundings,
    UnreadableDefinition,
    vm_from_xml,
    vm_without_definition,
)
from xenios.drivers.kvm.host import host_uuid_of
from xenios.drivers.kvm.view import ASK_AGAIN, Domain, View
from xenios.model.inventory import Answer, Capability, Vm

_NO_SUCH_DOMAIN = 42  # VIR_ERR_NO_DOMAIN
_READ_AT_ONCE = 2_000
"""Definitions asked for in one go; some 10 MiB of XML. Each pause between two goes costs a third of a go's time."""
_TRANSLATED_AT_ONCE = 50
"""Definitions translated before other work of the process gets its turn; some 5 ms."""


async def read_guests(view: View, progress: Progress) -> None:
    """Fills in the view's domains; needs its storages and networks."""
    libvirt = view.client.libvirt
    listed: list[tuple[Any, dict[str, Any]]] = await view.ask(
        "list of guests", lambda c: c.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0), []
    )
    view.domains = [
        Domain(handle=handle, uuid=handle.UUIDString(), name=handle.name(), stats=dict(stats))
        for handle, stats in listed
    ]
    view.domains.sort(key=lambda domain: (domain.name, domain.uuid))  # libvirt lists in no order
    await _read_flags(view)
    await _read_definitions(view, progress)


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


async def _read_definitions(view: View, progress: Progress) -> None:
    known = [view.answers.get(capability) for capability in (Capability.STORAGE, Capability.NETWORKS)]
    told = all(answer is not None and answer.answer is Answer.YES for answer in known)
    around = _surroundings(view, complete=told and not view.failures)
    for start in range(0, len(view.domains), _READ_AT_ONCE):
        part = view.domains[start : start + _READ_AT_ONCE]

        def reached(number: int, start: int = start) -> None:
            progress(f"guests {start + number} of {len(view.domains)}")

        answers = await view.client.ask_each(part, lambda domain: str(domain.handle.XMLDesc(0)), reached)
        for number, (domain, answer) in enumerate(zip(part, answers, strict=True)):
            if number % _TRANSLATED_AT_ONCE == 0:
                await asyncio.sleep(0)
            if isinstance(answer, ConnectionLost):
                view.lose(f"definition of guest {domain.name!r}", answer)
                continue
            try:
                if isinstance(answer, NativeError):
                    raise answer
                domain.vm = vm_from_xml(answer, domain.stats, _extras(domain), around)
            except (NativeError, UnreadableDefinition) as error:
                _note_unread_definition(view, domain, error)
    view.domains = [domain for domain in view.domains if not domain.gone]


def _note_unread_definition(view: View, domain: Domain, error: NativeError | UnreadableDefinition) -> None:
    if isinstance(error, NativeError) and error.code == _NO_SUCH_DOMAIN:
        domain.gone = True
        because, remedy = (
            f"it vanished while it was read: {error}",
            "inspect again for a view without this gap",
        )
    else:
        because, remedy = str(error), ASK_AGAIN
    what = f"definition of guest {domain.name!r}"
    view.fail(what, because, remedy=remedy, subject_uuid=domain.uuid)


def _surroundings(view: View, *, complete: bool) -> Surroundings:
    return Surroundings(
        host_uuid=host_uuid_of(view.native_host),
        storages=tuple(view.storages),
        pool_paths={storage.name: storage.where for storage in view.storages},
        network_uuids={network.name: network.uuid for network in view.networks},
        network_bridges={network.name: network.bridge for network in view.networks},
        network_vlans={network.name: network.vlan for network in view.networks},
        portgroup_vlans=view.portgroup_vlans,
        addresses=view.addresses,
        complete=complete,
    )


def _extras(domain: Domain) -> DomainExtras:
    return DomainExtras(
        autostart=domain.autostart, persistent=domain.persistent, managed_save=domain.managed_save
    )


def _membership(uuid: str, members: set[str] | None) -> Answer:
    if members is None:
        return Answer.UNKNOWN
    return Answer.YES if uuid in members else Answer.NO
