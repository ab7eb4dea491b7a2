"""A Collection: everything that one view of a pool saw, together with what it could not see.

A view that failed in part is still a view; it says so, and whoever decides on it knows less and therefore does less.

Effects: none
"""

from enum import StrEnum

import msgspec

from xenios.model.inventory import Host, Network, Pool, Storage, Vm


class Quality(StrEnum):
    """How far a collection may be trusted."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    SUSPICIOUS = "suspicious"
    """It is whole, and contradicts what was seen before; see decide/view_history.py. A collection alone never is."""


class ReadFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Something a view tried to read and could not."""

    what: str
    """The thing, in words: "definition of VM web-1", "storage pools"."""
    because: str
    """What the hypervisor or the system said, with its native code where there is one."""
    remedy: str
    """What the reader of the report can do about it."""
    subject_uuid: str | None = None


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """One view of one pool.

    `vms` holds machines, templates, snapshots and control domains alike; see `Vm.kind`.
    """

    seen_at: int
    """When the view began, in microseconds since 1970 (UTC); for an offline database, when it was written if known."""
    source: str
    """What was read, in words for a person: "libvirt 9.0.0 (read-only)", "database file, schema 5.909"."""
    pool: Pool
    hosts: tuple[Host, ...]
    storages: tuple[Storage, ...]
    networks: tuple[Network, ...]
    vms: tuple[Vm, ...]
    failures: tuple[ReadFailure, ...] = ()
    all_hosts_seen: bool = True
    """False: there may be hosts that are not among `hosts`, so no sum over them is known."""
    all_vms_seen: bool = True
    """False: there may be VMs that are not among `vms`, so nothing is known to be free of them."""

    def __repr__(self) -> str:
        """Short on purpose: asyncio writes out what a task returned, and a whole pool takes it a fifth of a second."""
        return f"<Collection of {self.pool.name!r}: {len(self.vms)} VMs, {self.quality.value}>"

    @property
    def quality(self) -> Quality:
        """Partial as soon as anything at all could not be read."""
        return Quality.PARTIAL if self.failures else Quality.COMPLETE
