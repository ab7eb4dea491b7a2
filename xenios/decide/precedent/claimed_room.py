"""How much memory CloudStack believes to be free: a sum over its own database, in which no stranger is.

Effects: none
"""

from collections.abc import Mapping

from xenios.decide.precedent.books import SECOND, Books, Row
from xenios.decide.precedent.commands import is_xenserver
from xenios.decide.precedent.policy import ClaimedRoom
from xenios.decide.precedent.states import State
from xenios.model.collection import Collection
from xenios.model.inventory import Host, VmKind

MIB = 1024**2
XENSERVER_BYTES_KEPT = 128 * MIB
KVM_BYTES_KEPT = 1024 * MIB
"""CloudStack's setting `host.reserved.mem.mb` as it comes."""
RESERVED_FOR = 3600 * SECOND
"""How long the last host of a stopped VM keeps its room: `capacity.skipcounting.hours`, which is in seconds."""
COUNTED = frozenset({State.STARTING, State.RUNNING, State.STOPPING, State.MIGRATING})


def claimed_room(books: Books, view: Collection) -> Mapping[str, ClaimedRoom]:
    """What is free on every host that was added, without over-provisioning."""
    xenserver = is_xenserver(view.pool.kind)
    return {
        host.uuid: _of_host(
            books, host, _total(host, view) if xenserver else _total_on_kvm(host), view.seen_at
        )
        for host in view.hosts
        if host.uuid in books.hosts
    }


def _of_host(books: Books, host: Host, total: int | None, now: int) -> ClaimedRoom:
    used = sum(row.bytes_memory or 0 for row in books.rows.values() if _counts(row, host.uuid, now))
    return ClaimedRoom(
        host_uuid=host.uuid,
        bytes_total=total,
        bytes_used=used,
        bytes_free=total - used if total is not None else None,
    )


def _counts(row: Row, host_uuid: str, now: int) -> bool:
    """Used: on this host. Reserved: stopped, last on this host, and not long ago."""
    if row.host_uuid == host_uuid:
        return row.state in COUNTED
    is_reserved = row.state is State.STOPPED and row.host_uuid is None and row.last_host_uuid == host_uuid
    return is_reserved and now - row.updated_at < RESERVED_FOR


def _total(host: Host, view: Collection) -> int | None:
    """XenServer: all but the control domain and 128 MiB, and of that 63 parts of 64."""
    if host.memory_bytes_total is None:
        return None
    kept = sum(
        vm.memory.bytes_max or 0
        for vm in view.vms
        if vm.kind is VmKind.CONTROL_DOMAIN and vm.host_uuid == host.uuid
    )
    return (host.memory_bytes_total - kept - XENSERVER_BYTES_KEPT) * 63 // 64


def _total_on_kvm(host: Host) -> int | None:
    return host.memory_bytes_total - KVM_BYTES_KEPT if host.memory_bytes_total is not None else None
