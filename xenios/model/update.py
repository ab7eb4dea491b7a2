"""What a watch tells: updates as the hypervisor gives them, and the changes that they come to.

An update is what was seen, a change is the difference to what was known before. Neither is ever made from silence:
while a hypervisor does not answer, everything known of it stays as it was last seen, and the update says since when.

Effects: none
"""

from enum import StrEnum

import msgspec

from xenios.model.collection import Collection, ReadFailure
from xenios.model.inventory import Host, Network, Pool, Storage, Vm


class UpdateSource(StrEnum):
    """How an update came to us."""

    EVENT = "event"
    """The hypervisor told it by itself."""
    VIEW = "full view"
    """Everything was read again."""
    POLL = "poll"
    """The hypervisor has no event for it; it was asked in turn."""
    CONNECTION = "connection"
    """The hypervisor told nothing: what is told is that it cannot be asked, or not as before."""


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """What a watch saw at one moment: a complete view, or the things concerned as they are now."""

    seen_at: int
    """When the observer received what this tells, in microseconds since 1970 (UTC)."""
    source: UpdateSource
    because: str
    """What occasioned it, in words: "event.from", "counts disagree: VM 46 of 47", "logged in again"."""
    routine: bool = False
    """True: nothing occasioned it, its time had come."""
    view: Collection | None = None
    """A new view. It replaces everything known before, except what it says it could not read."""
    vms: tuple[Vm, ...] = ()
    """VMs as they are now."""
    vms_gone: tuple[str, ...] = ()
    """Uuids of VMs that the hypervisor itself said it deleted."""
    hosts: tuple[Host, ...] = ()
    storages: tuple[Storage, ...] = ()
    networks: tuple[Network, ...] = ()
    hosts_gone: tuple[str, ...] = ()
    storages_gone: tuple[str, ...] = ()
    networks_gone: tuple[str, ...] = ()
    pool: Pool | None = None
    failures: tuple[ReadFailure, ...] = ()
    """What could not be read; those of a view are in the view."""
    silent_since: int | None = None
    """Set while the hypervisor does not answer: nothing is known of it since then, in microseconds since 1970."""


class ChangeKind(StrEnum):
    """What became of a thing."""

    FIRST_VIEW = "first view"
    """A pool is seen for the first time; everything after it is a difference to it."""
    APPEARED = "appeared"
    CHANGED = "changed"
    GONE = "gone"
    """The hypervisor said that it deleted it."""
    NO_LONGER_LISTED = "no longer listed"
    """A view that should have it has it not. Only a second view would confirm that it is gone."""
    LOOKED_AGAIN = "looked again"
    """Everything was read again, for a reason; the differences follow."""
    SILENT = "silent"
    """The hypervisor does not answer. That says nothing about its VMs."""
    ANSWERS_AGAIN = "answers again"
    NOT_READ = "not read"
    READ_AGAIN = "read again"
    """What could not be read before can be now."""


class Thing(StrEnum):
    """What a change is about."""

    VM = "VM"
    TEMPLATE = "template"
    SNAPSHOT = "snapshot"
    CONTROL_DOMAIN = "control domain"
    HOST = "host"
    STORAGE = "storage"
    NETWORK = "network"
    POOL = "pool"
    PART = "part"
    """Something a view reads, in words: "storage pools"."""


class FieldChange(msgspec.Struct, frozen=True, kw_only=True):
    """One field before and after, as the model names it (xenios/model/inventory.py)."""

    field: str
    """"power_state"; a part follows a dot: "memory.bytes_max", "disks.size_bytes"."""
    item: str = ""
    """Which of several: the device of a disk or NIC, the uuid of a snapshot, a tag, the key of an annotation."""
    before: str | int | bool | tuple[str, ...] | None = None
    """None: there was none, or it was not told."""
    after: str | int | bool | tuple[str, ...] | None = None
    before_name: str = ""
    """The name of what a uuid refers to."""
    after_name: str = ""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One difference between what was known and what was seen."""

    seen_at: int
    """When the observer received it, in microseconds since 1970 (UTC)."""
    source: UpdateSource
    because: str
    kind: ChangeKind
    thing: Thing
    uuid: str = ""
    name: str = ""
    fields: tuple[FieldChange, ...] = ()
    remedy: str = ""
    """What the reader can do, where something could not be read."""
