"""A story as data: a pool with its hosts and VMs, and lines that say who does what, and when.

What may be written is in `grammar.py`; reading it is in `parse.py`; docs/replay.md explains it to people.

Effects: none
"""

from enum import StrEnum

import msgspec

from xenios.model.inventory import HypervisorKind, PowerState

FIRST_HOUR_SECONDS = 3_600


class Act(StrEnum):
    """Something that a line of a story makes happen."""

    CREATE = "create"
    START = "start"
    SHUT_DOWN = "shut down"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    SUSPEND = "suspend"
    RESUME = "resume"
    MOVE = "move"
    CLONE = "clone"
    SNAPSHOT = "snapshot"
    REVERT = "revert"
    RENAME = "rename"
    DELETE = "delete"

    CONNECT = "connect"
    RESTART = "restart"
    DEPLOY = "deploy"
    ASK_TO_STOP = "ask to stop"
    ASK_TO_START = "ask to start"
    SAVE = "save"
    RESTORE = "restore"

    GUEST_SHUTS_DOWN = "the guest shuts down"
    GUEST_CRASHES = "the guest crashes"

    ANSWER_NOTHING = "answer nothing"
    FAIL = "fail"
    ANSWER_AGAIN = "answer again"

    HOST_SILENT = "a host falls silent"
    HOST_BACK = "a host comes back"

    END = "end"


class Seat(StrEnum):
    """Who manages the pool: the first installation of a policy, or a second one of the same policy."""

    FIRST = "manager"
    SECOND = "second manager"


class HostSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A host as a story declares it. The first one is the pool's master."""

    name: str
    memory_bytes: int
    overhead_bytes: int = 0


class VmSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A VM as a story declares it."""

    handle: str
    """What the story calls it, from first to last."""
    name: str
    """What the hypervisor calls it; it may be renamed, and others may have the same."""
    memory_bytes: int
    power_state: PowerState
    host: str | None = None
    prefers: str | None = None
    high_availability: bool = False


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happens."""

    number: int
    """Of the line in the file."""
    at_seconds: int
    act: Act
    words: str
    """As it was written, without the time."""
    seat: Seat | None = None
    vm: str = ""
    """The handle of the VM that it happens to."""
    new_vm: VmSpec | None = None
    host: str = ""
    name: str = ""
    """A new name, a snapshot's, or that of a saved database."""


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """A whole story."""

    name: str
    title: str = ""
    about: tuple[str, ...] = ()
    """What it shows, in lines."""
    kind: HypervisorKind = HypervisorKind.XENSERVER
    version: str = ""
    round_seconds: int = 60
    hosts: tuple[HostSpec, ...] = ()
    vms: tuple[VmSpec, ...] = ()
    lines: tuple[Line, ...] = ()
    end_seconds: int = 0
