"""Reads single storage pools and networks again, after an event about them.

Effects: reads hypervisors
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from xenios.drivers.kvm.client import ConnectionLost, NativeError
from xenios.drivers.kvm.domain import UnreadableDefinition
from xenios.drivers.kvm.host import host_uuid_of, network_from, portgroup_vlans_from, storage_from
from xenios.drivers.kvm.last_seen import PortgroupVlans
from xenios.drivers.kvm.view import View
from xenios.model.inventory import Network, Storage

T = TypeVar("T")

_NO_SUCH_NETWORK = 43  # VIR_ERR_NO_NETWORK
_NO_SUCH_STORAGE = 49  # VIR_ERR_NO_STORAGE_POOL


async def read_storages_again(view: View, uuids: Sequence[str]) -> tuple[list[Storage], list[str]]:
    """These storage pools, and those of them that libvirt says are not there."""
    connection, host_uuid = view.client.connection, host_uuid_of(view.native_host)

    def read(uuid: str) -> tuple[str, bool]:
        pool = connection.storagePoolLookupByUUIDString(uuid)
        return str(pool.XMLDesc(0)), bool(pool.isActive())

    return await _read_again(
        view,
        "storage pool",
        uuids,
        read,
        _NO_SUCH_STORAGE,
        lambda xml, active: storage_from(xml, active, host_uuid),
    )


async def read_networks_again(
    view: View, uuids: Sequence[str]
) -> tuple[list[tuple[Network, PortgroupVlans]], list[str]]:
    """These networks with the VLANs of their portgroups, and those of them that libvirt says are not there."""
    connection = view.client.connection

    def read(uuid: str) -> tuple[str, bool]:
        network = connection.networkLookupByUUIDString(uuid)
        return str(network.XMLDesc(0)), bool(network.isActive())

    return await _read_again(
        view,
        "network",
        uuids,
        read,
        _NO_SUCH_NETWORK,
        lambda xml, active: (network_from(xml, active), portgroup_vlans_from(xml)),
    )


async def _read_again(
    view: View,
    what: str,
    uuids: Sequence[str],
    read: Callable[[str], tuple[str, bool]],
    code_of_gone: int,
    translate: Callable[[str, bool], T],
) -> tuple[list[T], list[str]]:
    found: list[T] = []
    gone: list[str] = []
    for uuid, answer in zip(uuids, await view.client.ask_each(uuids, read), strict=True):
        if isinstance(answer, ConnectionLost):
            view.lose(f"{what} {uuid}", answer)
        elif isinstance(answer, NativeError) and answer.code == code_of_gone:
            gone.append(uuid)
        else:
            try:
                if isinstance(answer, NativeError):
                    raise answer
                found.append(translate(*answer))
            except (NativeError, UnreadableDefinition) as error:
                view.fail(f"{what} {uuid}", str(error), subject_uuid=uuid)
    return found, gone
