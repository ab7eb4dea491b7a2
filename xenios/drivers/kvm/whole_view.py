"""Reads the whole host into a Collection: asks in bulk, and keeps what could not be read.

The order is deliberate: first the surroundings that definitions refer to, then the guests (guests.py), and last the
figures that cost a question per guest or disk (figures.py). Whatever fails or stays unanswered becomes a ReadFailure of
the collection; what was read before stays.

Effects: reads hypervisors
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from xenios.drivers.base import Depth, Progress
from xenios.drivers.kvm.client import ConnectionLost, NativeError
from xenios.drivers.kvm.figures import read_figures
from xenios.drivers.kvm.guests import read_guests, vm_of
from xenios.drivers.kvm.host import (
    NativeHost,
    bridges_in_use,
    host_from,
    host_uuid_of,
    kind_of,
    network_from,
    portgroup_vlans_from,
    storage_from,
    version_text,
)
from xenios.drivers.kvm.view import ASK_AGAIN, View
from xenios.errors import TargetUnreadable
from xenios.model.collection import Collection
from xenios.model.inventory import Answer, Capability, Pool

T = TypeVar("T")


async def read_whole_view(view: View, depth: Depth, progress: Progress) -> None:
    """Fills in the view. Raises TargetUnreadable when not even the host's identity could be read."""
    progress("host")
    await _read_host(view)
    progress("storage and networks")
    await _read_storages(view)
    await _read_networks(view, depth)
    progress("guests")
    await read_guests(view, progress)
    if depth is Depth.REPORT:
        progress("disks and figures")
        await read_figures(view, progress)


async def _read_host(view: View) -> None:
    async def ask(
        what: str, question: Callable[[Any], T], default: T, capability: Capability | None = None
    ) -> T:
        return await view.ask(what, question, default, capability)

    driver = await ask("kind of hypervisor", lambda c: c.getType(), "")
    if not driver:
        if view.failures:
            raise TargetUnreadable(view.failures[0].because, remedy=view.failures[0].remedy)
        raise TargetUnreadable(f"{view.target} does not name its hypervisor", remedy=ASK_AGAIN)
    view.learn(
        Capability.KEEPALIVE,
        Answer.YES if view.client.keepalive else Answer.NO,
        "asked for when connecting",
    )
    view.learn(
        Capability.GUEST_UPTIME,
        Answer.NO,
        "libvirt has no question for it that a read-only connection may ask",
    )
    view.learn(
        Capability.UEFI,
        Answer.UNKNOWN,
        "libvirt tells its domain capabilities only to connections that may write",
    )
    memory_free = Capability.FREE_MEMORY
    view.native_host = NativeHost(
        driver=driver,
        hostname=await ask("host name", lambda c: c.getHostname(), ""),
        hypervisor_version=await ask("hypervisor version", lambda c: c.getVersion(), None),
        library_version=await ask("libvirt version", lambda c: c.getLibVersion(), None),
        node_info=await ask("processors", lambda c: tuple(c.getInfo()), None),
        free_memory_bytes=await ask("free memory", lambda c: c.getFreeMemory(), None, memory_free),
        memory_stats_kib=await ask("memory statistics", lambda c: c.getMemoryStats(-1, 0), {}),
        capabilities_xml=await ask("capabilities", lambda c: c.getCapabilities(), ""),
    )
    if view.lost:  # not even the host's identity is certain, and nothing more will be answered
        raise TargetUnreadable(view.failures[0].because, remedy=view.failures[0].remedy)
    if view.native_host.memory_stats_kib:
        view.learn(memory_free, Answer.YES, "it answered")


async def _read_storages(view: View) -> None:
    pools: list[Any] = await view.ask(
        "storage pools", lambda c: c.listAllStoragePools(0), [], Capability.STORAGE
    )
    pools.sort(key=lambda pool: str(pool.name()))
    answers = await view.client.ask_each(pools, lambda pool: (str(pool.XMLDesc(0)), bool(pool.isActive())))
    host_uuid = host_uuid_of(view.native_host)
    view.translate(
        "storage pool",
        pools,
        answers,
        lambda pair: view.storages.append(storage_from(*pair, host_uuid)),
    )


async def _read_networks(view: View, depth: Depth) -> None:
    networks: list[Any] = await view.ask("networks", lambda c: c.listAllNetworks(0), [], Capability.NETWORKS)
    networks.sort(key=lambda network: str(network.name()))
    answers = await view.client.ask_each(networks, lambda net: (str(net.XMLDesc(0)), bool(net.isActive())))

    def use(pair: tuple[str, bool]) -> None:
        view.networks.append(network_from(*pair))
        view.portgroup_vlans |= portgroup_vlans_from(pair[0])

    view.translate("network", networks, answers, use)
    if depth is Depth.REPORT:
        await _read_leases(view, networks)


async def _read_leases(view: View, networks: Sequence[Any]) -> None:
    active = {network.uuid for network in view.networks if network.active is Answer.YES}
    asked = [network for network in networks if network.UUIDString() in active]
    found: dict[str, list[str]] = {}
    for answer in await view.client.ask_each(asked, lambda network: network.DHCPLeases()):
        if isinstance(answer, NativeError | ConnectionLost):
            continue  # bridged networks have no leases to ask for; an address not told is shown as not told
        for lease in answer:
            if lease.get("mac") and lease.get("ipaddr"):
                found.setdefault(str(lease["mac"]).lower(), []).append(str(lease["ipaddr"]))
    view.addresses = {mac: tuple(sorted(set(addresses))) for mac, addresses in found.items()}
    view.learn(
        Capability.GUEST_ADDRESSES, Answer.YES if asked else Answer.UNKNOWN, "DHCP leases of its networks"
    )


def collection_from(view: View, seen_at: int) -> Collection:
    """The collection that a whole view comes to; it began at `seen_at`."""
    native = view.native_host
    host_uuid = host_uuid_of(native)
    vms = [vm_of(domain, host_uuid) for domain in view.domains]
    host = host_from(native, vms)
    library = version_text(native.library_version)
    pool = Pool(
        uuid=host_uuid,
        name=native.hostname,
        kind=kind_of(native.driver),
        product=host.product,
        version=host.version,
        master_uuid=host_uuid,
        ha_enabled=Answer.NO,
        native_version=f"libvirt {library}",
    )
    return Collection(
        seen_at=seen_at,
        source=f"libvirt {library}, read-only connection",
        pool=pool,
        hosts=(host,),
        storages=tuple(view.storages),
        networks=(*view.networks, *bridges_in_use(vms)),
        vms=tuple(vms),
        failures=tuple(view.failures),
        all_vms_seen=view.guests_listed,
    )
