"""What CloudStack takes for a name of its own, in 4.0 and in 4.22, and the ids that it reads out of names.

It knows a VM by nothing but its name. Names are made of the ids of one database, so two installations with the same
instance name (`VM`, unless somebody changed it) make the same names.

Effects: none
"""

import re
from enum import StrEnum

from xenios.decide.precedent.java_text import java_long, java_parts

DEFAULT_INSTANCE_NAME = "VM"
"""CloudStack's setting `instance.name` as it comes; an installation may have another."""

OWN_HALTED_NAME_4_4 = re.compile("[ivs]-[0-9]+-[^\n\r\x85\u2028\u2029]+")
"""What 4.4 and later take for their own when they clean up halted VMs: routers and load balancers are not in it."""

PATCH_DRIVE_PREFIXES = ("r-", "s-", "v-")
"""What the clean-up of patch drives takes for a system VM, whatever follows."""


class VmType(StrEnum):
    """The kinds of VM that 4.0 has a handler for, in the order in which they are asked for a name."""

    USER = "user VM"
    ROUTER = "router"
    CONSOLE_PROXY = "console proxy"
    SECONDARY_STORAGE = "secondary storage VM"
    LOAD_BALANCER = "load balancer"


def is_valid_user_vm_name_4_0(name: str, instance: str | None = None) -> bool:
    """CloudStack 4.0's VirtualMachineName.isValidVmName, with or without an instance name.

    Four or five parts between hyphens: "i", two whole numbers, anything (or the instance name), and perhaps a
    hexadecimal VLAN or "untagged".
    """
    parts = java_parts(name)
    if len(parts) not in (4, 5) or parts[0] != "i":
        return False
    if java_long(parts[1]) is None or java_long(parts[2]) is None:
        return False
    if len(parts) == 5 and parts[4].lower() != "untagged" and java_long(parts[4], 16) is None:
        return False
    return instance is None or parts[3] == instance


def is_valid_user_vm_name_4_22(name: str, instance: str | None = None) -> bool:
    """The same function in 4.22, which asks for two parts and the "i" and pays no attention to the instance name."""
    del instance
    parts = java_parts(name)
    return len(parts) >= 2 and parts[0] == "i"


def is_valid_cloudstack_vm_name(name: str, instance: str) -> bool:
    """isValidCloudStackVmName, which 4.0 does not have: the last of at least two parts is the instance name."""
    parts = java_parts(name)
    return len(parts) >= 2 and parts[-1] == instance


def is_own_halted_name_4_4(name: str) -> bool:
    """Whether 4.4 and later take a halted VM of this name for theirs (isAlienVm, negated)."""
    return OWN_HALTED_NAME_4_4.fullmatch(name) is not None


def has_patch_drive_name(name: str) -> bool:
    """Whether a name begins like a system VM's."""
    return name.startswith(PATCH_DRIVE_PREFIXES)


def is_valid_router_name(name: str, instance: str | None = None) -> bool:
    """isValidRouterName, the same in both: r-<number>-<instance>, and perhaps one part more."""
    parts = java_parts(name)
    if len(parts) not in (3, 4) or parts[0] != "r" or java_long(parts[1]) is None:
        return False
    return instance is None or parts[2] == instance


def is_valid_system_vm_name(name: str, instance: str | None, prefix: str) -> bool:
    """isValidSystemVmName, the same in both: <prefix>-<number>-<instance>."""
    parts = java_parts(name)
    if len(parts) != 3 or parts[0] != prefix or java_long(parts[1]) is None:
        return False
    return instance is None or parts[2] == instance


def is_valid_console_proxy_name(name: str, instance: str | None = None) -> bool:
    """isValidConsoleProxyName, the same in both."""
    return is_valid_system_vm_name(name, instance, "v")


def is_valid_secondary_storage_name(name: str, instance: str | None = None) -> bool:
    """isValidSecStorageVmName, the same in both."""
    return is_valid_system_vm_name(name, instance, "s")


def id_of_own_name_4_0(name: str, instance: str = DEFAULT_INSTANCE_NAME) -> tuple[VmType, int] | None:
    """convertToId of 4.0's handlers in their order: the id in a name that has this installation's form."""
    parts = java_parts(name)
    found: VmType | None = None
    if is_valid_user_vm_name_4_0(name, instance):
        found = VmType.USER
    elif is_valid_router_name(name, instance):
        found = VmType.ROUTER
    elif is_valid_console_proxy_name(name, instance):
        found = VmType.CONSOLE_PROXY
    elif is_valid_secondary_storage_name(name, instance):
        found = VmType.SECONDARY_STORAGE
    elif is_valid_system_vm_name(name, instance, "l"):
        found = VmType.LOAD_BALANCER
    if found is None:
        return None
    number = java_long(parts[2 if found is VmType.USER else 1])
    return (found, number) if number is not None else None


def is_name_of_its_own_4_0(name: str, instance: str = DEFAULT_INSTANCE_NAME) -> bool:
    """Whether CloudStack 4.0 with this instance name reads one of its own ids out of the name (convertToId)."""
    return id_of_own_name_4_0(name, instance) is not None
