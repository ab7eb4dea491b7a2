"""What CloudStack does to VMs by their names whenever a XenServer host connects (ReadyCommand).

Neither clean-up asks the database whose the VMs are.

Effects: none
"""

from collections.abc import Callable

from msgspec.structs import replace

from xenios.decide.precedent.names import has_patch_drive_name
from xenios.decide.precedent.policy import Deed
from xenios.decide.precedent.reports_4_0 import is_resident
from xenios.decide.precedent.turn import Turn
from xenios.model.inventory import DiskKind, PowerState, Vm, VmKind

RULE_HALTED_4_0 = "cleanupHaltedVms: every halted VM whose affinity is the connecting host"
RULE_HALTED_4_4 = (
    "cleanupHaltedVms: a halted VM whose affinity is the connecting host, and a name like its own"
)
RULE_PATCH_DRIVE = "destroyPatchVbd: a VM on the connecting host whose name begins like a system VM's"


def takes_any_name(_name: str) -> bool:
    """Up to 4.3 nothing is asked of the name."""
    return True


def clean_up_halted(turn: Turn, rule: str, is_own: Callable[[str], bool]) -> None:
    """cleanupHaltedVms on every host of the pool that connects: templates and control domains are left out."""
    for vm in turn.everything():
        if (
            vm.kind is VmKind.MACHINE
            and vm.power_state is PowerState.HALTED
            and vm.preferred_host_uuid is not None
            and turn.answers(vm.preferred_host_uuid)
            and is_own(vm.name)
        ):
            turn.remove(vm)
            words = "its record is destroyed when its preferred host connects; only its disks stay"
            turn.tell(Deed.RECORD_DESTROYED, rule, words, vm.name, vm_uuid=vm.uuid)


def destroy_patch_drives(turn: Turn) -> None:
    """destroyPatchVbd: the first CD drive of every VM on the host whose name begins with r-, s- or v-."""
    for vm in turn.everything():
        if (
            vm.kind is VmKind.MACHINE
            and is_resident(vm)
            and turn.answers(vm.host_uuid)
            and has_patch_drive_name(vm.name)
            and any(disk.kind is DiskKind.CDROM for disk in vm.disks)
        ):
            turn.put(_without_first_drive(vm))
            words = "its first CD drive is ejected and removed while it runs"
            turn.tell(Deed.DRIVE_REMOVED, RULE_PATCH_DRIVE, words, vm.name, vm_uuid=vm.uuid)


def _without_first_drive(vm: Vm) -> Vm:
    first = next(place for place, disk in enumerate(vm.disks) if disk.kind is DiskKind.CDROM)
    return replace(vm, disks=vm.disks[:first] + vm.disks[first + 1 :])
