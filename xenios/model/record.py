"""What we know to be ours: a record per VM, with the wish that somebody has for it, and the installation that keeps it.

A record alone makes no VM ours, and neither does a mark alone; see decide/ownership.py.

Effects: none
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec


class Custody(StrEnum):
    """How a VM came to us, as our record says."""

    UNMANAGED = "unmanaged"
    """There is no record of it."""
    CREATED = "created"
    """We made it."""
    ADOPTED = "adopted"
    """It was there before, and was given to us."""
    RELEASED = "released"
    """It was handed back; the record is kept so that the history is."""


class WishedPower(StrEnum):
    """Whether somebody asked that a VM run."""

    NONE = "no wish"
    ON = "on"
    OFF = "off"


class DriftPolicy(StrEnum):
    """What is done when somebody else changes a VM of ours at the hypervisor."""

    FOLLOW = "follow"
    """Our record follows the hypervisor. The default."""
    RESTORE = "restore"
    """The hypervisor is brought back to the wish."""


class Wish(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What somebody asked for a VM of ours. Adoption starts with no wish, so adopting changes nothing."""

    power: WishedPower = WishedPower.NONE
    gone: bool = False
    """That the machine be destroyed; outweighs every other wish."""
    host_uuid: str | None = None
    """Where it shall run; None: anywhere."""
    asked_at: int | None = None
    """When, in microseconds since 1970. A wish of unknown age is taken for an old one."""
    met_at: int | None = None
    """When it was first seen to be as wished, in microseconds since 1970. Whatever differs after that is drift."""


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One VM that is ours or was."""

    vm_id: str
    """Our id of it, which its mark names."""
    pool_uuid: str
    native_uuid: str
    """The hypervisor's own uuid of it."""
    custody: Custody
    epoch: int
    """How often it was taken into custody. A mark of an earlier time comes back when an old snapshot is reverted to."""
    wish: Wish = Wish()
    drift: DriftPolicy = DriftPolicy.FOLLOW
    operation: str | None = None
    """The id of our own operation that is open on it."""
    was_on: bool | None = None
    """Whether it held memory when it was last recorded; None: never seen in a known state."""
    host_uuid: str | None = None
    """Where it was last recorded."""


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """This Xenios, as far as decisions depend on it."""

    id: str
    """A uuid, drawn once; marks carry it."""
    started_at: int
    """When this process began to look, in microseconds since 1970."""
    restored_at: int | None = None
    """When the database was last brought back from a copy: what was asked before may have been taken back since."""
    frozen: bool = False
    """Nothing is acted on anywhere until somebody ends it."""
    frozen_pools: frozenset[str] = frozenset()
    """Uuids of pools on which nothing is acted."""
    consents: Mapping[str, int] = {}
    """Until when somebody allowed what may hurt aliens on a host: host uuid → microseconds since 1970."""
