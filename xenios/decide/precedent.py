"""What CloudStack 4.0.2 would do to each VM if this pool were added to it. For comparison only; nothing acts on it.

Two of its syncs matter on the day a pool in use is added. *fullSync* runs when the host connects and stops unknown
VMs only if their names look like its own; the same connection destroys the records of halted VMs that prefer the host.
*deltaSync* runs every minute and stops every unknown VM that has changed in its eyes: started, moved or gone. On
XenServer its StopCommand destroys the VM's record once the VM is halted. On KVM both look at names that it would give
itself, and find the domain by a uuid computed from the name.

Source: docs/precedent.md.

Effects: none
"""

import hashlib
import unicodedata
import uuid
from dataclasses import dataclass
from enum import StrEnum

from xenios.model.inventory import HypervisorKind, PowerState, Vm, VmKind

CLOUDSTACK_4_0_2 = "cloudstack-4.0.2"
POLICIES = (CLOUDSTACK_4_0_2,)

DEFAULT_INSTANCE_NAME = "VM"
"""CloudStack's setting `instance.name` as it comes; an installation may have another."""


class Harm(StrEnum):
    """The worst that happens to a VM, from none to its record being gone."""

    NONE = "none"
    ON_CHANGE = "on change"
    """Nothing at first; as soon as anybody starts, moves or stops it, it is stopped and its record destroyed."""
    RECORD_DESTROYED = "record destroyed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Precedent:
    """What would be done to one VM, with the rule that does it."""

    policy: str
    harm: Harm
    at_connect: str
    later: str
    rule: str


def precedent_of(policy: str, kind: HypervisorKind, vm: Vm) -> Precedent:
    """What `policy` would do to an unknown VM of a pool of this kind. Raises ValueError for an unknown policy."""
    if policy != CLOUDSTACK_4_0_2:
        raise ValueError(f"unknown policy {policy!r}; known: {', '.join(POLICIES)}")
    return _on_xenserver(vm) if kind is HypervisorKind.XENSERVER else _on_kvm(vm)


def is_valid_user_vm_name_4_0(name: str) -> bool:
    """CloudStack 4.0's VirtualMachineName.isValidVmName without an instance name.

    Four or five parts between hyphens: "i", two whole numbers, anything, and perhaps a hexadecimal VLAN or "untagged".
    """
    parts = _java_parts(name)
    if (
        len(parts) not in (4, 5)
        or parts[0] != "i"
        or not (_is_java_long(parts[1]) and _is_java_long(parts[2]))
    ):
        return False
    return len(parts) == 4 or parts[4].lower() == "untagged" or _is_java_long(parts[4], 16)


def is_name_of_its_own_4_0(name: str, instance: str = DEFAULT_INSTANCE_NAME) -> bool:
    """Whether CloudStack 4.0 with this instance name reads one of its own ids out of the name (convertToId)."""
    parts = _java_parts(name)
    if is_valid_user_vm_name_4_0(name):
        return parts[3] == instance
    if parts[0] == "r" and len(parts) in (3, 4):
        return _is_java_long(parts[1]) and parts[2] == instance
    return (
        parts[0] in ("v", "s", "l") and len(parts) == 3 and _is_java_long(parts[1]) and parts[2] == instance
    )


def name_uuid(name: str) -> str:
    """Java's UUID.nameUUIDFromBytes(name), which CloudStack gives to the domains that it makes on KVM."""
    digest = bytearray(hashlib.md5(name.encode(errors="replace"), usedforsecurity=False).digest())
    return str(uuid.UUID(bytes=bytes(digest), version=3))


