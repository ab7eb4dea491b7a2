"""What a manager does to a pool, as a function of what it is shown: the form that every policy for comparison has.

A policy sees one view after another and answers with what it would do to the VMs in it. It acts on nothing. What it
keeps from view to view is its memory, which never changes: each answer brings a new one. So a database that is
restored from yesterday is nothing but an old memory.

Effects: none
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

import msgspec

from xenios.model.collection import Collection
from xenios.model.inventory import Vm


class Deed(StrEnum):
    """What happens to a VM, or to the manager's own books."""

    NOTHING = "nothing"
    ALERT = "alert"
    """Told to the operator; nothing else."""
    MARKED_RUNNING = "marked running"
    """Only in the manager's database."""
    MARKED_MOVED = "marked moved"
    """Only in the manager's database."""
    MARKED_STOPPED = "marked stopped"
    """Only in the manager's database: networks and volumes are released there, the VM is not touched."""
    STOP_FAILED = "stop failed"
    """A stop was sent and failed, or found no VM."""
    DRIVE_REMOVED = "drive removed"
    """Its first CD drive is ejected and removed; it runs on."""
    START_FAILED = "start failed"
    STARTED = "started"
    """Started at a user's request."""
    RESTARTED = "restarted"
    """By the manager's high availability: stopped if need be, and started again."""
    STOPPED = "stopped"
    """Shut down, hard if it must; its record stays."""
    RECORD_DESTROYED = "record destroyed"
    """Shut down if it ran, and its record destroyed (libvirt: its definition removed). Its disks stay."""


HARMING_DEEDS = frozenset({Deed.DRIVE_REMOVED, Deed.RESTARTED, Deed.STOPPED, Deed.RECORD_DESTROYED})
"""What changes a VM that nobody asked the manager to change."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a policy does in one round."""

    vm_uuid: str | None
    """The VM that it hits, or that the books mean, by the hypervisor's uuid; None: none that was ever seen."""
    name: str
    """The name that the manager knows it by."""
    deed: Deed
    rule: str
    """Which rule does it, in the manager's own words where it has any: "deltaSync, unknown VM"."""
    words: str
    """What happens, as a sentence without its full stop."""
    host_uuid: str | None = None
    """Where it is started, for STARTED and RESTARTED."""


class Occasion(StrEnum):
    """Why a policy gets to see a view."""

    CONNECT = "connect"
    """The pool is added, the management server starts anew, or hosts connect again."""
    ROUND = "round"
    """The periodic look, every 60 seconds."""


class ClaimedRoom(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy believes of the memory of one host, in bytes."""

    host_uuid: str
    bytes_total: int | None
    """What it takes for usable; None where the view does not tell."""
    bytes_used: int | None
    """What it takes for used or promised."""
    bytes_free: int | None


MemoryT = TypeVar("MemoryT")


class Reaction(msgspec.Struct, Generic[MemoryT], frozen=True, kw_only=True):
    """What a policy answers: what it does, in its order, and what it knows from now on."""

    memory: MemoryT
    outcomes: tuple[Outcome, ...] = ()


class Policy(Protocol[MemoryT]):
    """A manager, for comparison. Times are microseconds since 1970, as in a collection.

    Who plays a story keeps a world for each policy, applies to it what the outcomes say, and shows the policy the
    next view of that world. `Policy[Any]` is the type for a list of several.
    """

    @property
    def name(self) -> str:
        """How it is called on the command line: "cloudstack-4.0.2"."""

    def begin(self) -> MemoryT:
        """The memory of a manager that was installed just now: an empty database."""

    def react(
        self, memory: MemoryT, occasion: Occasion, view: Collection | None, now: int
    ) -> Reaction[MemoryT]:
        """What it does when it is shown this view of the whole pool.

        None: the hypervisor could not be asked, though the manager's agent lives. That is not an empty view, which is
        a collection without VMs; and a host that is silent is one in the view whose `live` is NO.
        """

    def created(self, memory: MemoryT, vm: Vm, *, ha: bool, now: int) -> MemoryT:
        """It deployed this VM at a user's request: in its database it runs on the VM's host."""

    def asked_to_stop(self, memory: MemoryT, vm: Vm, view: Collection, now: int) -> Reaction[MemoryT]:
        """A user of this manager stops a VM of its own. `vm` as it was last seen; the view is what is there."""

    def asked_to_start(
        self, memory: MemoryT, vm: Vm, host_uuid: str, view: Collection, now: int
    ) -> Reaction[MemoryT]:
        """A user of this manager starts a VM of its own on a host. `vm` as it was last seen, if its record is gone."""

    def restored(self, old: MemoryT, now: MemoryT) -> MemoryT:
        """The database is put back to what it was; what is known outside of it stays. React(CONNECT) follows."""

    def room(self, memory: MemoryT, view: Collection) -> Mapping[str, ClaimedRoom]:
        """What it believes to be free on each host, by the host's uuid."""

    def belief(self, memory: MemoryT, vm: Vm) -> str:
        """What it believes of a VM, for display: "Running on h1", "Stopped", "unknown to it"."""
