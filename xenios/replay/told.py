"""What came of a story: rows side by side, how every VM ended, how much room each manager believes in, and a verdict.

`xenios replay --json` prints this structure. Within one SCHEMA fields are only added. Sizes are bytes; times are
seconds since the story began; null means "not known".

Effects: none
"""

from enum import StrEnum

import msgspec

from xenios.decide.precedent.policy import Deed
from xenios.model.inventory import HypervisorKind, PowerState
from xenios.replay.script import Seat

SCHEMA = "xenios.replay/1"


class Harm(StrEnum):
    """Whether a deed hurt, and whom."""

    NONE = "none"
    ALIEN = "not its own"
    """It hit a VM that this manager did not make."""
    OWN = "its own, unasked"
    """It hit a VM of its own that ran, or that had a record to lose, and nobody had asked for it."""
    MISTAKEN = "only in its books"
    """It takes a VM for stopped that runs."""


class RowKind(StrEnum):
    """What a row is about."""

    LINE = "line"
    """A line of the story."""
    ROUND = "round"
    """The managers' own periodic look."""


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a manager did at one moment."""

    seat: Seat
    vm: str
    """What the story calls the VM; empty: none in particular."""
    name: str
    """The name that the manager knows it by."""
    deed: Deed
    rule: str
    words: str
    harm: Harm
    times: int = 1
    """In how many rounds after another the same happened, this one included."""
    last_seconds: int
    """When it happened for the last time in a row."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in one policy's world."""

    policy: str
    happened: tuple[Happened, ...] = ()
    refused: str = ""
    """Why the line of the story could not happen in this world; empty: it could."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One moment in all worlds."""

    at_seconds: int
    kind: RowKind
    line: int | None
    """The line of the file; null for a round."""
    words: str
    cells: tuple[Cell, ...]


class VmEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How one VM ended in one policy's world."""

    policy: str
    exists: bool
    """Whether its record is still there."""
    power_state: PowerState
    host: str | None
    believed: str
    """What the manager that made it believes of it; empty: nobody there made it, or it is not known to it."""
    harm: Harm
    """The worst that managers did to it."""
    harmed_by: tuple[str, ...]
    """The rules that did."""


class VmRow(msgspec.Struct, frozen=True, kw_only=True):
    """One VM in all worlds."""

    vm: str
    name: str
    made_by: str
    """ "administrator", "manager" or "second manager"."""
    memory_bytes: int
    ends: tuple[VmEnd, ...]


class RoomEnd(msgspec.Struct, frozen=True, kw_only=True):
    """What one manager believes of the room on one host."""

    policy: str
    seat: Seat
    bytes_taken: int
    """What VMs really take there, in this policy's world."""
    bytes_taken_believed: int | None
    bytes_free: int
    bytes_free_believed: int | None
    """May be less than it counts as taken would leave: managers keep something back for the hypervisor."""
    bytes_drift: int | None
    """Taken − believed to be taken: what it would promise a second time; negative: what it counts and nobody takes."""


class RoomRow(msgspec.Struct, frozen=True, kw_only=True):
    """One host in all worlds."""

    host: str
    bytes_total: int
    ends: tuple[RoomEnd, ...]


class PolicyVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said of one policy."""

    policy: str
    aliens_harmed: tuple[str, ...]
    own_harmed: tuple[str, ...]
    mistaken: tuple[str, ...]
    records_destroyed: tuple[str, ...]
    """VMs whose record a manager destroyed without being asked; they are among the harmed."""
    started_again: tuple[str, ...]
    """VMs that were off and that it started by itself, to keep them available."""
    bytes_promised_too_much: int
    bytes_promised_too_little: int
    room_known: bool
    """False: of some host it does not say how much is free."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One story, played."""

    name: str
    title: str
    about: tuple[str, ...]
    kind: HypervisorKind
    version: str
    round_seconds: int
    end_seconds: int
    policies: tuple[str, ...]
    rows: tuple[Row, ...]
    vms: tuple[VmRow, ...]
    rooms: tuple[RoomRow, ...]
    verdicts: tuple[PolicyVerdict, ...]


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one call of the command played."""

    schema: str = SCHEMA
    xenios_version: str
    stories: tuple[Told, ...]
