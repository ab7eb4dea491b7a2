"""StopCommand and StartCommand: what they do to the VMs of one name, step by step.

On XenServer a VM is its name label. Labels are not unique there, so both go through every VM that has the label,
whoever made it. On KVM 4.0 computes a uuid from the name, and later versions go by the name.

Effects: none
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xenios.decide.precedent.java_text import name_uuid
from xenios.decide.precedent.policy import Deed
from xenios.model.inventory import Answer, HypervisorKind, Pool, PowerState, Vm, VmKind

RECORDS_STAY_FROM_XENSERVER = 8
"""The first version of XenServer and XCP-ng on which 4.20.1 and later leave the record of a halted VM alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How one version of CloudStack does things on one pool."""

    xenserver: bool
    destroys_halted: bool
    """XenServer: a stop ends with the destruction of the VM's record."""
    finds_domains_by_name: bool
    """KVM: by its name; otherwise by the uuid that is computed from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a command came to."""

    succeeded: bool
    words: str
    vm: Vm | None = None
    """The VM that it hit, as it was before."""
    deed: Deed = Deed.NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What a StartCommand came to."""

    succeeded: bool
    words: str
    destroyed: tuple[Vm, ...] = ()
    """VMs of the same name that it cleared away."""
    taken_over: Vm | None = None
    """A VM of the same name that runs, and that is taken for the started one."""


def manner_4_0(pool: Pool) -> Manner:
    """4.0 destroys every halted record, on every XenServer."""
    return Manner(xenserver=is_xenserver(pool.kind), destroys_halted=True, finds_domains_by_name=False)


def manner_4_22(pool: Pool) -> Manner:
    """4.22 asks for the version of XenServer first."""
    return Manner(
        xenserver=is_xenserver(pool.kind),
        destroys_halted=is_older_than_8(pool.version),
        finds_domains_by_name=True,
    )


def is_xenserver(kind: HypervisorKind) -> bool:
    """Everything else is handled as KVM is."""
    return kind is HypervisorKind.XENSERVER


def is_older_than_8(version: str) -> bool:
    """Whether a product version lies before 8.0. One that does not tell is taken for old, which is the worse case."""
    major = version.partition(".")[0]
    return not (major.isascii() and major.isdigit()) or int(major[:9]) < RECORDS_STAY_FROM_XENSERVER


# --- stop ------------------------------------------------------------------------------------------------------------


def stop(
    manner: Manner, labelled: Sequence[Vm], name: str, host_uuid: str, *, check_before_cleanup: bool = False
) -> Answered:
    """StopCommand for a name, sent to a host. `labelled`: all VMs of the pool that have this name."""
    if manner.xenserver:
        return stop_on_xenserver(
            labelled,
            host_uuid,
            destroys_halted=manner.destroys_halted,
            check_before_cleanup=check_before_cleanup,
        )
    return stop_on_kvm(
        labelled,
        name,
        host_uuid,
        by_name=manner.finds_domains_by_name,
        check_before_cleanup=check_before_cleanup,
    )


def stop_on_xenserver(
    labelled: Iterable[Vm], host_uuid: str, *, destroys_halted: bool, check_before_cleanup: bool = False
) -> Answered:
    """The steps in their order. The first VM that is halted, or can be, ends it: the others of the name stay."""
    found = [
        vm for vm in labelled if vm.power_state is not PowerState.RUNNING or vm.host_uuid in (None, host_uuid)
    ]
    if not found:
        return Answered(succeeded=True, words="StopCommand: no VM of that name is there")
    for vm in found:
        if vm.kind is VmKind.CONTROL_DOMAIN:
            return Answered(
                succeeded=False, words="StopCommand fails on a control domain", vm=vm, deed=Deed.STOP_FAILED
            )
        if vm.power_state is PowerState.RUNNING:
            if check_before_cleanup:
                return Answered(
                    succeeded=False,
                    words="StopCommand: it runs, so nothing is done",
                    vm=vm,
                    deed=Deed.STOP_FAILED,
                )
            words = "shut down, hard if it must"
            return Answered(
                succeeded=True,
                words=f"{words}, and its record destroyed; only its disks stay" if destroys_halted else words,
                vm=vm,
                deed=Deed.RECORD_DESTROYED if destroys_halted else Deed.STOPPED,
            )
        if vm.power_state is PowerState.HALTED:
            return Answered(
                succeeded=True,
                words="its record is destroyed; only its disks stay"
                if destroys_halted
                else "it is off already",
                vm=vm,
                deed=Deed.RECORD_DESTROYED if destroys_halted else Deed.NOTHING,
            )
    return Answered(
        succeeded=False,
        words=f"StopCommand, which fails on a VM that is {found[0].power_state}",
        vm=found[0],
        deed=Deed.STOP_FAILED,
    )


def stop_on_kvm(
    labelled: Iterable[Vm], name: str, host_uuid: str, *, by_name: bool, check_before_cleanup: bool = False
) -> Answered:
    """What it does not find it takes for dead, and answers that all is well."""
    here = [vm for vm in labelled if vm.kind is VmKind.MACHINE and vm.host_uuid in (host_uuid, None)]
    found = next((vm for vm in here if by_name or vm.uuid == name_uuid(name)), None)
    if found is None:
        missed = here[0] if here else None
        return Answered(
            succeeded=True,
            words="StopCommand, which does not find it: its uuid is not the one that CloudStack gives to this name",
            vm=missed,
            deed=Deed.STOP_FAILED if missed is not None else Deed.NOTHING,
        )
    if not found.holds_memory:
        return Answered(
            succeeded=True,
            words="StopCommand: its definition is removed",
            vm=found,
            deed=Deed.RECORD_DESTROYED,
        )
    if check_before_cleanup:
        return Answered(
            succeeded=False, words="StopCommand: it runs, so nothing is done", vm=found, deed=Deed.STOP_FAILED
        )
    return Answered(
        succeeded=True,
        words="StopCommand: it is shut down or destroyed, and its definition removed",
        vm=found,
        deed=Deed.RECORD_DESTROYED,
    )


# --- start -----------------------------------------------------------------------------------------------------------


def start(manner: Manner, labelled: Sequence[Vm], name: str, host_uuid: str) -> Started:
    """StartCommand for a name, sent to a host. `labelled`: all VMs of the pool that have this name."""
    if manner.xenserver:
        return start_on_xenserver(labelled)
    return start_on_kvm(labelled, name, host_uuid, by_name=manner.finds_domains_by_name)


def start_on_xenserver(labelled: Iterable[Vm]) -> Started:
    """Every halted VM of the name is destroyed first, pool-wide and in every version."""
    destroyed: list[Vm] = []
    for vm in labelled:
        if vm.power_state is PowerState.HALTED:
            destroyed.append(vm)
        elif vm.power_state is PowerState.RUNNING:
            return Started(
                succeeded=True,
                words=f"StartCommand: a VM of that name runs on {vm.host_uuid}, and is taken for it",
                destroyed=tuple(destroyed),
                taken_over=vm,
            )
        else:
            return Started(
                succeeded=False,
                words=f"StartCommand fails: a VM of that name is {vm.power_state}",
                destroyed=tuple(destroyed),
            )
    return Started(succeeded=True, words="started, as a new record", destroyed=tuple(destroyed))


def start_on_kvm(labelled: Iterable[Vm], name: str, host_uuid: str, *, by_name: bool) -> Started:
    """Later versions first undefine any persistent domain of the name; libvirt takes no second domain of one name."""
    here = [vm for vm in labelled if vm.kind is VmKind.MACHINE and vm.host_uuid in (host_uuid, None)]
    if any(vm.holds_memory for vm in here):
        return Started(succeeded=False, words="start fails: a domain of that name runs")
    if by_name:
        cleared = tuple(vm for vm in here if vm.persistent is not Answer.NO)
        return Started(succeeded=True, words="started, as a transient domain", destroyed=cleared)
    if any(vm.uuid != name_uuid(name) for vm in here):
        return Started(succeeded=False, words="start fails: another domain has that name")
    return Started(succeeded=True, words="started")