def _on_xenserver(vm: Vm) -> Precedent:
    def outcome(harm: Harm, at_connect: str, later: str, rule: str) -> Precedent:
        return Precedent(policy=CLOUDSTACK_4_0_2, harm=harm, at_connect=at_connect, later=later, rule=rule)

    if vm.kind is not VmKind.MACHINE:
        return outcome(Harm.NONE, "not looked at", "not looked at", f"sync skips a {vm.kind}")
    if vm.power_state not in (PowerState.RUNNING, PowerState.PAUSED):
        if vm.power_state is PowerState.UNKNOWN:
            return outcome(
                Harm.ON_CHANGE, "not known", "destroyed once it is seen running", "deltaSync, unknown VM"
            )
        if vm.power_state is PowerState.HALTED and vm.preferred_host_uuid is not None:
            return outcome(
                Harm.RECORD_DESTROYED,
                "its record is destroyed when its preferred host connects; only its disks stay",
                "gone",
                "cleanupHaltedVms: every halted VM whose affinity is the connecting host",
            )
        return outcome(
            Harm.ON_CHANGE,
            "not reported: it is on no host",
            "as soon as anybody starts it: stopped, and its record destroyed",
            "deltaSync, unknown VM: StopCommand without a look at the name",
        )
    if is_valid_user_vm_name_4_0(vm.name):
        if vm.power_state is PowerState.PAUSED:
            return outcome(
                Harm.ON_CHANGE,
                "StopCommand, which fails on a paused VM",
                "once it runs or is off: stopped, and its record destroyed",
                "fullSync, name rule: the name looks like CloudStack's",
            )
        return outcome(
            Harm.RECORD_DESTROYED,
            "stopped, and its record destroyed; only its disks stay",
            "gone",
            "fullSync, name rule: the name looks like CloudStack's",
        )
    return outcome(
        Harm.ON_CHANGE,
        "left alone: the name is not CloudStack's",
        "as soon as anybody moves it, restarts it elsewhere or shuts it down: stopped, and its record destroyed",
        "deltaSync, unknown VM: StopCommand without a look at the name",
    )


def _on_kvm(vm: Vm) -> Precedent:
    def outcome(harm: Harm, at_connect: str, later: str, rule: str) -> Precedent:
        return Precedent(policy=CLOUDSTACK_4_0_2, harm=harm, at_connect=at_connect, later=later, rule=rule)

    if not is_name_of_its_own_4_0(vm.name):
        return outcome(
            Harm.NONE,
            "left alone: the name is not CloudStack's",
            "left alone",
            "fullHostSync and deltaHostSync drop names that are not theirs",
        )
    if vm.uuid != name_uuid(vm.name) and not vm.holds_memory:
        return outcome(
            Harm.NONE,
            "not seen: it is off, and CloudStack looks for such domains by the uuid that it would give to this name",
            "once it runs: StopCommand, which does not find it",
            "sync of a KVM host lists running domains by name and the others by uuid",
        )
    if vm.uuid != name_uuid(vm.name):
        return outcome(
            Harm.NONE,
            "StopCommand, which does not find it: its uuid is not the one that CloudStack gives to this name",
            "left alone, and taken for stopped",
            "fullHostSync: a name of its own, and no record of it",
        )
    if not vm.holds_memory:
        return outcome(
            Harm.RECORD_DESTROYED,
            "StopCommand: its definition is removed",
            "gone",
            "fullHostSync: a name of its own, and no record of it",
        )
    return outcome(
        Harm.RECORD_DESTROYED,
        "StopCommand: it is shut down or destroyed, and its definition removed",
        "gone",
        "fullHostSync: a name of its own, and no record of it",
    )


def _java_parts(name: str) -> list[str]:
    """Java's name.split("-"), which drops the empty parts at the end: "i-2-3-VM-" has four."""
    parts = name.split("-")
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return parts


def _is_java_long(text: str, base: int = 10) -> bool:
    """Whether Java's Long.parseLong takes the text.

    Java goes through it by UTF-16 units, so it takes the decimal digits of every script of the first plane and none
    beyond, and in base 16 the full-width letters too. A plus sign is taken since Java 7.
    """
    digits = text[1:] if text[:1] in ("+", "-") else text
    values = [_java_digit(digit) for digit in digits]
    if not values or any(value is None or value >= base for value in values):
        return False
    size = 0
    for value in values:
        size = size * base + (value or 0)
        if size > 2**63:
            return False
    return size < 2**63 or text[0] == "-"


def _java_digit(digit: str) -> int | None:
    if digit > "\uffff":
        return None
    if (value := unicodedata.decimal(digit, None)) is not None:
        return value
    if "\uff21" <= digit <= "\uff3a" or "\uff41" <= digit <= "\uff5a":
        digit = chr(ord(digit) - 0xFEE0)
    return int(digit, 36) if digit.isascii() and digit.isalpha() else None
