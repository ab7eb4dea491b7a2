"""Verbs, and plans made of them: what would be done to a VM, step by step, and what each step expects to find.

Effects: none
"""

from enum import StrEnum

import msgspec

from xenios.model.inventory import PowerState


class Hazard(StrEnum):
    """What a verb may do to the guest or its data. Everything but HARMLESS takes from the budget."""

    HARMLESS = "harmless"
    INTERRUPTS = "interrupts"
    DESTROYS = "destroys"


class Verb(StrEnum):
    """Everything that can be done to one VM."""

    ADOPT = "adopt"
    RELEASE = "release"
    FORGET = "forget"
    """Our record only; nothing is sent to the hypervisor."""
    DEPLOY = "deploy"
    START = "start"
    SHUT_DOWN = "shut down"
    """Asks the guest, and never turns hard by itself."""
    POWER_OFF = "power off"
    REBOOT = "reboot"
    """Asks the guest."""
    RESET = "reset"
    SUSPEND = "suspend"
    RESUME = "resume"
    MOVE = "move"
    DESTROY = "destroy"
    SNAPSHOT = "snapshot"
    REVERT = "revert"
    DELETE_SNAPSHOT = "delete a snapshot"
    RESIZE = "change processors or memory"
    ATTACH_DISK = "attach a disk"
    DETACH_DISK = "detach a disk"
    RESTORE = "restore from its capsule"
    """Makes the record of a VM again whose definition we kept."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do."""

    verb: Verb
    expects: tuple[PowerState, ...]
    """States in which the VM must be found; empty: it must not be there."""
    leaves: PowerState | None
    """The state after it; None: no VM is left."""
    host_uuid: str | None = None
    """Where to, for verbs that go somewhere."""
    undone_by: Verb | None = None
    """None: it cannot be undone."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What would be done to one VM, and for what reason."""

    native_uuid: str
    name: str
    """For people; nothing goes by it."""
    because: str
    """The id of the rule, or who asked."""
    hazard: Hazard
    """The worst of its steps."""
    steps: tuple[Step, ...]
